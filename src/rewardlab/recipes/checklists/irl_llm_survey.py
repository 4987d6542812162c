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
        Item(
            section=PREFERENCES,
            text="Order consistency: a classifier of single responses, any estimator",
            parts=(
                "rewardlab.learning.classifier_reward:fit_classifier",
                "rewardlab.learning.choice_losses:ClassifierLoss",
                "rewardlab.functional.choices:order_consistency",
            ),
            tests=(
                "tests/learning/test_active_pairs.py::test_any_classifier_orders_responses",
                "tests/functional/test_choices.py",
            ),
            note="Its proof: `rewardlab prove irl-llm-survey`",
        ),
        Item(
            section=PREFERENCES,
            text="Ordinal and prospect losses (KTO), general choice (IPO)",
            parts=(
                "rewardlab.learning.item_losses:OrdinalLoss",
                "rewardlab.learning.choice_losses:ProspectLoss",
                "rewardlab.learning.choice_losses:IdentityLoss",
            ),
            tests=("tests/functional/test_item_losses.py", "tests/learning/test_choice_losses.py"),
            note="As losses of reward models; IPO also trains policies (`direct_preference_loss`), KTO does not yet",
        ),
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
        Item(
            section=PREFERENCES,
            text="Embed once, store, fit heads in seconds; control of label noise",
            parts=(
                "rewardlab.rewards.models.encoders.sentence:SentenceEncoder",
                "rewardlab.learning.inputs:CachedFeatures",
                "rewardlab.learning.simulated:noisy_labels",
                "rewardlab.learning.simulated:pairs_by_rank",
            ),
            tests=(
                "tests/rewards/models/test_sentence.py",
                "tests/learning/test_active_pairs.py::test_labels_are_as_noisy_as_they_are_asked_to_be",
            ),
            note="Embeddings are kept in memory, for a fit or as long as the encoder lives, not on disk",
        ),
        Item(
            section=PREFERENCES,
            text="Active choice of pairs: random, entropy, difference, D-optimal",
            parts=("rewardlab.learning.active_pairs:select", "rewardlab.functional.optimal_design:d_optimal"),
            tests=("tests/learning/test_active_pairs.py", "tests/functional/test_optimal_design.py"),
            note="Its proof: `rewardlab prove irl-llm-survey`",
        ),
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
        Item(
            section=PREFERENCES,
            text="Heads decomposed by principal components of differences",
            parts=("rewardlab.learning.principal_heads:principal_heads",),
            tests=("tests/learning/test_principal_heads.py",),
        ),
        Item(
            section=PREFERENCES,
            text="Max-min over groups of people",
            note="Groups can be fitted, their minimum is not trained on",
        ),
        Item(
            section=MATHEMATICS,
            text="Verifiable outcome",
            parts=("rewardlab.rewards.verifiers.math:MathAnswer",),
            tests=("tests/rewards/verifiers/test_math_answer.py",),
        ),
        Item(
            section=MATHEMATICS,
            text="Control arms: spurious, format-only and random rewards",
            parts=("rewardlab.audit.controls:spurious_controls", "rewardlab.audit.controls:Coin"),
            tests=("tests/audit/test_overoptimisation.py",),
            note="As rewards to train with; no run on a large model",
        ),
        Item(
            section=MATHEMATICS,
            text="Process rewards",
            parts=(
                "rewardlab.rewards.models.heads.process:ProcessHead",
                "rewardlab.learning.progress:ProgressEstimator",
            ),
            tests=("tests/learning/test_progress.py",),
        ),
        Item(
            section=MATHEMATICS,
            text="Reward of a prompt learned from logged trials (Prompt-OIRL)",
            parts=("rewardlab.learning.prompt_reward:prompt_reward", "rewardlab.learning.prompt_reward:best_prompt"),
            tests=("tests/learning/test_principal_heads.py",),
            note="Tested on a made-up log; without a proof of its own",
        ),
        Item(
            section=DEMONSTRATIONS,
            text="Supervised fine-tuning as behaviour cloning",
            parts=("rewardlab.training.objectives.supervised:Supervised",),
            tests=("tests/training/test_objectives.py",),
        ),
        Item(
            section=DEMONSTRATIONS,
            text="Adversarial alignment from demonstrations (reverse divergence)",
            note="One step of it is `afd(data='init-demo')`; a discriminator that is refitted while a language model "
            "trains is not there",
        ),
        Item(
            section=DEMONSTRATIONS,
            text="One-step alignment from demonstrations with extrapolation: init-SFT data",
            parts=("rewardlab.learning.afd:afd",),
            tests=("tests/learning/test_afd.py", "tests/recipes/test_irl_llm_survey.py"),
            note="Its proof: `rewardlab prove irl-llm-survey`",
        ),
        Item(
            section=DEMONSTRATIONS,
            text="Self-play fine-tuning, dense reward from log-ratios",
            parts=("rewardlab.training.objectives.self_play:GPO", "rewardlab.learning.implicit:ImplicitProcessReward"),
            tests=("tests/functional/test_self_play.py",),
        ),
        Item(
            section=DEMONSTRATIONS,
            text="Ranking of degraded demonstrations",
            parts=("rewardlab.learning.degraded:ranked_by_noise", "rewardlab.learning.degraded:NoisyPolicy"),
            tests=("tests/learning/test_degraded.py",),
            note="Of policies in Gymnasium environments, by noise in their actions; not of texts",
        ),
        Item(
            section=DEMONSTRATIONS,
            text="Classic: maximum entropy, GAIL, AIRL",
            parts=(
                "rewardlab.learning.demonstrations.entropy:MaximumCausalEntropy",
                "rewardlab.learning.demonstrations.adversarial:GAIL",
                "rewardlab.learning.demonstrations.adversarial:AIRL",
            ),
            tests=(
                "tests/learning/demonstrations/test_tabular_imitation.py",
                "tests/learning/demonstrations/test_adversarial_imitation.py",
            ),
        ),
        Item(
            section=USES,
            text="Best-of-n, as use and as metric",
            parts=("rewardlab.policies.best_of:best_of_n", "rewardlab.functional.selection:expected_best_of"),
            tests=("tests/learning/test_afd.py", "tests/recipes/test_raft.py"),
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
        Item(
            section=USES,
            text="Reward-guided decoding by token, prefixes scored consistently",
            note="Rewards choose among whole answers only",
        ),
        Item(
            section=USES,
            text="Credit of tokens by attention",
            note="Potentials and redistribution of steps are there, weights from a reward model's attention are not",
        ),
        Item(
            section=FAILURES,
            text="Over-optimisation curve: proxy and gold against divergence",
            parts=("rewardlab.audit.overoptimisation:overoptimisation",),
            tests=("tests/audit/test_overoptimisation.py",),
            note="For best-of-n; along a training run the loop's evaluation gives both rewards. Its proof: "
            "`rewardlab prove irl-llm-survey`",
        ),
        Item(
            section=FAILURES,
            text="Ensembles: mean, minimum, mean less deviation",
            parts=("rewardlab.rewards.algebra.ensembles:ensemble", "rewardlab.learning.ensembles:fit_ensemble"),
            tests=("tests/learning/test_ensembles.py",),
        ),
        Item(
            section=FAILURES,
            text="Generative reward models",
            note="Language models judge at an endpoint, but none is trained to",
        ),
        Item(
            section=FAILURES,
            text="Length and style bias: report, length-controlled comparison",
            parts=(
                "rewardlab.learning.report.making:report_preferences",
                "rewardlab.learning.evaluation.evaluating:evaluate",
            ),
            tests=("tests/learning/test_report.py",),
        ),
        Item(
            section=FAILURES,
            text="Mismatch between the writers of pairs and the policy",
            note="`afd` says how well two writers are told apart; there is no report of it for pairs",
        ),
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
