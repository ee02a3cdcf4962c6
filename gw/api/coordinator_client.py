"""The API's way to the coordinator: numbered requests over the two shared-memory rings.

Everything here runs on the event loop and never blocks it. A request is kept until it is
answered or its caller gives up; when a coordinator starts anew (HELLO) all that are kept are
pushed again, which is why the operations are idempotent.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from gw._native.ring import Consumer, Producer, RingError
from gw.api import author
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.errors import INTERNAL, ApiError

_log = structlog.get_logger("gw.api.coordinator_client")

MAX_WAITING: Final = 4096
"""Requests without an answer; further ones are refused."""
MAX_WAITING_BYTES: Final = 67_108_864
"""Bytes of heads and bodies of those requests."""
DEFAULT_SECONDS: Final = 15.0
_PROBE: Final = "fleet.statistics"
"""An operation that costs nothing: is the coordinator there?"""
_LOOK_SECONDS: Final = 0.1
"""Covers a coordinator that died between publishing and waking us."""
_RETRY_SECONDS: Final = 0.005
_RETRY_MAX_SECONDS: Final = 0.1
_UNAVAILABLE: Final = 503


class Answer(msgspec.Struct, frozen=True):
    """What the coordinator answered."""

    result: dict[str, Any]
    body: bytes


class _Waiting:
    """One request without an answer."""

    __slots__ = ("body", "done", "head", "id")

    def __init__(self, id: int, head: bytes, body: bytes, done: asyncio.Future[Answer]) -> None:
        self.id = id
        self.head = head
        self.body = body
        self.done = done

    @property
    def size(self) -> int:
        return len(self.head) + len(self.body)


class CoordinatorClient:
    """Sends requests up and matches the answers that come down. One per api process.

    `generation` is that of the process: the answers to requests of an earlier one are left
    in the ring by its death, and must not be taken for ours.
    """

    def __init__(self, ends: RingEnds, generation: int) -> None:
        self._up = Producer(ends.up_memfd, ends.up_wake)
        self._down = Consumer(ends.down_memfd, ends.down_wake)
        self._wake_fd = ends.down_wake
        self._next_id = generation << 40
        self._waiting: dict[int, _Waiting] = {}
        self._waiting_bytes = 0
        self._unsent: deque[int] = deque()
        self._retry: asyncio.TimerHandle | None = None
        self._retry_delay = _RETRY_SECONDS
        self._look: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_item: Callable[[int, bytes, bytes], object] = lambda _serial, _head, _body: None
        """Called with serial number, head and body of each item of a live stream."""
        self.on_hello: Callable[[], object] = lambda: None
        """Called when a coordinator started anew."""
        self.on_token_removed: Callable[[str], object] = lambda _token: None
        """Called with a token that another service took back."""
        self.failed: asyncio.Future[None] | None = None
        """Gets the exception when a ring is unusable; the process must then end."""

    def start(self) -> None:
        """Begin to listen; to be called on the running loop."""
        self._loop = asyncio.get_running_loop()
        self.failed = self._loop.create_future()
        self._loop.add_reader(self._wake_fd, self._receive)
        self._look_again()

    def close(self) -> None:
        """Stop listening and refuse what still waits."""
        if self._loop is None:
            return
        self._loop.remove_reader(self._wake_fd)
        for timer in (self._retry, self._look):
            if timer is not None:
                timer.cancel()
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(_unavailable("the gateway is stopping"))
        self._up.close()
        self._down.close()
        if self.failed is not None:
            self.failed.cancel()
        self._loop = None

    @property
    def waiting(self) -> int:
        """Number of requests without an answer."""
        return len(self._waiting)

    async def request(
        self,
        operation: str,
        arguments: dict[str, Any],
        body: bytes = b"",
        *,
        timeout: float = DEFAULT_SECONDS,  # noqa: ASYNC109 - it is a part of the request
    ) -> Answer:
        """Ask the coordinator and wait for its answer, at most `timeout` seconds.

        Raises ApiError: with the coordinator's number and detail if it refuses, or 1002 with
        HTTP status 503 if it does not answer in time or too many requests wait already. A
        longer `timeout` than the usual one is for a device; meanwhile the coordinator itself is
        asked now and then whether it is there.
        """
        loop = self._loop
        if loop is None:
            raise _unavailable("the gateway is stopping")
        if len(self._waiting) >= MAX_WAITING:
            raise _unavailable(f"{MAX_WAITING} requests wait for the coordinator already")
        self._next_id += 1
        by = author.current()
        if by is not None:
            by = msgspec.structs.replace(by, entry=uuid.uuid4().hex)
        request = records.Request(records.RECORD_VERSION, self._next_id, operation, arguments, by)
        waiting = _Waiting(request.id, records.encode(request), body, loop.create_future())
        if self._waiting_bytes + waiting.size > MAX_WAITING_BYTES:
            raise _unavailable("too many large requests wait for the coordinator already")
        self._waiting[waiting.id] = waiting
        self._waiting_bytes += waiting.size
        self._unsent.append(waiting.id)
        try:
            self._send()
            async with asyncio.timeout(timeout):
                while timeout > DEFAULT_SECONDS:
                    done, _ = await asyncio.wait((waiting.done,), timeout=DEFAULT_SECONDS)
                    if done:
                        break
                    await self.request(_PROBE, {})
                return await waiting.done
        except TimeoutError:
            raise _unavailable(f"the coordinator did not answer in {timeout:g} s") from None
        finally:
            del self._waiting[waiting.id]
            self._waiting_bytes -= waiting.size

    def _send(self) -> None:
        """Push what is unsent, in order; what does not fit is tried again shortly."""
        if self._retry is not None:
            return
        while self._unsent:
            waiting = self._waiting.get(self._unsent[0])
            if waiting is None or waiting.done.done():
                self._unsent.popleft()
                continue
            try:
                pushed = self._up.push(
                    int(records.Kind.REQUEST), 0, 0, time.time_ns(), waiting.head, waiting.body
                )
            except ValueError:
                self._unsent.popleft()
                waiting.done.set_exception(ApiError(1003, "the document is too large"))
                continue
            except RingError as error:
                self._fail(error)
                return
            if not pushed:
                self._send_later()
                return
            self._unsent.popleft()
            self._retry_delay = _RETRY_SECONDS

    def _send_later(self) -> None:
        if self._loop is not None:
            self._retry = self._loop.call_later(self._retry_delay, self._send_again)
            self._retry_delay = min(self._retry_delay * 2, _RETRY_MAX_SECONDS)

    def _send_again(self) -> None:
        self._retry = None
        self._send()

    def _look_again(self) -> None:
        if self._loop is not None:
            self._receive()
            self._look = self._loop.call_later(_LOOK_SECONDS, self._look_again)

    def _receive(self) -> None:
        """Take all answers out of the ring, until the ring agrees that we may sleep."""
        try:
            while True:
                found = self._down.read()
                for record in found:
                    if record.kind == records.Kind.STREAM:
                        self.on_item(record.serial, record.head, record.body)
                    else:
                        self._take(record.kind, record.head, record.body)
                if found:
                    self._down.commit(found[-1].position)
                elif self._down.arm():
                    return
        except RingError as error:
            self._fail(error)

    def _take(self, kind: int, head: bytes, body: bytes) -> None:
        if kind == records.Kind.RESPONSE:
            try:
                response = records.decode(records.Response, head)
            except msgspec.DecodeError as error:
                _log.error("unreadable answer of the coordinator", error=str(error))
                return
            waiting = self._waiting.get(response.id)
            if waiting is None or waiting.done.done():
                return  # given up, or answered already before a HELLO had it sent again
            if response.error:
                refused = ApiError(response.error, response.detail, http=response.http or None)
                waiting.done.set_exception(refused)
            else:
                waiting.done.set_result(Answer(response.result, body))
        elif kind == records.Kind.TOKEN_REMOVED:
            self.on_token_removed(body.decode(errors="replace"))
        elif kind == records.Kind.HELLO:
            self._unsent = deque(sorted(self._waiting))
            if self._unsent:
                _log.warning("the coordinator restarted", repeated=len(self._unsent))
            self._send()
            self.on_hello()

    def _fail(self, error: RingError) -> None:
        """Give up: without its rings this process cannot work; the supervisor starts another."""
        if self._loop is not None:
            self._loop.remove_reader(self._wake_fd)
        if self.failed is not None and not self.failed.done():
            _log.critical("a queue to the coordinator is unusable", error=str(error))
            self.failed.set_exception(error)


def _unavailable(extra: str) -> ApiError:
    return ApiError(INTERNAL, extra, http=_UNAVAILABLE)
