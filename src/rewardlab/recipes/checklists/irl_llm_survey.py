"""The ideas of "Inverse Reinforcement Learning Meets Large Language Model Post-Training" (Sun and van der Schaar, 2025)."""

from __future__ import annotations

from rewardlab.recipes.checklists.checklist import Checklist, Item

PREFERENCES = "A. Reward from preferences"
MATHEMATICS = "B. Reward for mathematics"
DEMONSTRATIONS = "C. Reward from demonstrations"
USES = "D. Using a reward"
FAILURES = "E. What goes wrong"
PRACTICE = "F. Practice"

CHECKLIST = Checklist(
    title="Inverse reinforcement learning meets language-model post-training",
    source="Sun and van der Schaar, arXiv 2507.13158, 2025",
    items=(
        Item(
            section=PREFERENCES,
            text="Bradley-Terry loss on any encoder",
            parts=("rewardlab.learning.losses:BradleyTerryLoss", "rewardlab.learning.fitting:fit"),
            tests=("tests/learning/test_losses.py", "tests/learning/test_fit.py"),
        ),
        Item(
            section=PREFERENCES,
            text="Bradley-Terry as regression on embeddings; pairs across prompts",
            parts=("rewardlab.rewards.models.encoders.sentence:SentenceEncoder",),
            tests=("tests/learning/test_fit_text.py",),
        ),
        Item(section=PREFERENCES, text="Order consistency: a classifier of single responses, any estimator"),
        Item(section=PREFERENCES, text="Ordinal and prospect losses (KTO), general choice (IPO)"),
        Item(
            section=PREFERENCES,
            text="DPO, on-line and off-line, and its implicit reward as a scorer",
            parts=(
                "rewardlab.training.objectives.preference:DPO",
                "rewardlab.training.preferences:train_on_preferences",
                "rewardlab.learning.implicit:ImplicitProcessReward",
            ),
            tests=("tests/functional/test_preferences.py", "tests/learning/test_implicit.py"),
        ),
        Item(
            section=PREFERENCES,
            text="Preferences that are not transitive",
            parts=(
                "rewardlab.learning.losses:GeneralPreferenceLoss",
                "rewardlab.rewards.models.heads.general_preference:GeneralPreferenceHead",
            ),
            tests=("tests/functional/test_general_preference.py",),
        ),
        Item(section=PREFERENCES, text="Embed once, store, fit heads in seconds; control of label noise"),
        Item(section=PREFERENCES, text="Active choice of pairs: random, entropy, difference, D-optimal"),
        Item(
            section=PREFERENCES,
            text="Personal and diverse: latent user, ideal points, mixtures",
            parts=(
                "rewardlab.learning.variational:fit_latent",
                "rewardlab.rewards.models.heads.ideal_point:IdealPointHead",
                "rewardlab.learning.mixture:fit_mixture",
            ),
            tests=("tests/learning/test_variational.py", "tests/learning/test_mixture.py"),
        ),
        Item(section=PREFERENCES, text="Heads decomposed by principal components of differences"),
        Item(
            section=MATHEMATICS,
            text="Verifiable outcome",
            parts=("rewardlab.rewards.verifiers.math:MathAnswer",),
            tests=("tests/rewards/verifiers/test_math_answer.py",),
        ),
        Item(section=MATHEMATICS, text="Control arms: spurious, format-only and random rewards"),
        Item(
            section=MATHEMATICS,
            text="Process rewards",
            parts=(
                "rewardlab.rewards.models.heads.process:ProcessHead",
                "rewardlab.learning.progress:ProgressEstimator",
            ),
            tests=("tests/learning/test_progress.py",),
        ),
        Item(section=MATHEMATICS, text="Reward of a prompt learned from logged trials (Prompt-OIRL)"),
        Item(
            section=DEMONSTRATIONS,
            text="Supervised fine-tuning as behaviour cloning",
            parts=("rewardlab.training.objectives.supervised:Supervised",),
            tests=("tests/training/test_objectives.py",),
        ),
        Item(section=DEMONSTRATIONS, text="Adversarial alignment from demonstrations (reverse divergence)"),
        Item(section=DEMONSTRATIONS, text="One-step alignment from demonstrations with extrapolation: init-SFT data"),
        Item(
            section=DEMONSTRATIONS,
            text="Self-play fine-tuning, dense reward from log-ratios",
            parts=("rewardlab.training.objectives.self_play:GPO", "rewardlab.learning.implicit:ImplicitProcessReward"),
            tests=("tests/functional/test_self_play.py",),
        ),
        Item(section=DEMONSTRATIONS, text="Ranking of degraded demonstrations"),
        Item(section=DEMONSTRATIONS, text="Classic: maximum entropy, GAIL, AIRL"),
        Item(
            section=USES,
            text="Best-of-n, as use and as metric",
            parts=("rewardlab.functional.selection:expected_best_of",),
            tests=("tests/recipes/test_raft.py",),
        ),
        Item(
            section=USES,
            text="Iterative reward-ranked tuning",
            parts=("rewardlab.recipes.raft:RECIPE",),
            tests=("tests/recipes/test_raft.py",),
        ),
        Item(
            section=USES,
            text="PPO with a value head and GAE",
            parts=("rewardlab.training.credit.gae:GAE", "rewardlab.functional.ppo:clipped_value_loss"),
            tests=("tests/functional/test_ppo.py",),
        ),
        Item(
            section=USES,
            text="Monte-Carlo: REINFORCE, RLOO, GRPO, DAPO",
            parts=(
                "rewardlab.training.objectives.policy_gradient:GRPO",
                "rewardlab.training.objectives.policy_gradient:RLOO",
            ),
            tests=("tests/training/test_objectives.py",),
        ),
        Item(section=USES, text="Reward-guided decoding by token, prefixes scored consistently"),
        Item(section=USES, text="Credit of tokens by attention"),
        Item(section=FAILURES, text="Over-optimisation curve: proxy and gold against divergence"),
        Item(
            section=FAILURES,
            text="Ensembles: mean, minimum, mean less deviation",
            parts=("rewardlab.rewards.algebra.ensembles:ensemble", "rewardlab.learning.ensembles:fit_ensemble"),
            tests=("tests/learning/test_ensembles.py",),
        ),
        Item(section=FAILURES, text="Generative reward models"),
        Item(
            section=FAILURES,
            text="Length and style bias: report, length-controlled comparison",
            parts=(
                "rewardlab.learning.report.making:report_preferences",
                "rewardlab.learning.evaluation.evaluating:evaluate",
            ),
            tests=("tests/learning/test_report.py",),
        ),
        Item(section=FAILURES, text="Mismatch between the writers of pairs and the policy"),
        Item(
            section=FAILURES,
            text="Other feedback: scalars, several criteria",
            parts=("rewardlab.learning.item_losses:RegressionLoss", "rewardlab.recipes.harmo:RECIPE"),
            tests=("tests/functional/test_item_losses.py",),
        ),
        Item(
            section=PRACTICE,
            text="Readers of public preference data, benchmarks, everything on a CPU",
            parts=(
                "rewardlab.learning.reading.read:read_preferences",
                "rewardlab.learning.evaluation.evaluating:evaluate",
            ),
            tests=("tests/learning/test_reading.py",),
        ),
    ),
)
"""What the survey asks for."""
