"""POST, PUT and DELETE of /user/{id} (security.md 3.2 to 3.4)."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any, Final

import msgspec
from litestar import delete, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller, bearer
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty, success
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.action_links import Action, ActionLinks
from gw.api.owsec.history import old_passwords, with_present
from gw.api.owsec.mfa import Mfa, number_of
from gw.api.owsec.sms import Phones
from gw.api.owsec.sms_sender import phone_number
from gw.api.owsec.user_document import (
    UserDocument,
    proprietary,
    rest_of,
    user_document,
    without_mfa,
)
from gw.core.errors import ApiError
from gw.security import roles
from gw.security.passwords import Passwords
from gw.security.roles import Role
from gw.security.tokens import token_hash
from gw.store.rows import UserRow

_TAG = "Users"
EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,250}\Z")
_NEW: Final = "0"
_DETAILS: Final = (
    "What the caller's role may not do with a user of that role is 403, `ErrorCode` 7."
)


class UserNote(msgspec.Struct):
    """A remark; author and date are set by the gateway."""

    note: str


class MfaSetting(msgspec.Struct):
    """Multi-factor sign-in."""

    enabled: bool = False
    method: str = ""


class MobileNumber(msgspec.Struct):
    """A phone number of a user."""

    number: str = ""


class ProprietaryInfo(msgspec.Struct):
    """What can be set of `userTypeProprietaryInfo`."""

    mfa: MfaSetting = msgspec.field(default_factory=MfaSetting)
    mobiles: list[MobileNumber] = msgspec.field(default_factory=list)
    """The first one is for the method `sms`, and was proven by /sms; absent: as it was."""


class UserChange(msgspec.Struct, rename="camel", kw_only=True):
    """What can be set of a user; absent members stay. Notes are appended."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    location: str | msgspec.UnsetType = msgspec.UNSET
    locale: str | msgspec.UnsetType = msgspec.UNSET
    owner: str | msgspec.UnsetType = msgspec.UNSET
    change_password: bool | msgspec.UnsetType = msgspec.UNSET
    """The next sign-in must bring a new password."""
    suspended: bool | msgspec.UnsetType = msgspec.UNSET
    black_listed: bool | msgspec.UnsetType = msgspec.UNSET
    user_role: str | msgspec.UnsetType = msgspec.UNSET
    current_password: str = ""
    """A new password, in clear."""
    notes: list[UserNote] = msgspec.field(default_factory=list)
    user_type_proprietary_info: ProprietaryInfo | msgspec.UnsetType = msgspec.UNSET


class NewUser(UserChange, kw_only=True):
    """A user to be created."""

    email: str = ""


class CreateUserQuery(query.Query):
    """Parameters of POST."""

    email_verification: bool = msgspec.field(name="email_verification", default=False)
    entity: str = ""
    """Owner of the user; root only."""


class ChangeUserQuery(query.Query):
    """Parameters of PUT."""

    email_verification: bool = msgspec.field(name="email_verification", default=False)
    forgot_password: bool = False
    reset_mfa: bool = msgspec.field(name="resetMFA", default=False)
    """Turn multi-factor sign-in off; the body is not looked at."""


