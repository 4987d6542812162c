"""Tiny text models of real architectures with random weights, their tokenizers, and chats to read."""

from __future__ import annotations

import functools
from typing import Any

import torch
import transformers

from rewardlab.policies.tiny import tiny_tokenizer
from rewardlab.types import Trajectory

CORPUS = [
    "the quick brown fox jumps over the lazy dog and the cat sits on the mat",
    "what is two plus two? the answer is four, because two and two make four.",
    "please explain how the sun shines in one short sentence about light",
]
WORDS = " ".join(CORPUS).split()
CAUSAL = ("llama", "qwen2", "gpt2", "mistral_window")
ENCODERS = ("bert", "roberta", "distilbert", "modernbert")


@functools.cache
def _chat_tokenizer() -> Any:
    return tiny_tokenizer(CORPUS, 512)


def chat_tokenizer() -> Any:
    """A byte-level tokenizer with a chat template."""
    import copy

    return copy.deepcopy(_chat_tokenizer())


def pair_tokenizer(*, roberta: bool = False) -> Any:
    """A word tokenizer of encoder models, without a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    marks = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    names = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    if not roberta:
        names = {"cls_token": "[CLS]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    words = {word: place for place, word in enumerate(dict.fromkeys([*marks, *WORDS, ".", ",", "?"]))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=names["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = names["cls_token"], names["sep_token"]
    second = f"{sep} $B {sep}" if roberta else f"$B:1 {sep}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {second}",
        special_tokens=[(mark, words[mark]) for mark in (cls, sep)],
    )
    inputs = ["input_ids", "attention_mask"] if roberta else ["input_ids", "token_type_ids", "attention_mask"]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **names)


def config_of(kind: str, vocabulary: int, *, size: int = 32, most: int = 256) -> Any:
    """The configuration of a tiny model."""
    dense = {
        "vocab_size": vocabulary,
        "hidden_size": size,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": most,
        "initializer_range": 0.25,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    quiet = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    if kind == "llama":
        return transformers.LlamaConfig(**dense, num_key_value_heads=4)
    if kind == "qwen2":
        return transformers.Qwen2Config(**dense, num_key_value_heads=2)
    if kind == "mistral_window":
        return transformers.MistralConfig(**dense, num_key_value_heads=2, sliding_window=12)
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=vocabulary, n_embd=size, n_layer=2, n_head=4, n_positions=most, initializer_range=0.25,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    if kind == "bert":
        return transformers.BertConfig(**dense | quiet)
    if kind == "roberta":
        return transformers.RobertaConfig(**dense | quiet | {"pad_token_id": 1, "max_position_embeddings": most + 2})
    if kind == "distilbert":
        return transformers.DistilBertConfig(
            vocab_size=vocabulary, dim=size, hidden_dim=48, n_layers=2, n_heads=4, max_position_embeddings=most
        )
    if kind == "modernbert":
        special = dict.fromkeys(("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "pad_token_id"), 0)
        return transformers.ModernBertConfig(**dense | special, local_attention=16)
    raise ValueError(kind)


def tokenizer_for(kind: str) -> Any:
    """A tokenizer that fits a kind of model."""
    return chat_tokenizer() if kind in CAUSAL else pair_tokenizer(roberta=kind == "roberta")


def bare_model(kind: str, tokenizer: Any = None, *, seed: int = 0, **sizes: int) -> Any:
    """A tiny model without a head, in which no weight is zero."""
    tokenizer = tokenizer or tokenizer_for(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config_of(kind, len(tokenizer), **sizes)).eval()
        _shake(model)
    return model


def classifier(kind: str, tokenizer: Any = None, *, seed: int = 0, **sizes: int) -> Any:
    """A tiny reward model as transformers has them."""
    tokenizer = tokenizer or tokenizer_for(kind)
    config = config_of(kind, len(tokenizer), **sizes)
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
        _shake(model)
    return model


def _shake(model: Any) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.1 * torch.randn_like(weight)


def chats() -> list[Trajectory]:
    """Chats of different length, some with the same prompt."""
    return [
        Trajectory.from_text("what is two plus two?", "four."),
        Trajectory.from_text("what is two plus two?", "the answer is four, because two and two make four."),
        Trajectory.from_text("what is two plus two?", "the cat sits on the mat"),
        Trajectory.from_text("please explain how the sun shines", "light"),
        Trajectory.from_text("please explain how the sun shines", "in one short sentence about light and the sun"),
        Trajectory.from_text("how", "the quick brown fox jumps over the lazy dog"),
    ]


def conversation(*turns: str, **more: Any) -> Trajectory:
    """A chat with user and assistant in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]
    return Trajectory.from_messages(messages, terminated=True, **more)
