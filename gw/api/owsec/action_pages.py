"""/actionLink: the pages behind mailed links (security.md 6). Every outcome is a page with 200.

A link that verifies an address asks for one press of a button: programs that look through mails
for bad links open them, and would use it up.
"""

from __future__ import annotations

import asyncio
import html
import time
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import structlog
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from gw.api import author, query
from gw.api.body import READ_SECONDS
from gw.api.context import Context
from gw.api.docs import static
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.action_links import Action, ActionLinks
from gw.api.owsec.history import old_passwords, with_present
from gw.api.owsec.policies import describe_password
from gw.api.owsec.throttle import Throttle
from gw.api.owsec.user_document import rest_of
from gw.core.errors import ApiError
from gw.security.passwords import Passwords
from gw.store.rows import UserRow

_log = structlog.get_logger("gw.api.actions")

MAX_FORM: Final = 16_384
_SUBSCRIBERS: Final = "sub_"
"""Begins the actions of links that were mailed to subscribers."""
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {"content-security-policy": _POLICY, "cache-control": "no-store"}
_TAG = "Mailed links"
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="robots" content="noindex">
  <title>{title}</title>
  <link rel="icon" href="/favicon.ico" type="image/svg+xml">
  <link rel="stylesheet" href="/wwwassets/account.css">
</head>
<body>
  <main>
    <h1>{title}</h1>
{body}
  </main>
