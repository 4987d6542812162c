"""Responses to one prompt, in the forms in which people have them, as the trajectories that encoders read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rewardlab.learning.data import as_trajectory
from rewardlab.types import Trajectory


def answers_to(prompt: Any, responses: Sequence[Any]) -> list[Trajectory]:
    """Responses to one prompt as trajectories.

    Args:
        prompt: a text; a vector, for `PromptResponseEncoder`; or None where the responses hold their prompt (or need none).
        responses: texts, trajectories, messages or arrays; arrays alone with a vector.

    Raises:
        ValueError: there are no responses, or one does not fit the prompt.
    """
    if isinstance(responses, str) or not len(responses):
        raise ValueError(f"responses must be a list with at least one response, got {responses!r:.60}")
    if prompt is None or isinstance(prompt, str):
        return [as_trajectory(one, prompt=prompt) for one in responses]
    from rewardlab.rewards.models.encoders.prompted import prompted

    if any(isinstance(one, (str, Trajectory)) for one in responses):
        raise ValueError("a prompt that is a vector goes with responses that are vectors; give texts a text as prompt")
    return prompted(np.repeat(np.asarray(prompt, np.float32)[None], len(responses), 0), np.stack(responses))
