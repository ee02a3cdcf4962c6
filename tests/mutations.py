"""Malformed variants of messages, the same ones for the same seed."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import orjson

NUMBERS = (
    "0", "-0", "-1", "1", "1.5", "-1.5", "1e5", "1e-5", "1e308", "1e999", "-1e999", "NaN",
    "Infinity", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9.223372036854776e18", "18446744073709551616", "9" * 60, "0x10", "01", "1.", ".5",
    "2147483648", "4294967296", "9007199254740993",
)  # fmt: skip
"""As text: some are no JSON."""
TEXTS = (
    '""', '" "', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u00e9\\u4e2d"', '"\\x41"',
    '"' + "x" * 600 + '"', '"' + "\\u0416" * 300 + '"', '"24F5A207A130"', '"24f5a207a13"',
    '"24f5a207a1300"', '"zzzzzzzzzzzz"', '"../../etc/passwd"', '"\'; DROP TABLE devices; --"',
    '"<script>"', '"%s%n"', '"\\n\\r\\t"', "'single'",
)  # fmt: skip
VALUES = ("null", "true", "false", "[]", "{}", "[null]", '{"":0}', "[[[]]]", '{"a":{"b":[1]}}')
NAMES = ("", "serial", "Serial", "uuid", "method", "params", "jsonrpc", "data", "__proto__", "\0")
BROKEN = (
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8", b"\x00", b"\xef\xbb\xbf", b"{", b"}", b"[",
    b"]", b'"', b",", b":", b"\\", b"//", b"\x7f", b"\r\n",
)  # fmt: skip
MARK = "\ue000"
"""Stands in a tree for text that is put in afterwards as it is."""

Tree = Any


class Mutator:
    """Makes variants of one message. Not all are malformed: some changes do no harm."""

    def __init__(self, message: dict[str, Any], seed: object) -> None:
        self._text = orjson.dumps(message)
        self._chance = random.Random(f"{seed}")
        self._inserts: list[str] = []
        self._of_trees: tuple[Callable[[Tree], None], ...] = (
            self._drop, self._rename, self._retype, self._retype, self._number, self._text_of,
            self._add, self._swap,
        )  # fmt: skip

    def variants(self, count: int) -> list[bytes]:
        """Return so many variants."""
        return [self.variant() for _ in range(count)]

    def variant(self) -> bytes:
        """Return the next variant."""
        roll = self._chance.random()
        if roll < 0.70:
            return self._tree()
        if roll < 0.90:
            return self._bytes(self._text)
        if roll < 0.985:
            return self._compressed()
        return self._huge()

    # -- the tree

    def _tree(self) -> bytes:
        tree = orjson.loads(self._text)
        self._inserts = []
        for _ in range(self._chance.choice((1, 1, 1, 2, 4))):
            self._chance.choice(self._of_trees)(tree)
        text = json.dumps(tree, ensure_ascii=False)
        for number, insert in enumerate(self._inserts):
            text = text.replace(f'"{MARK}{number}{MARK}"', insert, 1)
        found = text.encode("utf-8", "surrogatepass")
        if self._chance.random() < 0.1:
            found = self._twice(found)
        return found

    def _raw(self, text: str) -> str:
        """Return what stands for `text` until the tree is text itself."""
        self._inserts.append(text)
        return f"{MARK}{len(self._inserts) - 1}{MARK}"

    def _place(self, tree: Tree) -> tuple[Any, Any]:
        """Return a container and a key in it; places near the root are likelier."""
        container = tree
        while True:
            keys = list(container) if isinstance(container, dict) else range(len(container))
            if not keys:
                return tree, next(iter(tree), "")
            key = self._chance.choice(keys)
            below = container[key]
            if not isinstance(below, dict | list) or not below or self._chance.random() < 0.4:
                return container, key
            container = below

    def _drop(self, tree: Tree) -> None:
        container, key = self._place(tree)
        if container:
            del container[key]

    def _rename(self, tree: Tree) -> None:
        container, key = self._place(tree)
        if isinstance(container, dict) and key in container:
            name = self._chance.choice((*NAMES, str(key).upper(), f"{key} ", f"x{key}"))
            container[name] = container.pop(key)

    def _retype(self, tree: Tree) -> None:
        container, key = self._place(tree)
        pool = self._chance.choice((VALUES, VALUES, NUMBERS, TEXTS))
        if container:
            container[key] = self._raw(self._chance.choice(pool))

    def _number(self, tree: Tree) -> None:
        container, key = self._place(tree)
        if container:
            container[key] = self._raw(self._chance.choice(NUMBERS))

    def _text_of(self, tree: Tree) -> None:
        container, key = self._place(tree)
        if container:
            container[key] = self._raw(self._chance.choice(TEXTS))

    def _add(self, tree: Tree) -> None:
        container, _ = self._place(tree)
        value = self._raw(self._chance.choice(VALUES + NUMBERS[:10]))
        if isinstance(container, dict):
            container[self._chance.choice(NAMES)] = value
        else:
            container.append(value)

    def _swap(self, tree: Tree) -> None:
        one, left = self._place(tree)
        other, right = self._place(tree)
        if one and other and one is other:
            one[left], other[right] = other[right], one[left]

    def _twice(self, text: bytes) -> bytes:
        """Put one member there a second time, before or behind."""
        name = self._chance.choice((b"serial", b"uuid", b"method", b"params", b"jsonrpc"))
        value = self._chance.choice(VALUES + NUMBERS + TEXTS).encode()
        member = b'"' + name + b'":' + value
        if self._chance.random() < 0.5:
            at = text.find(b"{", self._chance.randrange(2) * 20)
            return text[: at + 1] + member + b"," + text[at + 1 :] if at >= 0 else text
        at = text.rfind(b"}")
        return text[:at] + b"," + member + text[at:]

    # -- bytes

    def _bytes(self, text: bytes) -> bytes:
        chance = self._chance
        kind = chance.randrange(5)
        at = chance.randrange(len(text) + 1)
        if kind == 0:
            return text[:at]
        if kind == 1:
            return text[:at] + chance.choice(BROKEN) + text[at:]
        if kind == 2:
            return text[:at] + text[at + chance.randrange(1, 6) :]
        if kind == 3 and text:
            at = chance.randrange(len(text))
            return text[:at] + bytes([text[at] ^ (1 << chance.randrange(8))]) + text[at + 1 :]
        return text[at:] + text[:at]

    # -- compression

    def _compressed(self) -> bytes:
        chance = self._chance
        tree = orjson.loads(self._text)
        params = orjson.dumps(tree.get("params", tree))
        if chance.random() < 0.5:
            params = self._bytes(params)
        stream = zlib.compress(params, 1)
        if chance.random() < 0.4:
            stream = self._bytes(stream)
        packed = base64.b64encode(stream).decode()
        if chance.random() < 0.3:
            at = chance.randrange(len(packed) + 1)
            packed = packed[:at] + chance.choice(("*", "=", "\n", " ", "-_", "")) + packed[at + 1 :]
        size: Any = chance.choice((len(params), 0, -1, 2**70, "1", None, 1.5, 5_000_000))
        tree["params"] = {"compress_64": packed, "compress_sz": size}
        if chance.random() < 0.1:
            tree["params"]["compress_64"] = chance.choice((None, 1, [], {}, ""))
        return json.dumps(tree).encode()

    # -- size and depth

    def _huge(self) -> bytes:
        chance = self._chance
        depth = chance.choice((100, 900, 5000, 60_000))
        kind = chance.randrange(4)
        if kind == 0:
            value = "[" * depth + "]" * depth
        elif kind == 1:
            value = '{"a":' * depth + "1" + "}" * depth
        elif kind == 2:
            value = "[" + ",".join(["0"] * 20_000) + "]"
        else:
            value = '"' + "y" * 100_000 + '"'
        tree = orjson.loads(self._text)
        self._inserts = []
        container, key = self._place(tree)
        if container:
            container[key] = self._raw(value)
        return json.dumps(tree, ensure_ascii=False).replace(f'"{MARK}0{MARK}"', value, 1).encode()
