"""Who may join a session: what the command in the store says.

The command was written by the coordinator before the device was told of the session. Here it is
only read; whoever knows the session's id, and for a device its token and its certificate, may in.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Literal, NamedTuple

import msgspec

from gw.core.settings import Settings
from gw.ops import logs
from gw.protocol import rtty
from gw.protocol.rtty import Credentials
from gw.store.errors import StoreError
from gw.store.interface import Reader
from gw.store.rows import CommandRow
from gw.worker.identity import Identity, may_claim

Reason = Literal["unknown", "expired", "token", "certificate", "unavailable"]

_DEAD: Final = frozenset({"failed", "expired", "timedout"})
_QUERIES: Final = 8
"""Looked up at the same time; others wait for their turn within their own deadline."""

log = logs.get("rtty")


class TicketError(Exception):
    """Somebody may not join; the reason is a label of gw_rtty_refused_total."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Ticket(NamedTuple):
    """A session that may be joined."""

    id: str
    serial: str


class _Kept(msgspec.Struct):
    proof: str = ""


class _Capabilities(msgspec.Struct):
    secure: bool = msgspec.field(name="secure-rtty", default=False)


class Tickets:
    """Looks sessions up in the store."""

    def __init__(self, reader: Reader, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings
        self._turns = asyncio.Semaphore(_QUERIES)

    async def of_viewer(self, session: str) -> Ticket:
        """Return the session whose id a browser has. Raises TicketError."""
        row = await self._command(session)
        return Ticket(session, row.serial_number)

    async def of_device(self, credentials: Credentials, identity: Identity | None) -> Ticket:
        """Return the session of a device. Raises TicketError.

        `identity` is that of the certificate the device showed; None if it showed none.
        """
        row = await self._command(credentials.id)
        try:
            kept = msgspec.json.decode(row.details, type=_Kept)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise TicketError("unknown") from None
        if not rtty.proves(credentials, kept.proof):
            raise TicketError("token")
        await self._check_certificate(row.serial_number, identity)
        return Ticket(credentials.id, row.serial_number)

    async def _command(self, session: str) -> CommandRow:
        if not rtty.SECRET.match(session):
            raise TicketError("unknown")
        try:
            async with self._turns:
                row = await self._reader.command(rtty.command_of(session))
        except StoreError as error:
            log.error("the store failed", detail=str(error))
            raise TicketError("unavailable") from None
        if row is None or row.command != "rtty":
            raise TicketError("unknown")
        age = time.time() - row.submitted
        if row.status in _DEAD or age > self._settings.rtty.complete_seconds + 1.0:
            raise TicketError("expired")
        return row

    async def _check_certificate(self, serial: str, identity: Identity | None) -> None:
        if identity is not None:
            if not may_claim(identity.certificate, serial, identity.policy):
                raise TicketError("certificate")
            return
        if self._settings.rtty.require_certificate or await self._is_secure(serial):
            raise TicketError("certificate")

    async def _is_secure(self, serial: str) -> bool:
        """Whether the device declared that its terminal shows a certificate (4.2)."""
        try:
            async with self._turns:
                row = await self._reader.capabilities(serial)
        except StoreError as error:
            log.error("the store failed", detail=str(error))
            raise TicketError("unavailable") from None
        if row is None:
            return False
        try:
            return msgspec.json.decode(row.capabilities, type=_Capabilities).secure
        except (msgspec.DecodeError, msgspec.ValidationError):
            return False
