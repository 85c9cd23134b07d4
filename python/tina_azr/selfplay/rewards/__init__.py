"""Rewards: one file a term or learnability rule, chosen by name; a role's reward is the sum of its terms.

To add one, write a function of `SolvedProposal` or `GradedAttempt`, name it below, and name it in `rewards.proposer_terms` or
`rewards.solver_terms` of the configuration.
"""

from tina_azr.selfplay.rewards.correctness import correctness
from tina_azr.selfplay.rewards.learnability import LEARNABILITY, learnability
from tina_azr.selfplay.rewards.types import GradedAttempt, LearnabilityRule, ProposerTerm, SolvedProposal, SolverTerm

PROPOSER_TERMS: dict[str, ProposerTerm] = {
    "learnability": learnability,
}

SOLVER_TERMS: dict[str, SolverTerm] = {
    "correctness": correctness,
}

__all__ = [
    "LEARNABILITY",
    "PROPOSER_TERMS",
    "SOLVER_TERMS",
    "GradedAttempt",
    "LearnabilityRule",
    "ProposerTerm",
    "SolvedProposal",
    "SolverTerm",
]
