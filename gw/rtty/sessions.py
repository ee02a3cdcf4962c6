"""Terminal sessions: a device and a browser that belong together, and what passes between them.

Free of I/O: the two ends are told what to do, and tell what came; times are given. A session is
there from the first end that comes until one of them goes or time is up, and is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, Protocol

from gw.rtty import frames
from gw.rtty.frames import Frame, FrameError, Kind

EndReason = Literal[
    "device", "viewer", "logout", "login", "idle", "incomplete", "protocol", "drain"
]  # fmt: skip
Refusal = Literal["full", "taken", "ended"]

TEXTS: Final[dict[EndReason, str]] = {
    "device": "the device is gone",
    "viewer": "the browser is gone",
    "logout": "the shell has ended",
    "login": "the device refused",
    "idle": "nothing was typed for too long",
    "incomplete": "the other end did not come in time",
    "protocol": "an end broke the protocol",
    "drain": "the gateway is restarting",
}
"""What the viewer is told."""
_NO_FILES: Final = b"\r\n[the gateway carries no files; press Ctrl-C]\r\n"
_MAX_ENDED: Final = 10_000
"""Sessions remembered as ended."""


class RefusedError(Exception):
    """An end may not join a session."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason: Refusal = reason


class Peer(Protocol):
    """One connected end."""

    def pause(self) -> None:
        """Read no more from it: the other end is slow."""

    def resume(self) -> None:
        """Read again."""

    def close(self) -> None:
        """Close, once what was sent is out. Nothing is told to the session after that."""


class Device(Peer, Protocol):
    """The device's end."""

    def send(self, frame: bytes) -> None:
        """Send frames."""


class Viewer(Peer, Protocol):
    """The browser's end."""

    def send_data(self, data: bytes) -> None:
        """Send what the terminal shows."""

    def send_login(self, error: int) -> None:
        """Tell that the terminal can be used, or the device's error."""

    def send_end(self, text: str) -> None:
        """Tell why the session has ended."""


class Limits(NamedTuple):
    """Limits of sessions; times in seconds."""

    sessions: int
    complete: float
    login: float
    idle: float


class Session:
    """One session. `deadline` is by the clock that its table is told."""

    __slots__ = (
        "_size", "_table", "_terminal", "deadline", "device", "id", "serial", "unserved", "viewer"
    )  # fmt: skip

    def __init__(self, table: Sessions, name: str, serial: str, deadline: float) -> None:
        self._table = table
        self.id = name
        self.serial = serial
        self.deadline = deadline
        self.device: Device | None = None
        self.viewer: Viewer | None = None
        self._terminal: int | None = None
        """The device's number of it, once the login has succeeded."""
        self._size: tuple[int, int] | None = None
        self.unserved: set[Kind] = set()
        """Kinds of frames that came and are not served."""

    @property
    def open(self) -> bool:
        """Whether the terminal can be used."""
        return self._terminal is not None

    # -- what came from the device

    def frame(self, frame: Frame, now: float) -> None:
        """Take a frame of the device."""
        kind, body = frame
        if kind is Kind.TERMINAL:
            if self.viewer is not None and body and body[0] == self._terminal:
                self.viewer.send_data(body[1:])
        elif kind is Kind.HEARTBEAT:
            if self.device is not None:
                self.device.send(frames.encode(Kind.HEARTBEAT, body))
        elif kind is Kind.LOGIN:
            self._logged_in(body, now)
        elif kind is Kind.LOGOUT:
            self.end("logout")
        elif kind is Kind.REGISTER:
            self.end("protocol")
        else:
            self._not_served(kind)

    def _not_served(self, kind: Kind) -> None:
        """Pass over what belongs to no terminal; who began a file transfer is told.

        Files (7) are begun in the shell. Answers to commands (5), to the requests of a web proxy
        (8), acknowledgements (9) and sizes (4) are of things that this gateway asks no device for.
        """
        first = kind not in self.unserved
        self.unserved.add(kind)
        if first and kind is Kind.FILE and self.viewer is not None and self.open:
            self.viewer.send_data(_NO_FILES)
        self._table.on_unserved(self, kind, first)

    def _logged_in(self, body: bytes, now: float) -> None:
        if self.viewer is None or self.device is None or self.open:
            return  # not asked
        try:
            error, terminal = frames.read_login(body)
        except FrameError:
            self.end("protocol")
            return
        self.viewer.send_login(error)
        if error:
            self.end("login")
            return
        self._terminal = terminal
        self.deadline = now + self._table.limits.idle
        if self._size is not None:
            self.device.send(frames.window(terminal, *self._size))

    # -- what came from the viewer

    def typed(self, data: bytes, now: float) -> None:
        """Take keystrokes; before the login there is nobody to give them to."""
        if self.device is None or self._terminal is None or not data:
            return
        self.deadline = now + self._table.limits.idle
        self.device.send(frames.terminal(self._terminal, data))

    def resized(self, columns: int, rows: int) -> None:
        """Take the size of the window. Raises FrameError."""
        told = frames.window(self._terminal or 0, columns, rows)
        self._size = (columns, rows)
        if self.device is not None and self.open:
            self.device.send(told)

    # -- both

    def begin(self, now: float) -> None:
        """Ask the device for a shell if both ends are there."""
        if self.device is not None and self.viewer is not None:
            self.deadline = now + self._table.limits.login
            self.device.send(frames.encode(Kind.LOGIN))

    def lost(self, peer: Peer) -> None:
        """An end is gone: one that waited may come again, a session that was complete ends."""
        complete = self.device is not None and self.viewer is not None
        if peer is self.device:
            self.device = None
        elif peer is self.viewer:
            self.viewer = None
        else:
            return
        if complete:
            self.end("device" if self.device is None else "viewer")

    def end(self, reason: EndReason) -> None:
        """End the session and both connections."""
        if not self._table.forget(self, reason):
            return
        device, viewer = self.device, self.viewer
        self.device = self.viewer = None
        if device is not None:
            if self._terminal is not None:
                device.send(frames.encode(Kind.LOGOUT, bytes((self._terminal,))))
            device.close()
        if viewer is not None:
            viewer.send_end(TEXTS[reason])
            viewer.close()


