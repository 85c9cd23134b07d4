"""From a configuration to a sandbox."""

from tina_azr.config import SandboxConfig
from tina_azr.sandbox.sandbox import Sandbox
from tina_azr.sandbox.types import Limits, StaticPolicy


def open_sandbox(config: SandboxConfig, *, workers: int | None = None) -> Sandbox:
    """The sandbox with the configured limits. `workers`: programs run at once, in place of the configured number."""
    limits = Limits(
        fuel=config.fuel,
        wall_ms=config.wall_ms,
        memory_bytes=config.memory_mb << 20,
        output_bytes=config.output_bytes,
    )
    return Sandbox(limits=limits, policy=StaticPolicy(config.policy), workers=workers or config.workers or None)
