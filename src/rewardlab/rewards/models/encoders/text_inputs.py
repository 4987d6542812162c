"""How a chat trajectory becomes the tokens that a text encoder reads, and where its prompt and its steps end.

The whole conversation is written by the chat template and tokenised at once, as other programs do, so that a model that was
trained elsewhere reads the same tokens here. A tokenizer without a template gets a plain one, which is saved with it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.policies.templates import ChatTemplate
from rewardlab.types import Message, Trajectory, message_text

Ids = NDArray[np.int64]

PLAIN_TEMPLATE = """\
{{- bos_token or "" }}
{%- for message in messages %}
{{- message.role + ": " + message.content }}
{%- for call in message.tool_calls or [] %}{{ "\\ncall: " + call.function | tojson }}{% endfor %}
{{- "\\n\\n" if not loop.last or add_generation_prompt else (eos_token or "") }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "assistant:" }}{% endif %}"""
"""What a causal model reads where its tokenizer has no template: `role: text`, a blank line between, the end token last."""

_PAIR_TEMPLATE = """\
{{- cls_token or "" }}
{%- for message in messages %}
{%- if message.role == "assistant" %}{{ BETWEEN }}
{%- elif not loop.first %}{{ "\\n" }}{% endif %}
{{- message.content }}
{%- for call in message.tool_calls or [] %}{{ "\\ncall: " + call.function | tojson }}{% endfor %}
{%- endfor %}{% if add_generation_prompt %}{{ BETWEEN }}{% else %}{{ sep_token or "" }}{% endif %}"""
_SURROGATES = re.compile("[\ud800-\udfff]")
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class PreparedText:
    """The tokens of one trajectory.

    Args:
        ids: int64[token].
        prompt: how many of them are the prompt.
        last: index of the token whose features stand for the trajectory.
        steps: int64[step], index of the last token of every step; -1 where truncation cut it off.
        dropped: how many tokens were cut out because the text is longer than the model.
    """

    ids: Ids
    prompt: int
    last: int
    steps: Ids
    dropped: int = 0

    def __len__(self) -> int:
        return int(self.ids.size)

    @property
    def note(self) -> str | None:
        """What a reader of the score should know."""
        if not self.dropped:
            return None
        return (
            f"the text was cut from {len(self) + self.dropped} to {len(self)} tokens, which is all that the model reads"
        )


def pair_template(tokenizer: Any) -> str:
    """What an encoder model reads where its tokenizer has no template: prompt and response as the tokenizer writes pairs.

    That is `[CLS] prompt [SEP] response [SEP]` for BERT, and two marks between them for RoBERTa.
    """
    pair = tokenizer("a", "b")["input_ids"]
    between = max(1, pair.count(tokenizer.sep_token_id) - 1) if tokenizer.sep_token_id is not None else 0
    return _PAIR_TEMPLATE.replace("BETWEEN", f"sep_token * {between}" if between else '"\\n"')


class TextReader:
    """Writes trajectories with a chat template and finds the ends of prompts and steps in the tokens.

    Args:
        tokenizer: of transformers; left as it is.
        plain: the template where the tokenizer has none.
        chat_template: a Jinja text or the path of a file, in place of both.
        template_options: variables for the template.
        step_separator: what ends a step within a message; None for one step per action.
        limit: the most tokens; None for no limit.
        truncate: whether a longer text is cut, or refused.
        allow_empty: whether a response without any text is read, or refused.
        ignored: id of a token that is never taken as the last one.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        plain: str = PLAIN_TEMPLATE,
        chat_template: str | Path | None = None,
        template_options: Mapping[str, Any] | None = None,
        step_separator: str | None = None,
        limit: int | None = None,
        truncate: bool = True,
        allow_empty: bool = False,
        ignored: int | None = None,
    ) -> None:
        if step_separator == "":
            raise ValueError("step_separator must not be empty; None means one step per action")
        if limit is not None and limit < 4:
            raise ValueError(f"max_length must be at least 4 tokens, got {limit}")
        self.tokenizer = copy.deepcopy(tokenizer)
        if chat_template is not None:
            self.tokenizer.chat_template = _template_text(chat_template)
        elif not getattr(self.tokenizer, "chat_template", None):
            self.tokenizer.chat_template = plain
        self.template = ChatTemplate(self.tokenizer, (), template_options)
        self.step_separator = step_separator
        self.limit, self.truncate, self.allow_empty, self.ignored = limit, truncate, allow_empty, ignored
        self.wants_steps = False
        self.cut = 0

    @property
    def pad_id(self) -> int:
        """A token to pad with; any will do for models that take no notice of padding."""
        for token in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[PreparedText]:
        """The tokens of trajectories.

        Raises:
            ValueError: one of them holds arrays, has no response, an empty one, or one that is too long.
        """
        prepared: list[PreparedText] = []
        prompts: dict[str, str] = {}
        for start in range(0, len(trajectories), _AT_ONCE):
            part = trajectories[start : start + _AT_ONCE]
            written = [self._write(one, start + place, prompts) for place, one in enumerate(part)]
            tokens = self._tokens([text for text, _, _ in written])
            for place, ((text, boundary, ends), (ids, spans)) in enumerate(zip(written, tokens, strict=True)):
                prompt = self._count(text, boundary, ids, spans, whole=True)
                steps = np.asarray([self._count(text, end, ids, spans, whole=False) - 1 for end in ends], np.int64)
                prepared.append(self._finish(ids, prompt, steps, start + place))
        self.cut += sum(one.dropped > 0 for one in prepared)
        return prepared

    # ---- text ---------------------------------------------------------------------------------------------------------

    def _write(self, one: Trajectory, index: int, prompts: dict[str, str]) -> tuple[str, int, list[int]]:
        """The text, the character behind the prompt, and those behind every step."""
        _check(one, index, self.allow_empty)
        tools = one.task.tools if one.task is not None else ()
        try:
            text = self.template.render(one.messages, answer=False, tools=tools)
            opening = one.observations[0]
            asked = ""
            if opening:
                key = repr((opening, tools))
                if key not in prompts:
                    if len(prompts) >= _AT_ONCE:
                        prompts.clear()
                    prompts[key] = self.template.render(opening, answer=True, tools=tools)
                asked = prompts[key]
        except ValueError as error:
            raise ValueError(f"trajectory {index} cannot be written as text: {error}") from error
        boundary = len(asked) if text.startswith(asked) else _shared(text, asked)
        ends = self._step_ends(one, text, boundary, tools, index) if self.wants_steps else []
        return _SURROGATES.sub("\ufffd", text), boundary, ends

    def _step_ends(
        self, one: Trajectory, text: str, boundary: int, tools: Sequence[Mapping[str, Any]], index: int
    ) -> list[int]:
        ends: list[int] = []
        conversation: list[Message] = list(one.observations[0])
        start = boundary
        for place, (action, arrived) in enumerate(zip(one.actions, one.observations[1:], strict=True)):
            if place:
                opening = self.template.render(conversation, answer=True, tools=tools)
                start = max(start, _shared(text, opening))
            conversation.append(action)
            said = message_text(action).strip()
            found = text.find(said, start)
            if found < 0:
                raise ValueError(
                    f"the chat template does not show what action {place} of trajectory {index} says ({said!r:.60}), so its "
                    "steps cannot be found; give a template that does with chat_template=..."
                )
            end = found + len(said)
            if action.get("tool_calls"):
                closed = self.template.render(conversation, answer=False, tools=tools)
                end = max(end, len(text[: _shared(text, closed)].rstrip()))
            if self.step_separator is None:
                ends.append(end)
            else:
                ends += _pieces(text, found, end, self.step_separator)
            start = end
            conversation.extend(arrived)
        return ends

    # ---- tokens -------------------------------------------------------------------------------------------------------

    def _tokens(self, texts: list[str]) -> list[tuple[Ids, Ids | None]]:
        """Ids of every text, and where each token begins and ends in it where the tokenizer can tell."""
        fast = bool(getattr(self.tokenizer, "is_fast", False))
        told = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=fast,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        spans = told["offset_mapping"] if fast else [None] * len(texts)
        return [
            (np.asarray(ids, np.int64), None if span is None else np.asarray(span, np.int64).reshape(-1, 2))
            for ids, span in zip(told["input_ids"], spans, strict=True)
        ]

    def _count(self, text: str, character: int, ids: Ids, spans: Ids | None, *, whole: bool) -> int:
        """How many tokens stand before a character: with `whole` those that end there, else also one that goes beyond."""
        if spans is None:
            before = self.tokenizer(text[:character], add_special_tokens=False, verbose=False)["input_ids"]
            return _shared(ids, before) if whole else min(len(before), len(ids))
        if whole:
            return int(np.searchsorted(np.maximum.accumulate(spans[:, 1]), character, side="right"))
        return int(np.searchsorted(np.maximum.accumulate(spans[:, 0]), character, side="left"))

    def _finish(self, ids: Ids, prompt: int, steps: Ids, index: int) -> PreparedText:
        count = len(ids)
        if not count:
            raise ValueError(f"trajectory {index} gives no tokens at all; its messages are empty")
        dropped = 0
        if self.limit is not None and count > self.limit:
            if not self.truncate:
                raise ValueError(
                    f"trajectory {index} has {count} tokens, the model reads {self.limit}; shorten it, or pass "
                    "truncate=True to cut the middle out"
                )
            dropped = count - self.limit
            ids, prompt, steps = cut_middle(ids, prompt, steps, self.limit)
        last = len(ids) - 1
        if self.ignored is not None:
            counted = np.flatnonzero(ids != self.ignored)
            last = int(counted[-1]) if counted.size else 0
        return PreparedText(ids=ids, prompt=prompt, last=last, steps=steps, dropped=dropped)


