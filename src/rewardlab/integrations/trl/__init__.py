"""The door into TRL: one line makes a rewardlab reward the reward of `GRPOTrainer` or `RLOOTrainer`.

Nothing here imports trl: its trainers call plain callables by keyword, and that contract is all that is used.
"""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.integrations.trl.rewards": ["RewardFunction", "reward_functions"],
        "rewardlab.integrations.trl.environments": ["Attempt", "dataset", "environment_factory"],
    },
)
