"""Writes small databases in MaxMind's format (version 2.0 of its specification), for tests."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_RECORD_BYTES = 3
_SEPARATOR = 16


class _Number(int):
    """An unsigned number with the type that the format gives it."""

    kind: int

    @classmethod
    def of(cls, kind: int, value: int) -> _Number:
        number = cls(value)
        number.kind = kind
        return number


def write(path: Path, records: dict[str, Any], *, built: float | None = None) -> None:
    """Write a database beside, then rename it: record by network, IPv4 and IPv6."""
    nodes: list[list[int | None]] = [[None, None]]
    data = b""
    leaves: dict[tuple[int, int], int] = {}
    for text, record in records.items():
        network = ipaddress.ip_network(text)
        # IPv4 is at ::/96, as every reader expects.
        length = network.prefixlen + (96 if network.version == 4 else 0)
        bits = f"{int(network.network_address):0128b}"[:length]
        at = 0
        for bit in map(int, bits[:-1]):
            following = nodes[at][bit]
            if following is None:
                nodes.append([None, None])
                following = nodes[at][bit] = len(nodes) - 1
            at = following
        leaves[at, int(bits[-1])] = len(data)
        data += _encoded(record)
    tree = b""
    for at, node in enumerate(nodes):
        for bit, following in enumerate(node):
            leaf = leaves.get((at, bit))
            value = len(nodes) if following is None else following
            if leaf is not None:
                value = len(nodes) + _SEPARATOR + leaf
            tree += value.to_bytes(_RECORD_BYTES, "big")
    about = {
        "node_count": _Number.of(6, len(nodes)),
        "record_size": _Number.of(5, 8 * _RECORD_BYTES),
        "ip_version": _Number.of(5, 6),
        "database_type": "Test-Country",
        "languages": ["en"],
        "binary_format_major_version": _Number.of(5, 2),
        "binary_format_minor_version": _Number.of(5, 0),
        "build_epoch": _Number.of(9, int(time.time() if built is None else built)),
        "description": {"en": "for tests"},
    }
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(tree + bytes(_SEPARATOR) + data + _MARKER + _encoded(about))
    beside.replace(path)


def country(code: str) -> dict[str, Any]:
    """A record as GeoLite2 has it."""
    return {"country": {"iso_code": code, "names": {"en": code}}}


def _encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(
            _encoded(part) for item in value.items() for part in item
        )
    if isinstance(value, str):
        text = value.encode()
        return _head(2, len(text)) + text
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(_encoded(one) for one in value)
    assert isinstance(value, _Number)
    size = (value.bit_length() + 7) // 8
    return _head(value.kind, size) + value.to_bytes(size, "big")


def _head(kind: int, size: int) -> bytes:
    assert size < 29, "sizes beyond need bytes of their own"
    if kind > 7:
        return bytes((size, kind - 7))
    return bytes((kind << 5 | size,))
