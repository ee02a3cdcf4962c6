"""Keys that are made once, at random, and kept beside the database where only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

MIN_LENGTH: Final = 32
MAX_LENGTH: Final = 512


def kept_key(configured: str, data: str, name: str) -> str:
    """Return a key: what is configured, else the content of the file `name` of a data directory.

    The file is made if it is not there; of two processes that make it at once both get the same.
    Raises OSError if it can be neither read nor made, ValueError if it holds no key.
    """
    if configured:
        return configured
    path = Path(data) / name
    if not path.exists():
        _make(path)
    key = path.read_text("ascii", "replace").strip()
    if not MIN_LENGTH <= len(key) <= MAX_LENGTH:
        raise ValueError(
            f"{path} holds no key of {MIN_LENGTH} characters: restore it, or remove it"
        )
    return key


def _make(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(32).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # Unlike a rename, it never takes the place of one that another process made.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
