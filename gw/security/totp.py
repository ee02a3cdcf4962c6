"""Codes of an authenticator app: TOTP of RFC 6238 with SHA-1, 6 digits, 30 s (security.md 2.2)."""

from __future__ import annotations

import hmac
from typing import Final

import pyotp

STEP_SECONDS: Final = 30
_DRIFT: Final = 1
"""Steps that a clock may be off, either way (RFC 6238, 5.2)."""


def new_secret() -> str:
    """Return 160 random bits in base 32."""
    return pyotp.random_base32()


def uri(secret: str, account: str, issuer: str) -> str:
    """Return what the QR image for an app says."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def step_of(secret: str, code: str, now: float, *, after: int = 0) -> int:
    """Return the step that a code is of; 0 if it is none.

    Only steps later than `after` count: a code is good once (RFC 6238, 5.2).
    """
    present = int(now) // STEP_SECONDS
    totp = pyotp.TOTP(secret)
    found = 0
    for step in range(max(0, present - _DRIFT), present + _DRIFT + 1):
        # All are compared, so that the time tells nothing.
        same = hmac.compare_digest(totp.at(step * STEP_SECONDS).encode(), code.strip().encode())
        if same and step > after:
            found = step
    return found


def secret_purpose(user_id: str) -> str:
    """Return what the secret of a user's app is sealed for."""
    return f"authenticator secret of {user_id}"