@post(
    "/user/{id:str}",
    **documented(
        "Create a user (id 0)",
        tag=_TAG,
        answer=UserDocument,
        query=CreateUserQuery,
        body=NewUser,
        details=_DETAILS,
    ),
)
async def create_user(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    passwords: NamedDependency[Passwords],
    links: NamedDependency[ActionLinks],
    mfa: NamedDependency[Mfa],
    id: FromPath[str],
) -> Answer:
    """Create a user, who may sign in at once, or by invitation once the address is verified."""
    if id != _NEW:
        raise ApiError(1038)
    asked = query.read(request.scope, CreateUserQuery)
    new = await body.read(request, NewUser)
    role = _role(new.user_role)
    if not roles.may_make(caller.role, role):
        raise ApiError(7)
    email = new.email.strip().lower()
    if not EMAIL.match(email):
        raise ApiError(1040)
    if not passwords.is_acceptable(new.current_password):
        raise ApiError(1047)
    if asked.email_verification and not links.enabled:
        raise ApiError(1085)
    given = new.user_type_proprietary_info
    if not isinstance(given, msgspec.UnsetType) and given.mfa.enabled:
        mfa.check(given.mfa.method)
        raise ApiError(1045, "the second factor is set by PUT")
    now = int(time.time())
    row = UserRow(id=str(uuid.uuid4()), email=email, name=email, role=role, created=now)
    rest: dict[str, Any] = {"validated": True, "validationDate": now, "lastPasswordChange": now}
    if asked.email_verification:
        row.waiting_for_email_check = True
        rest |= {"validated": False, "validationDate": 0, "validationEmail": email}
    if asked.entity and caller.role == Role.ROOT:
        rest["owner"] = asked.entity
    _apply(row, rest, new, caller)
    row.password = await passwords.hash(new.current_password)
    row.modified = now
    row.document = msgspec.json.encode(rest).decode()
    # Of two at a time with one address, the second must find the first.
    async with accounts.exclusive(email):
        if await context.reader.user_by_email(email) is not None:
            raise ApiError(1061)
        await context.coordinator.request("user.put", {"row": msgspec.to_builtins(row)})
    if asked.email_verification:
        await links.mail(row, Action.EMAIL_VERIFICATION)
    return document(user_document(row))


@put(
    "/user/{id:str}",
    **documented(
        "Change a user",
        tag=_TAG,
        answer=UserDocument,
        query=ChangeUserQuery,
        body=UserChange,
        details=_DETAILS + " A new password, or `suspended`, ends the sessions of the user.",
    ),
)
async def change_user(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    passwords: NamedDependency[Passwords],
    links: NamedDependency[ActionLinks],
    mfa: NamedDependency[Mfa],
    phones: NamedDependency[Phones],
    id: FromPath[str],
) -> Answer:
    """Change the members that the body has, and answer the user as it is now."""
    asked = query.read(request.scope, ChangeUserQuery)
    oneself = id == caller.id
    user = await context.reader.user(id)
    if user is None:
        raise ApiError(404)
    if not roles.may_modify(caller.role, user.role, oneself=oneself):
        raise ApiError(7)
    if asked.forgot_password:
        await links.mail(user, Action.PASSWORD_RESET)
        return success(request.method)
    if asked.email_verification:
        return await _verify_again(accounts, links, id)
    if asked.reset_mfa:
        return await _reset_mfa(caller, accounts, id)
    change = await body.read(request, UserChange)
    _check_role(caller, user, change.user_role, oneself=oneself)
    new_hash = ""
    if change.current_password:
        new_hash = await _new_hash(passwords, user, change.current_password)
    verified = user.password
    async with accounts.change(id) as row:
        if new_hash and row.password != verified:
            raise ApiError(1012, "the user was changed by another request meanwhile")
        rest = rest_of(row)
        _apply(row, rest, change, caller)
        if not isinstance(change.user_type_proprietary_info, msgspec.UnsetType):
            _set_mfa(caller, row, rest, change.user_type_proprietary_info, mfa, phones)
        if new_hash:
            row.old_passwords = with_present(row, context.settings.security)
            row.password = new_hash
            rest["lastPasswordChange"] = int(time.time())
        row.document = msgspec.json.encode(rest).decode()
    if new_hash or row.suspended:
        own = bearer(request) if oneself and not row.suspended else ""
        await accounts.close_sessions(id, but=token_hash(own) if own else "")
    return document(user_document(row))


@delete("/user/{id:str}", **documented("Delete a user", tag=_TAG, details=_DETAILS))
async def delete_user(
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    id: FromPath[str],
) -> Answer:
    """Delete a user with the sessions of the user."""
    async with accounts.exclusive(id):
        user = await context.reader.user(id)
        if user is None:
            raise ApiError(404)
        if not roles.may_delete(caller.role, user.role, oneself=id == caller.id):
            raise ApiError(7)
        await accounts.delete(id)
    return empty()


def _may_set_mfa(caller: Caller, row: UserRow) -> None:
    """Raise ApiError 7 unless it is oneself, root, or an admin with a user that is not root."""
    allowed = caller.role == Role.ROOT or (caller.role == Role.ADMIN and row.role != Role.ROOT)
    if not allowed and caller.id != row.id:
        raise ApiError(7)


