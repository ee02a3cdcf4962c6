"""A writing process for test_sqlite_faults: commits batches until it is killed.

After each commit that returned it prints how many rows are committed.
"""

import asyncio
import sys

from gw.store.interface import Batch, InsertHealthCheck, InsertStatistics, RingPosition
from gw.store.sqlite import SqliteStore

SERIAL = "aabbccddee01"
BATCH = 50


async def main(path):
    store = SqliteStore(path)
    await store.migrate()
    _, at = (await store.positions()).get("up0", (1, 0))
    print(at, flush=True)
    while True:
        ops = []
        for n in range(at, at + BATCH):
            ops.append(InsertStatistics(SERIAL, n, n, b'{"x": "%s"}' % (b"y" * 3000)))
            ops.append(InsertHealthCheck(SERIAL, n, 100, n, b"{}"))
        await store.commit(Batch(ops, [RingPosition("up0", 1, at, at + BATCH)]))
        at += BATCH
        print(at, flush=True)


asyncio.run(main(sys.argv[1]))
