"""Rewards of this project. A function gets just the arguments that it names; parameters with defaults are options."""

import rewardlab as rl


@rl.reward
def polite(completion: str, *, words: tuple[str, ...] = ("please", "thank", "sorry")) -> float | None:
    """1 where an answer has a polite word; has nothing to say about empty answers."""
    if not completion.strip():
        return None
    return float(any(word in completion.lower() for word in words))
