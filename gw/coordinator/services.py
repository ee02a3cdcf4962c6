"""This gateway's announcements to its sister services, on the topic `service_events`.

`join` at the start, `keep-alive` every 10 s, `leave` at the end (southbound.md 5.2), and
`remove-token` when somebody signs out or renews a session (security.md 1.2). The first three carry
the key to the private listener (northbound.md 2.1): who may read the topic may call the gateway.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final
from urllib.parse import urlsplit

import gw
from gw.bus import envelopes, topics
from gw.bus.interface import Bus, Message
from gw.core.settings import Settings
from gw.security.internal_key import internal_key

KEEP_ALIVE_SECONDS: Final = 10.0


class ServiceEvents:
    """Announces one service."""

    def __init__(
        self, bus: Bus, id: int, private: str, public: str, key: str, kind: str = "owgw"
    ) -> None:
        """`private` and `public` are URLs of its listeners, `key` that of the private one."""
        self._bus = bus
        self._kind = kind
        self.id = id
        self._private = private
        self._public = public
        self._key = key

    def remove_token(self, token: str) -> None:
        """Tell sister services, which keep answers about tokens, that one is not valid any more."""
        if self._bus.wants(topics.SERVICE_EVENTS):
            value = envelopes.token_removed(self.id, token)
            self._bus.publish(Message(topics.SERVICE_EVENTS, self._private, value))

    async def run(self) -> None:
        """Announce until cancelled."""
        if not self._bus.wants(topics.SERVICE_EVENTS):
            await asyncio.Event().wait()
        self._announce("join")
        try:
            while True:
                await asyncio.sleep(KEEP_ALIVE_SECONDS)
                self._announce("keep-alive")
        finally:
            self._announce("leave")

    def _announce(self, event: str) -> None:
        value = envelopes.service_event(
            event, self.id, self._private, self._public, self._key, gw.__version__, self._kind
        )
        self._bus.publish(Message(topics.SERVICE_EVENTS, self._private, value))


def announcers(settings: Settings, bus: Bus, number: int) -> list[ServiceEvents]:
    """Return what announces this gateway, and its security service if it has one.

    `number` is that of the gateway. Raises OSError or ValueError for the key.
    """
    host = socket.gethostname()
    key = internal_key(settings.security.internal_key, settings.run.data)
    private = private_url(settings)
    public = settings.api.public_url.rstrip("/") or f"https://{host}:{settings.api.port}"
    found = [ServiceEvents(bus, number, private, public, key)]
    if not settings.security.external:
        named = settings.bus.private_security_url.rstrip("/")
        at = urlsplit(private).hostname or host
        at = f"[{at}]" if ":" in at else at
        private = named or f"https://{at}:{settings.private_security.port}"
        public = settings.security.public_url.rstrip("/")
        public = public or f"https://{host}:{settings.security.port}"
        # A service is known by its number: the two must not have the same.
        found.append(ServiceEvents(bus, (number ^ 1) or 2, private, public, key, "owsec"))
    return found


def private_url(settings: Settings) -> str:
    """Return the URL by which sister services know this gateway."""
    return settings.bus.private_url.rstrip("/") or (
        f"https://{socket.gethostname()}:{settings.private_api.port}"
    )
