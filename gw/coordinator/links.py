"""The coordinator's ends of the queues towards the workers and the API."""

from __future__ import annotations

import time

from gw._native.ring import Producer
from gw.coordinator.presence import slot_of
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.ids import serial_to_int
from gw.core.records import RECORD_VERSION, Head, Kind
from gw.ops import logs

log = logs.get("links")


class Links:
    """Sends orders to workers and answers to the API."""

    def __init__(self, rings: list[RingEnds]) -> None:
        self._workers: dict[int, Producer] = {}
        self._api: Producer | None = None
        for ends in rings:
            producer = Producer(ends.down_memfd, ends.down_wake)
            role, _, slot = ends.name.rpartition("-")
            if role == "worker":
                self._workers[int(slot)] = producer
            else:
                self._api = producer

    def hello(self, generation: int) -> None:
        """Tell everybody that this coordinator is new."""
        head = records.encode(records.Hello(RECORD_VERSION, generation))
        for producer in self._everybody():
            self._push(producer, Kind.HELLO, 0, 0, head, b"")

    def hello_worker(self, slot: int, generation: int) -> None:
        """Repeat it for one worker that started meanwhile."""
        head = records.encode(records.Hello(RECORD_VERSION, generation))
        self._push(self._workers[slot], Kind.HELLO, 0, 0, head, b"")

    def _everybody(self) -> list[Producer]:
        found = list(self._workers.values())
        return found if self._api is None else [*found, self._api]

    def close(self, session: int, serial: str, code: int, reason: str) -> None:
        """Close a session."""
        self._to_session(Kind.SESSION_CLOSE, session, serial,
                         records.SessionClose(RECORD_VERSION, code, reason), b"")  # fmt: skip

    def accept(self, session: int, serial: str) -> None:
        """Tell that a session is accepted."""
        self._to_session(
            Kind.SESSION_ACCEPTED, session, serial, records.SessionAccepted(RECORD_VERSION), b""
        )

    def send_rpc(self, session: int, serial: str, order: records.SendRpc, params: bytes) -> bool:
        """Have a request sent; False if the worker's queue is full."""
        return self._to_session(Kind.SEND_RPC, session, serial, order, params)

    def respond(self, response: records.Response, body: bytes) -> bool:
        """Answer a request of the API."""
        if self._api is None:
            return False
        return self._push(self._api, Kind.RESPONSE, 0, 0, records.encode(response), body)

    def _to_session(self, kind: Kind, session: int, serial: str, head: Head, body: bytes) -> bool:
        producer = self._workers.get(slot_of(session))
        if producer is None:
            return False
        return self._push(
            producer, kind, session, serial_to_int(serial), records.encode(head), body
        )

    def _push(
        self, producer: Producer, kind: Kind, session: int, serial: int, head: bytes, body: bytes
    ) -> bool:
        done = producer.push(kind, session, serial, time.monotonic_ns(), head, body)
        if not done:
            log.warning("a queue is full", kind=kind.name)
        return done
