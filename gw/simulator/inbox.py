"""What a device has heard from the gateway, and who waits for it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import msgspec
import orjson

from gw.simulator.configure import Outcome


class Incoming(msgspec.Struct):
    """A message as an agent meets it: nothing is sure about it."""

    jsonrpc: Any = msgspec.UNSET
    method: Any = msgspec.UNSET
    id: Any = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET
    radius: Any = msgspec.UNSET


decode = msgspec.json.Decoder(Incoming).decode


class Message:
    """What the gateway sent: `method` ("" if it has none), `id`, and the `raw` text.

    `outcome` tells what became of a configure; None for all others.
    """

    __slots__ = ("_params", "at", "id", "method", "outcome", "raw")

    def __init__(self, method: str, request_id: Any, raw: bytes) -> None:
        self.method = method
        self.id = None if request_id is msgspec.UNSET else request_id
        self.raw = raw
        self.at = time.monotonic()
        self.outcome: Outcome | None = None
        self._params: dict[str, Any] | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as they came, also when they are compressed."""
        if self._params is None:
            found = orjson.loads(self.raw).get("params")
            self._params = found if isinstance(found, dict) else {}
        return self._params

    @property
    def config(self) -> Any:
        """The configuration of a configure, expanded; None if there is none."""
        params = None if self.outcome is None else self.outcome.params
        if params is None or not isinstance(params.config, msgspec.Raw):
            return None
        return orjson.loads(bytes(params.config))

    def __repr__(self) -> str:
        return f"<Message {self.method or '-'} id={self.id} {len(self.raw)} bytes>"


class Inbox:
    """The last `keep` messages, and those that nobody has waited for yet."""

    def __init__(self, serial: str, keep: int) -> None:
        self.received: list[Message] = []
        self._serial = serial
        self._keep = keep
        self._unread: dict[str, deque[Message]] = {}
        self._waiters: dict[str, deque[asyncio.Future[Message]]] = {}

    def note(self, message: Message) -> None:
        """Keep a message that came."""
        if self._keep:
            self.received.append(message)
            if len(self.received) > self._keep:
                del self.received[: self._keep // 2]

    def forget(self) -> None:
        """Forget what nobody has waited for."""
        self._unread.clear()

    def hand_out(self, message: Message) -> None:
        """Give a message that is worked off to the first who waits for its method."""
        waiters = self._waiters.get(message.method)
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(message)
                return
        if self._keep:
            unread = self._unread.setdefault(message.method, deque(maxlen=self._keep))
            unread.append(message)

    async def wait_for(self, method: str, deadline: float) -> Message:
        """Return the next message of `method` that no earlier wait returned; "" has no method."""
        unread = self._unread.get(method)
        if unread:
            return unread.popleft()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(method, deque()).append(waiter)
        try:
            async with asyncio.timeout(deadline):
                message: Message = await waiter
                return message
        except TimeoutError:
            raise TimeoutError(
                f"{self._serial}: no {method} within {deadline} s; received {self.received[-5:]}"
            ) from None
