"""Inverse Q-learning for several agents: a policy and a reward for each of them from joint demonstrations."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.learning.marginal_q.critics": ["AgentCritic", "MarginalPolicy", "MarginalReward"],
        "rewardlab.learning.marginal_q.joint_data": ["coordination", "split_joint"],
        "rewardlab.learning.marginal_q.joint_play": ["collect_joint"],
        "rewardlab.learning.marginal_q.method": ["MarginalQ"],
        "rewardlab.learning.marginal_q.result": ["MarginalQFit"],
    },
)
