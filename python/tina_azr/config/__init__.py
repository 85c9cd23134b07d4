"""Configuration of a run: the frozen `Config`, how it is read, written and described, and its presets."""

from tina_azr.config.comments import describe_config
from tina_azr.config.loading import Flag, choose, config_schema, dump_config, load_config, read_values
from tina_azr.config.presets import preset_names, preset_summary, read_preset
from tina_azr.config.renamed import downgrade, is_old
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
    "downgrade",
    "dump_config",
    "is_old",
    "load_config",
    "preset_names",
    "preset_summary",
    "read_preset",
    "read_values",
]
