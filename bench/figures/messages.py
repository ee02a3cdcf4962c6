"""What a `state` of 6 KB costs: in the worker, and in all processes with the row in SQLite."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.figures.rig import (
    Cost,
    Figure,
    Scale,
    bare_server,
    everybody,
    gateway,
    load,
    serials,
    workers,
)
from gw.store.interface import Batch, InsertStatistics, RingPosition
from gw.store.sqlite import SqliteStore

_GAP = 0.01
"""Seconds between two states of a device: 20 devices send 2,000 a second, less than saturates."""
_BODY = b"x" * 6_300


async def measure(folder: Path, pki_dir: Path, scale: Scale) -> list[Figure]:
    """Return two figures."""
    devices = serials(pki_dir, scale.devices)
    total = scale.devices * scale.states
    worker, whole, receive, insert = [], [], [], []
    async with (
        gateway(folder / "states", pki_dir, **{"devices.unknown": "create"}) as ours,
        bare_server(pki_dir) as bare,
        load(pki_dir, ours.device_port) as to_us,
        load(pki_dir, bare.port) as to_bare,
    ):
        await to_us.do("connect", serials=devices)
        await to_us.do("settled")
        await to_bare.do("connect", serials=devices)
        for one in (to_us, to_bare):
            await one.do("states", each=10, gap=_GAP)
        for _ in range(scale.repeats):
            before = await ours.metric("gw_store_records_committed_total", kind="statistics")
            in_worker, in_all = Cost(workers(ours)), Cost(everybody(ours))
            await to_us.do("states", each=scale.states, gap=_GAP)
            await ours.wait_metric(
                "gw_store_records_committed_total", before + total, kind="statistics"
            )
            worker.append(in_worker.microseconds() / total)
            whole.append(in_all.microseconds() / total)
            in_bare = Cost([bare.pid])
            await to_bare.do("states", each=scale.states, gap=_GAP)
            receive.append(in_bare.microseconds() / total)
            insert.append(await asyncio.to_thread(_insert, total))
    return [
        Figure("worker CPU per 6 KB state", "µs", worker, receive, 1.8, "bare picows TLS receive"),
        Figure(
            "all processes' CPU per state in SQLite",
            "µs",
            whole,
            [one + other for one, other in zip(receive, insert, strict=True)],
            2.0,
            "bare receive + bare batched insert",
        ),
    ]


def _insert(total: int) -> float:
    """Insert as many rows in batches of 50 (what comes together in 20 ms); µs of CPU per row."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_inserting(Path(folder) / "gw.db", total))


async def _inserting(path: Path, total: int) -> float:
    store = SqliteStore(path)
    await store.migrate()
    try:
        before = time.process_time_ns()
        for at in range(0, total, 50):
            ops = [InsertStatistics(f"02a0c90000{n % 20:02x}", 1, at + n, _BODY) for n in range(50)]
            await store.commit(Batch(ops, [RingPosition("worker-0", 1, at, at + 50)]))
        return (time.process_time_ns() - before) / 1000 / total
    finally:
        await store.close()