def cut_middle(ids: Ids, prompt: int, steps: Ids, limit: int) -> tuple[Ids, int, Ids]:
    """Cut one stretch out of a text that is too long: the end stays, where the response ends, and the prompt's beginning.

    Args:
        ids: int64[token], more than `limit`.
        prompt: how many of them are the prompt.
        steps: int64[step], the last token of every step.
        limit: how many tokens stay: the first quarter of them (of the prompt at most) from the beginning, the others from
            the end.

    Returns:
        The ids, the number of prompt tokens, and the steps (-1 where their end was cut out).
    """
    head = max(1, min(prompt, limit // 4))
    dropped = len(ids) - limit
    resumed = head + dropped
    kept = np.concatenate([ids[:head], ids[resumed:]])
    places = np.where(steps >= resumed, steps - dropped, np.where(steps < head, steps, -1))
    return kept, max(min(prompt, head), prompt - dropped), places.astype(np.int64)


def _check(one: Trajectory, index: int, allow_empty: bool) -> None:
    if not one.is_chat:
        raise ValueError(
            f"trajectory {index} holds arrays, a text encoder reads chats; use an mlp encoder, or make the trajectory with "
            "Trajectory.from_text or Trajectory.from_messages"
        )
    if not len(one.actions):
        raise ValueError(
            f"trajectory {index} has no response: none of its {len(one.messages)} messages has the role assistant behind "
            "the prompt; there is nothing to score"
        )
    if not allow_empty and not any(message_text(a).strip() or a.get("tool_calls") for a in one.actions):
        raise ValueError(
            f"trajectory {index} has an empty response ({message_text(one.actions[-1])!r}); a text encoder needs some text "
            "or a tool call; leave the trajectory out, or pass allow_empty=True to score the bare template"
        )


def _pieces(text: str, start: int, end: int, separator: str) -> list[int]:
    """Behind which characters the steps of a message end, separators included; blank pieces are no steps."""
    ends = []
    while start < end:
        found = text.find(separator, start, end)
        stop = end if found < 0 else found + len(separator)
        if text[start : end if found < 0 else found].strip():
            ends.append(stop)
        start = stop
    return ends


def _shared(one: Sequence[Any] | Ids, other: Sequence[Any] | Ids) -> int:
    """How many entries two sequences share at their beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _template_text(template: str | Path) -> str:
    if isinstance(template, Path) or ("\n" not in template and template.endswith(".jinja")):
        return Path(template).read_text(encoding="utf-8")
    return template
