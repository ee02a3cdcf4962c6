"""Secrets that must be read again, and so cannot be hashed: encrypted in the database.

AES-256-GCM (NIST SP 800-38D) with a key outside of the database: whoever copies the database
alone has nothing. What a secret is for is bound into it, so that it cannot be moved elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gw.security.key_files import kept_key

KEY_FILE: Final = "sealing.key"
_PREFIX: Final = "s1:"
_NONCE_BYTES: Final = 12


class SealError(ValueError):
    """A secret cannot be opened: it was sealed with another key, or for something else."""


class Sealer:
    """Seals and opens secrets."""

    def __init__(self, key: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"gw sealing\0" + key.encode()).digest())

    def seal(self, secret: str, purpose: str) -> str:
        """Return what may be stored. `purpose` names what the secret belongs to."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.encode(), purpose.encode())
        return _PREFIX + base64.b64encode(nonce + sealed).decode()

    def open(self, stored: str, purpose: str) -> str:
        """Return the secret. Raises SealError."""
        try:
            raw = base64.b64decode(stored.removeprefix(_PREFIX), validate=True)
            if not is_sealed(stored):
                raise SealError(f"{purpose}: is not sealed")
            return self._cipher.decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode()
            ).decode()
        except (InvalidTag, ValueError) as error:
            if isinstance(error, SealError):
                raise
            raise SealError(
                f"{purpose}: cannot be opened with this sealing key (security.sealing_key)"
            ) from None


def is_sealed(stored: str) -> bool:
    """Tell whether a stored text is one that `seal` made."""
    return stored.startswith(_PREFIX)


def sealing_key(configured: str, data: str) -> str:
    """Return the key: `security.sealing_key`, else the one kept in the data directory.

    Raises OSError or ValueError as `kept_key` does.
    """
    return kept_key(configured, data, KEY_FILE)
