"""One request and how its answer is read, without any sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from gw.client.errors import UnexpectedAnswerError

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A request to one of the two services, and how its answer is read."""

    method: str
    path: str
    """Below `/api/v1`, quoted."""
    read: Callable[[Reply], T]
    params: Mapping[str, str] | None = None
    body: bytes = b""
    service: str = "api"
    patience: float = 0.0
    """Seconds that the gateway itself may wait, on top of the client's own."""

    @property
    def repeatable(self) -> bool:
        """Whether carrying it out twice is the same as once."""
        return self.method in ("GET", "HEAD")


@dataclass(frozen=True)
class Pages(Generic[T]):
    """A list that is read a page at a time."""

    at: Callable[[int], Call[list[T]]]
    """The page from this offset on."""
    size: int


def path(*parts: str) -> str:
    """Join and quote the parts of a path. Raises ValueError if one would change its shape."""
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"a part of the path {'/'.join(parts)} is empty")
    return "/".join(quote(part, safe="") for part in parts)


def query(**given: object) -> dict[str, str]:
    """Return query parameters; what is None, False, 0 or empty is the default and left out."""
    return {name: "true" if value is True else str(value) for name, value in given.items() if value}


def body(**members: object) -> bytes:
    """Return a JSON object of the members that are not None."""
    return msgspec.json.encode({name: one for name, one in members.items() if one is not None})


def configuration(given: Mapping[str, Any] | bytes | str | None) -> object:
    """Return a configuration as a member of a body; text is sent to the letter.

    Raises ValueError if text is not JSON.
    """
    if given is None or isinstance(given, Mapping):
        return given
    text = given.encode() if isinstance(given, str) else given
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"configuration is not JSON: {error}") from None
    return msgspec.Raw(text)


def whole(kind: type[T]) -> Callable[[Reply], T]:
    """Read the answer as a document."""
    return lambda reply: _decode(reply.body, kind)


def member(name: str, kind: type[T]) -> Callable[[Reply], T]:
    """Read one member of the answer."""

    def read(reply: Reply) -> T:
        found = _decode(reply.body, dict[str, msgspec.Raw])
        if name not in found:
            raise UnexpectedAnswerError(f"the answer has no {name}")
        return _decode(bytes(found[name]), kind)

    return read


def nothing(_reply: Reply) -> None:
    """Read nothing: that it was accepted is all."""


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswerError(f"the answer is not as documented: {error}") from error