class Sessions:
    """All sessions, by id."""

    def __init__(
        self,
        limits: Limits,
        on_begin: Callable[[Session], None] = lambda session: None,
        on_end: Callable[[Session, EndReason], None] = lambda session, reason: None,
        on_unserved: Callable[[Session, Kind, bool], None] = lambda session, kind, first: None,
    ) -> None:
        self.limits = limits
        self._on_begin = on_begin
        self._on_end = on_end
        self.on_unserved = on_unserved
        """Called for frames of kinds that are not served; `first`: of that session and kind."""
        self._live: dict[str, Session] = {}
        self._ended: dict[str, float] = {}
        """Until when an id may not be used again."""

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    def join_device(self, name: str, serial: str, device: Device, now: float) -> Session:
        """Let a device in whose credentials were checked; `begin` follows. Raises RefusedError."""
        session = self._session(name, serial, now)
        if session.device is not None:
            raise RefusedError("taken")
        session.device = device
        return session

    def join_viewer(self, name: str, serial: str, viewer: Viewer, now: float) -> Session:
        """Let a browser in whose id was checked; `begin` follows. Raises RefusedError."""
        session = self._session(name, serial, now)
        if session.viewer is not None:
            raise RefusedError("taken")
        session.viewer = viewer
        return session

    def _session(self, name: str, serial: str, now: float) -> Session:
        if name in self._ended:
            raise RefusedError("ended")
        found = self._live.get(name)
        if found is None:
            if len(self._live) >= self.limits.sessions:
                raise RefusedError("full")
            found = self._live[name] = Session(self, name, serial, now + self.limits.complete)
            self._on_begin(found)
        return found

    def sweep(self, now: float) -> None:
        """End what is overdue; called once a second."""
        for session in self:
            if now >= session.deadline:
                complete = session.device is not None and session.viewer is not None
                session.end("idle" if session.open else "login" if complete else "incomplete")
        # An id is good for `complete` seconds from its command on, so no longer than this.
        for name in [name for name, until in self._ended.items() if now >= until]:
            del self._ended[name]

    def forget(self, session: Session, reason: EndReason) -> bool:
        """Take a session out; False if it is out already."""
        if self._live.get(session.id) is not session:
            return False
        del self._live[session.id]
        while len(self._ended) >= _MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[session.id] = session.deadline + self.limits.complete
        self._on_end(session, reason)
        return True

    def end_all(self, reason: EndReason) -> None:
        """End every session."""
        for session in self:
            session.end(reason)
