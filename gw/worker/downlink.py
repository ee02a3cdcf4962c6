"""The worker's end of the queue from the coordinator: accept, close, send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from picows import WSCloseCode

from gw._native.ring import Consumer, Record, RingError
from gw.core import records
from gw.core.records import RECORD_VERSION, Kind
from gw.ops import logs
from gw.protocol.compression import compress
from gw.worker.context import WorkerContext
from gw.worker.session import Session

log = logs.get("downlink")

_SLICE = 64
"""Records, or snapshots, handled in one turn of the loop."""
_LOOK_SECONDS = 0.1
"""A producer that died between publishing and waking is noticed by looking."""


class Downlink:
    """Carries out the coordinator's orders."""

    def __init__(self, context: WorkerContext, ring: Consumer, wake_fd: int) -> None:
        self._context = context
        self._ring = ring
        self._wake_fd = wake_fd
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; what a predecessor left is for sessions that are gone."""
        self._ring.skip_all()
        asyncio.get_running_loop().add_reader(self._wake_fd, self._run)
        self._run()

    def stop(self) -> None:
        """Take no more orders."""
        asyncio.get_running_loop().remove_reader(self._wake_fd)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        self._run()

    def _run(self) -> None:
        try:
            self._take()
        except RingError as error:
            self._context.fail(error)

    def _take(self) -> None:
        for record in self._ring.read(_SLICE):
            try:
                self._handle(record)
            except Exception as error:  # noqa: BLE001 - one bad order must not stop the others
                log.error("order failed", kind=record.kind, detail=repr(error))
        self._ring.commit(self._ring.position)
        loop = asyncio.get_running_loop()
        if not self._ring.arm():
            loop.call_soon(self._run)
        elif self._timer is None:
            self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    def _handle(self, record: Record) -> None:
        if record.kind == Kind.HELLO:
            log.info("the coordinator is back", sessions=len(self._context.sessions))
            self._snapshots(iter(list(self._context.sessions.values())))
            return
        session = self._context.sessions.get(record.session)
        if record.kind == Kind.SEND_RPC:
            self._send(session, record)
        elif session is None:
            return
        elif record.kind == Kind.SEND_EVENT:
            head = records.decode(records.SendEvent, record.head)
            session.send_event(head.method, record.body)
        elif record.kind == Kind.RADIUS:
            packet = records.decode(records.RadiusPacket, record.head)
            session.send_radius(packet.kind, record.body)
        elif record.kind == Kind.SESSION_CLOSE:
            order = records.decode(records.SessionClose, record.head)
            session.end(WSCloseCode(order.code), order.reason, f"coordinator: {order.reason}")

    def _send(self, session: Session | None, record: Record) -> None:
        order = records.decode(records.SendRpc, record.head)
        if session is None:
            reason = "the session is gone"
        else:
            body = compress(record.body) if order.compress else record.body
            reason = session.send_rpc(order, body)
        if order.oneway and not reason:
            sent = records.encode(records.RpcSent(RECORD_VERSION, order.command))
            self._context.uplink.publish(
                Kind.RPC_SENT, record.session, record.serial, time.monotonic_ns(), sent, b""
            )
        if reason:
            head = records.encode(records.RpcUnsent(RECORD_VERSION, order.command, reason))
            self._context.uplink.publish(
                Kind.RPC_UNSENT, record.session, record.serial, time.monotonic_ns(), head, b""
            )

    def _snapshots(self, sessions: Iterator[Session]) -> None:
        """Tell the live sessions, some per turn, so that devices are not kept waiting."""
        for _ in range(_SLICE):
            session = next(sessions, None)
            if session is None:
                return
            if session.connect_head is None or session.ended:
                continue
            self._context.uplink.publish(
                Kind.SESSION_SNAPSHOT,
                session.id,
                session.serial_number,
                time.monotonic_ns(),
                records.encode(session.snapshot()),
                b"",
            )
        asyncio.get_running_loop().call_soon(self._snapshots, sessions)
