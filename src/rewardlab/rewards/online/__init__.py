"""Rewards inside a running environment: any algebra of transition rewards as one object that goes along step by step.

On-line the algebra holds at each transition. For sums this is the same as for whole trajectories; a product, a gate or a
clip of single steps is not the product, gate or clip of their sums, and `score_steps` scores stored trajectories this way.
"""

from rewardlab.rewards.online.nodes import CannotStep
from rewardlab.rewards.online.running import RunningNormalise
from rewardlab.rewards.online.stepping import OnlineReward, online, score_steps

__all__ = ["CannotStep", "OnlineReward", "RunningNormalise", "online", "score_steps"]
