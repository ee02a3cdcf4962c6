"""Pure-Python twin of `confighash`: same hashes, same refusals, written another way.

The standard library's JSON parser does the grammar here; what it is lenient about (constants,
duplicate keys, surrogates, depth, the size of numbers) is looked at in hooks and afterwards. So
where a document is refused for one of those, the message has no offset.
"""

import hashlib
import json
import re
from typing import Final, NoReturn

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 1000
MAX_EXPONENT: Final = 100_000

_NUMBER = re.compile(
    r"(?P<sign>-?)(?P<whole>0|[1-9][0-9]*)(?:\.(?P<part>[0-9]+))?(?:[eE](?P<exp>[+-]?[0-9]+))?"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXPONENT_FAR = 10**18
"""Stands for any exponent literal too long to matter: no document has as many digits."""


class ConfigError(ValueError):
    """The text is not a configuration that can be hashed; the message names what and where."""


class _Number:
    """A number's canonical text; a type of its own, so that it is never taken for a string."""

    __slots__ = ("text",)

    def __init__(self, token: str) -> None:
        match = _NUMBER.fullmatch(token)
        if match is None:
            raise ConfigError("invalid number")
        part = match["part"] or ""
        digits = (match["whole"] + part).lstrip("0")
        significant = digits.rstrip("0")
        if not significant:
            self.text = "0"
            return
        if len(significant) > MAX_DIGITS:
            raise ConfigError(f"number of more than {MAX_DIGITS} digits")
        exponent = _exponent(match["exp"] or "0") - len(part) + len(digits) - len(significant)
        if abs(exponent) > MAX_EXPONENT:
            raise ConfigError(f"number with an exponent beyond {MAX_EXPONENT}")
        self.text = f"{match['sign']}{significant}" + (f"e{exponent}" if exponent else "")


def _exponent(literal: str) -> int:
    size = literal.lstrip("+-").lstrip("0")
    magnitude = int(size or "0") if len(size) <= 18 else _EXPONENT_FAR
    return -magnitude if literal.startswith("-") else magnitude


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ConfigError("duplicate key in an object")
    return members


def _constant(name: str) -> NoReturn:
    raise ConfigError(f"invalid value {name}")


def _string(value: str) -> str:
    if _SURROGATE.search(value):
        raise ConfigError("lone surrogate in a string")
    return json.dumps(value, ensure_ascii=False)


def _write(value: object, out: list[str], depth: int) -> None:
    if isinstance(value, str):
        out.append(_string(value))
    elif isinstance(value, _Number):
        out.append(value.text)
    elif value is None:
        out.append("null")
    elif isinstance(value, bool):
        out.append("true" if value else "false")
    elif depth == MAX_DEPTH:
        raise ConfigError(f"nesting deeper than {MAX_DEPTH}")
    elif isinstance(value, dict):
        out.append("{")
        for n, (key, member) in enumerate(sorted(value.items())):
            out.append(f"{',' if n else ''}{_string(key)}:")
            _write(member, out, depth + 1)
        out.append("}")
    else:
        assert isinstance(value, list)
        out.append("[")
        for n, item in enumerate(value):
            if n:
                out.append(",")
            _write(item, out, depth + 1)
        out.append("]")


def canonical(document: bytes | bytearray | memoryview) -> bytes:
    """Return the canonical form that `config_hash` digests."""
    with memoryview(document) as view:
        if not view.c_contiguous:
            raise BufferError("the document's memory is not contiguous")
        data = view.tobytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"invalid UTF-8 at byte {error.start}") from None
    try:
        root = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        at = len(text[: error.pos].encode())
        raise ConfigError(f"invalid JSON at byte {at}: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"nesting deeper than {MAX_DEPTH}") from None
    if not isinstance(root, dict):
        raise ConfigError("the root is not an object")
    out: list[str] = []
    # Left out, but not unread: what is wrong inside `uuid` is refused as anywhere else.
    if "uuid" in root:
        _write(root.pop("uuid"), [], 1)
    _write(root, out, 0)
    return "".join(out).encode()


def config_hash(document: bytes | bytearray | memoryview) -> str:
    """Return the canonical content hash, 32 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical(document), usedforsecurity=False).hexdigest()[:32]
