"""A trunk that knows what it sees and reads, and nothing about what is preferred: the stand-in for a pretrained model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from rewardlab.recipes.basereward.encoder import PatchTextEncoder
from rewardlab.recipes.basereward.world import WORDS, World


def pretrained(world: World, *, width: int = 32, steps: int = 400, batch_size: int = 64) -> PatchTextEncoder:
    """An encoder that was taught to tell, from its features by linear maps, what stands in a dialogue and its picture.

    That is the rule, the habits of the answer, the colour that it claims and the colours in the picture; whether the answer
    obeys or is right is left to whoever combines them.

    Args:
        world: whose unlabelled dialogues are read.
        width: of the features.
        steps: of training.
        batch_size: dialogues in a step.
    """
    encoder = PatchTextEncoder(WORDS, width=width, seed=world.seed)
    items = world.unlabelled
    batch = encoder.collate(encoder.prepare(items))
    noted = torch.tensor([one.info["noted"] for one in items], dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(world.seed)
        probe = nn.Linear(width, noted.shape[1])
    optimizer = torch.optim.AdamW([*encoder.parameters(), *probe.parameters()], lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    generator = np.random.default_rng((world.seed, 50))
    for _ in range(steps):
        rows = torch.from_numpy(generator.integers(len(items), size=batch_size))
        features = encoder({name: column[rows] for name, column in batch.items()}).response
        loss = nn.functional.binary_cross_entropy_with_logits(probe(features), noted[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return encoder


def tuned_copy(trunk: PatchTextEncoder, *, frozen: bool = False) -> PatchTextEncoder:
    """The same trunk once more, to be tuned or not."""
    copy = PatchTextEncoder(**{**trunk.options(), "frozen": frozen})
    copy.load_state_dict(trunk.state_dict())
    return copy
