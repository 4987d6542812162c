"""The encoders that a configuration can name: those of saved models, and a tiny text model made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewardlab.registry import Registry
from rewardlab.rewards.models import base

if TYPE_CHECKING:
    from rewardlab.rewards.models.encoders.text import TextEncoder

ENCODERS = Registry(
    "encoder",
    {"tiny": "rewardlab.config.encoders:tiny", **base.ENCODERS.places()},
    group=base.ENCODERS.group,
)
"""Every encoder that the configuration of a fit can name."""


def tiny(
    corpus: Sequence[str],
    seed: int = 0,
    *,
    vocabulary_size: int = 512,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    max_length: int = 512,
) -> TextEncoder:
    """A tiny causal text model with random weights and a tokenizer fitted to the data, made in seconds.

    Args:
        corpus: texts like those that are judged; the data bring them.
        seed: of the weights.
        vocabulary_size: most tokens.
        hidden: width of the model.
        layers: number of layers.
        heads: number of attention heads.
        max_length: most tokens that the model reads.
    """
    import torch
    from transformers import LlamaConfig, LlamaModel

    from rewardlab.policies.tiny import tiny_tokenizer
    from rewardlab.rewards.models.encoders.text import TextEncoder

    tokenizer = tiny_tokenizer(corpus, vocabulary_size)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=max_length,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaModel(config)
    return TextEncoder(model=model, tokenizer=tokenizer, max_length=max_length)
