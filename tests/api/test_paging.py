"""Paging by offset: the thousandth page costs what the first one does, counted in steps."""

import pytest

from gw.store import interface, rows, sqlite_threads
from gw.store.sqlite import SqliteReader

COUNT = 2000


@pytest.fixture
async def steps(store, tmp_path, apps, monkeypatch):
    """Counts what the database of the API does, over a fleet."""
    made = [
        interface.PutDevice(rows.DeviceRow(serial_number=f"{n:012x}", device_type="ap"))
        for n in range(COUNT)
    ]
    await store.commit(interface.Batch(made))
    counted = [0]

    def step(lane):
        counted[0] += 1
        return False

    # The reader looks after so many steps whether it is late: here after each.
    monkeypatch.setattr(sqlite_threads, "_LOOK_EVERY", 1)
    monkeypatch.setattr(sqlite_threads._Lane, "_is_late", step)
    async with SqliteReader(tmp_path / "gw.db") as reader:
        apps.context.reader = reader
        yield counted


@pytest.mark.parametrize("query", ["", "&platform=ap", "&includeProvisioned=false"])
async def test_a_far_page_costs_what_the_first_does(api, steps, query):
    async def page(offset):
        before = steps[0]
        found = await api.get(f"/devices?serialOnly=true&limit=2&offset={offset}{query}")
        return found.json()["serialNumbers"], steps[0] - before

    await page(0)  # opens the connection
    first = await page(0)
    costs = {}
    for offset in range(2, COUNT, 2):
        found, costs[offset] = await page(offset)
        assert found == [f"{offset:012x}", f"{offset + 1:012x}"]
    assert first[1] > 20
    assert max(costs.values()) <= first[1] * 1.2 + 50
    assert (await page(COUNT))[0] == []
