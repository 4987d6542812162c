"""What both sides of `benchmarks/grpo.py` train: 0.9 million weights, a tokenizer of 512 tokens, prompts and a reward.

How often the model stops is set by its weights alone (nothing is masked in sampling): every token's embedding carries one
constant, which the last norm passes on, and which the end token's output weight turns into a logit. So lengths are nearly
geometric, as wide a spread as any, for both sides and through training.
"""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import rewardlab as rl
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.tiny import tiny_tokenizer

CONTEXT = 2048


def make_tokenizer(size: int = 512) -> Any:
    """A tokenizer of `size` tokens, fitted to words made up of syllables."""
    generator = random.Random(0)
    syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 3))) for _ in range(2000)]
    return tiny_tokenizer([" ".join(words)], size, tools="hidden")


def make_policy(stop_rate: float | None) -> LanguageModelPolicy:
    """A policy whose answers stop with about this probability at every token, or never."""
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    others = len(tokenizer) - 1
    logit = -60.0 if stop_rate is None else math.log(stop_rate / (1 - stop_rate) * others)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.1)  # near-uniform logits for everything else
        model.lm_head.weight[:, 0] = 0.0
        model.model.embed_tokens.weight[:, 0] = 1.0
        probe = torch.randint(0, others, (8, 64), generator=torch.Generator().manual_seed(1))
        constant = model.model(probe).last_hidden_state[..., 0].mean().item()
        model.lm_head.weight[tokenizer.eos_token_id] = 0.0
        model.lm_head.weight[tokenizer.eos_token_id, 0] = logit / constant
    return LanguageModelPolicy(model, tokenizer)


def make_prompts(count: int, tokens: int = 16) -> list[str]:
    """Questions of about so many tokens, all different."""
    generator = random.Random(1)
    return ["".join(generator.choices("0123456789", k=tokens)) for _ in range(count)]


def share_of_letters(text: str) -> float:
    """What both sides are rewarded for: cheap, and never the same for two answers of a group for long."""
    return sum(map(str.isalpha, text)) / (1 + len(text))


@rl.reward
def letters(completion: str) -> float:
    """`share_of_letters` as a reward of ours."""
    return share_of_letters(completion)


def letters_for_trl(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
    """`share_of_letters` as a reward function of TRL's."""
    return [share_of_letters(completion[-1]["content"]) for completion in completions]
