"""Many environments at once: stepped together, bounded in time, replaced where they break, used again for later attempts."""

from rewardlab.environments.batched.calls import Answer, Call, Slot
from rewardlab.environments.batched.pool import EnvironmentPool

__all__ = ["Answer", "Call", "EnvironmentPool", "Slot"]
