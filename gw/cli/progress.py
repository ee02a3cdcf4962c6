"""How far a long command is: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Final, Self

import click

_PAUSE_SECONDS: Final = 0.2
_BAR: Final = 24


class Progress:
    """Shows a part, a bar and a count on standard error. Call it as often as you like."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Make room for a line of another kind."""
        if self._shown and self._next:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._next = 0.0

    def __call__(self, part: str, done: int, total: int = 0) -> None:
        """Show that of `part` so much is done; `total` 0: nobody knows of how much."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + _PAUSE_SECONDS
        width = shutil.get_terminal_size().columns - 1
        click.echo(f"\r\x1b[K{line(part, done, total)[:width]}", nl=False, err=True)


def line(part: str, done: int, total: int) -> str:
    """Return the line; a total that was estimated too low makes no bar."""
    if total < done or not total:
        return f"  {part:<24} {done:>14,}"
    filled = _BAR * done // total
    bar = "#" * filled + "." * (_BAR - filled)
    return f"  {part:<24} {bar} {100 * done // total:>3} %  {done:,} of {total:,}"


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    amount, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
