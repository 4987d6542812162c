"""Chats with pictures: finding the images in messages' content parts and reading them, by path, array or PIL image."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.types import Message

_KEYS = ("image", "path", "url", "image_url", "data")


def chat_with_pictures(messages: Sequence[Message], where: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Messages as the templates of vision-language models take them, and their images in order.

    A content part is a picture when its type is `image` or `image_url`; the picture stands under `image`, `path`, `url`,
    `image_url` or `data` as a PIL image, an array (height, width, channels; bytes, or numbers from 0 to 1), a path, a
    `file://` address or a `data:` address.

    Args:
        messages: of one chat.
        where: how the chat is called in messages of errors.

    Raises:
        ValueError: a part is of an unknown type, or its picture cannot be read.
    """
    plain, pictures = [], []
    for place, message in enumerate(messages):
        content = message.get("content")
        parts = (
            [{"type": "text", "text": content or ""}]
            if not isinstance(content, Sequence) or isinstance(content, str)
            else content
        )
        kept: list[dict[str, Any]] = []
        for part in parts:
            told = part if isinstance(part, Mapping) else {"type": "text", "text": str(part)}
            if told.get("type") == "text":
                kept.append({"type": "text", "text": str(told.get("text", ""))})
            elif told.get("type") in ("image", "image_url"):
                pictures.append(picture(_source(told), f"message {place} of {where}"))
                kept.append({"type": "image"})
            else:
                raise ValueError(
                    f"message {place} of {where} has a content part of type {told.get('type')!r}; expected text, image or "
                    "image_url"
                )
        plain.append({**{key: value for key, value in message.items() if value is not None}, "content": kept})
    return plain, pictures


def picture(source: Any, where: str) -> Any:
    """A PIL image with three channels.

    Args:
        source: a PIL image, an array, a path, a `file://` address or a `data:` address.
        where: how its place is called in messages of errors.

    Raises:
        ValueError: it cannot be read.
        MissingExtra: Pillow is not installed.
    """
    images = require("PIL.Image", extra="vision", why="Reading images")
    if isinstance(source, images.Image):
        return source.convert("RGB")
    if isinstance(source, str | Path):
        text = str(source)
        if text.startswith(("http://", "https://")):
            raise ValueError(
                f"{where} has a picture on the net ({text:.80}); download it first, nothing is fetched here"
            )
        try:
            if text.startswith("data:"):
                content = io.BytesIO(base64.b64decode(text.partition(",")[2], validate=True))
                return images.open(content).convert("RGB")
            return images.open(text.removeprefix("file://")).convert("RGB")
        except (OSError, binascii.Error) as error:
            raise ValueError(f"{where} has a picture that cannot be read: {error}") from error
    array = np.asarray(source)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[-1] != 3 or array.dtype.kind not in "uif":
        raise ValueError(
            f"{where} has a picture of type {type(source).__name__} and shape {array.shape}; expected a path, a PIL image "
            "or an array (height, width, 3)"
        )
    if array.dtype != np.uint8:
        if (
            not np.isfinite(array).all()
            or array.min() < 0.0
            or array.max() > (255.0 if array.dtype.kind in "ui" else 1.0)
        ):
            raise ValueError(
                f"{where} has a picture with numbers from {array.min()} to {array.max()}; expected bytes, or fractions "
                "from 0 to 1"
            )
        array = array if array.dtype.kind in "ui" else np.round(array * 255.0)
    return images.fromarray(array.astype(np.uint8))


def _source(part: Mapping[str, Any]) -> Any:
    for key in _KEYS:
        if part.get(key) is not None:
            found = part[key]
            return found["url"] if isinstance(found, Mapping) and "url" in found else found
    return None
