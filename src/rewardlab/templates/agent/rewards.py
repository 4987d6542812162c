"""Rewards of this project. A function gets just the arguments that it names; parameters with defaults are options."""

import rewardlab as rl


@rl.reward
def brief(actions: list, *, turns: int = 4) -> float:
    """1 up to `turns` actions, falling to 0 at twice as many."""
    return max(0.0, min(1.0, 2 - len(actions) / turns))
