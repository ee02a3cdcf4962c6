"""What an API key may do: the `rights` of security.md 4, which the reference stores and ignores.

Rights name services and how far a key reaches in each. Without any it reaches as far as its owner;
it never reaches further.
"""

from __future__ import annotations

from typing import Final

import msgspec

_LEVELS: Final = {
    "none": 0,
    "read": 1,
    "write": 2, "modify": 2, "create": 2,
    "full": 3, "delete": 3, "all": 3,
}  # fmt: skip
ACCESS: Final = tuple(_LEVELS)
"""`read`: GET. `write`, `modify`, `create`: POST and PUT too. `full`, `delete`, `all`: anything."""
ANY: Final = ("*", "all")
"""Names that stand for every service that is not named itself."""
MAX_ACLS: Final = 50

_NEEDED: Final = {"GET": 1, "HEAD": 1, "POST": 2, "PUT": 2, "PATCH": 2, "DELETE": 3}
_UNREADABLE: Final = {"": 0}


class Acl(msgspec.Struct):
    """How far a key reaches in one service."""

    service: str = "*"
    access: str = "none"


class Rights(msgspec.Struct):
    """Rights of a key; an empty list: all of its owner's."""

    acls: list[Acl] = msgspec.field(default_factory=list)


def fault_of(rights: Rights) -> str:
    """Return what is wrong with rights that a client sent; empty: nothing."""
    if len(rights.acls) > MAX_ACLS:
        return f"rights: {MAX_ACLS} entries at most"
    for acl in rights.acls:
        if acl.access.lower() not in _LEVELS:
            return f"rights: access is one of {', '.join(_LEVELS)}"
        if not 0 < len(acl.service) <= 64:
            return "rights: service has 1 to 64 characters"
    return ""


def levels_of(stored: str) -> dict[str, int]:
    """Return the levels by service of stored rights; empty: all of the owner's."""
    try:
        rights = msgspec.json.decode(stored or "{}", type=Rights)
    except msgspec.DecodeError:
        return _UNREADABLE
    found: dict[str, int] = {}
    for acl in rights.acls:
        name = "*" if acl.service.lower() in ANY else acl.service.lower()
        found[name] = _LEVELS.get(acl.access.lower(), 0)
    return found


def allows(levels: dict[str, int], service: str, method: str) -> bool:
    """Tell whether a key with these levels may call `service` with this HTTP method."""
    if not levels:
        return True
    return levels.get(service, levels.get("*", 0)) >= _NEEDED.get(method, 3)
