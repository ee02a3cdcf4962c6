"""The UserInfo object of security.md 3.1."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gw.store.rows import UserRow

PREFERENCES: Final = "preferences"
"""Member of `UserRow.document` that holds the preferences of the UI; not a part of UserInfo."""


MFA_STEP: Final = "mfaStep"
"""Member of it that holds the step of the last code of the user's app; none of UserInfo either."""


_PROPRIETARY: Final[dict[str, Any]] = {
    "mobiles": [],
    "mfa": {"enabled": False, "method": ""},
    "authenticatorSecret": "",
}


class UserDocument(msgspec.Struct, rename="camel", kw_only=True):
    """A user, without anything that could be used to sign in."""

    id: str = ""
    name: str = ""
    description: str = ""
    avatar: str = ""
    email: str = ""
    validated: bool = True
    validation_email: str = ""
    validation_date: int = 0
    creation_date: int = 0
    validation_uri: str = msgspec.field(name="validationURI", default="")
    change_password: bool = False
    last_login: int = 0
    current_login_uri: str = msgspec.field(name="currentLoginURI", default="")
    last_password_change: int = 0
    last_email_check: int = 0
    waiting_for_email_check: bool = False
    locale: str = ""
    notes: list[dict[str, Any]] = msgspec.field(default_factory=list)
    location: str = ""
    owner: str = ""
    suspended: bool = False
    black_listed: bool = False
    user_role: str = ""
    user_type_proprietary_info: dict[str, Any] = msgspec.field(
        default_factory=lambda: dict(_PROPRIETARY)
    )
    security_policy: str = ""
    security_policy_change: int = 0
    current_password: str = ""
    last_passwords: list[str] = msgspec.field(default_factory=list)
    oauth_type: str = ""
    oauth_user_info: str = ""
    modified: int = 0
    signing_up: str = ""


_NAMES: Final = frozenset(UserDocument.__struct_encode_fields__)
_SCRUBBED: Final[dict[str, Any]] = {"currentPassword": "", "lastPasswords": [], "oauthType": ""}


def rest_of(row: UserRow) -> dict[str, Any]:
    """Return what `row.document` holds."""
    rest = msgspec.json.decode(row.document or "{}")
    return rest if isinstance(rest, dict) else {}


def proprietary(rest: dict[str, Any]) -> dict[str, Any]:
    """Return `userTypeProprietaryInfo` of what `row.document` holds."""
    found = rest.get("userTypeProprietaryInfo")
    return dict(found) if isinstance(found, dict) else {}


def without_mfa(rest: dict[str, Any]) -> dict[str, Any]:
    """Turn the second factor off, and forget its secret and phones: the default is off."""
    rest.pop("userTypeProprietaryInfo", None)
    return rest


def user_document(row: UserRow) -> dict[str, Any]:
    """Return the members of UserDocument as they are answered."""
    rest = rest_of(row)
    found: dict[str, Any] = msgspec.to_builtins(UserDocument())
    found |= {name: value for name, value in rest.items() if name in _NAMES}
    found |= {
        "id": row.id,
        "name": row.name or row.email,
        "email": row.email,
        "creationDate": row.created,
        "changePassword": row.change_password,
        "lastLogin": row.last_login,
        "waitingForEmailCheck": row.waiting_for_email_check,
        "suspended": row.suspended,
        "userRole": row.role,
        "modified": row.modified,
    }
    # The keys stay, the UI spreads the object; the secret is nobody's to read.
    found["userTypeProprietaryInfo"] = (
        _PROPRIETARY | proprietary(rest) | {"authenticatorSecret": ""}
    )
    return found | _SCRUBBED
