"""The ideas of a thesis on reward specification: reward composition, reward modelling, and what goes wrong in either."""

from __future__ import annotations

from rewardlab.recipes.checklists.checklist import Checklist, Item

COMPOSITION = "Reward composition"
MODELLING = "Reward modelling"
FAILURES = "Failure modes"

CHECKLIST = Checklist(
    title="Effective reward specification",
    source="Roy, Effective Reward Specification in Deep Reinforcement Learning, arXiv 2412.07177, 2024",
    items=(
        Item(
            section=COMPOSITION,
            text="Sums of terms, weights, gates, schedules",
            parts=(
                "rewardlab.rewards.algebra.combine:Sum",
                "rewardlab.rewards.algebra.gates:Gate",
                "rewardlab.rewards.schedules:Linear",
            ),
            tests=("tests/rewards/test_algebra.py",),
        ),
        Item(section=COMPOSITION, text="Potential-based shaping and its invariance check"),
        Item(
            section=COMPOSITION,
            text="Signed geometric combination",
            parts=("rewardlab.rewards.shaping.combination:Kinesthetic",),
            tests=("tests/rewards/test_algebra.py",),
        ),
        Item(section=COMPOSITION, text="Search over weights as a baseline, with the share of acceptable runs"),
        Item(section=COMPOSITION, text="Constraints on rates of behaviour: Lagrangian, normalised, bootstrap"),
        Item(section=COMPOSITION, text="Lexicographic and thresholded objectives"),
        Item(section=COMPOSITION, text="Multi-objective vectors, scalarisation, front, warning where it is dented"),
        Item(section=COMPOSITION, text="Conditioning on a direction or goal"),
        Item(section=COMPOSITION, text="Auxiliary objectives on the policy: predicted team-mates, coach masks"),
        Item(section=COMPOSITION, text="Auxiliary losses on features"),
        Item(section=COMPOSITION, text="Intrinsic bonuses: counts, novelty, curiosity, empowerment"),
        Item(section=COMPOSITION, text="Automatic curricula and goal relabelling"),
        Item(section=COMPOSITION, text="Learned and bi-level shaping"),
        Item(section=COMPOSITION, text="Entropy as part of the objective"),
        Item(section=MODELLING, text="Behaviour cloning"),
        Item(section=MODELLING, text="Maximum-entropy inverse reinforcement learning, apprenticeship"),
        Item(section=MODELLING, text="GAIL and AIRL with choice of reward form and penalty"),
        Item(section=MODELLING, text="ASAF: imitation whose discriminator is the policy"),
        Item(section=MODELLING, text="SQIL, soft-Q imitation, inverse soft-Q"),
        Item(section=MODELLING, text="Preferences over trajectories, rankings"),
        Item(
            section=MODELLING,
            text="Scalar or corrective feedback, language as reward, zero-shot vision-language reward",
        ),
        Item(section=MODELLING, text="Goal examples and success classifiers"),
        Item(
            section=MODELLING,
            text="Inverse reward design: several plausible rewards, the lowest counts",
            parts=("rewardlab.rewards.algebra.ensembles:ensemble",),
            tests=("tests/rewards/test_algebra.py",),
        ),
        Item(section=FAILURES, text="A loop of shaping terms is farmed"),
        Item(section=FAILURES, text="Survival and termination bias of adversarial rewards"),
        Item(section=FAILURES, text="Weights tuned on one layout fail on another"),
        Item(section=FAILURES, text="Adversarial instability, saturated discriminators"),
        Item(section=FAILURES, text="Constraints that cannot all be met"),
        Item(section=FAILURES, text="The objective slides to the ends of the front"),
        Item(section=FAILURES, text="Compounding error of cloning"),
    ),
)
"""What the thesis asks for."""
