"""Language-model policies: a transformers model, its tokenizer, and how a conversation becomes tokens.

A policy may have a value head beside its model, which says what a state is worth (`add_value_head`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from rewardlab.extras import require
from rewardlab.parsing import Syntax, parse_tool_calls
from rewardlab.policies.lora import LoraSettings, add_lora
from rewardlab.policies.saving import FILE, load_policy, save_policy
from rewardlab.policies.templates import ChatTemplate
from rewardlab.types import Message, Tokens, Trajectory

if TYPE_CHECKING:
    import torch

    from rewardlab.policies.engines.base import Engine, Sampling
    from rewardlab.policies.speaking import LocalSpeaker
    from rewardlab.policies.value_head import ValueHead

__all__ = ["LanguageModelPolicy", "LoraSettings", "add_lora"]


class LanguageModelPolicy:
    """A causal language model that acts in conversations.

    Args:
        model: a transformers causal language model, bare or wrapped by peft.
        tokenizer: its tokenizer.
        chat_template: a Jinja text or the path of a file, in place of the tokenizer's own.
        tool_syntax: how the model writes tool calls; one of `rewardlab.parsing.SYNTAXES`.
        template_options: variables for the template, such as `{"enable_thinking": False}`.
        source: the name or path that the base weights can be loaded from again, or None.

    Raises:
        ValueError: no chat template, or an unknown syntax.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        chat_template: str | Path | None = None,
        tool_syntax: Syntax = "hermes",
        template_options: Mapping[str, Any] | None = None,
        source: str | None = None,
    ) -> None:
        if tool_syntax not in get_args(Syntax):
            raise ValueError(f"tool_syntax must be one of {', '.join(get_args(Syntax))}, got {tool_syntax!r}")
        if chat_template is not None:
            tokenizer.chat_template = _template_text(chat_template)
        self.model = model
        self.tokenizer = tokenizer
        self.tool_syntax: Syntax = tool_syntax
        self.source = source
        self.value_head: ValueHead | None = None
        self.template = ChatTemplate(tokenizer, _stop_ids(model), template_options)
        self._engine: Engine | None = None

    # ---- making one -----------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        lora: LoraSettings | Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        chat_template: str | Path | None = None,
        tool_syntax: Syntax = "hermes",
        template_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> LanguageModelPolicy:
        """Load a model by name or path; a directory that `save` wrote is loaded as it was saved.

        Args:
            name_or_path: of a model on the Hugging Face hub or on disk.
            lora: train adapters instead of all weights.
            device: where it goes; a GPU when there is one.
            dtype: such as `bfloat16`; the checkpoint's own on a GPU, and float32 on a CPU, where shorter types are slow.
            chat_template, tool_syntax, template_options: see the class.
            options: passed on to `AutoModelForCausalLM.from_pretrained`.

        Raises:
            MissingExtra: torch, transformers or peft is not installed.
            ValueError: the model has no chat template and none was given.
            OSError: there is no such model.
        """
        require("torch", extra="lm", why="A language-model policy")
        transformers = require("transformers", extra="lm", why="A language-model policy")
        if (Path(name_or_path) / FILE).is_file():
            if lora is not None:
                raise ValueError(
                    f"{name_or_path} is a saved policy, whose adapters are loaded as they were saved; "
                    "leave lora= out, or name the base model"
                )
            return cls.load(name_or_path, device=device, dtype=dtype, **options)
        place = _device(device)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            name_or_path, dtype=_dtype(dtype, place), **options
        ).to(place)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path)
        if lora is not None:
            model = add_lora(model, lora)
        return cls(
            model,
            tokenizer,
            chat_template=chat_template,
            tool_syntax=tool_syntax,
            template_options=template_options,
            source=str(name_or_path),
        )

    @classmethod
    def tiny(
        cls,
        corpus: Iterable[str | Sequence[Message]],
        *,
        vocabulary_size: int = 768,
        hidden: int = 96,
        layers: int = 2,
        heads: int = 4,
        context: int = 1024,
        tools: str = "signatures",
        seed: int = 0,
        device: str | torch.device = "cpu",
        lora: LoraSettings | Mapping[str, Any] | None = None,
    ) -> LanguageModelPolicy:
        """A tiny model with random weights, and a tokenizer fitted to a corpus; made in seconds, without a download.

        Args:
            corpus: texts or conversations like those the policy will have.
            vocabulary_size: the most tokens (fewer where the corpus has fewer words).
            hidden, layers, heads, context: size of the model; see `tiny_model`.
            tools: how the prompt shows tools: `signatures`, `json` or `hidden`.
            seed: of the weights.
            device: where it goes.
            lora: train adapters instead of all weights (of little use on random ones; for tests).
        """
        require("torch", extra="lm", why="A language-model policy")
        require("transformers", extra="lm", why="A language-model policy")
        from rewardlab.policies.tiny import tiny_model, tiny_tokenizer

        tokenizer = tiny_tokenizer(corpus, vocabulary_size, tools=tools)
        model = tiny_model(
            len(tokenizer),
            hidden=hidden,
            layers=layers,
            heads=heads,
            context=context,
            end_id=tokenizer.eos_token_id,
            pad_id=tokenizer.pad_token_id,
            seed=seed,
        ).to(device)
        return cls(model if lora is None else add_lora(model, lora), tokenizer)

    def add_value_head(self, *, hidden: int = 128, seed: int = 0) -> ValueHead:
        """Give the policy a fresh value head, which says 0 of every state until it is trained.

        Args:
            hidden: width of the layer between the model's last hidden state and the value; 0 for a linear head.
            seed: of the weights.

        Raises:
            ValueError: there is one already, or the model shows no output layer.
        """
        from rewardlab.policies.value_head import ValueHead, model_width

        if self.value_head is not None:
            raise ValueError("the policy has a value head already; set policy.value_head = None first to drop it")
        head = ValueHead(model_width(self.model), hidden=hidden, seed=seed).to(self.device)
        self.value_head = head
        return head

    # ---- saving and loading ---------------------------------------------------------------------------------------------

    def save(self, directory: str | Path, *, with_base: bool | None = None) -> None:
        """Write the policy to a directory; `load` gives one with the same logits, bit for bit.

        Args:
            directory: made when it is not there.
            with_base: for adapters, whether the base weights are written too; by default only where they cannot be loaded
                again by name.
        """
        save_policy(self, Path(directory), with_base=with_base)

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        value_head: bool | None = None,
        **options: Any,
    ) -> LanguageModelPolicy:
        """Load what `save` wrote.

        Args:
            directory: where it was saved.
            device: where it goes; a GPU when there is one.
            dtype: another type than it was saved with.
            value_head: whether there must be a value head (True), or none is wanted (False); None for what was saved.
            options: passed on to `AutoModelForCausalLM.from_pretrained`.

        Raises:
            FileNotFoundError: the directory holds no saved policy.
            MissingValueHead: the value head is not there; the message says how to make a fresh one.
            ValueError: it was written by a later version.
        """
        require("torch", extra="lm", why="A language-model policy")
        place = _device(device)
        return load_policy(
            cls, Path(directory), device=place, dtype=dtype, value_head=value_head, options=dict(options)
        )

    # ---- what it is -----------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def pad_id(self) -> int:
        """A token to pad with; any will do, since padding is never attended to."""
        for token in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids of the tokens that end an action."""
        return self.template.stop_ids

    @property
    def context(self) -> int | None:
        """The most tokens that the model can read, or None where it names no limit."""
        from rewardlab.policies.engines.forward import context_length

        return context_length(self.model)

    @property
    def engine(self) -> Engine:
        """What samples from this policy; the built-in batched engine unless another one was put here."""
        from rewardlab.policies.engines.batched import BatchedEngine

        engine = self._engine
        if engine is None or (isinstance(engine, BatchedEngine) and engine.model is not self.model):
            engine = self._engine = BatchedEngine(self.model, self.stop_ids)
        return engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine = engine

    # ---- what it does ---------------------------------------------------------------------------------------------------

    def read(self, text: str, tools: Sequence[Mapping[str, Any]] = ()) -> Message:
        """A sampled text as an assistant message; tool calls that cannot be read stay in its content."""
        return parse_tool_calls(text, syntax=self.tool_syntax, tools=tools).message

    def speaker(self, sampling: Sampling, most_tokens: int | None, engine: Engine | None = None) -> LocalSpeaker:
        """What writes this policy's messages in a rollout."""
        from rewardlab.policies.speaking import LocalSpeaker

        return LocalSpeaker(self, engine or self.engine, sampling, most_tokens)

    def respond(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> list[Message]:
        """Answer some conversations, one message each.

        Args:
            conversations: messages in the OpenAI format.
            tools: descriptions of tools to show, in the OpenAI format.
            sampling: how to draw; temperature 1 when not given.
            seed: of the draws.
        """
        from rewardlab.policies.engines.base import Request
        from rewardlab.policies.engines.base import Sampling as Drawing
        from rewardlab.policies.engines.sampling import derive_seed

        self.engine.refresh()
        requests = [
            Request(ids=self.template.opening(messages, tools), seed=derive_seed(seed, index))
            for index, messages in enumerate(conversations)
        ]
        completions = self.engine.generate(requests, sampling or Drawing())
        return [self.read(self.template.decode(completion.ids), tools) for completion in completions]

    def encode_demonstration(self, trajectory: Trajectory, tools: Sequence[Mapping[str, Any]] | None = None) -> Tokens:
        """The tokens of a conversation as a rollout would have seen them, for supervised learning.

        Args:
            trajectory: a chat trajectory; its assistant messages are written as the template writes them.
            tools: the tools that the prompt shows; the task's own when not given.

        Returns:
            Tokens with `step` set; `logprobs` are 0, because nobody sampled them.

        Raises:
            TypeError: the trajectory holds arrays.
        """
        if not trajectory.is_chat:
            raise TypeError("encode_demonstration needs a chat trajectory, got one that holds arrays")
        if tools is None:
            tools = trajectory.task.tools if trajectory.task is not None else ()
        ids = self.template.opening(trajectory.observations[0], tools)
        step = [-1] * len(ids)
        for index, action in enumerate(trajectory.actions):
            body = self.template.body(action)
            ids += body
            step += [index] * len(body)
            if index + 1 < len(trajectory.actions):
                glue = self.template.continuation(
                    action, trajectory.observations[index + 1], ended=bool(body) and body[-1] in self.stop_ids
                )
                ids += glue
                step += [-1] * len(glue)
        return Tokens(ids=np.array(ids), step=np.array(step), logprobs=np.zeros(len(ids), dtype=np.float32))


def _stop_ids(model: Any) -> list[int]:
    config = getattr(model, "generation_config", None)
    found = getattr(config, "eos_token_id", None)
    if found is None:
        return []
    return [int(token) for token in found] if isinstance(found, (list, tuple)) else [int(found)]


def _template_text(template: str | Path) -> str:
    """A template given as text or as the path of a file."""
    if isinstance(template, Path) or ("\n" not in template and template.endswith(".jinja")):
        return Path(template).read_text(encoding="utf-8")
    return template


def _device(device: str | torch.device | None) -> Any:
    import torch

    if device is not None:
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> Any:
    if dtype is not None:
        return dtype
    return "auto" if device.type != "cpu" else "float32"
