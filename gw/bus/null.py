"""The bus of a gateway that has none."""

from __future__ import annotations

from gw.bus.interface import Message


class NullBus:
    """Wants nothing; see gw.bus.interface.Bus."""

    def wants(self, topic: str) -> bool:
        """No topic is of interest."""
        return False

    def publish(self, message: Message) -> None:
        """Forget it."""

    def publish_batch(self, messages: list[Message]) -> None:
        """Forget them."""

    async def close(self) -> None:
        """Nothing is left."""
