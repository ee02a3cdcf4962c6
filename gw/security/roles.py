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
    FREE_SCRIPT = "free_script"
    EDIT_SCRIPTS = "edit_scripts"
    READ_AUDIT = "read_audit"
    RADIUS_POOLS = "radius_pools"
    READ_SETTINGS = "read_settings"
    RUN_SYSTEM = "run_system"
    SEND_MAIL = "send_mail"
    SEND_SMS = "send_sms"
    READ_SECRETS = "read_secrets"
    EDIT_SECRETS = "edit_secrets"
    TAIL_DEVICE = "tail_device"
    READ_LOG = "read_log"


_ADMINISTRATORS: Final = frozenset({Role.ROOT, Role.ADMIN})

PERMISSIONS: Final[dict[Operation, frozenset[Role]]] = {
    Operation.DELETE_DEVICE: _ADMINISTRATORS,
    Operation.DELETE_DEVICES: _ADMINISTRATORS,
    Operation.ADMINISTRATIVE_COMMAND: _ADMINISTRATORS,
    Operation.FREE_SCRIPT: frozenset({Role.ROOT}),
    Operation.EDIT_SCRIPTS: frozenset({Role.ROOT}),
    Operation.READ_AUDIT: _ADMINISTRATORS,
    Operation.RADIUS_POOLS: _ADMINISTRATORS,
    Operation.READ_SETTINGS: _ADMINISTRATORS,
    Operation.RUN_SYSTEM: _ADMINISTRATORS | {Role.PARTNER, Role.SYSTEM},
    Operation.SEND_MAIL: _ADMINISTRATORS | {Role.PARTNER},
    Operation.SEND_SMS: _ADMINISTRATORS | {Role.PARTNER},
    Operation.READ_SECRETS: frozenset({Role.ROOT}),
    Operation.EDIT_SECRETS: frozenset({Role.ROOT}),
    Operation.TAIL_DEVICE: _ADMINISTRATORS,
    Operation.READ_LOG: _ADMINISTRATORS,
}
"""northbound.md 3.1, 3.2, 4.1 and 4.2; who may manage users is below."""

_ALL: Final = frozenset(Role)
_BELOW_ROOT: Final = _ALL - {Role.ROOT}
_BELOW_PARTNER: Final = _BELOW_ROOT - {Role.PARTNER}
_NOBODY: Final[frozenset[Role]] = frozenset()

_MAKES: Final[dict[Role, frozenset[Role]]] = {
    Role.ROOT: _ALL,
    Role.PARTNER: _BELOW_ROOT,
    Role.ADMIN: _BELOW_PARTNER,
    Role.SYSTEM: _BELOW_PARTNER,
    Role.CSR: frozenset({Role.CSR}),
    Role.INSTALLER: frozenset({Role.INSTALLER}),
    Role.NOC: frozenset({Role.NOC}),
    Role.ACCOUNTING: frozenset({Role.ACCOUNTING}),
    Role.SUBSCRIBER: _NOBODY,
}
"""Whom a role may create and modify (security.md 3.3)."""

_DELETES: Final = _MAKES | {Role.CSR: _NOBODY, Role.INSTALLER: _NOBODY}
"""Whom a role may delete, oneself apart."""


def may(role: str, operation: Operation) -> bool:
    """Tell whether a user of `role` may do `operation`; an unknown role may nothing."""
    return role in PERMISSIONS[operation]


_SEE_SECRETS: Final = _ADMINISTRATORS | {Role.PARTNER, Role.SYSTEM, Role.INSTALLER}


def may_see_secrets(role: str) -> bool:
    """Tell whether a user of `role` sees keys and passwords inside configurations.

    An unknown role, or none, does not: an external security service may send either.
    """
    return role in _SEE_SECRETS


def may_run_script(role: str, restricted: list[str]) -> bool:
    """Tell whether a user of `role` may run a stored script that is for these roles only.

    An empty list means root only (northbound.md 3.2).
    """
    return role == Role.ROOT or role in restricted


def may_read_users(role: str) -> bool:
    """Tell whether a user of `role` may read users, also oneself."""
    return role in (Role.ROOT, Role.ADMIN, Role.PARTNER)


def may_make(role: str, other: str) -> bool:
    """Tell whether a user of `role` may create and modify users of the role `other`.

    To give a user another role, both roles must be allowed: nobody lifts a user above what
    they could have created.
    """
    return role in _MAKES and other in _MAKES[Role(role)]


def may_modify(role: str, other: str, *, oneself: bool) -> bool:
    """Tell whether a user of `role` may modify a user of the role `other`."""
    return may_make(role, other) or (oneself and role == Role.SUBSCRIBER)


def may_delete(role: str, other: str, *, oneself: bool) -> bool:
    """Tell whether a user of `role` may delete a user of the role `other`."""
    if oneself:
        return role in _MAKES and role != Role.ROOT
    return role in _DELETES and other in _DELETES[Role(role)]
