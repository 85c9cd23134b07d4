"""Untrusted Python, run in WebAssembly: isolated, metered, deterministic."""

from tina_azr._native import equal
from tina_azr.sandbox.executor import Sandbox
from tina_azr.sandbox.types import Executor, Limits, Outcome, OutcomeKind, Policy

__all__ = ["Executor", "Limits", "Outcome", "OutcomeKind", "Policy", "Sandbox", "equal"]
