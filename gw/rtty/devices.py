"""The devices' end: TLS, a registration that is checked, then the frames of a session."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from gw.core.listeners import device_listeners
from gw.core.settings import Settings
from gw.ops import logs
from gw.protocol.rtty import Credentials
from gw.rtty import frames
from gw.rtty.accept import Stranger
from gw.rtty.counters import Counters
from gw.rtty.frames import Decoder, Frame, FrameError, Kind, Registration
from gw.rtty.peer import Peer
from gw.rtty.sessions import RefusedError, Sessions
from gw.rtty.tickets import TicketError, Tickets
from gw.rtty.tls import Contexts
from gw.worker.identity import Identity, IdentityError, identify, issuer_fingerprint

log = logs.get("rtty")

_TEXTS: Final = {
    "unknown": "there is no such session",
    "expired": "the session is over",
    "ended": "the session is over",
    "token": "there is no such session",
    "certificate": "a certificate of the device is needed",
    "full": "too many sessions",
    "taken": "the session has its device",
    "unavailable": "try again later",
}


class DeviceEnd(Peer):
    """One connection of a device."""

    is_device = True

    def __init__(
        self,
        stranger: Stranger,
        tickets: Tickets,
        sessions: Sessions,
        counters: Counters,
        settings: Settings,
        live: set[Peer],
        contexts: Contexts,
    ) -> None:
        super().__init__(settings.rtty.buffer_bytes, live)
        self._stranger = stranger
        self._tickets = tickets
        self._sessions = sessions
        self._counters = counters
        self._contexts = contexts
        # All listeners' devices come here: the first policy that fits counts, as there.
        self._policies = [
            policy for one in device_listeners(settings.devices) for policy in one.ca_policies
        ]
        self._decoder = Decoder(frames.MAX_REGISTRATION)
        self._checking: asyncio.Task[None] | None = None

    def connection_lost(self, error: Exception | None) -> None:
        """Stop what is under way."""
        self._stranger.settle()
        if self._checking is not None:
            self._checking.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except FrameError as error:
            self._broken(str(error))

    def send(self, frame: bytes) -> None:
        """Send frames."""
        self._counters.to_device(len(frame))
        self.write(frame)

    def _take(self, frame: Frame) -> None:
        session = self.session
        if session is not None:
            if frame.kind is Kind.TERMINAL:
                self._counters.from_device(len(frame.body))
            session.frame(frame, time.monotonic())
        elif self._checking is not None:
            if not self._checking.done():
                raise FrameError("a frame came before the registration was answered")
        elif frame.kind is Kind.HEARTBEAT:
            return
        elif frame.kind is not Kind.REGISTER:
            raise FrameError("the first frame is no registration")
        else:
            told = frames.read_registration(frame.body)
            self._checking = asyncio.get_running_loop().create_task(self._register(told))

    async def _register(self, told: Registration) -> None:
        credentials = Credentials(told.id, told.token)
        try:
            ticket = await self._tickets.of_device(credentials, self._identity())
            session = self._sessions.join_device(ticket.id, ticket.serial, self, time.monotonic())
        except (TicketError, RefusedError) as error:
            self._refuse(error.reason, f"registration of {told.description[:64]!r}")
            return
        self._stranger.settle()
        self.session = session
        self._decoder.max_body = frames.MAX_BODY
        log.info("device joined", serial=session.serial, address=self._stranger.address)
        self.write(frames.accepted())
        session.begin(time.monotonic())

    def _identity(self) -> Identity | None:
        """Return whose certificate was shown, and verified; None if none was."""
        assert self.transport is not None
        found = self.transport.get_extra_info("peercert")
        if not found:
            return None
        policies = self._policies
        wanted = any(policy.fingerprint for policy in policies)
        chain = self.transport.get_extra_info("ssl_object")
        try:
            fingerprint = issuer_fingerprint(chain) if wanted else ""
            identity = identify(found, policies, fingerprint, time.time())
        except IdentityError:
            raise TicketError("certificate") from None
        if (identity.issuer, identity.certificate.serial_number) in self._contexts.revoked:
            raise TicketError("certificate")
        return identity

    def _refuse(self, reason: str, detail: str) -> None:
        self._counters.refused("device", reason, self._stranger.address, detail)
        self._stranger.settle()
        self.write(frames.refused(_TEXTS[reason]))
        self.close()

    def _broken(self, text: str) -> None:
        session = self.session
        if session is not None:
            log.warning("device broke the protocol", serial=session.serial, detail=text)
            session.end("protocol")
            return
        self._counters.refused("device", "protocol", self._stranger.address, text)
        self._stranger.settle()
        self.close()
