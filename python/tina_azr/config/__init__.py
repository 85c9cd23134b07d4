"""One frozen `Config` decides a run: `load_config` reads it, `dump_config` writes it, `choose` resolves the names in it."""

from tina_azr.config.comments import describe_config
from tina_azr.config.loading import Flag, choose, config_schema, dump_config, load_config
from tina_azr.config.sections import (
    RUNS,
    Config,
    HeldoutConfig,
    IntrospectionConfig,
    LearningConfig,
    ModelConfig,
    RewardsConfig,
    RunConfig,
    SandboxConfig,
    SelfplayConfig,
    ServeConfig,
    TasksConfig,
)

__all__ = [
    "RUNS",
    "Config",
    "Flag",
    "HeldoutConfig",
    "IntrospectionConfig",
    "LearningConfig",
    "ModelConfig",
    "RewardsConfig",
    "RunConfig",
    "SandboxConfig",
    "SelfplayConfig",
    "ServeConfig",
    "TasksConfig",
    "choose",
    "config_schema",
    "describe_config",
    "dump_config",
    "load_config",
]
