"""A bus within the process: subscribers are called with each message, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gw.bus.interface import Message
from gw.bus.topics import TOPICS
from gw.ops import logs

log = logs.get("bus")

Subscriber = Callable[[Message], object]


class LocalBus:
    """Hands messages to subscribers at once; see gw.bus.interface.Bus."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = {}

    def subscribe(self, subscriber: Subscriber, topics: Iterable[str] = TOPICS) -> None:
        """Call `subscriber` with every message of `topics` from now on."""
        for topic in topics:
            self._subscribers.setdefault(topic, []).append(subscriber)

    def wants(self, topic: str) -> bool:
        """Tell whether anybody subscribed."""
        return topic in self._subscribers

    def publish(self, message: Message) -> None:
        """Call the subscribers of its topic; what one of them raises does not stop the others."""
        for subscriber in self._subscribers.get(message.topic, ()):
            try:
                subscriber(message)
            except Exception as error:
                log.exception("a subscriber failed", topic=message.topic, detail=repr(error))

    def publish_batch(self, messages: list[Message]) -> None:
        """Call the subscribers with each."""
        for message in messages:
            self.publish(message)

    async def close(self) -> None:
        """Nothing is left."""
