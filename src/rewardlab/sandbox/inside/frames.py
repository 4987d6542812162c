"""Messages over a pipe: four bytes of length, then JSON, because the other side may be hostile and nothing is unpickled."""

from __future__ import annotations

import json
import os
from typing import Any

LARGEST = 64 * 2**20


class BrokenFrame(Exception):
    """The other side sent something that is not a message."""


def frame(message: Any) -> bytes:
    """One message as bytes.

    Raises:
        BrokenFrame: it is too large; nothing has been sent yet.
    """
    body = json.dumps(message).encode("ascii")
    if len(body) > LARGEST:
        raise BrokenFrame(f"a message of {len(body):,} bytes is over the limit of {LARGEST:,}")
    return len(body).to_bytes(4, "big") + body


def write_frame(descriptor: int, message: Any) -> None:
    """Send one message; blocks until it is written."""
    write_all(descriptor, frame(message))


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes to a pipe; blocks until all are written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_frame(descriptor: int) -> Any:
    """Receive one message.

    Raises:
        EOFError: the other side has closed the pipe.
        BrokenFrame: what came is not a message.
    """
    size = int.from_bytes(read_exactly(descriptor, 4), "big")
    if size > LARGEST:
        raise BrokenFrame(f"a message of {size:,} bytes is over the limit of {LARGEST:,}")
    body = read_exactly(descriptor, size)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenFrame(f"a message is not JSON: {error}") from None


def read_exactly(descriptor: int, size: int) -> bytes:
    """Read `size` bytes, or raise EOFError."""
    pieces = []
    while size:
        piece = os.read(descriptor, min(size, 2**20))
        if not piece:
            raise EOFError("the other side has closed the pipe")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
