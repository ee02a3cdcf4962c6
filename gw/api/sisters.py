"""Sister services that announce themselves on the bus, as the coordinator knows them."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from gw.api.coordinator_client import CoordinatorClient
from gw.core.errors import ApiError

_KEPT_SECONDS: Final = 5.0
OWSEC: Final = "owsec"


class Sister(msgspec.Struct):
    """One service."""

    type: str
    id: int
    public: str
    """URL for clients."""
    private: str
    """URL for other services."""
    key: str = ""
    """What it wants to see on its private URL; only where it was asked for by type."""


class _Listed(msgspec.Struct):
    services: list[Sister]


class Sisters:
    """Asks the coordinator; keeps the answers for a moment."""

    def __init__(self, coordinator: CoordinatorClient, *, listening: bool) -> None:
        """`listening`: whether the bus is read at all."""
        self._coordinator = coordinator
        self._listening = listening
        self._answers: dict[str, tuple[float, list[Sister]]] = {}

    async def list(self, kind: str = "") -> list[Sister]:
        """Return the services of a type, or all, then without keys.

        Raises ApiError if the coordinator does not answer.
        """
        if not self._listening:
            return []
        now = time.monotonic()
        until, found = self._answers.get(kind, (0.0, []))
        if until < now:
            answer = await self._coordinator.request("sisters.list", {"type": kind})
            found = msgspec.convert(answer.result, _Listed).services
            self._answers[kind] = (now + _KEPT_SECONDS, found)
        return found

    async def security_service(self) -> tuple[str, str]:
        """Return the private URL of the external owsec, and its key. Raises ApiError 13."""
        try:
            found = await self.list(OWSEC)
        except ApiError:
            found = []
        found = [one for one in found if one.private.startswith("https://")]
        if not found:
            raise ApiError(13, "no security service announces itself on the bus")
        return found[0].private, found[0].key
