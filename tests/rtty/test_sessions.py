"""Terminal sessions, without connections."""

from __future__ import annotations

import pytest

from gw.rtty import frames
from gw.rtty.frames import Frame, FrameError, Kind
from gw.rtty.sessions import EndReason, Limits, RefusedError, Session, Sessions

SERIAL = "02a0e3000001"
LIMITS = Limits(sessions=2, complete=120.0, login=30.0, idle=600.0)


class Fake:
    """An end that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.closed = False

    def send(self, frame: bytes) -> None:
        self.told.append(frame)

    send_data = send_login = send_end = send

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def close(self) -> None:
        self.closed = True


class Stage:
    """A table and what it reports."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.begun: list[str] = []
        self.ended: list[tuple[str, EndReason]] = []
        self.unserved: list[tuple[str, Kind, bool]] = []
        self.table = Sessions(
            limits,
            lambda session: self.begun.append(session.id),
            lambda session, reason: self.ended.append((session.id, reason)),
            lambda session, kind, first: self.unserved.append((session.id, kind, first)),
        )

    def pair(self, name: str = "a", now: float = 0.0) -> tuple[Session, Fake, Fake]:
        """A session whose ends are both there."""
        device, viewer = Fake(), Fake()
        session = self.table.join_device(name, SERIAL, device, now)
        session.begin(now)
        assert not device.told, "nobody is asked before both are there"
        self.table.join_viewer(name, SERIAL, viewer, now).begin(now)
        return session, device, viewer

    def opened(self, name: str = "a", now: float = 0.0) -> tuple[Session, Fake, Fake]:
        """A session that can be used; its ends have forgotten what they were told."""
        session, device, viewer = self.pair(name, now)
        session.frame(Frame(Kind.LOGIN, b"\0\7"), now)
        assert session.open
        device.told.clear()
        viewer.told.clear()
        return session, device, viewer


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("viewer_first", [False, True])
def test_login_is_asked_once_both_are_there(stage: Stage, viewer_first: bool) -> None:
    device, viewer = Fake(), Fake()
    joins = [
        lambda: stage.table.join_device("a", SERIAL, device, 0.0),
        lambda: stage.table.join_viewer("a", SERIAL, viewer, 0.0),
    ]
    for join in reversed(joins) if viewer_first else joins:
        session = join()
        session.begin(0.0)
    assert device.told == [bytes((1, 0, 0))]
    session.frame(Frame(Kind.LOGIN, b"\0\7"), 1.0)
    assert viewer.told == [0]
    assert (len(stage.table), stage.begun) == (1, ["a"])


def test_data_goes_both_ways(stage: Stage) -> None:
    session, device, viewer = stage.opened()
    session.typed(b"ls\r", 1.0)
    assert device.told == [frames.terminal(7, b"ls\r")]
    session.frame(Frame(Kind.TERMINAL, b"\7bin etc"), 1.0)
    assert viewer.told == [b"bin etc"]


def test_data_of_another_terminal_is_dropped(stage: Stage) -> None:
    session, _, viewer = stage.opened()
    session.frame(Frame(Kind.TERMINAL, b"\x08bin etc"), 1.0)
    session.frame(Frame(Kind.TERMINAL, b""), 1.0)
    assert viewer.told == []


def test_nothing_is_typed_into_a_terminal_that_is_not_open(stage: Stage) -> None:
    session, device, _ = stage.pair()
    device.told.clear()
    session.typed(b"x", 1.0)
    assert device.told == []


def test_heartbeats_come_back(stage: Stage) -> None:
    session, device, _ = stage.opened()
    session.frame(Frame(Kind.HEARTBEAT, b"\0\0\0\1"), 1.0)
    assert device.told == [frames.encode(Kind.HEARTBEAT, b"\0\0\0\1")]


def test_the_window_is_told_once_there_is_a_terminal(stage: Stage) -> None:
    session, device, viewer = stage.pair()
    device.told.clear()
    session.resized(100, 40)
    session.resized(132, 50)
    assert device.told == []
    session.frame(Frame(Kind.LOGIN, b"\0\7"), 1.0)
    assert device.told == [frames.window(7, 132, 50)]
    session.resized(80, 24)
    assert device.told[1:] == [frames.window(7, 80, 24)]
    with pytest.raises(FrameError):
        session.resized(0, 24)
    assert viewer.told == [0]


def test_a_device_may_refuse_the_login(stage: Stage) -> None:
    session, device, viewer = stage.pair()
    session.frame(Frame(Kind.LOGIN, b"\2"), 1.0)
    assert viewer.told == [2, "the device refused"]
    assert device.closed
    assert viewer.closed
    assert stage.ended == [("a", "login")]


def test_logout_ends_the_session(stage: Stage) -> None:
    session, device, viewer = stage.opened()
    session.frame(Frame(Kind.LOGOUT, b"\7"), 1.0)
    assert stage.ended == [("a", "logout")]
    assert device.closed
    assert viewer.told == ["the shell has ended"]
    assert viewer.closed


def test_a_second_registration_breaks_the_protocol(stage: Stage) -> None:
    session, device, _ = stage.opened()
    session.frame(Frame(Kind.REGISTER, b""), 1.0)
    assert stage.ended == [("a", "protocol")]
    assert device.closed


