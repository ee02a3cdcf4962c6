"""Links that are mailed to users: made, looked up, used up (security.md 6)."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Final

import msgspec

from gw.api.context import Context
from gw.api.owsec import mail_texts
from gw.api.owsec.mailer import Mailer
from gw.core.errors import ApiError
from gw.security.tokens import new_token, token_hash
from gw.store.rows import ActionLinkRow, UserRow

HOURS: Final = 24
"""Life of a link."""
_MAX_ID: Final = 128


class Action(StrEnum):
    """What a link is for; the spelling is a part of it."""

    PASSWORD_RESET = "password_reset"  # noqa: S105 - a word of the protocol
    EMAIL_VERIFICATION = "email_verification"


_TEXTS: Final = {
    Action.PASSWORD_RESET: mail_texts.password_reset,
    Action.EMAIL_VERIFICATION: mail_texts.email_verification,
}


class ActionLinks:
    """Makes links and mails them. One per api process."""

    def __init__(self, context: Context, mailer: Mailer, prefix: str = "") -> None:
        """`prefix` begins the names of the actions."""
        self._prefix = prefix
        self._context = context
        self._mailer = mailer

    @property
    def enabled(self) -> bool:
        """Tell whether links can be mailed."""
        return self._mailer.enabled

    async def mail(self, user: UserRow, action: Action) -> None:
        """Make a link and hand in its mail. Raises ApiError 1085 if there is no mail server."""
        if not self.enabled:
            raise ApiError(1085)
        id = new_token()
        now = int(time.time())
        row = ActionLinkRow(
            link_hash=token_hash(id),
            action=self._prefix + action.value,
            user_id=user.id,
            created=now,
            expires=now + HOURS * 3600,
        )
        await self._context.coordinator.request("link.put", {"row": msgspec.to_builtins(row)})
        # Not the name by which this client reached us: who asks for the mail does not choose
        # where its link leads.
        url = f"{self._context.security_url()}/api/v1/actionLink?action={row.action}&id={id}"
        text = _TEXTS[action](user, url, HOURS)
        self._mailer.send(user.email, text.subject, text.body)

    async def find(self, action: str, id: str) -> UserRow | None:
        """Return the user of a link that works; None for any other."""
        if not 0 < len(id) <= _MAX_ID:
            return None
        row = await self._context.reader.action_link(token_hash(id))
        if row is None or row.action != action or row.expires <= time.time():
            return None
        return await self._context.reader.user(row.user_id)

    async def use_up(self, user_id: str) -> None:
        """Let no link of a user work any more."""
        await self._context.coordinator.request("link.delete", {"user_id": user_id})