</body>
</html>
"""
_GONE: Final = (
    '    <p class="bad" role="alert">This link does not work, or not any more.</p>\n'
    "    <p>Links work once, for 24 hours, and a newer one replaces an older one. "
    "Ask for another.</p>"
)

account_css = static("/wwwassets/account.css", "account.css", "text/css")


class LinkQuery(query.Query):
    """Parameters of a mailed link."""

    action: str = ""
    id: str = ""


@get(
    "/actionLink",
    **documented(
        "Read the page of a mailed link",
        tag=_TAG,
        query=LinkQuery,
        public=True,
        media="text/html",
        details="Also for a link that does not work. Reading it changes nothing.",
    ),
)
async def read_action_link(
    request: AnyRequest,
    context: NamedDependency[Context],
    links: NamedDependency[ActionLinks],
    throttle: NamedDependency[Throttle],
    subscriber_world: NamedDependency[dict[str, Any]],
) -> Answer:
    """Answer the page of a link; nothing is changed."""
    throttle.check(request.client.host if request.client else "")
    asked = query.read(request.scope, LinkQuery)
    if asked.action.startswith(_SUBSCRIBERS):
        links = subscriber_world["links"]
    user = await links.find(asked.action, asked.id)
    if user is None:
        return _page("Unknown link", _GONE)
    if asked.action.removeprefix(_SUBSCRIBERS) == Action.PASSWORD_RESET:
        return _form(context, user, asked.action, asked.id)
    return _page(
        "Confirm your address",
        f"    <p>Confirm that <strong>{html.escape(user.email)}</strong> is your address.</p>\n"
        + _button(asked.action, asked.id, "", "Confirm"),
    )


@post(
    "/actionLink",
    request_max_body_size=MAX_FORM,
    **documented(
        "Submit the form of a mailed link",
        tag=_TAG,
        query=LinkQuery,
        public=True,
        details="A form with `id`, and `password1` and `password2` for a new password.",
        media="text/html",
    ),
)
async def submit_action_link(
    request: AnyRequest,
    context: NamedDependency[Context],
    accounts: NamedDependency[Accounts],
    passwords: NamedDependency[Passwords],
    links: NamedDependency[ActionLinks],
    throttle: NamedDependency[Throttle],
    subscriber_world: NamedDependency[dict[str, Any]],
) -> Answer:
    """Do what the link is for, and answer how it went."""
    throttle.check(request.client.host if request.client else "")
    action = query.read(request.scope, LinkQuery).action
    if action.startswith(_SUBSCRIBERS):
        links, accounts = subscriber_world["links"], subscriber_world["accounts"]
    form = await _read_form(request)
    id = form.get("id", "")
    user = await links.find(action, id)
    if user is None:
        return _page("Unknown link", _GONE)
    author.identify(user.email, user.role)
    async with accounts.exclusive(f"links of {user.id}"):
        if await links.find(action, id) is None:  # used by another request meanwhile
            return _page("Unknown link", _GONE)
        if action.removeprefix(_SUBSCRIBERS) == Action.EMAIL_VERIFICATION:
            await _verify(accounts, user.id)
            await links.use_up(user.id)
            return _page(
                "Address confirmed",
                '    <p class="good">Thank you. You can sign in now.</p>',
            )
        first, second = form.get("password1", ""), form.get("password2", "")
        fault = await _fault_of(passwords, user, first, second)
        if fault:
            return _form(context, user, action, id, fault)
        await _set_password(context, accounts, passwords, user, first)
        await links.use_up(user.id)
    return _page(
        "Password changed",
        '    <p class="good">Your new password is in force. You can sign in with it now.</p>\n'
        "    <p>All earlier sessions have ended.</p>",
    )


async def _verify(accounts: Accounts, user_id: str) -> None:
    async with accounts.change(user_id) as row:
        _mark_verified(row)
    _log.info("address verified", email=row.email)


def _mark_verified(row: UserRow) -> None:
    now = int(time.time())
    row.waiting_for_email_check = False
    rest = rest_of(row) | {"validated": True, "validationDate": now, "lastEmailCheck": now}
    row.document = msgspec.json.encode(rest).decode()


async def _fault_of(passwords: Passwords, user: UserRow, first: str, second: str) -> str:
    """Say why a password cannot be taken; empty: it can."""
    if first != second:
        return "The two passwords differ."
    if not passwords.is_acceptable(first):
        return "This password breaks the rules."
    if await passwords.was_used(first, old_passwords(user)) or await passwords.verify(
        user.password, first
    ):
        return "This password was used before. Choose another one."
    return ""


async def _set_password(
    context: Context, accounts: Accounts, passwords: Passwords, user: UserRow, new: str
) -> None:
    hashed = await passwords.hash(new)
    async with accounts.change(user.id) as row:
        row.old_passwords = with_present(row, context.settings.security)
        row.password = hashed
        row.change_password = False
        # Who has the link reads the mail of that address.
        _mark_verified(row)
        rest = rest_of(row) | {"lastPasswordChange": int(time.time())}
        row.document = msgspec.json.encode(rest).decode()
    await accounts.close_sessions(user.id)
    _log.info("password set by a mailed link", email=row.email)


async def _read_form(request: AnyRequest) -> dict[str, str]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            data = await request.body()
        fields = parse_qs(data.decode("utf-8"), max_num_fields=10, keep_blank_values=True)
    except HTTPException as error:
        if error.status_code == 413:
            raise
        raise ApiError(1003, "the form broke off") from None
    except (TimeoutError, ValueError):
        return {}
    return {name: values[-1] for name, values in fields.items() if "\0" not in values[-1]}


def _form(context: Context, user: UserRow, action: str, id: str, fault: str = "") -> Answer:
    rules = context.settings.security
    alert = f'    <p class="bad" role="alert">{html.escape(fault)}</p>\n' if fault else ""
    hint = " ".join(describe_password(rules))
    field = (
        '      <label for="{name}">{label}</label>\n'
        '      <input id="{name}" name="{name}" type="password" required maxlength="512" '
        'autocomplete="new-password" aria-describedby="rules">\n'
    )
    fields = field.format(name="password1", label="New password") + field.format(
        name="password2", label="Once more"
    )
    return _page(
        "Choose a new password",
        f"    <p>For <strong>{html.escape(user.email)}</strong>.</p>\n{alert}"
        f'    <p class="faint" id="rules">{hint}</p>\n'
        + _button(action, id, fields, "Change password"),
    )


def _button(action: str, id: str, fields: str, label: str) -> str:
    return (
        f'    <form method="post" action="actionLink?action={html.escape(action)}">\n'
        f'      <input type="hidden" name="id" value="{html.escape(id)}">\n'
        f"{fields}"
        f'      <button type="submit">{label}</button>\n'
        "    </form>"
    )


def _page(title: str, body: str) -> Answer:
    text = _PAGE.format(title=title, body=body)
    return Response(text.encode(), media_type="text/html", headers=dict(_HEADERS))
