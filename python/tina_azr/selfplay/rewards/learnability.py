"""The proposer's term: how much the solver could learn from the task."""

from tina_azr.config import RewardsConfig, choose
from tina_azr.selfplay.rewards.gaussian import gaussian
from tina_azr.selfplay.rewards.one_minus import one_minus
from tina_azr.selfplay.rewards.parabola import parabola
from tina_azr.selfplay.rewards.types import LearnabilityRule, SolvedProposal

LEARNABILITY: dict[str, LearnabilityRule] = {
    "one_minus": one_minus,
    "parabola": parabola,
    "gaussian": gaussian,
}


def learnability(solved: SolvedProposal, numbers: RewardsConfig) -> float:
    """The rule's value r(p) where it is positive, else `unlearnable`.

    The published code gives -0.5 to a well-formed task that none or all of its tries solve; `unlearnable: -0.5` is that.
    """
    value = choose(LEARNABILITY, numbers.learnability, "rewards.learnability")(solved.pass_rate)
    return value if value > 0.0 else numbers.unlearnable
