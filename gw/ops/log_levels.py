"""Levels of the logs that are changed while the program runs, for all processes of a kind.

The api process writes them into its slot of the counter page (a gauge), where every process
sees them at its next line. They are not kept: with the api process, they go.
"""

from __future__ import annotations

from typing import Final

from gw.ops import logs, metrics
from gw.ops.metrics_table import LOG_ROLES

NUMBERS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""Levels by their settings' names; the numbers are those of the logging module."""

_INDEXES: Final = {role: metrics.index("gw_log_level", role) for role in LOG_ROLES}


def follow(memfd: int, role: str) -> None:
    """Let the lines of this process follow the level that is set for its role."""
    slots, index = metrics.AllSlots(memfd), _INDEXES[role]
    logs.follow(lambda: slots.total(index))


class LogLevels:
    """Sets levels; of the api process, which owns `page`."""

    def __init__(self, page: metrics.CounterPage, configured: str) -> None:
        self._page = page
        self._configured = configured

    def read(self) -> dict[str, str]:
        """Return the level of each role."""
        names = {number: name for name, number in NUMBERS.items()}
        return {
            role: names.get(self._page.get(index), self._configured)
            for role, index in _INDEXES.items()
        }

    def set(self, role: str, level: str) -> None:
        """Set the level of a role. Raises KeyError for an unknown role or level."""
        self._page.set(_INDEXES[role], NUMBERS[level])
