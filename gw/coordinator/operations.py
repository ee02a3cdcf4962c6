"""What the API may ask of the coordinator: operations by name, brought along by areas.

An area is a class with the operations of one feature; `gw.coordinator.__main__` lists them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Arguments = dict[str, Any]
"""Arguments of an operation: they cross the API's queue as MessagePack."""

Operation = Callable[[Arguments, bytes], Awaitable[dict[str, Any]]]
"""Carries out one request; the second parameter is its document, if it has one.

It is idempotent: the API repeats what it has no answer to. Raises ApiError.
"""


class Area(Protocol):
    """Operations of one feature."""

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names, `<noun>.<verb>`."""
