"""The queues of an access point: it runs one command at a time in each (agents.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

Queue = Literal["administration", "other"]

_ADMINISTRATION: Final = frozenset({"reboot", "factory", "transfer", "upgrade"})
_OTHER: Final = frozenset(
    {"perform", "rtty", "script", "rrm", "fixedconfig", "trace", "wifiscan", "reenroll"}
)
_ABORT_SECONDS: Final = {"wifiscan": 120.0}

Job = Callable[[], None]
Later = Callable[[float, Job], object]


def queue_of(platform: str, method: str) -> Queue | None:
    """Return the queue that a method waits in; None: it is done at once. Switches have none."""
    if platform != "ap":
        return None
    if method in _ADMINISTRATION:
        return "administration"
    return "other" if method in _OTHER else None


def abort_seconds(method: str, most: float) -> float:
    """Return after how long a command that does not end is aborted; `most` bounds it."""
    return min(_ABORT_SECONDS.get(method, most), most)


class CommandQueues:
    """Two queues; what is under way in one does not hold up the other."""

    def __init__(self, later: Later) -> None:
        """`later` calls a job after some seconds."""
        self._later = later
        self._waiting: dict[Queue, deque[tuple[float, Job]]] = {}
        """By queue: the jobs behind the one that is under way. A queue that rests is absent."""
        self._life = 0

    def put(self, queue: Queue, seconds: float, job: Job) -> None:
        """Run a command of `seconds` once those before it have ended; `job` tells its end."""
        if queue in self._waiting:
            self._waiting[queue].append((seconds, job))
        elif seconds > 0:
            self._waiting[queue] = deque()
            self._run(queue, seconds, job)
        else:
            job()

    def clear(self) -> None:
        """Forget everything, as at a restart."""
        self._waiting.clear()
        self._life += 1

    def _run(self, queue: Queue, seconds: float, job: Job) -> None:
        life = self._life

        def ended() -> None:
            if life != self._life:
                return
            job()
            if life == self._life:  # the job may have been a restart
                self._next(queue)

        self._later(seconds, ended)

    def _next(self, queue: Queue) -> None:
        waiting: deque[Any] = self._waiting[queue]
        if waiting:
            self._run(queue, *waiting.popleft())
        else:
            del self._waiting[queue]
