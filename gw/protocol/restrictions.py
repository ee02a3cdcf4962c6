"""What a restricted device may not be asked to do (southbound.md 6.8).

Pure: a device says at `connect` how it is restricted; `forbids` tells which commands that rules
out, or which need a signature of its vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

RESTRICTED: Final = 1151
"""Numbered error: the device is restricted by regulation."""
SIGNATURE_NEEDED: Final = 1146
"""Numbered error: a signature is needed, and none was given."""

_MAX_COUNTRIES: Final = 300
_MAX_TEXT: Final = 128


class KeyInfo(msgspec.Struct, frozen=True):
    """Whose key signs for the device, and how."""

    vendor: str = ""
    algo: str = ""


class Restrictions(msgspec.Struct, frozen=True):
    """Restrictions of a device; the names are those of `restrictionDetails` (northbound.md 2.7)."""

    dfs: bool = False
    ssh: bool = False
    rtty: bool = False
    tty: bool = False
    developer: bool = False
    """A developer's device: the others do not count."""
    upgrade: bool = False
    """Firmware needs a signature."""
    commands: bool = False
    country: tuple[str, ...] = ()
    key_info: KeyInfo = KeyInfo()

    def document(self) -> str:
        """Return the JSON text of `restrictionDetails`."""
        return msgspec.json.encode(self).decode()


class Forbidden(NamedTuple):
    """Why a command is not sent."""

    number: int
    """Numbered error (northbound.md): RESTRICTED or SIGNATURE_NEEDED."""
    text: str


_FLAGS: Final = ("dfs", "ssh", "rtty", "tty", "developer", "upgrade", "commands")


def announced(
    restrictions: bytes | msgspec.Raw | msgspec.UnsetType, developer: bool | None
) -> Restrictions | None:
    """Return what `capabilities.restrictions` of a `connect` says; None: not restricted.

    `developer` is `capabilities.developer`, which overrides the member of that name. A flag is set
    only by true or "true"; access points write `sysupgrade` for `upgrade`. Members of a wrong type
    count as absent.
    """
    if isinstance(restrictions, msgspec.UnsetType):
        return None
    try:
        members = msgspec.json.decode(restrictions)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(members, dict):
        return None
    flags = {name: _is_true(members.get(name)) for name in _FLAGS}
    flags["upgrade"] = flags["upgrade"] or _is_true(members.get("sysupgrade"))
    if developer is not None:
        flags["developer"] = developer
    countries = members.get("country")
    key_info = members.get("key_info")
    return Restrictions(
        **flags,
        country=tuple(
            one[:_MAX_TEXT]
            for one in (countries if isinstance(countries, list) else [])[:_MAX_COUNTRIES]
            if isinstance(one, str)
        ),
        key_info=KeyInfo(_text(key_info, "vendor"), _text(key_info, "algo")),
    )


def stored(document: str) -> Restrictions | None:
    """Return the restrictions that a device row holds; None: not restricted."""
    return None if document in ("", "{}") else announced(document.encode(), None)


def forbids(
    command: str,
    params: Mapping[str, Any],
    details: Restrictions | None,
    developer: bool | None = None,
) -> Forbidden | None:
    """Tell why a restricted device may not be sent a command; None: it may.

    `command` is its name in REST paths, `params` are those of the JSON-RPC request, `details` the
    device's restrictions. `developer` overrides the flag of the details. For SIGNATURE_NEEDED the
    caller may have the vendor's key sign (gw.security.signatures), put `signature` into the params
    and ask again (southbound.md 3.7, 3.11, 3.13, 3.17).
    """
    if details is None or (details.developer if developer is None else developer):
        return None
    signed = bool(params.get("signature"))
    match command:
        case "wifiscan" if details.dfs and params.get("override_dfs"):
            return Forbidden(RESTRICTED, "dfs: the scan may not override it")
        case "rtty" if details.rtty:
            return Forbidden(RESTRICTED, "rtty: no remote terminal")
        case "upgrade" if details.upgrade and not signed:
            return Forbidden(SIGNATURE_NEEDED, "upgrade: the firmware must be signed")
        case "script" if not signed:
            return Forbidden(SIGNATURE_NEEDED, "commands: scripts must be signed")
    return None


def _is_true(value: Any) -> bool:
    return value is True or value == "true"


def _text(members: Any, name: str) -> str:
    value = members.get(name) if isinstance(members, dict) else None
    return value[:_MAX_TEXT] if isinstance(value, str) else ""
