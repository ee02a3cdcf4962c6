"""This gateway's announcements to its sister services, on the topic `service_events`.

`join` at the start, `keep-alive` every 10 s, `leave` at the end (southbound.md 5.2), and
`remove-token` when somebody signs out or renews a session (security.md 1.2). The first three carry
the key to the private listener (northbound.md 2.1): who may read the topic may call the gateway.
"""

from __future__ import annotations

import asyncio
from typing import Final

import gw
from gw.bus import envelopes, topics
from gw.bus.interface import Bus, Message

KEEP_ALIVE_SECONDS: Final = 10.0


class ServiceEvents:
    """Announces one service."""

    def __init__(self, bus: Bus, system_id: int, private: str, public: str, key: str) -> None:
        """`private` and `public` are URLs of its listeners, `key` that of the private one."""
        self._bus = bus
        self._id = system_id
        self._private = private
        self._public = public
        self._key = key

    def remove_token(self, token: str) -> None:
        """Tell sister services, which keep answers about tokens, that one is not valid any more."""
        if self._bus.wants(topics.SERVICE_EVENTS):
            value = envelopes.token_removed(self._id, token)
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
            event, self._id, self._private, self._public, self._key, gw.__version__
        )
        self._bus.publish(Message(topics.SERVICE_EVENTS, self._private, value))
