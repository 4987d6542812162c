"""What stands in one cell: a response as text or messages, a dialogue written as one text, images beside it.

Two full conversations are taken apart at the prompt that they share. Whatever cannot be read becomes a `BadRow` whose
message names the column, the value and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.storage.foreign import chat, normal_messages
from rewardlab.storage.problems import BadRow
from rewardlab.types import Message, Trajectory, message_text

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}
TEXT_KEYS = ("answer", "text", "content", "response", "output", "completion")
"""Where the text of a response stands in an object."""


def is_dialogue(text: str) -> bool:
    """Whether a text is a dialogue as Anthropic's files write it: turns that begin with `Human:` and `Assistant:`."""
    return bool(_TURN.match(text.lstrip()))


def dialogue(text: str) -> list[Message]:
    """The messages of such a text; an empty last turn of the assistant is left out."""
    parts = _TURN.split(text.lstrip())
    turns = [{"role": _ROLE[who], "content": said.strip()} for who, said in zip(parts[1::2], parts[2::2], strict=True)]
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()
    return turns


def prompt_messages(value: Any, where: str) -> list[Message]:
    """What was asked: text, a dialogue, messages, or several texts of one row that belong together.

    Raises:
        BadRow: it is none of these, or it is empty.
    """
    if isinstance(value, str):
        if not value.strip():
            raise BadRow(f"{where} is an empty text")
        return dialogue(value) if is_dialogue(value) else [{"role": "user", "content": value}]
    if isinstance(value, Sequence) and value and all(isinstance(entry, Mapping) for entry in value):
        return _messages(value, where)
    raise BadRow(f"{where} must be a text or a list of messages, got {value!r:.60}")


def response_messages(value: Any, where: str) -> list[Message]:
    """A response, or a whole conversation that ends in one: text, a dialogue, messages, or an object that holds one.

    Raises:
        BadRow: it is none of these, it is empty, or it does not end with the assistant.
    """
    if isinstance(value, Mapping):
        if "role" in value:
            value = [value]
        else:
            inner = next((key for key in TEXT_KEYS if key in value), None)
            if inner is None:
                raise BadRow(f"{where} is an object without a text: it has the keys {', '.join(map(repr, value))}")
            return response_messages(value[inner], f"{where}[{inner!r}]")
    if isinstance(value, str):
        whole = is_dialogue(value) and "\n\nAssistant:" in value
        messages = dialogue(value) if whole else [{"role": "assistant", "content": value}]
    elif isinstance(value, Sequence) and value and all(isinstance(entry, Mapping) for entry in value):
        messages = _messages(value, where)
    else:
        raise BadRow(f"{where} must be a text or a list of messages, got {value!r:.60}")
    if not messages or messages[-1]["role"] != "assistant":
        last = messages[-1]["role"] if messages else "nobody"
        raise BadRow(f"{where} must end with a message of the assistant, it ends with {last}")
    if not message_text(messages[-1]).strip() and not messages[-1].get("tool_calls"):
        raise BadRow(f"{where} is an empty text")
    return messages


def answers(prompt: list[Message] | None, conversations: Sequence[list[Message]]) -> list[Trajectory]:
    """Trajectories of one prompt, out of responses or of conversations that hold the prompt too.

    Args:
        prompt: what was asked; None where every conversation holds it.
        conversations: what `response_messages` gave, at least one.

    Raises:
        BadRow: the conversations do not share a prompt.
    """
    if prompt is not None:
        return [chat(prompt, _behind(prompt, one)) for one in conversations]
    if all(len(one) == 1 for one in conversations):
        return [chat([], one) for one in conversations]
    shared = _shared(conversations)
    if not shared:
        raise BadRow(
            "the conversations begin with different messages, so they do not answer the same prompt; name the column "
            "of the prompt"
        )
    return [chat(one[:shared], one[shared:]) for one in conversations]