async def _reset_mfa(caller: Caller, accounts: Accounts, id: str) -> Answer:
    async with accounts.change(id) as row:
        _may_set_mfa(caller, row)
        row.document = msgspec.json.encode(without_mfa(rest_of(row))).decode()
    return document(user_document(row))


def _role(given: str | msgspec.UnsetType) -> str:
    """Return a role. Raises ApiError 1039 for what is none."""
    try:
        return Role("" if isinstance(given, msgspec.UnsetType) else given).value
    except ValueError:
        raise ApiError(1039) from None


def _check_role(
    caller: Caller, user: UserRow, given: str | msgspec.UnsetType, *, oneself: bool
) -> None:
    """Raise ApiError 7 for a change of role that is not the caller's to make."""
    if isinstance(given, msgspec.UnsetType) or given == user.role:
        return
    if oneself or not roles.may_make(caller.role, _role(given)):
        raise ApiError(7)


async def _new_hash(passwords: Passwords, user: UserRow, new: str) -> str:
    if not passwords.is_acceptable(new):
        raise ApiError(1047)
    if await passwords.was_used(new, old_passwords(user)) or await passwords.verify(
        user.password, new
    ):
        raise ApiError(1041)
    return await passwords.hash(new)


def _apply(row: UserRow, rest: dict[str, Any], change: UserChange, caller: Caller) -> None:
    """Put the members of a body into a row and its document."""
    unset = msgspec.UnsetType
    if not isinstance(change.name, unset) and change.name:
        row.name = change.name
    if not isinstance(change.change_password, unset):
        row.change_password = change.change_password
    if not isinstance(change.suspended, unset):
        row.suspended = change.suspended
    if not isinstance(change.user_role, unset):
        row.role = change.user_role
    if not isinstance(change.black_listed, unset):
        rest["blackListed"] = change.black_listed
    for name in ("description", "location", "locale"):
        value = getattr(change, name)
        if not isinstance(value, unset):
            rest[name] = value
    if not isinstance(change.owner, unset) and caller.role == Role.ROOT and not rest.get("owner"):
        rest["owner"] = change.owner
    if change.notes:
        now = int(time.time())
        notes = rest.get("notes")
        rest["notes"] = (notes if isinstance(notes, list) else []) + [
            {"created": now, "createdBy": caller.email, "note": one.note} for one in change.notes
        ]


def _set_mfa(
    caller: Caller,
    row: UserRow,
    rest: dict[str, Any],
    wanted: ProprietaryInfo,
    mfa: Mfa,
    phones: Phones,
) -> None:
    """Turn the second factor off or on. Raises ApiError for what cannot be used."""
    was = proprietary(rest).get("mfa", {"enabled": False})
    if not wanted.mfa.enabled and not was.get("enabled") and row.id != caller.id:
        return
    _may_set_mfa(caller, row)
    if not wanted.mfa.enabled:
        without_mfa(rest)
        return
    info = proprietary(rest)
    method = wanted.mfa.method
    mfa.check(method)
    if method == "authenticator" and not info.get("authenticatorSecret"):
        raise ApiError(1055)
    if method == "sms":
        number = _proven_number(row, wanted.mobiles, phones)
        info["mobiles"] = [{"number": number, "verified": True, "primary": True}]
    rest["userTypeProprietaryInfo"] = info | {"mfa": {"enabled": True, "method": method}}


def _proven_number(row: UserRow, mobiles: list[MobileNumber], phones: Phones) -> str:
    """Return the number for sign-in codes. Raises ApiError 1044 if it was not proven."""
    try:
        kept = number_of(row)
    except ApiError:
        kept = ""
    number = phone_number(mobiles[0].number) if mobiles else kept
    if not number or (number != kept and not phones.proven(row.id, number)):
        raise ApiError(1044)
    return number


async def _verify_again(accounts: Accounts, links: ActionLinks, id: str) -> Answer:
    """Let a user prove the address, before the next sign-in."""
    if not links.enabled:
        raise ApiError(1085)
    async with accounts.change(id) as row:
        row.waiting_for_email_check = True
        rest = rest_of(row) | {"validated": False, "validationEmail": row.email}
        row.document = msgspec.json.encode(rest).decode()
    await links.mail(row, Action.EMAIL_VERIFICATION)
    return success("PUT")
