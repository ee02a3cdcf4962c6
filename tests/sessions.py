"""A worker's session in process: what it makes of messages, without socket and ring."""

from __future__ import annotations

from typing import Any, NamedTuple

from picows import WSCloseCode

from gw.core import records
from gw.core.records import Kind, PeerCertificate
from gw.core.settings import Settings
from gw.ops import metrics
from gw.ops.metrics_table import PROTOCOL_ERRORS
from gw.protocol import messages
from gw.worker.context import WorkerContext
from gw.worker.session import Session

SERIAL = "24f5a207a130"
_ERRORS = {reason: metrics.index("gw_protocol_errors_total", reason) for reason in PROTOCOL_ERRORS}
_MAX_INT = 2**63 - 1


class Record(NamedTuple):
    """What was published."""

    kind: Kind
    serial: int
    head: bytes
    body: bytes


class Silent:
    """A logger that keeps only warnings and worse: a session has none to say."""

    def __init__(self) -> None:
        self.worse: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        """Format nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda event, **fields: self.worse.append(f"{name}: {event} {fields}")


class FakeUplink:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failed: Any = None

    def publish(
        self,
        kind: Kind,
        session: int,
        serial: int,
        received_ns: int,
        head: bytes,
        body: bytes,
        owner: object = None,
    ) -> None:
        self.records.append(Record(kind, serial, head, body))

    def forget(self, session: int) -> None:
        """Nothing is kept by session."""


class Outcome(NamedTuple):
    """What became of a message."""

    kind: str
    """`published`, `error`, `ended`, `counted` (a RADIUS envelope), or `nothing`."""
    reason: str
    records: list[Record]
    closed: bool
    """The session is over."""


class Model:
    """Sessions of one device, one after the other."""

    def __init__(self, serial: str = SERIAL, connect: bytes | None = None) -> None:
        self.uplink = FakeUplink()
        self.counters = metrics.CounterPage.private()
        uplink: Any = self.uplink
        self.context = WorkerContext(Settings(), self.counters, uplink, 0, 1)
        self.serial = serial
        self._connect = connect
        self.sessions = 0
        self._open()

    def _open(self) -> None:
        self.sessions += 1
        self.session = self.context.new_session("192.0.2.1:1", 0.0)
        self.session.certificate = PeerCertificate(self.serial, "ca", 0, 2**33, "1", "VERIFIED")
        self.context.session_opened(self.session)
        connect = self._connect or (
            b'{"jsonrpc":"2.0","method":"connect","params":{"serial":"%s","uuid":1,'
            b'"firmware":"f","capabilities":{}}}' % self.serial.encode()
        )
        self.session._message(connect, 0)
        assert self.session.connect_head is not None
        self.uplink.records.clear()

    def errors(self) -> int:
        """Sum of the protocol errors."""
        return sum(int(self.counters.get(index)) for index in _ERRORS.values())

    def take(self, payload: bytes) -> Outcome:
        """Let the session take a message; a new session follows one that ended."""
        session: Session = self.session
        before = {reason: self.counters.get(index) for reason, index in _ERRORS.items()}
        radius = session.messages
        if payload:
            session._message(payload, 1)
        found = list(self.uplink.records)
        self.uplink.records.clear()
        raised = [
            reason
            for reason, index in _ERRORS.items()
            if self.counters.get(index) != before[reason]
        ]
        closed = session.ended
        if raised:
            assert len(raised) == 1
            assert not found
            outcome = Outcome("error", raised[0], [], closed)
        elif closed:
            assert not found
            outcome = Outcome("ended", session.reason, [], True)
        elif found:
            assert len(found) == 1
            outcome = Outcome("published", "", found, False)
        elif not payload or (session.messages > radius and b'"radius"' in payload):
            outcome = Outcome("counted", "", [], False)
        else:
            outcome = Outcome("nothing", "", [], False)
        if closed:
            self.context.session_closed(session)
            self.uplink.records.clear()
            self._open()
        return outcome

    def end(self) -> None:
        """End the session as a peer does."""
        self.session.end(WSCloseCode.OK, "peer", "")


def storable(record: Record) -> None:
    """Check that the coordinator can read a record, and the store take what is in it."""
    if record.kind == Kind.CONNECT:
        head = records.decode(records.Connect, record.head)
        assert 0 <= head.uuid <= _MAX_INT
        params = messages.decode("connect", record.body)
        assert isinstance(params, messages.ConnectParams)
        messages.capabilities(params.capabilities)
    elif record.kind == Kind.MESSAGE:
        message = records.decode(records.DeviceMessage, record.head)
        assert -1 <= message.uuid <= _MAX_INT
        params = messages.decode(message.method, record.body)
        if message.size:
            document = record.body[message.start : message.start + message.size]
            name = messages.DOCUMENTS[message.method]
            assert document == bytes(getattr(params, name))
            document.decode()
    else:
        assert record.kind == Kind.ANSWER
        return
    for name in params.__struct_fields__:
        value = getattr(params, name)
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if isinstance(text, str) and name not in ("serial", "request_uuid"):
                assert "\0" not in text
                text.encode()
            if isinstance(text, int):
                assert -_MAX_INT <= text <= _MAX_INT
