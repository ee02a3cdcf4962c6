"""Secrets in configurations and answers: which they are, and the view for who need not see them.

Members of the uCentral schema that hold a pre-shared key, a RADIUS secret or a password, and
those of commands with certificates and their keys.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode

MASK: Final = "********"
"""What stands in the place of a secret; a configuration with it is refused."""

_EXACT: Final = frozenset(
    ("key", "psk", "password", "passphrase", "secret", "private-key", "private-key-password",
     "system-password", "sae-password", "eap-password", "shared-secret", "token",
     "certificates", "config-raw", "hostapd-bss-raw", "hostapd-iface-raw")
)  # fmt: skip
"""`certificates`: of `certupdate`, an archive with a key; in a configuration it is an object, whose
members are looked at. `*-raw`: settings of the device in its own words, passwords among them."""
_LIKE: Final = re.compile(
    r"(?:^|[-_])(?:secret|password|passphrase|psk|private[-_]?key|pre[-_]?shared[-_]?key)$"
)
_PUBLIC: Final = frozenset(("public-key",))
_VALUES: Final = frozenset(("substitution", "value"))
_OWN: Final = frozenset(("serial",))
"""What of a script's answer is not the script's."""


def is_secret(name: str) -> bool:
    """Tell whether a member of this name holds a secret."""
    lowered = name.lower()
    return lowered not in _PUBLIC and (lowered in _EXACT or bool(_LIKE.search(lowered)))


def masked(document: bytes) -> bytes:
    """Return a configuration with its secrets hidden; numbers keep their value.

    What cannot be read is hidden whole.
    """
    try:
        # Exact: a float would change what the operator wrote.
        found = json.loads(document, parse_float=Decimal, parse_int=Decimal)
        return _encode(_masked(found))
    except (ValueError, RecursionError):
        return b"{}"


def masked_answer(document: bytes, *, free: bool = False) -> bytes:
    """Return what a device answered with its secrets hidden; what cannot be read is hidden whole.

    What stands in the place of a refused secret is one as well. `free`: a script's answer, whose
    output is hidden whole.
    """
    try:
        shown = _masked(json.loads(document, parse_float=Decimal, parse_int=Decimal))
        status = shown.get("status") if isinstance(shown, dict) else None
        if isinstance(status, dict) and "rejected" in status:
            status["rejected"] = _rejected(status["rejected"])
        return _encode(_without_output(shown) if free else shown)
    except (ValueError, RecursionError):
        return b"{}"


def masked_rejections(document: bytes) -> bytes:
    """Return a device's list of what it refused, with its secrets hidden."""
    try:
        found = json.loads(document, parse_float=Decimal, parse_int=Decimal)
        return _encode(_rejected(_masked(found)))
    except (ValueError, RecursionError):
        return b"[]"


def _rejected(one: Any) -> Any:
    """Hide the values of refused settings whose names say that they are secret."""
    if isinstance(one, list):
        return [_rejected(item) for item in one]
    if not isinstance(one, dict) or not isinstance(one.get("parameter"), str):
        return one
    if not is_secret(re.split(r"[./\\]", one["parameter"].rstrip("./"))[-1]):
        return one
    return {name: _hidden(given) if name in _VALUES else given for name, given in one.items()}


def _without_output(shown: Any) -> Any:
    """Hide what a script printed: every text of the answer but the device's own numbers."""
    if isinstance(shown, dict):
        return {
            name: given if name in _OWN else _without_output(given) for name, given in shown.items()
        }
    if isinstance(shown, list):
        return [_without_output(one) for one in shown]
    return _hidden(shown)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _hidden(one) if is_secret(name) else _masked(one) for name, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return value


def _hidden(value: Any) -> Any:
    """Hide texts, also those in lists; objects are looked into as elsewhere."""
    if isinstance(value, str):
        return MASK if value else value
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    return _masked(value)