def with_images(prompt: list[Message], images: Any, folder: Path | None) -> list[Message]:
    """A prompt with images: put where the message says `{"type": "image"}`, else before the last user message's text.

    Args:
        prompt: what was asked.
        images: one, or a list of them: a path, an array, a PIL image, or an object with `bytes` or `path`.
        folder: what relative paths start from.

    Raises:
        BadRow: an image is missing or unreadable, or there are more or fewer than places for them.
    """
    given = list(images) if isinstance(images, (list, tuple)) else [] if images is None else [images]
    found = [image_part(one, folder) for one in given]
    places = [
        (row, place)
        for row, message in enumerate(prompt)
        for place, part in enumerate(message["content"] if isinstance(message.get("content"), list) else ())
        if isinstance(part, Mapping) and part.get("type") == "image" and not _content_of(part)
    ]
    changed = [dict(message) for message in prompt]
    if places:
        if len(places) != len(found):
            raise BadRow(f"the prompt has places for {len(places)} images, the row holds {len(found)}")
        for (row, place), part in zip(places, found, strict=True):
            changed[row]["content"] = list(changed[row]["content"])
            changed[row]["content"][place] = part
        return changed
    if not found:
        return changed
    users = [row for row, message in enumerate(changed) if message["role"] == "user"]
    if not users:
        raise BadRow("the row has images, but no user message that they could stand beside")
    content = changed[users[-1]].get("content")
    told = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    changed[users[-1]]["content"] = [*found, *told]
    return changed


def read_images_in(messages: list[Message], folder: Path | None) -> list[Message]:
    """Messages whose image parts hold images that are there: relative paths are resolved against the file.

    Raises:
        BadRow: a file is missing.
    """
    changed = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = [
                image_part(_content_of(part), folder)
                if isinstance(part, Mapping) and part.get("type") in ("image", "image_url") and _content_of(part)
                else part
                for part in content
            ]
            message = {**message, "content": parts}
        changed.append(message)
    return changed


def image_part(image: Any, folder: Path | None) -> Message:
    """One image as a part of a message, `{"type": "image", "image": path or array}`.

    Raises:
        BadRow: there is no such file, or the content is no image.
    """
    if isinstance(image, Mapping):
        content = image.get("bytes")
        if content is None:
            return image_part(image.get("path") or image.get("url"), folder)
        return {"type": "image", "image": _decoded(content)}
    if isinstance(image, str):
        if "://" in image[:10] or image.startswith("data:"):
            return {"type": "image", "image": image}
        path = Path(image)
        if not path.is_absolute() and folder is not None:
            path = folder / path
        if not path.is_file():
            raise BadRow(f"there is no image {str(path)!r}")
        return {"type": "image", "image": str(path)}
    array = np.asarray(image) if hasattr(image, "__array__") or isinstance(image, (list, tuple)) else None
    if array is None or array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise BadRow(f"an image must be a path, an array of [height, width] or [height, width, 3], got {image!r:.60}")
    return {"type": "image", "image": array}


def _decoded(content: bytes) -> Any:
    import io

    from rewardlab.extras import require

    picture = require("PIL.Image", extra="lm", why="Reading images that stand in a data set")
    try:
        return np.asarray(picture.open(io.BytesIO(content)).convert("RGB"))
    except (OSError, ValueError) as error:
        raise BadRow(f"the image cannot be read: {error}") from None


def _content_of(part: Mapping[str, Any]) -> Any:
    for key in ("image", "image_url", "path", "url"):
        value = part.get(key)
        if isinstance(value, Mapping):
            value = value.get("url") or value
        if value is not None and not (isinstance(value, str) and not value):
            return value
    return None


def _messages(value: Sequence[Any], where: str) -> list[Message]:
    told = [
        {"role": _speaker(entry), "content": entry["value"]} if "role" not in entry and "value" in entry else entry
        for entry in value
    ]
    return normal_messages(told, where)


def _speaker(entry: Mapping[str, Any]) -> Any:
    """The role in ShareGPT's words."""
    return {"human": "user", "gpt": "assistant"}.get(str(entry.get("from")), entry.get("from"))


def _behind(prompt: list[Message], conversation: list[Message]) -> list[Message]:
    """What follows the prompt, in a conversation that may repeat it (with or without the system's message)."""
    for start in (prompt, [message for message in prompt if message["role"] != "system"]):
        if start and len(conversation) > len(start) and conversation[: len(start)] == start:
            return conversation[len(start) :]
    first = next((place for place, message in enumerate(conversation) if message["role"] == "assistant"), 0)
    if first and any(message["role"] == "user" for message in conversation[:first]):
        raise BadRow(
            f"the conversation begins with {message_text(conversation[0])!r:.60}, which is not the prompt "
            f"{message_text(prompt[-1])!r:.60}"
        )
    return conversation


def _shared(conversations: Sequence[list[Message]]) -> int:
    """How many messages all begin with, as far as an answer is left of each: the prompt ends before an assistant's turn."""
    shortest = min(len(one) for one in conversations)
    count = 0
    while count < shortest - 1 and all(one[count] == conversations[0][count] for one in conversations):
        count += 1
    while count and any(one[count]["role"] != "assistant" for one in conversations):
        count -= 1
    return count
