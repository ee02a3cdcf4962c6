"""Sending mail: a bounded queue in the api process, and one task that talks to the SMTP server.

Nobody waits for the server but those who ask for it. What waits when the process ends is lost, as
it would be if the mail itself were: its receiver asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from typing import Final

import aiosmtplib
import structlog

from gw.core.errors import ApiError
from gw.core.settings import Mail

_log = structlog.get_logger("gw.api.mail")

OUTCOMES: Final = ("sent", "failed", "refused")
_PERMANENT: Final = 500
_MAX_PAUSE: Final = 600.0

Count = Callable[[str], None]
"""Called with one of OUTCOMES per mail."""


def uncounted(_outcome: str) -> None:
    """Take no note of a mail."""


class Mailer:
    """Sends mails in the order given. One per api process; `run` is its task."""

    def __init__(self, settings: Mail, count: Count = uncounted) -> None:
        self._settings = settings
        self._count = count
        self._queue: asyncio.Queue[EmailMessage] = asyncio.Queue(settings.queue)
        host = socket.gethostname()
        self._sender = settings.sender or f"gw@{host}"
        self._domain = parseaddr(self._sender)[1].partition("@")[2] or host

    @property
    def enabled(self) -> bool:
        """Tell whether there is a mail server."""
        return bool(self._settings.host)

    @property
    def waiting(self) -> int:
        """Number of mails that wait."""
        return self._queue.qsize()

    def send(self, to: str, subject: str, text: str) -> None:
        """Hand in a mail. Raises ApiError 1085 without a server, 1002 with a full queue."""
        message = self._message(to, subject, text)
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._count("refused")
            text = f"{self._settings.queue} mails wait already"
            raise ApiError(1002, text, http=503) from None

    async def send_now(self, to: str, subject: str, text: str, sender: str = "") -> None:
        """Send a mail in one attempt, and wait for it. Raises ApiError 1002 (503) on failure."""
        message = self._message(to, subject, text, sender)
        try:
            await self._attempt(message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self._count("failed")
            _log.warning("mail not sent", error=str(error)[:200])
            raise ApiError(1002, "the mail server did not take it", http=503) from None
        self._count("sent")

    async def run(self) -> None:
        """Send what is handed in, until cancelled."""
        while True:
            message = await self._queue.get()
            with contextlib.suppress(Exception):
                await self._send(message)

    def _message(self, to: str, subject: str, text: str, sender: str = "") -> EmailMessage:
        if not self.enabled:
            raise ApiError(1085)
        message = EmailMessage()
        try:
            message["From"] = sender or self._sender
            message["To"] = to
            message["Subject"] = subject
        except ValueError:
            # A line break, that would have begun another header.
            raise ApiError(1018, "an address or subject is not one line") from None
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._domain)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers of absent people
        message.set_content(text)
        return message

    async def _send(self, message: EmailMessage) -> None:
        pause = self._settings.retry_seconds
        for attempt in range(1, self._settings.attempts + 1):
            try:
                await self._attempt(message)
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                last = attempt == self._settings.attempts or _is_permanent(error)
                _log.warning(
                    "mail not sent", attempt=attempt, gives_up=last, error=str(error)[:200]
                )
                if last:
                    self._count("failed")
                    return
                await asyncio.sleep(min(pause, _MAX_PAUSE))
                pause *= 2
            else:
                self._count("sent")
                return

    async def _attempt(self, message: EmailMessage) -> None:
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ca or None)
        began = time.monotonic()
        async with asyncio.timeout(settings.timeout_seconds):
            await aiosmtplib.send(
                message,
                hostname=settings.host,
                port=settings.port,
                username=settings.username or None,
                password=settings.password or None,
                use_tls=settings.encryption == "tls",
                start_tls=settings.encryption == "starttls",
                tls_context=None if settings.encryption == "none" else context,
                timeout=settings.timeout_seconds,
            )
        _log.debug("mail sent", seconds=round(time.monotonic() - began, 3))


def _is_permanent(error: Exception) -> bool:
    """Tell whether the server said that it will never take this mail (RFC 5321, 4.2.1)."""
    code = getattr(error, "code", 0)
    return isinstance(code, int) and code >= _PERMANENT
