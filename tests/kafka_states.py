"""Numbered states as an independent consumer finds them in Kafka."""

from __future__ import annotations

import json
from typing import Any

from kafka_broker import KafkaBroker, Reader


class KafkaStates:
    """Reads the topic of states of a broker."""

    def __init__(self, broker: KafkaBroker, prefix: str = "") -> None:
        self._reader: Reader = broker.reader(prefix + "state")

    def read(self, wanted: dict[str, int]) -> dict[str, list[int]]:
        """Read until the last state of each device is there; numbers as they came, by serial.

        `wanted` names the last number of each device. Repeats are kept.
        """
        newest: dict[str, int] = {}
        seen = 0

        def enough(messages: list[Any]) -> bool:
            nonlocal seen
            for one in messages[seen:]:
                serial, number = _state(one)
                newest[serial] = max(number, newest.get(serial, 0))
            seen = len(messages)
            return all(newest.get(serial, 0) >= last for serial, last in wanted.items())

        found: dict[str, list[int]] = {}
        for one in self._reader.read_until(enough):
            serial, number = _state(one)
            found.setdefault(serial, []).append(number)
        return found

    def close(self) -> None:
        """End the consumer."""
        self._reader.close()


def _state(message: Any) -> tuple[str, int]:
    payload = json.loads(message.value())["payload"]
    return message.key().decode(), payload["state"]["unit"]["sequence"]


def first_occurrences(numbers: list[int]) -> list[int]:
    """Return the numbers without repeats, each where it came first."""
    return list(dict.fromkeys(numbers))
