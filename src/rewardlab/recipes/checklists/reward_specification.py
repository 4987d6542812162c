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
        Item(
            section=COMPOSITION,
            text="Potential-based shaping and its invariance check",
            parts=(
                "rewardlab.rewards.shaping.potentials:Potential",
                "rewardlab.rewards.shaping.optimum:can_change_optimum",
            ),
            tests=(
                "tests/rewards/shaping/test_potentials.py",
                "tests/rewards/shaping/test_optimum.py",
            ),
        ),
        Item(
            section=COMPOSITION,
            text="Signed geometric combination",
            parts=("rewardlab.rewards.shaping.combination:Kinesthetic",),
            tests=("tests/rewards/shaping/test_combination.py",),
        ),
        Item(
            section=COMPOSITION,
            text="Search over weights as a baseline, with the share of acceptable runs",
            parts=(
                "rewardlab.audit.weights:weight_search",
                "rewardlab.recipes.reward_specification.behaviour:study",
            ),
            tests=(
                "tests/audit/test_weights_and_advice.py",
                "tests/recipes/test_reward_specification.py",
            ),
        ),
        Item(
            section=COMPOSITION,
            text="Constraints on rates of behaviour: Lagrangian, normalised, bootstrap",
            parts=(
                "rewardlab.rewards.formal.constraints:Constraint",
                "rewardlab.rewards.formal.constraints:Lagrangian",
                "rewardlab.rewards.formal.objectives.programmes:CMDP",
            ),
            tests=(
                "tests/rewards/formal/test_constraints.py",
                "tests/functional/test_lagrangian.py",
                "tests/rewards/formal/test_objectives.py",
            ),
        ),
        Item(
            section=COMPOSITION,
            text="A critic for each indicator",
            parts=("rewardlab.training.multi_critic:MultiCritic",),
            tests=("tests/recipes/test_reward_specification.py",),
            note="In tables; a learner of Stable-Baselines3 has one critic for the weighted sum",
        ),
        Item(
            section=COMPOSITION,
            text="Lexicographic and thresholded objectives",
            parts=("rewardlab.rewards.formal.objectives.vectors:Lexicographic",),
            tests=("tests/rewards/formal/test_objectives.py",),
        ),
        Item(
            section=COMPOSITION,
            text="Multi-objective vectors and their scalarisation",
            parts=(
                "rewardlab.rewards.formal.objectives.vectors:OuterMultiObjective",
                "rewardlab.rewards.formal.objectives.rewards:ScalarisedReward",
            ),
            tests=("tests/rewards/formal/test_objectives.py",),
        ),
        Item(
            section=COMPOSITION,
            text="A front that is traced, with a warning where it is dented",
        ),
        Item(
            section=COMPOSITION,
            text="Conditioning on a direction or goal",
            parts=(
                "rewardlab.functional.focus_region:focus_factor",
                "rewardlab.training.goal_sampler:GoalSampler",
            ),
            tests=(
                "tests/functional/test_focus_region.py",
                "tests/training/test_goal_sampler.py",
            ),
            note="The cone and the sampler; no generative flow network",
        ),
        Item(
            section=COMPOSITION,
            text="Auxiliary objectives on the policy: predicted team-mates, coach masks",
            parts=(
                "rewardlab.functional.team_losses:team_reg_loss",
                "rewardlab.functional.team_losses:coach_reg_loss",
            ),
            tests=("tests/functional/test_team_losses.py",),
            note="As losses; no learner of several agents here adds them by itself",
        ),
        Item(
            section=COMPOSITION,
            text="Auxiliary losses on features",
            parts=(
                "rewardlab.training.auxiliary:RewardPrediction",
                "rewardlab.training.auxiliary:StateReconstruction",
            ),
            tests=("tests/training/test_auxiliary.py",),
        ),
        Item(
            section=COMPOSITION,
            text="Intrinsic bonuses: counts",
            parts=(
                "rewardlab.learning.design.counting:HashCount",
                "rewardlab.learning.design.counting:GridCount",
            ),
            tests=("tests/learning/design/test_self_design.py",),
        ),
        Item(
            section=COMPOSITION,
            text="Intrinsic bonuses: events that a language model finds interesting",
            parts=("rewardlab.rewards.intrinsic.reward:IntrinsicReward",),
            tests=("tests/rewards/intrinsic/test_intrinsic.py",),
        ),
        Item(
            section=COMPOSITION,
            text="Intrinsic bonuses: novelty of networks, curiosity, empowerment",
        ),
        Item(
            section=COMPOSITION,
            text="Automatic curricula",
            parts=("rewardlab.training.replay:FailureReplay",),
            tests=("tests/training/test_replay.py",),
            note="Tasks that failed come back",
        ),
        Item(
            section=COMPOSITION,
            text="Relabelling of goals in hindsight",
        ),
        Item(
            section=COMPOSITION,
            text="Learned and bi-level shaping",
            parts=(
                "rewardlab.learning.alignment.front:align",
                "rewardlab.learning.design.self_design:ExploRS",
            ),
            tests=(
                "tests/learning/alignment/test_align.py",
                "tests/learning/design/test_self_design.py",
            ),
        ),
        Item(
            section=COMPOSITION,
            text="Entropy as part of the objective",
            parts=("rewardlab.rewards.formal.objectives.sums:Regularised",),
            tests=("tests/rewards/formal/test_objectives.py",),
        ),
        Item(
            section=MODELLING,
            text="Behaviour cloning",
            parts=("rewardlab.learning.demonstrations.cloning:BehaviourCloning",),
            tests=("tests/learning/demonstrations/test_cloning.py",),
        ),
        Item(
            section=MODELLING,
            text="Maximum-entropy inverse reinforcement learning",
            parts=("rewardlab.learning.demonstrations.entropy:MaximumCausalEntropy",),
            tests=("tests/learning/demonstrations/test_tabular_imitation.py",),
        ),
        Item(
            section=MODELLING,
            text="Apprenticeship by projection or maximum margin",
        ),
        Item(
            section=MODELLING,
            text="GAIL and AIRL with choice of reward form and penalty",
            parts=(
                "rewardlab.learning.demonstrations.adversarial:GAIL",
                "rewardlab.learning.demonstrations.adversarial:AIRL",
                "rewardlab.learning.demonstrations.off_policy:OffPolicyGAIL",
            ),
            tests=(
                "tests/learning/demonstrations/test_adversarial_imitation.py",
                "tests/learning/demonstrations/test_off_policy.py",
            ),
        ),
        Item(
            section=MODELLING,
            text="ASAF: imitation whose discriminator is the policy",
            parts=("rewardlab.learning.demonstrations.asaf:ASAF",),
            tests=(
                "tests/learning/demonstrations/test_asaf.py",
                "tests/functional/test_asaf.py",
            ),
        ),
        Item(
            section=MODELLING,
            text="Inverse soft-Q",
            parts=("rewardlab.learning.marginal_q.method:MarginalQ",),
            tests=("tests/learning/marginal_q/test_marginal_q.py",),
        ),
        Item(
            section=MODELLING,
            text="SQIL, soft-Q imitation",
        ),
        Item(
            section=MODELLING,
            text="Preferences over trajectories",
            parts=("rewardlab.learning.demonstrations.preferences:ControlPreferences",),
            tests=("tests/learning/demonstrations/test_density_and_preferences.py",),
        ),
        Item(
            section=MODELLING,
            text="Rankings",
            parts=("rewardlab.learning.item_losses:PlackettLuceLoss",),
            tests=("tests/functional/test_item_losses.py",),
        ),
        Item(
            section=MODELLING,
            text="Scalar feedback",
            parts=("rewardlab.learning.item_losses:RegressionLoss",),
            tests=("tests/functional/test_item_losses.py",),
        ),
        Item(
            section=MODELLING,
            text="Language as reward",
            parts=("rewardlab.learning.programs.writer:RewardWriter",),
            tests=("tests/learning/programs/test_writer.py",),
            note="A language model writes the program of a reward",
        ),
        Item(
            section=MODELLING,
            text="Corrective feedback, zero-shot vision-language reward",
            note="Encoders of vision-language models are there, and are fitted to judgements",
        ),
        Item(
            section=MODELLING,
            text="Goal examples and success classifiers",
            note="Progress towards success is estimated from outcomes (`ProgressEstimator`)",
        ),
        Item(
            section=MODELLING,
            text="Inverse reward design: several plausible rewards, the lowest counts",
            parts=("rewardlab.rewards.algebra.ensembles:ensemble",),
            tests=("tests/rewards/test_algebra.py",),
        ),
        Item(
            section=FAILURES,
            text="A loop of shaping terms is farmed",
            parts=("rewardlab.rewards.shaping.optimum:can_change_optimum",),
            tests=("tests/rewards/shaping/test_optimum.py",),
        ),
        Item(
            section=FAILURES,
            text="Survival and termination bias of adversarial rewards",
            parts=("rewardlab.learning.demonstrations.off_policy:warn_of_survival_bias",),
            tests=("tests/learning/demonstrations/test_off_policy.py",),
        ),
        Item(
            section=FAILURES,
            text="Weights tuned on one layout fail on another",
            note="`weight_search` says how many weights will do on the layout that it is given",
        ),
        Item(
            section=FAILURES,
            text="Adversarial instability, saturated discriminators",
            parts=("rewardlab.rewards.models.adversarial:AdversarialReward.diagnostics",),
            tests=("tests/rewards/test_adversarial.py",),
        ),
        Item(
            section=FAILURES,
            text="Constraints that cannot all be met",
            parts=(
                "rewardlab.rewards.formal.constraint_report:ConstraintReport",
                "rewardlab.rewards.formal.objectives.programmes:InfeasibleConstraints",
            ),
            tests=(
                "tests/rewards/formal/test_constraints.py",
                "tests/rewards/formal/test_objectives.py",
            ),
        ),
        Item(
            section=FAILURES,
            text="The objective slides to the ends of the front",
            parts=("rewardlab.functional.focus_region:focus_factor",),
            tests=("tests/functional/test_focus_region.py",),
        ),
        Item(
            section=FAILURES,
            text="Compounding error of cloning",
        ),
    ),
)
"""What the thesis asks for."""
