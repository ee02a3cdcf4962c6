"""The event bus as the coordinator sees it. A producer of any kind is plugged in behind it.

Nothing here waits: a bus takes what it is given at once, into a buffer that is bounded, and says
later when it has it for good.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One event on its way to a topic."""

    topic: str
    key: str
    """Serial number of the device, 12 hexadecimal digits; `system` if it is about none. Messages
    of one key stay in order."""
    value: bytes
    """JSON text, envelope included (gw.bus.envelopes)."""
    origin: int = 0
    """Incarnation of the queue that brought what it tells; 0: it came from no queue."""
    sequence: int = 0
    """Position in that queue. A message that is published again, after a crash, has the same
    topic, origin and sequence, so that a consumer can drop it."""


class Bus(Protocol):
    """Where events go."""

    def wants(self, topic: str) -> bool:
        """Tell whether messages of a topic are worth making. Constant while the bus lives."""

    def publish(self, message: Message) -> None:
        """Take one message that nothing waits for: what is lost with a crash may be lost."""

    def publish_batch(self, messages: list[Message]) -> asyncio.Future[None] | None:
        """Take the messages of one unit of work, after its commit; order is kept.

        Returns None if the bus has them already, else a future that is done once it has: they
        are acknowledged by a broker, or on disk, or were shed because a bound was reached
        (counted). The space in the queues that the unit holds is given back only then, so a bus
        that is away for long must spool or shed, not wait. The future never raises.
        """

    async def close(self) -> None:
        """Flush for a bounded time, and end; futures of `publish_batch` are done afterwards."""
