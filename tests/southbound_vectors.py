"""Example messages of the southbound specification, one file each in tests/vectors/southbound."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "vectors" / "southbound"
NAMES = sorted(file.stem for file in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """Return the message of a vector."""
    message: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["message"]
    return message


def direction(name: str) -> str:
    """Return who sends it: `device` or `gateway`."""
    found: str = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["direction"]
    return found


def text(name: str) -> bytes:
    """Return the message as a frame's payload."""
    return json.dumps(load(name)).encode()


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return params, expanded."""
    if "compress_64" in params:
        expanded = zlib.decompress(base64.b64decode(params["compress_64"]))
        found: dict[str, Any] = json.loads(expanded)
        return found
    return params


def packed(params: dict[str, Any]) -> dict[str, Any]:
    """Return params, compressed."""
    whole = json.dumps(params).encode()
    return {
        "compress_64": base64.b64encode(zlib.compress(whole)).decode(),
        "compress_sz": len(whole),
    }
