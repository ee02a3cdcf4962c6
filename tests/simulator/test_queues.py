"""One command at a time in each of the two queues of an access point."""

from __future__ import annotations

import heapq
import itertools

import pytest

from gw.simulator.events import MAX_EVENTS, Event, KeptEvents
from gw.simulator.queues import CommandQueues, abort_seconds, queue_of


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self):
        self.now = 0.0
        self._numbers = itertools.count()
        self._due = []

    def later(self, delay, job):
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), job))

    def run(self):
        while self._due:
            self.now, _, job = heapq.heappop(self._due)
            job()


@pytest.mark.parametrize(
    ("platform", "method", "queue"),
    [
        ("ap", "reboot", "administration"),
        ("ap", "upgrade", "administration"),
        ("ap", "script", "other"),
        ("ap", "wifiscan", "other"),
        ("ap", "ping", None),
        ("ap", "configure", None),
        ("switch", "reboot", None),
    ],
)
def test_queue_of_a_method(platform, method, queue):
    assert queue_of(platform, method) == queue


def test_scans_are_aborted_sooner():
    assert [abort_seconds(method, 600.0) for method in ("wifiscan", "trace")] == [120.0, 600.0]
    assert abort_seconds("wifiscan", 1.0) == 1.0


def test_second_command_waits_for_the_first():
    clock, ended = Clock(), []
    queues = CommandQueues(clock.later)
    for name, seconds in (("trace", 5.0), ("wifiscan", 2.0), ("script", 0.0)):
        queues.put("other", seconds, lambda name=name: ended.append((name, clock.now)))
    queues.put("administration", 1.0, lambda: ended.append(("upgrade", clock.now)))
    clock.run()
    assert ended == [("upgrade", 1.0), ("trace", 5.0), ("wifiscan", 7.0), ("script", 7.0)]
    queues.put("other", 0.0, lambda: ended.append(("leds", clock.now)))
    assert ended[-1] == ("leds", 7.0)


def test_restart_forgets_what_waits_and_what_runs():
    clock, ended = Clock(), []
    queues = CommandQueues(clock.later)
    queues.put("administration", 1.0, queues.clear)
    queues.put("administration", 1.0, lambda: ended.append("second"))
    queues.put("other", 5.0, lambda: ended.append("script"))
    clock.run()
    assert ended == []
    queues.put("administration", 1.0, lambda: ended.append("after"))
    clock.run()
    assert ended == ["after"]


def test_newest_events_are_kept():
    kept = KeptEvents()
    for number in range(MAX_EVENTS + 10):
        kept.add(Event(number, "odd" if number % 2 else "even", {"n": number}))
    assert len(kept) == MAX_EVENTS
    found = kept.take(["odd", "none", 7])
    assert found["none"] == []
    assert [at for at, _ in found["odd"]] == list(range(11, MAX_EVENTS + 10, 2))
    assert list(kept.take(None)) == ["even"]
    assert len(kept) == 0
    kept.add(Event(1, "a", {}))
    assert kept.drain() == [Event(1, "a", {})]
    assert kept.drain() == []
