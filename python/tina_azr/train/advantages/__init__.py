"""How a reward becomes an advantage: one file a rule, chosen by name. Pure numpy."""

from tina_azr.train.advantages.group import group
from tina_azr.train.advantages.task_baseline import task_baseline
from tina_azr.train.advantages.trr_pp import trr_pp, trr_pp_tokens
from tina_azr.train.advantages.types import AdvantageRule, Advantages, RewardTable

ADVANTAGES: dict[str, AdvantageRule] = {
    "trr_pp": trr_pp,
    "trr_pp_tokens": trr_pp_tokens,
    "task_baseline": task_baseline,
    "group": group,
}

__all__ = ["ADVANTAGES", "AdvantageRule", "Advantages", "RewardTable"]
