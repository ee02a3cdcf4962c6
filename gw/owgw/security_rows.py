"""Rows of owsec's database as rows of ours. No I/O here; hashing is left to the caller."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gw.owgw.cells import RowError, flag, names_in, notes, number, text
from gw.owgw.source import Raw
from gw.security import scopes
from gw.security.owsec_passwords import OwsecHash, parse
from gw.security.roles import Role
from gw.security.tokens import token_hash
from gw.store import rows

_EMAIL: Final = re.compile(r"[^\s@]{1,128}@[^\s@]{1,190}\Z")
_SECRET: Final = re.compile(r"[A-Z2-7]{16,128}=*\Z")
_HINT: Final = 8


class User(msgspec.Struct):
    """A user or subscriber, without hash and sealed secret: those are made by the caller."""

    row: rows.UserRow
    document: dict[str, Any]
    password: OwsecHash | None
    """None: there is none that could be used."""
    old: list[OwsecHash]
    """Earlier passwords, newest last."""
    authenticator: str
    """Secret of the user's app; empty: none."""
    remarks: list[str]
    """What is different from what it was."""


def user(row: Raw) -> User:
    """Return a user. Raises RowError."""
    email = text(row, "email").strip().lower()
    if not _EMAIL.match(email):
        raise RowError("email: is none")
    id = text(row, "id").strip()
    if not 0 < len(id) <= 64:
        raise RowError("id: has 1 to 64 characters")
    role = text(row, "userrole").strip().lower()
    if role not in set(Role):
        raise RowError(f"userrole: {role[:40]!r} is none of {', '.join(Role)}")
    remarks = []
    password = parse(text(row, "currentpassword"))
    if password is None:
        remarks.append("no usable password: give a new one by `gw user reset-password --email`")
    barred = flag(row, "blacklisted")
    if barred and not flag(row, "suspended"):
        remarks.append("is blacklisted there, so suspended here")
    old = [found for one in names_in(row, "lastpasswords") if (found := parse(one))]
    info, authenticator = _second_factor(row, remarks)
    document = {
        "description": text(row, "description"),
        "validated": flag(row, "validated"),
        "validationEmail": text(row, "validationemail"),
        "validationDate": number(row, "validationdate"),
        "lastPasswordChange": number(row, "lastpasswordchange"),
        "lastEmailCheck": number(row, "lastemailcheck"),
        "locale": text(row, "locale"),
        "notes": notes(row),
        "location": text(row, "location"),
        "owner": text(row, "owner", "entity"),
        "userTypeProprietaryInfo": info,
    }
    created = number(row, "creationdate")
    made = rows.UserRow(
        id=id,
        email=email,
        name=text(row, "name"),
        role=role,
        change_password=flag(row, "changepassword") or password is None,
        suspended=flag(row, "suspended") or barred,
        waiting_for_email_check=flag(row, "waitingforemailcheck"),
        created=created,
        modified=number(row, "modified") or created,
        last_login=number(row, "lastlogin"),
    )
    return User(made, document, password, old, authenticator, remarks)


def _second_factor(row: Raw, remarks: list[str]) -> tuple[dict[str, Any], str]:
    try:
        info = msgspec.json.decode(
            text(row, "usertypeproprietaryinfo") or "{}", type=dict[str, Any]
        )
    except msgspec.MsgspecError:
        raise RowError("usertypeproprietaryinfo: is no JSON object") from None
    mfa = info.get("mfa") if isinstance(info.get("mfa"), dict) else {}
    mobiles = [one for one in info.get("mobiles") or [] if isinstance(one, dict)]
    secret = str(info.get("authenticatorSecret") or "").strip().upper()
    enabled, method = bool(mfa and mfa.get("enabled")), str((mfa or {}).get("method", ""))
    usable = method in ("email", "sms") or (method == "authenticator" and _SECRET.match(secret))
    if enabled and not usable:
        remarks.append(f"second factor {method[:20]!r} cannot be used here: it is off")
        enabled = False
    kept = {"enabled": enabled, "method": method if enabled else ""}
    wanted = secret if enabled and method == "authenticator" else ""
    return {"mobiles": mobiles, "mfa": kept, "authenticatorSecret": ""}, wanted


def api_key(row: Raw, now: int) -> rows.ApiKeyRow:
    """Return an API key: the key itself stays valid. Raises RowError."""
    key = text(row, "apikey").strip()
    if not 16 <= len(key) <= 256:
        raise RowError("apikey: has 16 to 256 characters")
    expires = number(row, "expireson")
    if expires <= now:
        raise RowError("expireson: is over")
    try:
        raw = text(row, "rights") or "[]"
        rights = scopes.Rights(msgspec.json.decode(raw, type=list[scopes.Acl]))
    except msgspec.MsgspecError:
        raise RowError("rights: is no JSON array of {service, access}") from None
    if fault := scopes.fault_of(rights):
        # It was never looked at there: more than it says must not become of it here.
        raise RowError(f"{fault}; make a new key")
    return rows.ApiKeyRow(
        id=text(row, "id"),
        user_id=text(row, "useruuid"),
        name=text(row, "name").lower(),
        description=text(row, "description"),
        key_hash=token_hash(key),
        hint=key[:_HINT],
        rights=msgspec.json.encode(rights).decode(),
        created=number(row, "created"),
        expires_on=expires,
        last_use=number(row, "lastuse"),
    )
