"""Passwords that come from owsec: its fast hash, kept only within our slow one.

owsec keeps `salt|hex(SHA-256(salt + password + e-mail))`, or without a salt the digest alone
(security.md 3.4). Such a digest is guessed at billions a second, so what is stored here is the
slow hash of it: `$owsec$<salt>$<e-mail>` and then the PHC form, both in Base64.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final, NamedTuple

_PREFIX: Final = "$owsec$"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_SALT_BYTES: Final = 256


class OwsecHash(NamedTuple):
    """What owsec keeps of a password."""

    salt: str
    digest: str
    """Lower-case hexadecimal."""


class Wrapped(NamedTuple):
    """A stored hash of ours with owsec's inside."""

    salt: str
    email: str
    slow: str
    """PHC form; of the digest, not of the password."""

    def digest_of(self, password: bytes) -> bytes:
        """Return what the slow hash is of, if the password is the right one."""
        salted = self.salt.encode() + password + self.email.encode()
        return hashlib.sha256(salted).hexdigest().encode()


def parse(stored: str) -> OwsecHash | None:
    """Return a hash out of owsec's database; None if it is none."""
    salt, _, digest = stored.rpartition("|")
    digest = digest.strip().lower()
    if not _DIGEST.match(digest) or len(salt.encode()) > _SALT_BYTES:
        return None
    return OwsecHash(salt, digest)


def wrap(salt: str, email: str, slow: str) -> str:
    """Return the stored form; `slow` is the PHC form of the slow hash of the digest."""
    return f"{_PREFIX}{_encode(salt)}${_encode(email.lower())}{slow}"


def unwrap(stored: str) -> Wrapped | None:
    """Return the parts of a stored form; None for a hash that never was owsec's."""
    if not stored.startswith(_PREFIX):
        return None
    salt, _, rest = stored.removeprefix(_PREFIX).partition("$")
    email, _, slow = rest.partition("$")
    try:
        return Wrapped(_decode(salt), _decode(email), f"${slow}")
    except ValueError:
        return None


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text, altchars=b"-_", validate=True).decode()
