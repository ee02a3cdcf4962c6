"""What the remote terminal counts and logs."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gw.ops import metrics
from gw.rtty import counters
from gw.rtty.counters import Counters
from gw.rtty.frames import Frame, Kind
from gw.rtty.sessions import Limits, Session, Sessions


def test_a_flood_of_refusals_is_counted_but_not_logged_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(counters.time, "monotonic", lambda: now)
    page = metrics.CounterPage.private()
    made = Counters(page)
    most = counters.MAX_REFUSALS_LOGGED
    with capture_logs() as logged:
        for _ in range(most + 90):
            made.refused("device", "token", "127.0.0.1:1", "")
        assert len(logged) == most
        now += 1.0
        made.refused("viewer", "tls", "127.0.0.1:1", "")
    assert page.get(metrics.index("gw_rtty_refused_total", "device", "token")) == most + 90
    assert [one["event"] for one in logged[most:]] == ["refusals, not logged one by one", "refused"]
    assert logged[most]["count"] == 90


def test_frames_that_are_not_served_are_counted_and_logged_once() -> None:
    page = metrics.CounterPage.private()
    table = Sessions(Limits(1, 9.0, 9.0, 9.0), on_unserved=Counters(page).unserved)
    session = Session(table, "a", "02a0a4000031", 9.0)
    with capture_logs() as logged:
        for kind in (Kind.FILE, Kind.FILE, Kind.HTTP):
            session.frame(Frame(kind, b"\7"), 1.0)
    assert [one["kind"] for one in logged] == ["file", "http"]
    assert page.get(metrics.index("gw_rtty_unserved_frames_total", "file")) == 2
    assert page.get(metrics.index("gw_rtty_unserved_frames_total", "http")) == 1
