"""Tiny models of many kinds with random weights, and prompts of odd lengths."""

from __future__ import annotations

import torch
import transformers

VOCABULARY = 83
COMMON = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
DENSE = {
    **COMMON,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.25,
}

SPECS = {
    "llama": ("Llama", DENSE | {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "llama_biased": ("Llama", DENSE | {"attention_bias": True, "mlp_bias": True}),
    "llama3_rope": (
        "Llama",
        DENSE
        | {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
    ),
    "qwen2": ("Qwen2", DENSE | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", DENSE | {"head_dim": 12, "tie_word_embeddings": True}),
    "mistral": ("Mistral", DENSE | {"sliding_window": None, "head_dim": 8}),
    "mistral_window": ("Mistral", DENSE | {"sliding_window": 7}),
    "gemma3": (
        "Gemma3",
        DENSE
        | {
            "head_dim": 8,
            "sliding_window": 7,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "gpt2": ("GPT2", COMMON | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.25}),
    "bloom": ("Bloom", COMMON | {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.25}),
    "mamba": (
        "Mamba",
        COMMON | {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.25},
    ),
}
FUSED = ("llama", "llama_biased", "llama3_rope", "qwen2", "qwen3", "mistral")
GENERIC = ("llama", "qwen3", "mistral_window", "gemma3", "gpt2")
PLAIN = ("bloom", "mamba")


def make_model(kind: str, seed: int = 0) -> torch.nn.Module:
    """A model whose every weight is random, biases and norms too."""
    name, options = SPECS[kind]
    config_class = getattr(transformers, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config")
    model_class = getattr(transformers, f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config_class(**options)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter += 0.1 * torch.randn_like(parameter)
    return model


def prompts(*lengths: int, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def logprobs_by_hand(
    model: torch.nn.Module, context: list[int], written: list[int], temperature: float = 1.0
) -> list[float]:
    """Log-probabilities of some tokens after a context: one plain forward pass over everything, no cache."""
    ids = context + written
    logits = model(input_ids=torch.tensor([ids])).logits[0].float() / temperature
    table = logits.log_softmax(-1)
    return [float(table[place - 1, ids[place]]) for place in range(len(context), len(ids))]


@torch.no_grad()
def greedy_by_hand(model: torch.nn.Module, context: list[int], count: int) -> list[int]:
    ids = list(context)
    for _ in range(count):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(context) :]
