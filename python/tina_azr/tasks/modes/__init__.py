"""The task types. To add one: a file here that holds a `TaskMode`, and a line in `MODES`."""

from tina_azr.tasks.modes.abduction import Abduction
from tina_azr.tasks.modes.base import Draft, TaskMode
from tina_azr.tasks.modes.deduction import Deduction
from tina_azr.tasks.modes.induction import Induction

MODES: dict[str, TaskMode] = {
    "deduction": Deduction(),
    "abduction": Abduction(),
    "induction": Induction(),
}
"""Every task type by its name."""

__all__ = ["MODES", "Draft", "TaskMode"]
