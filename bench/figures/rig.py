"""What the figures share: a gateway, a bare server, loads, and how to count what they cost."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.figures.processes import cpu_ns, pss_kib
from gw.security import pki
from tests.gateway import Gateway

SERIALS = "02a0ff"
"""Prefix of the serial numbers of all devices here."""


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    unit: str
    ours: list[float]
    floor: list[float]
    accepted: float
    """Largest ratio that is accepted, or largest value where there is no floor."""
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours through floor, repeat by repeat: they ran next to each other."""
        if not self.floor:
            return self.ours
        return [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)]

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)


class Scale(NamedTuple):
    """How much is measured."""

    repeats: int
    devices: int
    """Of a figure about messages."""
    states: int
    """Of each of these devices and repeat."""
    connections: int
    """Of a figure about connections, each repeat."""
    few: int
    many: int
    """Devices between which the slope of the memory is taken."""


SHORT = Scale(3, 20, 50, 60, 100, 400)
FULL = Scale(7, 20, 150, 200, 2_000, 10_000)


class LoadProcess:
    """A process of `bench.figures.load`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str, **more: Any) -> None:
        """Have it do something, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
        await self._process.stdin.drain()
        if await self._process.stdout.readline() != b"done\n":
            raise RuntimeError(f"the load ended at {what!r}")


@asynccontextmanager
async def load(pki_dir: Path, port: int) -> AsyncIterator[LoadProcess]:
    """Start a process of devices."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.figures.load", str(pki_dir), str(port),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield LoadProcess(process)
    finally:
        process.kill()
        await process.wait()


class Bare(NamedTuple):
    """The bare server: its port and process."""

    port: int
    pid: int


@asynccontextmanager
async def bare_server(pki_dir: Path) -> AsyncIterator[Bare]:
    """Start `bench.figures.bare_server`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.figures.bare_server", str(pki_dir),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Bare(int(await process.stdout.readline()), process.pid)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def gateway(folder: Path, pki_dir: Path, **settings: object) -> AsyncIterator[Gateway]:
    """Start a gateway with one worker, so that a core is not shared by two of them."""
    folder.mkdir(parents=True)
    made = Gateway(
        folder, pki_dir,
        **{"workers.count": 1, "log.level": "warning", "devices.connect_seconds": 600,
           "devices.max_handshakes": 64, **settings},
    )  # fmt: skip
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def workers(made: Gateway) -> list[int]:
    """Process ids of a gateway's workers."""
    return list(made.ready["pids"]["workers"])


def everybody(made: Gateway) -> list[int]:
    """Process ids of all of a gateway's processes."""
    assert made.process is not None
    return [*made.pids(), made.process.pid]


def serials(pki_dir: Path, count: int) -> list[str]:
    """Return devices that have certificates; makes those that are missing."""
    names = pki.numbered_serials(SERIALS, count)
    missing = [one for one in names if not (pki_dir / "devices" / f"{one}.pem").exists()]
    if missing:
        pki.device(pki_dir, missing)
    return names


class Cost:
    """CPU time of processes between two moments."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before = cpu_ns(pids)

    def microseconds(self) -> float:
        """Since this was made."""
        return (cpu_ns(self._pids) - self._before) / 1000


def memory_kib(made: Gateway) -> int:
    """Memory of all processes of a gateway."""
    return pss_kib(everybody(made))
