"""The way to the database is slow, silent, refused, and cut in the middle of a COPY."""

from __future__ import annotations

import asyncio
import random

import pytest
from faults import wire
from numbered_states import NumberedStates

pytestmark = pytest.mark.e2e

PREFIX = "02a0a7f"
DEVICES = 30
CUTS = 8
WAIT = 120.0


async def test_each_state_is_stored_once_over_a_bad_wire(start_postgres, start_gateway):
    server = start_postgres()
    name = await server.make_database()
    chance = random.Random(0)
    async with wire(server.port) as way:
        gateway = await start_gateway(
            **{
                "store.url": server.url(name, port=way.port), "log.level": "warning",
                "store.query_seconds": 2, "store.commit_seconds": 2, "store.connect_seconds": 2,
            }
        )  # fmt: skip
        # The test itself looks without it: while it does, its loop serves no proxy.
        gateway.settings = gateway.settings | {"store.url": server.url(name)}
        fleet = NumberedStates(gateway, PREFIX, DEVICES, pace=0.05)

        async def more(least: float = 30) -> None:
            """Wait until that many further states are stored."""
            labels = {"kind": "statistics"}
            stored = await gateway.metric("gw_store_records_committed_total", **labels)
            await gateway.wait_metric("gw_store_records_committed_total", stored + least, **labels)

        async def errors() -> None:
            failed = await gateway.metric("gw_store_errors_total")
            await gateway.wait_metric("gw_store_errors_total", failed + 1)

        async def cut() -> None:
            """Somewhere in what the coordinator sends: most of it is COPY."""
            for _ in range(CUTS):
                cuts = way.cuts
                way.cut_after = chance.randrange(1, 60_000)
                async with asyncio.timeout(WAIT):
                    while way.cuts == cuts:
                        await asyncio.sleep(0.01)  # the proxy tells nobody
                await more(1)

        async def slow() -> None:
            way.delay = 0.03
            await more()
            way.delay = 0.0

        async def silence() -> None:
            way.silence()
            await errors()
            way.speak()
            await more()

        async def refuse() -> None:
            await way.refuse()
            await errors()
            await way.accept()
            await more()

        lost, ended = await fleet.run([(0.0, cut), (0.0, slow), (0.0, silence), (0.0, refuse)])
        assert (lost, ended) == (0, 0)
        assert await gateway.metric("gw_process_starts_total", process="coordinator") == 1
        assert await gateway.stop() == 0
