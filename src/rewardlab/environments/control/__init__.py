"""Rewards inside environments of Gymnasium and Stable-Baselines3, beside the environment's own reward.

Names load on first use: importing this room imports neither Gymnasium nor Stable-Baselines3.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.environments.control.ledger": ["RewardFailure"],
        "rewardlab.environments.control.machines": ["MachineWrapper"],
        "rewardlab.environments.control.single": ["RewardWrapper"],
        "rewardlab.environments.control.vectorised": ["VectorRewardWrapper"],
        "rewardlab.environments.control.stable_baselines": ["RewardVecEnv"],
    },
)
