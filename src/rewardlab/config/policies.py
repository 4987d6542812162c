"""The policies that a configuration can name; their options are those of `LanguageModelPolicy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rewardlab.types import Message

if TYPE_CHECKING:
    from rewardlab.policies.language_model import LanguageModelPolicy


def tiny(
    corpus: Iterable[str | Sequence[Message]],
    seed: int,
    device: str | None,
    *,
    vocabulary_size: int = 768,
    hidden: int = 128,
    layers: int = 2,
    heads: int = 4,
    context: int = 1024,
    tools: str = "signatures",
) -> LanguageModelPolicy:
    """A tiny model with random weights and a tokenizer fitted to the environment, made in seconds.

    Args:
        corpus: texts like those the policy will have; the environment brings them.
        seed: of the weights.
        device: where the model goes.
        vocabulary_size: most tokens.
        hidden: width of the model.
        layers: number of layers.
        heads: number of attention heads.
        context: most tokens that the model reads.
        tools: how the prompt shows tools: signatures, json or hidden.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy

    return LanguageModelPolicy.tiny(
        corpus,
        vocabulary_size=vocabulary_size,
        hidden=hidden,
        layers=layers,
        heads=heads,
        context=context,
        tools=tools,
        seed=seed,
        device=device or "cpu",
    )


def pretrained(
    corpus: object,
    seed: int,
    device: str | None,
    *,
    name: str,
    lora: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    chat_template: str | None = None,
    tool_syntax: str = "hermes",
    template_options: Mapping[str, Any] | None = None,
    engine: str | None = None,
) -> LanguageModelPolicy:
    """Any causal language model of transformers, by name or path, with LoRA adapters where asked for.

    Args:
        corpus: not used; the model has a tokenizer.
        seed: not used; the model has weights.
        device: where the model goes.
        name: name on the Hugging Face hub, or a path.
        lora: options of LoRA (r, alpha, dropout, targets), to train adapters instead of all weights.
        dtype: such as bfloat16; the checkpoint's own on a GPU when not given.
        chat_template: text or file of a chat template, for a model without one.
        tool_syntax: how the model writes tool calls: hermes, toolrl, llama3, bfcl or auto.
        template_options: passed to the chat template (such as enable_thinking).
        engine: what generates: the built-in batched engine when not given, or vllm.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy

    policy = LanguageModelPolicy.from_pretrained(
        name,
        lora=lora,
        device=device,
        dtype=dtype,
        chat_template=chat_template,
        tool_syntax=tool_syntax,  # type: ignore[arg-type]  # checked by the class
        template_options=template_options,
    )
    if engine is not None:
        policy.engine = _engine(engine, policy)
    return policy


def saved(corpus: object, seed: int, device: str | None, *, path: str) -> LanguageModelPolicy:
    """A policy that an earlier run wrote: the folder `policy` in its run folder.

    Args:
        corpus: not used.
        seed: not used.
        device: where the model goes.
        path: the folder.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy

    return LanguageModelPolicy.load(path, device=device)


def _engine(name: str, policy: LanguageModelPolicy) -> Any:
    if name == "vllm":
        from rewardlab.policies.engines.vllm import VLLMEngine

        return VLLMEngine(policy)
    raise ValueError(f"engine must be vllm, or left out for the built-in one, got {name!r}")
