"""Untrusted Python, run in WebAssembly: isolated, metered, and deterministic by proof. No text of a model is evaluated on the host."""

from tina_azr.sandbox.sandbox import Sandbox
from tina_azr.sandbox.types import Executor, Limits, Outcome, OutcomeKind, StaticPolicy, Way

__all__ = ["Executor", "Limits", "Outcome", "OutcomeKind", "Sandbox", "StaticPolicy", "Way"]
