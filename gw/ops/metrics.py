"""Counters of every process in one shared page (a memfd made by the supervisor).

The page has one slot per process; a slot has one 64-bit word per index of
`gw.ops.metrics_table.TABLE`. Only the process that owns a slot writes to it (the supervisor
does so while that process is dead), so plain loads and stores of aligned words suffice: the
exporter may see two words of a histogram one observation apart, never a torn number.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator
from itertools import product
from typing import Final

from gw.ops.metrics_table import TABLE, Metric

_WORD: Final = 8
_CACHE_LINE_WORDS: Final = 8
_NANOSECONDS: Final = 1_000_000_000


def label_sets(metric: Metric) -> Iterator[tuple[str, ...]]:
    """Yield all label values of a metric, in the order of their indexes."""
    yield from product(*(values for _, values in metric.labels))


def width(metric: Metric) -> int:
    """Return the words of one label set: 1, or for a histogram its buckets, sum and count."""
    return len(metric.buckets) + 2 if metric.kind == "histogram" else 1


def _layout() -> tuple[dict[tuple[str, ...], int], dict[int, tuple[float, ...]], list[int], int]:
    indexes: dict[tuple[str, ...], int] = {}
    bounds: dict[int, tuple[float, ...]] = {}
    gauges: list[int] = []
    at = 0
    for metric in TABLE:
        for values in label_sets(metric):
            if (metric.name, *values) in indexes:
                raise ValueError(f"{metric.name} is in the table twice")
            indexes[(metric.name, *values)] = at
            if metric.kind == "histogram":
                bounds[at] = metric.buckets
            elif metric.kind == "gauge":
                gauges.append(at)
            at += width(metric)
    return indexes, bounds, gauges, at


_INDEXES, _BOUNDS, _GAUGES, WORDS = _layout()
# Whole cache lines, so that two processes never write to the same one.
_STRIDE: Final = -(-WORDS // _CACHE_LINE_WORDS) * _CACHE_LINE_WORDS


def index(name: str, *label_values: str) -> int:
    """Return the index of a metric; hot paths do so once, at import.

    Raises KeyError for a name or label value that is not in the table.
    """
    return _INDEXES[(name, *label_values)]


def indexes(name: str) -> dict[str, int]:
    """Return label value to index for a metric with one label."""
    found = {key[1]: at for key, at in _INDEXES.items() if key[0] == name and len(key) == 2}
    if not found:
        raise KeyError(name)
    return found


def create(slots: int) -> int:
    """Make the page for `slots` processes; returns its memfd (close-on-exec)."""
    fd = os.memfd_create("gw-counters", os.MFD_CLOEXEC)
    os.ftruncate(fd, slots * _STRIDE * _WORD)
    return fd


class CounterPage:
    """One slot of the page, for its single writer, or for a reader.

    The memory is mapped, so the caller may close `memfd` afterwards.
    """

    __slots__ = ("_map", "_words", "slot")

    def __init__(self, memfd: int, slot: int) -> None:
        size = os.fstat(memfd).st_size
        if not 0 <= slot < size // (_STRIDE * _WORD):
            raise ValueError(f"the counter page has no slot {slot}")
        self.slot = slot
        self._map = mmap.mmap(memfd, size)
        start = slot * _STRIDE
        self._words = memoryview(self._map).cast("Q")[start : start + WORDS]

    @classmethod
    def private(cls) -> CounterPage:
        """Return a page that no other process sees, for tests and tools."""
        fd = create(1)
        try:
            return cls(fd, 0)
        finally:
            os.close(fd)

    def add(self, index: int, n: int = 1) -> None:
        """Count up; a gauge also down, but never below zero."""
        value = self._words[index] + n
        self._words[index] = value if value > 0 else 0

    def set(self, index: int, value: int) -> None:
        """Set a gauge."""
        self._words[index] = value if value > 0 else 0

    def get(self, index: int) -> int:
        """Return the present value."""
        return self._words[index]

    def observe(self, name_index: int, seconds: float) -> None:
        """Put one observation into the histogram that starts at `name_index`."""
        words = self._words
        bounds = _BOUNDS[name_index]
        size = len(bounds)
        # Clocks step back; a negative sum would not.
        seconds = max(seconds, 0.0)
        bucket = bisect_left(bounds, seconds)
        if bucket < size:
            words[name_index + bucket] += 1
        words[name_index + size] += int(seconds * _NANOSECONDS)
        words[name_index + size + 1] += 1

    def zero_gauges(self) -> None:
        """Forget what was true of a process that is gone; its counters go on."""
        for at in _GAUGES:
            self._words[at] = 0

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._map.close()


class AllSlots:
    """Every slot of the page, for the exporter."""

    def __init__(self, memfd: int) -> None:
        self._pages = [
            CounterPage(memfd, slot) for slot in range(os.fstat(memfd).st_size // (_STRIDE * _WORD))
        ]

    def __len__(self) -> int:
        return len(self._pages)

    def value(self, slot: int, index: int) -> int:
        """Return one word of one slot."""
        return self._pages[slot].get(index)

    def total(self, index: int) -> int:
        """Return one word summed over all slots."""
        return sum(page.get(index) for page in self._pages)

    def close(self) -> None:
        """Unmap."""
        for page in self._pages:
            page.close()
