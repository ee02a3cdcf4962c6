"""Signing in, with a second factor if the user has one; refresh; forgotten passwords."""

from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any, Final

import msgspec
import structlog

from gw.api import author
from gw.api.context import Context
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.action_links import Action, ActionLinks
from gw.api.owsec.history import old_passwords, with_present
from gw.api.owsec.mfa import Mfa
from gw.api.owsec.throttle import Throttle
from gw.api.owsec.user_document import MFA_STEP, rest_of
from gw.api.owsec.web_token import web_token
from gw.core.errors import ApiError
from gw.security import tokens
from gw.security.passwords import Passwords
from gw.security.tokens import token_hash
from gw.store.errors import StoreError
from gw.store.rows import UserRow

_log = structlog.get_logger("gw.api.oauth2")

_MAX_EMAIL: Final = 320
_MAX_REFRESH: Final = 320
_FORGOTTEN_AT_A_TIME: Final = 32
_RESETS_PER_MINUTE: Final = 3
"""Reset links that are mailed to one user, at most."""


class SignIn:
    """One per api process, for both security listeners."""

    def __init__(
        self,
        context: Context,
        accounts: Accounts,
        passwords: Passwords,
        mfa: Mfa,
        links: ActionLinks,
        throttle: Throttle,
    ) -> None:
        """`throttle` counts attempts per user."""
        self._context = context
        self._accounts = accounts
        self._passwords = passwords
        self._mfa = mfa
        self._links = links
        self._throttle = throttle
        self._forgotten = Throttle(_RESETS_PER_MINUTE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def by_password(self, email: str, password: str, new: str | None) -> object:
        """Return a WebToken, or a challenge. Raises ApiError as security.md 2.1 says.

        The password is looked at first, and is hashed in every case: nobody without it learns
        that a user exists, or is suspended.
        """
        email = email.strip().lower()
        self._throttle.check(email[:_MAX_EMAIL])
        reader = self._context.reader
        user = await reader.user_by_email(email) if len(email) <= _MAX_EMAIL else None
        right = await self._passwords.verify("" if user is None else user.password, password)
        if user is None or not right:
            raise ApiError(2)
        author.identify(user.email, user.role)
        if user.suspended:
            raise ApiError(15)
        if user.waiting_for_email_check:
            raise ApiError(4)
        if not new and user.change_password:
            raise ApiError(1)
        new_hash = ""
        if new:
            new_hash = await self._new_hash(user, password, new)
        elif self._passwords.needs_rehash(user.password):
            new_hash = await self._passwords.hash(password)
        if method := self._mfa.method_of(user):
            return self._mfa.ask(user, method, new_hash=new_hash, changes=bool(new))
        return await self._admit(user.id, user.password, new_hash, changes=bool(new))

    async def by_second_factor(self, id: str, answer: str) -> object:
        """Return the WebToken of a challenge that is answered. Raises ApiError 11 or 12."""
        challenge = self._mfa.find(id)
        async with self._accounts.exclusive(f"challenge {id}"):
            challenge = self._mfa.find(id)
            user = await self._context.reader.user(challenge.user_id)
            if user is None:
                raise ApiError(11)
            author.identify(user.email, user.role)
            step = self._mfa.judge(challenge, answer, user)
        return await self._admit(
            user.id, challenge.verified, challenge.new_hash, changes=challenge.changes, step=step
        )

    async def resend(self, id: str) -> None:
        """Send the code of a challenge once more. Raises ApiError 11 or 12."""
        challenge = self._mfa.find(id)
        user = await self._context.reader.user(challenge.user_id)
        if user is None:
            raise ApiError(11)
        self._mfa.resend(challenge, user)

    async def refresh(self, access: str, refresh: str) -> object:
        """Replace a session by a new one; both of its tokens must be shown."""
        reader = self._context.reader
        if not refresh or len(refresh) > _MAX_REFRESH:
            raise ApiError(14)
        old = await reader.token_by_refresh(token_hash(refresh))
        if old is None or old.access_hash != token_hash(access):
            raise ApiError(14)
        async with self._accounts.exclusive(old.user_id):
            # Read again: of two refreshes with one token, the second must find it used.
            session = await reader.token_by_refresh(old.refresh_hash)
            user = await reader.user(old.user_id)
            if session is None or user is None:
                raise ApiError(14)
            if tokens.is_refresh_expired(session, int(time.time())):
                raise ApiError(14)
            if user.suspended:
                raise ApiError(15)
            author.identify(user.email, user.role)
            issued = await self._accounts.open_session(user, refreshed=True)
            await self._accounts.close_session(session.access_hash, access)
        return _told(issued, user)

    def forgotten(self, email: str) -> None:
        """Mail a reset link if there is such a user, in the background.

        Neither the answer nor its time tells whether there is one.
        """
        email = email.strip().lower()
        if not self._links.enabled or len(self._tasks) >= _FORGOTTEN_AT_A_TIME:
            return
        if len(email) > _MAX_EMAIL or not self._forgotten.allows(email):
            return
        task = asyncio.get_running_loop().create_task(
            self._mail_reset(email), context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mail_reset(self, email: str) -> None:
        try:
            user = await self._context.reader.user_by_email(email)
            if user is not None and not user.suspended:
                await self._links.mail(user, Action.PASSWORD_RESET)
        except (ApiError, StoreError) as error:
            _log.warning("reset link not mailed", error=str(error)[:200])

    async def _admit(
        self, user_id: str, verified: str, new_hash: str, *, changes: bool, step: int = 0
    ) -> object:
        """Open a session, and store what the sign-in changes of the user."""
        rules = self._context.settings.security
        async with self._accounts.change(user_id) as row:
            if row.password != verified or row.suspended:
                raise ApiError(2)  # changed by another request meanwhile
            rest: dict[str, Any] = {}
            if changes:
                row.old_passwords = with_present(row, rules)
                row.change_password = False
                rest["lastPasswordChange"] = int(time.time())
            if step:
                if rest_of(row).get(MFA_STEP, 0) >= step:
                    raise ApiError(12)  # used by another request meanwhile
                rest[MFA_STEP] = step
            if rest:
                row.document = msgspec.json.encode(rest_of(row) | rest).decode()
            if new_hash:
                row.password = new_hash
            row.last_login = int(time.time())
        if changes:
            # Whoever knew the old password may have signed in with it.
            await self._accounts.close_sessions(row.id)
        issued = await self._accounts.open_session(row)
        _log.info("signed in", email=row.email, changed=changes, second_factor=bool(step))
        return _told(issued, row)

    async def _new_hash(self, user: UserRow, present: str, new: str) -> str:
        """Return the hash of a new password. Raises ApiError 5 or 3 if it is not acceptable."""
        if not self._passwords.is_acceptable(new):
            raise ApiError(5)
        if new == present or await self._passwords.was_used(new, old_passwords(user)):
            raise ApiError(3)
        return await self._passwords.hash(new)


def _told(issued: tokens.Issued, user: UserRow) -> object:
    return web_token(issued.row, access=issued.access, refresh=issued.refresh, username=user.email)
