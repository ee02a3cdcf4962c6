"""The roles of users, and which operations are not for all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Role of a user; the spelling is what clients see."""

    ROOT = "root"
    ADMIN = "admin"
    SUBSCRIBER = "subscriber"
    PARTNER = "partner"
    CSR = "csr"
    SYSTEM = "system"
    INSTALLER = "installer"
    NOC = "noc"
    ACCOUNTING = "accounting"


class Operation(StrEnum):
    """What only some roles may do. Everything else needs no more than a valid token."""

    DELETE_DEVICE = "delete_device"
    DELETE_DEVICES = "delete_devices"
    ADMINISTRATIVE_COMMAND = "administrative_command"


_ADMINISTRATORS: Final = frozenset({Role.ROOT, Role.ADMIN})

PERMISSIONS: Final[dict[Operation, frozenset[Role]]] = {
    Operation.DELETE_DEVICE: _ADMINISTRATORS,
    Operation.DELETE_DEVICES: _ADMINISTRATORS,
    Operation.ADMINISTRATIVE_COMMAND: _ADMINISTRATORS,
}
"""northbound.md 4.1 and 4.2. Management of users joins when it has endpoints."""


def may(role: str, operation: Operation) -> bool:
    """Tell whether a user of `role` may do `operation`; an unknown role may nothing."""
    return role in PERMISSIONS[operation]
