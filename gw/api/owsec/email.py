"""POST /email: a mail to anybody, to try the mail server (security.md 5)."""

from __future__ import annotations

import msgspec
from litestar import post
from litestar.di import NamedDependency

from gw.api import body
from gw.api.authentication import Caller
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, Success, success
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.user_changes import EMAIL
from gw.core.errors import ApiError
from gw.security.roles import Operation

MAX_BYTES = 65_536


class MailBody(msgspec.Struct, kw_only=True):
    """A mail; only the first recipient gets it."""

    subject: str = ""
    sender: str = msgspec.field(name="from", default="")
    """Empty: `mail.sender`."""
    text: str = ""
    recipients: list[str] = msgspec.field(default_factory=list)


@post(
    "/email",
    request_max_body_size=MAX_BYTES,
    **documented(
        "Send a mail",
        tag="System",
        answer=Success,
        body=MailBody,
        details="Root, partner and admin. 503 if the mail server does not take it.",
    ),
)
async def send_email(
    request: AnyRequest, caller: NamedDependency[Caller], mailer: NamedDependency[Mailer]
) -> Answer:
    """Send a mail, and answer once the server has it."""
    caller.require(Operation.SEND_MAIL)
    if not mailer.enabled:
        raise ApiError(1085)
    mail = await body.read(request, MailBody)
    if not mail.recipients or not EMAIL.match(mail.recipients[0]):
        raise ApiError(1040)
    if mail.sender and not EMAIL.match(mail.sender):
        raise ApiError(1040)
    if not mail.subject or not mail.text:
        raise ApiError(1018, "subject and text are needed")
    await mailer.send_now(mail.recipients[0], mail.subject, mail.text, mail.sender)
    return success(request.method)
