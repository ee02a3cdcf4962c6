"""Sending text messages: a provider, and a bounded queue in front of it in the api process.

As with mail, nobody waits for the provider but those who ask for it; what waits when the process
ends is lost, and asked for again. A number gets only so many messages an hour: each one costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import httpx
import structlog

from gw.core.errors import ApiError
from gw.core.settings import Sms

_log = structlog.get_logger("gw.api.sms")

OUTCOMES: Final = ("sent", "failed", "refused")
_MAX_PAUSE: Final = 60.0
_HOUR: Final = 3600.0
_MOST_NUMBERS: Final = 10_000
_PERMANENT: Final = range(400, 500)
_FOR_NOW: Final = frozenset({408, 425, 429})
_SEPARATORS: Final = re.compile(r"[\s().\-/]")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: a plus sign, and 15 digits at most."""

Count = Callable[[str], None]
"""Called with one of OUTCOMES per message."""


def uncounted(_outcome: str) -> None:
    """Take no note of a message."""


def phone_number(text: str) -> str:
    """Return a number as E.164 has it. Raises ApiError 1094 or 1018."""
    if not text.strip():
        raise ApiError(1094)
    number = _SEPARATORS.sub("", text)
    if len(text) > 40 or not _NUMBER.fullmatch(number):
        raise ApiError(1018, "a phone number is + and 7 to 15 digits, with the country's")
    return number


class SmsError(Exception):
    """A message was not taken; with `permanent` it never will be."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        """`reason` is for the log: it has neither number nor text."""
        super().__init__(reason)
        self.permanent = permanent


class SmsProvider(Protocol):
    """Whoever brings a message to a phone."""

    async def send(self, to: str, text: str) -> None:
        """Hand a message over, in one attempt. Raises SmsError."""


class WebhookProvider:
    """POSTs each message to an HTTPS address, as JSON or as a form; 2xx is taken."""

    def __init__(self, settings: Sms) -> None:
        """Raises OSError or ssl.SSLError if `sms.ca` cannot be used."""
        self._settings = settings
        context = ssl.create_default_context(cafile=settings.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._client = httpx.AsyncClient(
            headers=headers,
            auth=(settings.username, settings.password) if settings.username else None,
            verify=context,
            timeout=settings.timeout_seconds,
            trust_env=False,
        )

    async def send(self, to: str, text: str) -> None:
        """Hand a message over. Raises SmsError."""
        settings = self._settings
        fields = {settings.to_field: to, settings.text_field: text}
        if settings.sender:
            fields[settings.sender_field] = settings.sender
        try:
            # The client's own limit is for each read: a server could trickle for ever.
            async with asyncio.timeout(settings.timeout_seconds):
                if settings.format == "json":
                    answer = await self._client.post(settings.url, json=fields)
                else:
                    answer = await self._client.post(settings.url, data=fields)
        except TimeoutError:
            raise SmsError("the provider did not answer in time") from None
        except httpx.HTTPError as error:
            raise SmsError(type(error).__name__) from None
        if not answer.is_success:
            status = answer.status_code
            permanent = status in _PERMANENT and status not in _FOR_NOW
            raise SmsError(f"the provider answered {status}", permanent=permanent)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()


class SmsSender:
    """Sends messages in the order given. One per api process; `run` is its task."""

    def __init__(
        self,
        settings: Sms,
        provider: SmsProvider | None = None,
        count: Count = uncounted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`provider` None: none is sent, and what needs one is refused."""
        self._settings = settings
        self._provider = provider
        self._count = count
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(settings.queue)
        self._hours: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Tell whether there is a provider."""
        return self._provider is not None

    def send(self, to: str, text: str) -> None:
        """Hand in a message. Raises ApiError 1084 without a provider, 1095 beyond a limit."""
        self._admit(to)
        try:
            self._queue.put_nowait((to, text))
        except asyncio.QueueFull:
            self._count("refused")
            raise ApiError(1095, f"{self._settings.queue} messages wait already") from None

    async def send_now(self, to: str, text: str) -> None:
        """Send a message in one attempt, and wait. Raises ApiError 1084, 1095, or 1056."""
        provider = self._admit(to)
        try:
            await provider.send(to, text)
        except SmsError as error:
            self._count("failed")
            _log.warning("text message not sent", reason=str(error))
            raise ApiError(1056, str(error)) from None
        self._count("sent")

    async def run(self) -> None:
        """Send what is handed in, until cancelled."""
        while True:
            to, text = await self._queue.get()
            with contextlib.suppress(Exception):
                await self._send(to, text)

    def _admit(self, to: str) -> SmsProvider:
        """Count a message to a number. Raises ApiError 1084 or 1095."""
        if self._provider is None:
            raise ApiError(1084)
        now = self._clock()
        began, sent = self._hours.pop(to, (now, 0))
        if now - began >= _HOUR:
            began, sent = now, 0
        self._hours[to] = (began, sent + 1)
        if len(self._hours) > _MOST_NUMBERS:
            self._hours.popitem(last=False)
        if sent >= self._settings.per_number_per_hour:
            self._count("refused")
            rest = max(1, math.ceil((began + _HOUR - now) / 60))
            raise ApiError(
                1095,
                f"{self._settings.per_number_per_hour} messages per number and hour; "
                f"again in {rest} min",
            )
        return self._provider

    async def _send(self, to: str, text: str) -> None:
        assert self._provider is not None
        pause = self._settings.retry_seconds
        for attempt in range(1, self._settings.attempts + 1):
            try:
                await self._provider.send(to, text)
            except SmsError as error:
                last = attempt == self._settings.attempts or error.permanent
                _log.warning(
                    "text message not sent", attempt=attempt, gives_up=last, reason=str(error)
                )
                if last:
                    self._count("failed")
                    return
                await asyncio.sleep(min(pause, _MAX_PAUSE))
                pause *= 2
            else:
                self._count("sent")
                return
