"""Whatever combines rewards is a reward: sums, gates, cascades, ensembles, schedules, and the rest of the closed algebra."""

from rewardlab.rewards.algebra.cache import Cache
from rewardlab.rewards.algebra.combine import Product, Sum, add, multiply
from rewardlab.rewards.algebra.ensembles import Ensemble, ensemble
from rewardlab.rewards.algebra.gates import Cascade, Gate, Hybrid, cascade, hybrid
from rewardlab.rewards.algebra.normalise import Normalise, RunningStatistics
from rewardlab.rewards.algebra.transforms import Clip, Scheduled

__all__ = [
    "Cache",
    "Cascade",
    "Clip",
    "Ensemble",
    "Gate",
    "Hybrid",
    "Normalise",
    "Product",
    "RunningStatistics",
    "Scheduled",
    "Sum",
    "add",
    "cascade",
    "ensemble",
    "hybrid",
    "multiply",
]
