"""The key by which sister services prove themselves on the private listeners (security.md 1.2).

It is what this gateway announces as `key` on the bus. Whoever has it may do nearly everything, so
unless it is set it is made at random, and kept in a file that only its owner can read.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

KEY_FILE: Final = "internal.key"
MIN_LENGTH: Final = 32
_MAX_LENGTH: Final = 512


def internal_key(configured: str, data: str) -> str:
    """Return the key: `security.internal_key`, else the one kept in the data directory.

    The file is made if it is not there; of two processes that make it at once both get the same.
    Raises OSError if it can be neither read nor made, ValueError if it holds no key.
    """
    if configured:
        return configured
    path = Path(data) / KEY_FILE
    temporary = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    if not path.exists():
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
    key = path.read_text("ascii", "replace").strip()
    if not MIN_LENGTH <= len(key) <= _MAX_LENGTH:
        raise ValueError(f"{path} holds no key of {MIN_LENGTH} characters: remove it")
    return key


def is_key(given: str, key: str) -> bool:
    """Tell whether a caller has shown the key, in a time that tells nothing of it."""
    return bool(key) and hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), key.encode("utf-8", "surrogatepass")
    )
