"""Framing in Python: the twin of `envelope`, by regular expressions; plain, and slow.

It is what the native one is tested against.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

MAX_DEPTH: Final = 512
MAX_MEMBERS: Final = 24

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    rb'(?P<mark>[{}\[\],:])|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")'
    rb"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?P<word>true|false|null)"
)
_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u]"
    rb"|\\u(?P<unit>[0-9a-fA-F]{4})"
)


class ScanError(ValueError):
    """The text is not an object that can be read; the message says what and at which byte."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """`bad_json` or `depth`."""


class _Member(NamedTuple):
    name: bytes
    start: int
    stop: int


class Members:
    """Text of an object, and the places of its members. See the stub of `envelope`."""

    __slots__ = ("_places", "text", "unreadable")

    def __init__(self, text: bytes, unreadable: str, places: list[_Member]) -> None:
        self.text = text
        self.unreadable = unreadable
        clear = len(places) <= MAX_MEMBERS and not any(b"\\" in one.name for one in places)
        self._places = places if clear else []

    def span(self, name: str) -> tuple[int, int] | None:
        """Return start and end of a member's value in `text`, or None."""
        found = [one for one in self._places if one.name == name.encode()]
        return (found[0].start, found[0].stop) if len(found) == 1 else None


class Envelope:
    """Members of a message's root object. See the stub of `envelope`."""

    __slots__ = ("error", "id", "jsonrpc", "method", "params", "radius", "result", "unreadable")

    def __init__(self, text: bytes, unreadable: str, members: dict[bytes, _Member]) -> None:
        def cut(name: bytes) -> bytes | None:
            place = members.get(name)
            return text[place.start : place.stop] if place is not None else None

        self.jsonrpc = b"jsonrpc" in members
        self.result = b"result" in members
        self.error = b"error" in members
        self.radius = b"radius" in members
        self.method = cut(b"method")
        self.id = cut(b"id")
        self.unreadable = unreadable
        params = cut(b"params")
        self.params: Members | None = None
        if params is not None:
            places = _Scan(params).places if params.startswith(b"{") else []
            self.params = Members(params, unreadable, places)


class _Scan:
    """One object: its members, and what is unreadable in it."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.unreadable = ""
        self.places: list[_Member] = []
        self._at = 0
        self._skip()
        if text[self._at : self._at + 1] != b"{":
            raise ScanError("bad_json", f"it is no object at byte {self._at}")
        self._value()
        self._skip()
        if self._at != len(text):
            raise ScanError("bad_json", f"something follows the object at byte {self._at}")

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self._at)
        assert found is not None
        self._at = found.end()

    def _next(self) -> tuple[str, bytes]:
        """Take a token: its kind (a mark is its own kind) and text."""
        self._skip()
        found = _TOKEN.match(self.text, self._at)
        if found is None:
            raise self._unexpected()
        self._at = found.end()
        kind, token = str(found.lastgroup), found[0]
        if kind == "string":
            self._look_at_escapes(token, found.start())
        elif kind == "number" and math.isinf(float(token)):
            self._note("a number beyond the range of a double", found.start())
        return (token.decode() if kind == "mark" else kind), token

    def _unexpected(self) -> ScanError:
        return ScanError("bad_json", f"an unexpected character at byte {self._at}")

    def _look_at_escapes(self, token: bytes, start: int) -> None:
        for escape in _ESCAPE.finditer(token):
            unit = escape["unit"]
            if unit and 0xD800 <= int(unit, 16) <= 0xDFFF:
                self._note("half of a surrogate pair", start + escape.start())
                return

    def _note(self, what: str, at: int) -> None:
        self.unreadable = self.unreadable or f"{what} at byte {at}"

    def _value(self) -> None:
        """Walk over the root without recursion, and note its members."""
        open_marks: list[str] = []
        name, start = b"", 0
        while True:
            # A value, or the end of an empty array or object.
            self._skip()
            if len(open_marks) == 1:
                start = self._at
            kind, _ = self._next()
            if kind in ("{", "["):
                if len(open_marks) == MAX_DEPTH:
                    raise ScanError("depth", f"nested too deeply at byte {self._at - 1}")
                open_marks.append(kind)
                self._skip()
                if self.text[self._at : self._at + 1] not in (b"}", b"]"):
                    if kind == "{":
                        name = self._name(len(open_marks), name)
                    continue
            elif kind not in ("string", "number", "word"):
                raise self._unexpected()
            # What follows a value.
            while True:
                if not open_marks:
                    return
                kind, _ = self._next()
                if kind == ",":
                    if len(open_marks) == 1:
                        self._member(name, start)
                    if open_marks[-1] == "{":
                        name = self._name(len(open_marks), name)
                    break
                if kind != {"{": "}", "[": "]"}[open_marks[-1]]:
                    raise self._unexpected()
                if len(open_marks) == 1 and start:
                    self._member(name, start)
                open_marks.pop()

    def _member(self, name: bytes, start: int) -> None:
        end = self._at - 1
        self.places.append(
            _Member(name, start, start + len(self.text[start:end].rstrip(b" \t\r\n")))
        )

    def _name(self, depth: int, before: bytes) -> bytes:
        kind, token = self._next()
        if kind != "string" or self._next()[0] != ":":
            raise self._unexpected()
        return token[1:-1] if depth == 1 else before


def scan_message(text: bytes) -> Envelope:
    """Scan a message. Raises ScanError (`bad_json`, `depth`)."""
    scan = _Scan(text)
    return Envelope(text, scan.unreadable, {one.name: one for one in scan.places})


def scan_object(text: bytes) -> Members:
    """Scan an object that is not in a message. Raises ScanError."""
    scan = _Scan(text)
    return Members(text, scan.unreadable, scan.places)
