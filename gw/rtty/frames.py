"""The framing between the gateway and a device's rtty agent (southbound.md 6.2).

Pure: bytes in, frames out. A frame is one byte of kind, two bytes of length (big-endian), and so
many bytes of body.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

MAX_BODY: Final = 65_535
"""What two bytes of length can say."""
MAX_REGISTRATION: Final = 1024
"""Body of a registration, bytes: two secrets of 32 characters and a description."""
MAX_DESCRIPTION: Final = 512
MAX_SIDE: Final = 1000
"""Columns and rows of a window, at most."""

_HEADER: Final = struct.Struct(">BH")
_WINDOW: Final = struct.Struct(">BHH")


class Kind(IntEnum):
    """Kinds of frames."""

    REGISTER = 0
    LOGIN = 1
    LOGOUT = 2
    TERMINAL = 3
    WINDOW = 4
    COMMAND = 5
    HEARTBEAT = 6
    FILE = 7
    HTTP = 8
    ACKNOWLEDGE = 9


class FrameError(ValueError):
    """What a device sent is no frame, or not one that may come."""


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    body: bytes


class Decoder:
    """Splits what a device sends into frames; holds one incomplete frame at most."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self.max_body = max_body
        """Longest body accepted from now on, bytes."""
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came and return the frames that are complete.

        Raises FrameError for a kind that does not exist and for a body that is too long; nothing
        can be read after that.
        """
        rest = self._rest
        rest += data
        frames: list[Frame] = []
        at = 0
        while len(rest) - at >= _HEADER.size:
            kind, size = _HEADER.unpack_from(rest, at)
            if kind not in _KINDS:
                raise FrameError(f"there is no frame of kind {kind}")
            if size > self.max_body:
                raise FrameError(f"a body of {size} bytes is longer than {self.max_body}")
            end = at + _HEADER.size + size
            if len(rest) < end:
                break
            frames.append(Frame(Kind(kind), bytes(rest[at + _HEADER.size : end])))
            at = end
        del rest[:at]
        return frames


_KINDS: Final = frozenset(Kind)


def encode(kind: Kind, body: bytes = b"") -> bytes:
    """Return one frame. Raises FrameError if the body is longer than a frame can say."""
    if len(body) > MAX_BODY:
        raise FrameError(f"a body of {len(body)} bytes is longer than {MAX_BODY}")
    return _HEADER.pack(kind, len(body)) + body


class Registration(NamedTuple):
    """How a device introduces itself."""

    id: str
    description: str
    token: str

    def __repr__(self) -> str:
        """Hide the secrets."""
        return f"Registration({self.description!r})"


def read_registration(body: bytes) -> Registration:
    """Read the body of a registration: three texts, each ended by a zero byte.

    Raises FrameError. Whether id and token are right is not looked at here.
    """
    parts = body.split(b"\0")
    if len(parts) < 3 or (len(parts) > 3 and any(parts[3:])):
        raise FrameError("a registration has an id, a description and a token")
    try:
        name, description, token = (part.decode("utf-8") for part in parts[:3])
    except UnicodeDecodeError:
        raise FrameError("a registration is UTF-8") from None
    if len(name) != 32 or len(token) != 32:
        raise FrameError("id and token have 32 characters")
    if not 1 <= len(description) <= MAX_DESCRIPTION:
        raise FrameError(f"the description has 1 to {MAX_DESCRIPTION} characters")
    return Registration(name, description, token)


def registration(told: Registration) -> bytes:
    """Return the frame by which a device registers."""
    body = b"".join(text.encode() + b"\0" for text in (told.id, told.description, told.token))
    return encode(Kind.REGISTER, body)


def accepted() -> bytes:
    """Return the answer to a registration that is right."""
    return encode(Kind.REGISTER, b"\0OK\0")


def refused(reason: str) -> bytes:
    """Return the answer to a registration that is not."""
    return encode(Kind.REGISTER, b"\1" + reason.encode()[:255] + b"\0")


def read_login(body: bytes) -> tuple[int, int]:
    """Read the answer to a login: the error, 0 for none, and the device's number of the session.

    Raises FrameError.
    """
    if not body or (body[0] == 0 and len(body) < 2):
        raise FrameError("the answer to a login has an error and a session")
    return body[0], body[1] if len(body) > 1 else 0


def window(session: int, columns: int, rows: int) -> bytes:
    """Return the frame that tells the size of the window. Raises FrameError."""
    if not (1 <= columns <= MAX_SIDE and 1 <= rows <= MAX_SIDE):
        raise FrameError(f"a window has 1 to {MAX_SIDE} columns and rows")
    return encode(Kind.WINDOW, _WINDOW.pack(session, columns, rows))


def read_window(body: bytes) -> tuple[int, int, int]:
    """Read session, columns and rows, as a device does. Raises FrameError."""
    if len(body) != _WINDOW.size:
        raise FrameError(f"the size of a window has {_WINDOW.size} bytes")
    session, columns, rows = _WINDOW.unpack(body)
    return session, columns, rows


def terminal(session: int, data: bytes) -> bytes:
    """Return the frames that carry what is typed, or shown."""
    largest = MAX_BODY - 1
    head = bytes((session,))
    return b"".join(
        encode(Kind.TERMINAL, head + data[at : at + largest]) for at in range(0, len(data), largest)
    )
