"""Measure the figures and print one table. Usage: python -m bench.figures [--short] [--only X]."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.figures import connections, messages, production
from bench.figures.rig import FULL, SHORT, Figure, Scale
from tests.gateway import make_pki

Measure = Callable[[Path, Path, Scale], Awaitable[list[Figure]]]
FAMILIES: dict[str, Measure] = {
    "messages": messages.measure,
    "production": production.measure,
    "connections": connections.measure,
}


def row(figure: Figure) -> list[str]:
    """Return the cells of a figure."""
    ours = statistics.median(figure.ours)
    low, high = min(figure.ratios), max(figure.ratios)
    floor = f"{statistics.median(figure.floor):.1f}" if figure.floor else ""
    verdict = "yes" if figure.ratio <= figure.accepted else "NO"
    return [
        f"{figure.name}, {figure.unit}", f"{ours:.1f}", floor,
        f"{figure.ratio:.2f} ({low:.2f}-{high:.2f})", f"{figure.accepted:g}", verdict, figure.note,
    ]  # fmt: skip


def table(figures: list[Figure]) -> str:
    """Return the table as Markdown."""
    rows = [["figure", "gw", "floor", "ratio (spread)", "accepted", "held", "floor is"]]
    rows += [row(figure) for figure in figures]
    widths = [max(len(cells[n]) for cells in rows) for n in range(len(rows[0]))]
    lines = []
    for cells in rows:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append(f"| {' | '.join(padded)} |")
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


async def measured(names: list[str], scale: Scale) -> list[Figure]:
    """Measure these families one after the other."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pki_dir = make_pki(folder / "pki")
        for family in names:
            print(f"measuring {family} ...", file=sys.stderr, flush=True)
            figures += await FAMILIES[family](folder, pki_dir, scale)
    return figures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few repeats, for a look")
    parser.add_argument("--only", choices=list(FAMILIES), action="append")
    parser.add_argument("--json", type=Path, help="write the samples to this file")
    given = parser.parse_args()
    figures = asyncio.run(measured(given.only or list(FAMILIES), SHORT if given.short else FULL))
    print(table(figures))
    if given.json:
        found = [dict(figure._asdict(), ratio=figure.ratio) for figure in figures]
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
