"""Pure functions: advantages, returns, losses of policies and of reward models, divergences, agreement and calibration.

No state, no models. Every function states its shapes, checks them on its first lines and names the paper and equation that
it follows. Names load on first use, so that what needs no torch works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rewardlab.extras import require
from rewardlab.lazy import lazy_names

if TYPE_CHECKING:
    from rewardlab.functional.advantages import (
        RelativeAdvantages,
        batch_mean,
        best_of_group,
        group_relative,
        leave_one_out,
    )
    from rewardlab.functional.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, pairwise_agreement
    from rewardlab.functional.calibration import (
        ReliabilityCurve,
        brier_score,
        expected_calibration_error,
        reliability_curve,
    )
    from rewardlab.functional.choices import order_consistency, prospect
    from rewardlab.functional.contrastive import difference_views, info_nce
    from rewardlab.functional.credit import (
        StepAdvantages,
        position_baseline,
        potential_terms,
        redistribute,
        returns_to_go,
        spread_to_tokens,
        step_log_ratios,
        step_relative,
        turn_baseline,
        turn_index_advantages,
    )
    from rewardlab.functional.direct_preferences import direct_preference_loss, turn_weights
    from rewardlab.functional.discrimination import area_under_curve
    from rewardlab.functional.durations import (
        completion_probability,
        completion_weights,
        cutoff_weights,
        duration_weights,
        effective_sample_size,
    )
    from rewardlab.functional.general_preference import (
        general_preference_logistic,
        general_preference_regression,
        skew_symmetric_score,
    )
    from rewardlab.functional.intervals import share_interval
    from rewardlab.functional.intransitivity import (
        diagnose_intransitivity,
        hodge_split,
        nash_strategy,
        rank_preferences,
    )
    from rewardlab.functional.kinesthetic import signed_geometric_mean
    from rewardlab.functional.kl import kl_estimate
    from rewardlab.functional.lipschitz import (
        gradient_norms,
        gradient_penalty,
        n_step_targets,
        norm_penalty,
        penalty_points,
        pessimism,
        q_lipschitz_bound,
    )
    from rewardlab.functional.matching import match_columns
    from rewardlab.functional.optimal_design import d_optimal, log_det_gains
    from rewardlab.functional.policy_losses import (
        Surrogate,
        clipped_surrogate,
        grpo_loss,
        kl_in_advantages,
        log_importance_weights,
        negative_log_likelihood,
        reinforce_loss,
        token_weights,
        whiten,
    )
    from rewardlab.functional.ppo import (
        adapted_kl_coefficient,
        advantage_weights,
        clipped_value_loss,
        rewards_reaching_back,
    )
    from rewardlab.functional.preferences import bradley_terry, centring, hinge
    from rewardlab.functional.process import step_binary, step_soft, until_first_error
    from rewardlab.functional.rankings import plackett_luce
    from rewardlab.functional.ratings import ordinal, regression
    from rewardlab.functional.returns import discounted_returns, generalised_advantage_estimation
    from rewardlab.functional.self_play import gpo_loss, gpo_on_table, mean_scores
    from rewardlab.functional.tabular import (
        action_values,
        evaluate_policy,
        limiting_matrix,
        occupancy,
        optimal_actions,
        policy_transitions,
        recurrent_classes,
        stationary_distribution,
        value_iteration,
    )

__all__ = [
    "RelativeAdvantages",
    "ReliabilityCurve",
    "StepAdvantages",
    "Surrogate",
    "action_values",
    "adapted_kl_coefficient",
    "advantage_weights",
    "area_under_curve",
    "batch_mean",
    "best_of_group",
    "bradley_terry",
    "brier_score",
    "centring",
    "clipped_surrogate",
    "clipped_value_loss",
    "cohen_kappa",
    "completion_probability",
    "completion_weights",
    "cutoff_weights",
    "d_optimal",
    "diagnose_intransitivity",
    "difference_views",
    "direct_preference_loss",
    "discounted_returns",
    "duration_weights",
    "effective_sample_size",
    "evaluate_policy",
    "expected_calibration_error",
    "fleiss_kappa",
    "general_preference_logistic",
    "general_preference_regression",
    "generalised_advantage_estimation",
    "gpo_loss",
    "gpo_on_table",
    "gradient_norms",
    "gradient_penalty",
    "group_relative",
    "grpo_loss",
    "hinge",
    "hodge_split",
    "info_nce",
    "kl_estimate",
    "kl_in_advantages",
    "krippendorff_alpha",
    "leave_one_out",
    "limiting_matrix",
    "log_det_gains",
    "log_importance_weights",
    "match_columns",
    "mean_scores",
    "n_step_targets",
    "nash_strategy",
    "negative_log_likelihood",
    "norm_penalty",
    "occupancy",
    "optimal_actions",
    "order_consistency",
    "ordinal",
    "pairwise_agreement",
    "penalty_points",
    "pessimism",
    "plackett_luce",
    "policy_transitions",
    "position_baseline",
    "potential_terms",
    "prospect",
    "q_lipschitz_bound",
    "rank_preferences",
    "recurrent_classes",
    "redistribute",
    "regression",
    "reinforce_loss",
    "reliability_curve",
    "returns_to_go",
    "rewards_reaching_back",
    "share_interval",
    "signed_geometric_mean",
    "skew_symmetric_score",
    "spread_to_tokens",
    "stationary_distribution",
    "step_binary",
    "step_log_ratios",
    "step_relative",
    "step_soft",
    "token_weights",
    "turn_baseline",
    "turn_index_advantages",
    "turn_weights",
    "until_first_error",
    "value_iteration",
    "whiten",
]

_load, __dir__, _ = lazy_names(
    __name__,
    {
        "rewardlab.functional.advantages": [
            "RelativeAdvantages",
            "batch_mean",
            "best_of_group",
            "group_relative",
            "leave_one_out",
        ],
        "rewardlab.functional.credit": [
            "StepAdvantages",
            "position_baseline",
            "potential_terms",
            "redistribute",
            "returns_to_go",
            "spread_to_tokens",
            "step_log_ratios",
            "step_relative",
            "turn_baseline",
            "turn_index_advantages",
        ],
        "rewardlab.functional.durations": [
            "completion_probability",
            "completion_weights",
            "cutoff_weights",
            "duration_weights",
            "effective_sample_size",
        ],
        "rewardlab.functional.intervals": ["share_interval"],
        "rewardlab.functional.intransitivity": [
            "diagnose_intransitivity",
            "hodge_split",
            "nash_strategy",
            "rank_preferences",
        ],
        "rewardlab.functional.kinesthetic": ["signed_geometric_mean"],
        "rewardlab.functional.kl": ["kl_estimate"],
        "rewardlab.functional.discrimination": ["area_under_curve"],
        "rewardlab.functional.lipschitz": [
            "gradient_norms",
            "gradient_penalty",
            "n_step_targets",
            "norm_penalty",
            "penalty_points",
            "pessimism",
            "q_lipschitz_bound",
        ],
        "rewardlab.functional.matching": ["match_columns"],
        "rewardlab.functional.policy_losses": [
            "Surrogate",
            "clipped_surrogate",
            "grpo_loss",
            "kl_in_advantages",
            "log_importance_weights",
            "negative_log_likelihood",
            "reinforce_loss",
            "token_weights",
            "whiten",
        ],
        "rewardlab.functional.choices": ["order_consistency", "prospect"],
        "rewardlab.functional.optimal_design": ["d_optimal", "log_det_gains"],
        "rewardlab.functional.contrastive": ["difference_views", "info_nce"],
        "rewardlab.functional.general_preference": [
            "general_preference_logistic",
            "general_preference_regression",
            "skew_symmetric_score",
        ],
        "rewardlab.functional.direct_preferences": ["direct_preference_loss", "turn_weights"],
        "rewardlab.functional.ppo": [
            "adapted_kl_coefficient",
            "advantage_weights",
            "clipped_value_loss",
            "rewards_reaching_back",
        ],
        "rewardlab.functional.preferences": ["bradley_terry", "centring", "hinge"],
        "rewardlab.functional.process": ["step_binary", "step_soft", "until_first_error"],
        "rewardlab.functional.rankings": ["plackett_luce"],
        "rewardlab.functional.ratings": ["ordinal", "regression"],
        "rewardlab.functional.agreement": ["cohen_kappa", "fleiss_kappa", "krippendorff_alpha", "pairwise_agreement"],
        "rewardlab.functional.calibration": [
            "ReliabilityCurve",
            "brier_score",
            "expected_calibration_error",
            "reliability_curve",
        ],
        "rewardlab.functional.returns": ["discounted_returns", "generalised_advantage_estimation"],
        "rewardlab.functional.self_play": ["gpo_loss", "gpo_on_table", "mean_scores"],
        "rewardlab.functional.tabular": [
            "action_values",
            "evaluate_policy",
            "limiting_matrix",
            "occupancy",
            "optimal_actions",
            "policy_transitions",
            "recurrent_classes",
            "stationary_distribution",
            "value_iteration",
        ],
    },
    rooms=[
        "advantages",
        "agreement",
        "calibration",
        "choices",
        "contrastive",
        "credit",
        "direct_preferences",
        "durations",
        "general_preference",
        "intervals",
        "intransitivity",
        "kinesthetic",
        "kl",
        "discrimination",
        "lipschitz",
        "matching",
        "optimal_design",
        "policy_losses",
        "ppo",
        "preferences",
        "process",
        "rankings",
        "ratings",
        "returns",
        "reward_distances",
        "segments",
        "selection",
        "self_play",
        "tabular",
    ],
)
_PLAIN = frozenset(
    {
        "reward_distances",
        "tabular",
        "optimal_design",
        "d_optimal",
        "log_det_gains",
        "action_values",
        "evaluate_policy",
        "limiting_matrix",
        "occupancy",
        "optimal_actions",
        "policy_transitions",
        "recurrent_classes",
        "stationary_distribution",
        "value_iteration",
        "agreement",
        "calibration",
        "credit",
        "durations",
        "completion_probability",
        "completion_weights",
        "cutoff_weights",
        "duration_weights",
        "effective_sample_size",
        "segments",
        "StepAdvantages",
        "position_baseline",
        "potential_terms",
        "redistribute",
        "returns_to_go",
        "spread_to_tokens",
        "step_log_ratios",
        "step_relative",
        "turn_baseline",
        "turn_index_advantages",
        "intervals",
        "share_interval",
        "cohen_kappa",
        "fleiss_kappa",
        "krippendorff_alpha",
        "pairwise_agreement",
        "ReliabilityCurve",
        "brier_score",
        "expected_calibration_error",
        "reliability_curve",
    }
)


def __getattr__(name: str) -> Any:
    if name in __dir__() and name not in _PLAIN:
        require("torch", extra="torch", why=f"rewardlab.functional.{name}")
    return _load(name)