def test_an_unreadable_login_breaks_the_protocol(stage: Stage) -> None:
    session, _, _ = stage.pair()
    session.frame(Frame(Kind.LOGIN, b""), 1.0)
    assert stage.ended == [("a", "protocol")]


def test_a_login_that_nobody_asked_for_opens_nothing(stage: Stage) -> None:
    session = stage.table.join_device("a", SERIAL, Fake(), 0.0)
    session.frame(Frame(Kind.LOGIN, b"\0\7"), 1.0)
    assert not session.open


def test_the_shell_is_told_when_the_browser_goes(stage: Stage) -> None:
    session, device, viewer = stage.opened()
    session.lost(viewer)
    assert device.told == [frames.encode(Kind.LOGOUT, b"\7")]
    assert device.closed
    assert stage.ended == [("a", "viewer")]


def test_the_browser_is_told_when_the_device_goes(stage: Stage) -> None:
    session, device, viewer = stage.opened()
    session.lost(device)
    assert viewer.told == ["the device is gone"]
    assert stage.ended == [("a", "device")]
    assert device.told == []


def test_an_end_that_waits_alone_may_come_again(stage: Stage) -> None:
    first, second = Fake(), Fake()
    session = stage.table.join_viewer("a", SERIAL, first, 0.0)
    session.lost(first)
    assert stage.ended == []
    assert stage.table.join_viewer("a", SERIAL, second, 1.0) is session


def test_each_end_is_there_once(stage: Stage) -> None:
    stage.pair()
    for join in (stage.table.join_device, stage.table.join_viewer):
        with pytest.raises(RefusedError) as refused:
            join("a", SERIAL, Fake(), 1.0)
        assert refused.value.reason == "taken"


def test_there_is_a_cap(stage: Stage) -> None:
    stage.opened("a")
    waiting = stage.table.join_viewer("b", SERIAL, Fake(), 0.0)
    with pytest.raises(RefusedError) as refused:
        stage.table.join_device("c", SERIAL, Fake(), 0.0)
    assert refused.value.reason == "full"
    waiting.end("drain")
    stage.table.join_device("c", SERIAL, Fake(), 0.0)


def test_an_id_is_used_once(stage: Stage) -> None:
    session, _, _ = stage.opened()
    session.end("logout")
    with pytest.raises(RefusedError) as refused:
        stage.table.join_device("a", SERIAL, Fake(), 1.0)
    assert refused.value.reason == "ended"
    assert len(stage.table) == 0


def test_ended_ids_are_remembered_as_long_as_their_command_is_good(stage: Stage) -> None:
    session, _, _ = stage.pair("a", 0.0)
    session.end("drain")
    stage.table.sweep(LIMITS.complete)
    with pytest.raises(RefusedError):
        stage.table.join_device("a", SERIAL, Fake(), LIMITS.complete)
    stage.table.sweep(10_000.0)
    stage.table.join_device("a", SERIAL, Fake(), 10_000.0)


@pytest.mark.parametrize(
    ("state", "limit", "reason"),
    [("waiting", 120.0, "incomplete"), ("login", 30.0, "login"), ("open", 600.0, "idle")],
)
def test_every_state_has_a_deadline(
    stage: Stage, state: str, limit: float, reason: EndReason
) -> None:
    if state == "waiting":
        stage.table.join_device("a", SERIAL, Fake(), 5.0)
    elif state == "login":
        stage.pair(now=5.0)
    else:
        stage.opened(now=5.0)
    stage.table.sweep(5.0 + limit - 0.1)
    assert stage.ended == []
    stage.table.sweep(5.0 + limit)
    assert stage.ended == [("a", reason)]


def test_only_typing_keeps_a_session(stage: Stage) -> None:
    session, _, _ = stage.opened(now=0.0)
    session.typed(b"x", 500.0)
    session.resized(80, 24)
    session.frame(Frame(Kind.TERMINAL, b"\7x"), 900.0)
    session.typed(b"", 900.0)
    stage.table.sweep(1_099.0)
    assert stage.ended == []
    stage.table.sweep(1_100.0)
    assert stage.ended == [("a", "idle")]


def test_an_ended_session_ends_once(stage: Stage) -> None:
    session, device, viewer = stage.opened()
    session.end("idle")
    session.lost(device)
    session.lost(viewer)
    session.end("drain")
    session.typed(b"x", 1.0)
    session.frame(Frame(Kind.TERMINAL, b"\7x"), 1.0)
    assert stage.ended == [("a", "idle")]


def test_all_can_be_ended(stage: Stage) -> None:
    stage.opened("a")
    stage.pair("b")
    stage.table.end_all("drain")
    assert sorted(stage.ended) == [("a", "drain"), ("b", "drain")]
    assert len(stage.table) == 0


@pytest.mark.parametrize(
    "kind", [Kind.WINDOW, Kind.COMMAND, Kind.FILE, Kind.HTTP, Kind.ACKNOWLEDGE]
)
def test_what_belongs_to_no_terminal_is_told_and_ends_nothing(kind: Kind) -> None:
    stage = Stage()
    session, device, viewer = stage.opened()
    for _ in range(2):
        session.frame(Frame(kind, b"\7\0name"), 1.0)
    assert stage.unserved == [("a", kind, True), ("a", kind, False)]
    assert device.told == []
    assert len(viewer.told) == (kind is Kind.FILE), "whoever began a transfer knows, once"
    assert not stage.ended
