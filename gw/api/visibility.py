"""Whether the caller of the request at hand sees secrets inside configurations.

Set once where a caller is recognised, and looked at where documents are made: every document with
a configuration in it goes the same way, and none is forgotten.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

import msgspec

from gw.security.configuration_secrets import MASK, masked
from gw.security.roles import may_see_secrets

_seen: ContextVar[bool] = ContextVar("seen", default=False)

_KEPT_WHOLE: Final = frozenset((b"", b"{}"))


def seen_by(role: str, *, internal: bool = False) -> None:
    """Say for whom documents are made from here on, in this request.

    A sister service (`internal`) has no role and needs the secrets.
    """
    _seen.set(internal or may_see_secrets(role))


def secrets_are_seen() -> bool:
    """Tell whether secrets may be shown; outside of a request they may not."""
    return _seen.get()


def configuration(text: bytes) -> msgspec.Raw:
    """Return a configuration as the caller may see it."""
    if text in _KEPT_WHOLE or secrets_are_seen():
        return msgspec.Raw(text)
    return msgspec.Raw(masked(text))


def secret(text: str) -> str:
    """Return a secret, or the mask in its place."""
    return text if not text or secrets_are_seen() else MASK
