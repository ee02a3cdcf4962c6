"""Whether the caller of the request at hand sees secrets inside configurations and answers.

Set once where a caller is recognised, and looked at where documents are made: every document with
a configuration in it goes the same way, and none is forgotten.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

import msgspec

from gw.security.configuration_secrets import MASK, masked, masked_answer, masked_rejections
from gw.security.roles import may_see_secrets

_seen: ContextVar[bool] = ContextVar("seen", default=False)
_email: ContextVar[str] = ContextVar("email", default="")

_KEPT_WHOLE: Final = frozenset((b"", b"{}"))


def seen_by(role: str, *, email: str = "", internal: bool = False) -> None:
    """Say for whom documents are made from here on, in this request.

    A sister service (`internal`) has no role and needs the secrets.
    """
    _seen.set(internal or may_see_secrets(role))
    _email.set(email)


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


def free_text_is_seen(by: str) -> bool:
    """Tell whether the caller sees what a script printed, or what it uploaded.

    Nobody can tell which of its words are secret. Whoever sent it (`by`) had its answer already.
    """
    return secrets_are_seen() or (bool(by) and by == _email.get())


def answer(text: str, *, by: str, free: bool) -> msgspec.Raw:
    """Return what a device answered to a command of `by` as the caller may see it.

    `free`: the command ran a script.
    """
    if not text or text == "{}":
        return msgspec.Raw(b"{}")
    if secrets_are_seen():
        return msgspec.Raw(text.encode())
    return msgspec.Raw(masked_answer(text.encode(), free=free and not free_text_is_seen(by)))


def rejections(text: str) -> msgspec.Raw:
    """Return what a device refused of a configuration as the caller may see it."""
    if secrets_are_seen() or text in ("", "[]"):
        return msgspec.Raw(text.encode() or b"[]")
    return msgspec.Raw(masked_rejections(text.encode()))
