"""The policies that a configuration can name; their options are those of `LanguageModelPolicy`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rewardlab.parsing import Syntax
from rewardlab.types import Message

if TYPE_CHECKING:
    from rewardlab.policies.engines.endpoint import EndpointPolicy
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
    tools: Literal["signatures", "json", "hidden"] = "signatures",
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
    tool_syntax: Syntax = "hermes",
    template_options: Mapping[str, Any] | None = None,
    engine: Literal["batched", "vllm"] = "batched",
    engine_options: Mapping[str, Any] | None = None,
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
        tool_syntax: how the model writes tool calls: hermes, toolrl, llama3, bfcl, auto (any of these) or none.
        template_options: passed to the chat template (such as enable_thinking).
        engine: what generates: batched (the built-in one) or vllm.
        engine_options: passed to the engine, such as {gpu_memory_utilization: 0.4} for vllm.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy

    policy = LanguageModelPolicy.from_pretrained(
        name,
        lora=lora,
        device=device,
        dtype=dtype,
        chat_template=chat_template,
        tool_syntax=tool_syntax,
        template_options=template_options,
    )
    if engine == "vllm":
        from rewardlab.policies.engines.vllm import VllmEngine

        policy.engine = VllmEngine(policy, **(engine_options or {}))
    elif engine_options:
        raise ValueError(f"engine_options go with engine: vllm, got {dict(engine_options)} with engine: {engine}")
    return policy


def saved(
    corpus: object, seed: int, device: str | None, *, path: str, value_head: bool | None = None
) -> LanguageModelPolicy:
    """A policy that an earlier run wrote: the folder `policy` in its run folder.

    Args:
        corpus: not used.
        seed: not used.
        device: where the model goes.
        path: the folder.
        value_head: true where there must be a value head, false to leave a saved one out; what was saved when not given.
    """
    from rewardlab.policies.language_model import LanguageModelPolicy

    return LanguageModelPolicy.load(path, device=device, value_head=value_head)


def endpoint(
    corpus: object,
    seed: int,
    device: str | None,
    *,
    model: str,
    base_url: str | None = None,
    timeout: float = 120.0,
    retries: int = 3,
    concurrency: int = 16,
    tool_syntax: Syntax | None = None,
    limit_field: str = "max_tokens",
    extra: Mapping[str, Any] | None = None,
) -> EndpointPolicy:
    """A model behind an OpenAI-compatible server: it can be evaluated (training.steps: 0), and not trained.

    The key comes from the environment variable OPENAI_API_KEY, never from a file.

    Args:
        corpus: not used; the server has the tokenizer.
        seed: not used; the server has the weights.
        device: not used.
        model: the model's name on the server.
        base_url: such as http://localhost:8000/v1; that of OpenAI when not given.
        timeout: seconds for one answer.
        retries: how often a request is tried again after a timeout, a lost connection or an overloaded server.
        concurrency: requests at the same time.
        tool_syntax: read tool calls out of the text, for servers that do not; the server's own when not given.
        limit_field: what the server calls the most new tokens; max_completion_tokens for OpenAI's newer models.
        extra: further fields of a request's body.
    """
    from rewardlab.policies.engines.endpoint import EndpointPolicy

    return EndpointPolicy(
        model,
        base_url=base_url,
        timeout=timeout,
        retries=retries,
        concurrency=concurrency,
        tool_syntax=tool_syntax,
        limit_field=limit_field,
        extra=extra,
    )


endpoint.cannot_train = True  # type: ignore[attr-defined]  # read by TrainConfig.check
