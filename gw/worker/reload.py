"""Certificates and revocation lists of a device listener, read anew when their files change.

A changed file is used for the next handshakes. Sessions stay, but those whose certificate is on a
new list end, and those whose certificate has ended are told, or ended, as `expired` says. Each
listener is looked at by itself, and its files concern only the sessions that came in by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from picows import WSCloseCode

from gw.core.listeners import ListenerSettings
from gw.core.watched_files import Signature, WatchedFiles
from gw.ops import logs
from gw.worker import tls
from gw.worker.context import WorkerContext
from gw.worker.handshake import ServerTls
from gw.worker.listener import DeviceListener
from gw.worker.session import Session

log = logs.get("certificates")

_SLICE: Final = 2000
"""Sessions looked at in one turn of the loop."""
_SETTLE_SECONDS: Final = 0.2
_SETTLE_LOOKS: Final = 10
_MARGIN_SECONDS: Final = 10.0
_NOTHING: Final = tls.Revoked(frozenset(), [])


class CertificateReload:
    """Looks at the files of one listener again and again."""

    def __init__(self, context: WorkerContext, listener: DeviceListener) -> None:
        self._context = context
        self._listener = listener
        self._state = listener.state
        self._settings = listener.state.settings
        self._seconds = context.settings.devices.reload_seconds
        self._files = WatchedFiles(self._settings.files)
        self._asked = asyncio.Event()
        self._refused: Signature | None = None
        """The files that could not be used: that is logged once."""
        self._lists: list[tuple[str, float]] = []
        """Revocation lists in use: issuer, and Unix time of the next update."""
        self._outdated: set[str] = set()
        self._expired: set[int] = set()
        """Sessions whose ended certificate was logged."""

    def ask(self) -> None:
        """Read the files now, changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Look for ever. A file that cannot be used leaves the former one in use."""
        if self._settings.crl:
            with contextlib.suppress(OSError, ValueError):  # the listener has read it just now
                self._lists = (await asyncio.to_thread(tls.revoked, self._settings.crl)).lists
        while True:
            self._look_at_lists()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._asked.wait()
            asked = self._asked.is_set()
            self._asked.clear()
            if asked or self._files.changed():
                await self._settled()
                await self._reload(asked)
            await self._look_at_dates()

    async def _settled(self) -> None:
        """Let a writer finish: wait until nothing changes for a moment, within bounds."""
        for _ in range(_SETTLE_LOOKS):
            before = self._files.signature()
            await asyncio.sleep(min(_SETTLE_SECONDS, self._seconds))
            if self._files.signature() == before:
                return

    async def _reload(self, asked: bool) -> None:
        before = self._files.signature()
        try:
            context, revoked = await asyncio.to_thread(_read, self._settings)
        except (OSError, ValueError) as error:
            # Not taken over: it is tried again each time, as the rest of a file may still come.
            if asked or before != self._refused:
                self._refused = before
                self._context.counters.add(self._state.reloads["failure"])
                log.error("certificates not reloaded, the former ones stay",
                          listener=self._settings.name, detail=str(error))  # fmt: skip
            return
        self._refused = None
        self._files.take(before)
        self._listener.use(context)
        self._context.counters.add(self._state.reloads["success"])
        log.info("certificates reloaded", listener=self._settings.name,
                 revoked=len(revoked.certificates))  # fmt: skip
        self._lists = revoked.lists
        self._refuse_late(revoked)
        await self._end_revoked(revoked)

    def _refuse_late(self, revoked: tls.Revoked) -> None:
        """Have sessions looked at whose handshake began before: OpenSSL checks the former lists."""
        state = self._state
        state.revoked = revoked.certificates

        def forget() -> None:
            if state.revoked is revoked.certificates:
                state.revoked = frozenset()

        # No handshake takes longer; the margin is for a loop that is behind.
        seconds = 2 * self._context.settings.devices.handshake_seconds + _MARGIN_SECONDS
        asyncio.get_running_loop().call_later(seconds, forget)

    async def _end_revoked(self, revoked: tls.Revoked) -> None:
        async for session in self._sessions():
            certificate = session.certificate
            if certificate and (session.issuer, certificate.serial_number) in revoked.certificates:
                session.end(WSCloseCode.POLICY_VIOLATION, "revoked", "the certificate is revoked")

    async def _sessions(self) -> AsyncIterator[Session]:
        """Yield the listener's sessions, a slice per turn of the loop."""
        for number, session in enumerate(list(self._context.sessions.values())):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if session.listener is self._state:
                yield session

    def _look_at_lists(self) -> None:
        """Say when a list gets past its next update: from then on OpenSSL refuses its devices."""
        now = time.time()
        outdated = {issuer for issuer, until in self._lists if until <= now}
        for issuer in outdated - self._outdated:
            log.error(
                "a revocation list is past its next update: devices of its issuer are refused, "
                "open sessions stay",
                issuer=issuer,
                listener=self._settings.name,
            )
        self._outdated = outdated

    async def _look_at_dates(self) -> None:
        now = time.time()
        expired: set[int] = set()
        async for session in self._sessions():
            certificate = session.certificate
            if certificate is None or certificate.not_after >= now or session.ended:
                continue
            expired.add(session.id)
            if self._settings.expired == "close":
                session.end(WSCloseCode.POLICY_VIOLATION, "expired", "the certificate has expired")
            elif session.id not in self._expired:
                log.warning(
                    "the certificate of an open session has ended",
                    serial=session.serial or certificate.common_name,
                    address=session.address,
                )
        self._expired = expired
        self._context.counters.set(self._state.expired, len(expired))


def _read(settings: ListenerSettings) -> tuple[ServerTls, tls.Revoked]:
    files = ServerTls(settings)
    if not settings.crl:
        return files, _NOTHING
    return files, tls.revoked(settings.crl)
