"""How a reward is learned: data of preferences, ratings and step labels, losses, one fitter, and evaluation."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.fitting": ["Fit", "FitResult", "FitStopped", "fit"],
        "rewardlab.learning.ensembles": ["EnsembleFit", "fit_ensemble", "join", "member_values"],
        "rewardlab.learning.evaluation": ["Evaluation", "compare", "evaluate"],
        "rewardlab.learning.data": ["PreferenceData", "RankingData", "RatingData", "StepLabelData", "as_trajectory"],
        "rewardlab.learning.reading": ["UnclearLayout", "read_preferences", "read_step_labels"],
        "rewardlab.learning.report": ["DataReport", "report_preferences"],
        "rewardlab.learning.item_losses": ["OrdinalLoss", "PlackettLuceLoss", "ProcessLoss", "RegressionLoss"],
        "rewardlab.learning.losses": [
            "LOSSES",
            "BradleyTerryLoss",
            "ContrastiveLoss",
            "GeneralPreferenceLoss",
            "HingeLoss",
            "Loss",
            "MixtureLoss",
            "make_loss",
        ],
        "rewardlab.learning.preference_strength": ["PreferenceStrength", "StrengthReport"],
        "rewardlab.learning.pair_loss": ["PairLoss", "soften_below_zero"],
        "rewardlab.learning.meta_reward": ["MetaRewardTrainer", "meta_step"],
        "rewardlab.learning.contrastive": ["ContrastiveAux"],
        "rewardlab.learning.users": ["add_users", "fixed_mixture", "prototype_report", "user_comparisons"],
        "rewardlab.learning.mixture": [
            "HeadReport",
            "MixtureLikelihood",
            "PerHeadLikelihood",
            "align_heads",
            "fit_mixture",
            "head_report",
            "mixture_probability",
            "select_k",
        ],
        "rewardlab.learning.hedge": ["adapt", "hedge_targets", "reweight"],
        "rewardlab.learning.variational": ["LatentFit", "fit_latent"],
        "rewardlab.learning.latent_users": [
            "Posterior",
            "held_out_hits",
            "infer",
            "infer_users",
            "latent_reward",
            "remember_users",
            "scaled_reward",
        ],
        "rewardlab.learning.rows": ["PairRows", "RankRows", "RatingRows", "StepRows"],
    },
)
