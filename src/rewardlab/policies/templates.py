"""Chat templates as a rollout needs them: token by token, without ever rendering again what a policy has sampled.

A template renders whole conversations. A rollout needs what the template puts *between* a sampled answer and the next one:
the end of the turn, what arrived, and the opening of the next answer. That text is found with a stand-in: a short
conversation whose assistant turn holds a mark is rendered with the messages that arrived, and everything behind the mark's
end of turn is what to append. Default system prompts, dates and thoughts that a template strips from earlier turns all stand
before the mark, so they cannot change what was sampled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rewardlab.types import Message, call_arguments, check_message, message_text

_MARK = "MARK7f3aMARK"
_ASKED: list[Message] = [{"role": "user", "content": "x"}]
_MOST_REMEMBERED = 4096


class ChatTemplate:
    """The token-exact side of a tokenizer's chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        stop: ids of further tokens that end a turn (from the model's generation config).
        options: variables for the template, such as `{"enable_thinking": False}`.

    Raises:
        ValueError: the tokenizer has no chat template, the template is not valid, or it does not show what assistants say.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[int] = (), options: Mapping[str, Any] | None = None) -> None:
        if not getattr(tokenizer, "chat_template", None):
            name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
            raise ValueError(
                f"the tokenizer {name!r} has no chat template, so a conversation cannot be written as tokens; give one with "
                "LanguageModelPolicy.from_pretrained(..., chat_template=...): a Jinja text, or the path of a .jinja file"
            )
        self.tokenizer = tokenizer
        self.options = dict(options or {})
        self._remembered: dict[str, list[int]] = {}
        self.end_id = self._find_end(stop)
        self.end_text = None if self.end_id is None else tokenizer.convert_ids_to_tokens(self.end_id)
        also = [tokenizer.eos_token_id, self.end_id, *stop]
        self.stop_ids: frozenset[int] = frozenset(int(token) for token in also if token is not None)

    def opening(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Tokens of the messages that open a conversation, up to where the policy begins to write."""
        for place, message in enumerate(messages):
            check_message(message, where=f"message {place} of the prompt")
        key = json.dumps(["opening", messages, list(tools)], default=repr)
        if key not in self._remembered:
            text = self.render(messages, tools=tools, answer=True)
            self._remember(key, self.encode(text))
        return list(self._remembered[key])

    def continuation(self, action: Message, arrived: Sequence[Message], *, ended: bool = True) -> list[int]:
        """Tokens between a sampled action and the next one.

        Args:
            action: what the sampled text was read as; only which tools it calls matters here.
            arrived: the messages that answered it.
            ended: whether the sampled tokens hold the end of the turn; where they do not, it is added.

        Returns:
            Template glue, the arrived messages and the opening of the next action.
        """
        stand_in = _stand_in(action)
        key = json.dumps(["continuation", stand_in, list(arrived), ended], default=repr)
        if key not in self._remembered:
            text = self.render([*_ASKED, stand_in, *arrived], answer=True)
            behind = self._behind_mark(text)
            if self.end_text is not None:
                _, found, glue = behind.partition(self.end_text)
                behind = glue if found else behind
            ids = self._encode_behind_end(behind)
            if not ended and self.end_id is not None:
                ids = [self.end_id, *ids]
            self._remember(key, ids)
        return list(self._remembered[key])

    def body(self, action: Message) -> list[int]:
        """The tokens a policy would have sampled to write an assistant message, its end of turn included."""
        asked = self.render(_ASKED, answer=True)
        full = self.render([*_ASKED, action], answer=False)
        if full.startswith(asked):
            text = full[len(asked) :]
        else:  # the template opens an answer with more (a thought, say) than it shows of a finished one
            shared = next((place for place, (a, b) in enumerate(zip(asked, full, strict=False)) if a != b), len(full))
            text = full[shared:]
        if self.end_text is not None and self.end_text in text:
            text = text[: text.rindex(self.end_text)]
            return [*self._encode_behind_end(text), self.end_id]  # type: ignore[list-item]  # set with end_text
        eos = self.tokenizer.eos_token_id
        return self._encode_behind_end(text.rstrip("\n")) + ([] if eos is None else [eos])

    def encode(self, text: str) -> list[int]:
        """Tokens of a rendered text; markers that stand in it become their tokens, and nothing is added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sampled tokens, without the stop token at their end."""
        ids = list(ids)
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def render(self, messages: Sequence[Message], *, answer: bool, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The text of a conversation; with `answer`, up to where the policy begins to write.

        Raises:
            ValueError: the template refuses these messages.
        """
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                [_plain(message) for message in messages],
                tools=list(tools) or None,
                add_generation_prompt=answer,
                tokenize=False,
                **self.options,
            )
        except TemplateError as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise ValueError(
                f"the chat template cannot write a conversation of {roles}: {type(error).__name__}: {error}; "
                "give another one with chat_template=..."
            ) from error
        return str(text)

    # ---- how it is found out --------------------------------------------------------------------------------------------

    def _find_end(self, stop: Sequence[int]) -> int | None:
        """The token that ends an assistant turn: the first behind it that is a known stop, else the first special one."""
        text = self.render([*_ASKED, {"role": "assistant", "content": _MARK}], answer=False)
        ids = self.encode(self._behind_mark(text))
        known = {token for token in (self.tokenizer.eos_token_id, *stop) if token is not None}
        special = set(self.tokenizer.all_special_ids)
        for wanted in (known, special):
            for token in ids:
                if token in wanted:
                    return int(token)
        return None

    def _behind_mark(self, text: str) -> str:
        place = text.rfind(_MARK)
        if place < 0:
            raise ValueError(
                "the chat template does not show what an assistant message says, so a conversation cannot be continued; "
                "give another one with chat_template=..."
            )
        return text[place + len(_MARK) :]

    def _encode_behind_end(self, text: str) -> list[int]:
        """Tokens of a text that follows a marker; some tokenizers would put a space before text that stands alone."""
        if self.end_text is not None:
            ids = self.encode(self.end_text + text)
            if ids and ids[0] == self.end_id:
                return ids[1:]
        return self.encode(text)

    def _remember(self, key: str, ids: list[int]) -> None:
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = ids


def _plain(message: Message) -> Message:
    """A message as templates expect it: content as a string, arguments of tool calls as objects."""
    plain = {**message, "content": message_text(message)}
    if message.get("tool_calls"):
        plain["tool_calls"] = [_plain_call(call) for call in message["tool_calls"]]
    elif "tool_calls" in plain:
        del plain["tool_calls"]
    return plain


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    try:
        name, arguments = call_arguments(call)
    except ValueError:  # somebody's arguments are not JSON: the template shows them as they are
        return dict(call)
    return {**call, "type": "function", "function": {"name": name, "arguments": arguments}}


def _stand_in(action: Message) -> Message:
    """An assistant message that is shaped like `action` and ends with the mark."""
    calls = action.get("tool_calls")
    if not calls:
        return {"role": "assistant", "content": _MARK}
    stand_ins = [
        {**call, "function": {"name": (call.get("function") or {}).get("name", "x"), "arguments": {"x": _MARK}}}
        for call in calls
    ]
    return {"role": "assistant", "content": "", "tool_calls": stand_ins}
