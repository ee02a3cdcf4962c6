"""Much that is old is deleted, and a backup is made, while devices send: nothing is lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time

import pytest
from gateway import Gateway
from numbered_states import NumberedStates

from gw.backup.archive import Reader

pytestmark = pytest.mark.e2e

PREFIX = "02a0a9"
DEVICES, STATES = 20, 60
OLD = 20_000
DAY = 86_400


def add_old_records(gateway: Gateway) -> None:
    """Put records of a month ago into the store, from beside."""
    connection = sqlite3.connect(gateway.folder / "data" / "gw.db", timeout=60)
    with connection:
        connection.execute(
            "WITH RECURSIVE at(t) AS (SELECT 1 UNION ALL SELECT t + 1 FROM at WHERE t < ?) "
            "INSERT INTO statistics (serial_number, uuid, recorded, data) "
            "SELECT '0123456789ab', 1, ? + t, zeroblob(1000) FROM at",
            (OLD, int(time.time()) - 30 * DAY),
        )
    connection.close()


async def test_old_records_go_and_new_ones_come_while_a_backup_is_made(start_gateway, tmp_path):
    gateway = await start_gateway(**{"retention.round_seconds": 0.1, "retention.step_rows": 200})
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)
    backup = tmp_path / "backup.zip"

    async def age():
        await asyncio.to_thread(add_old_records, gateway)

    async def back_up():
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gw", "backup", "--data", str(gateway.folder / "data"),
            str(backup), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await made.communicate()
        assert made.returncode == 0, said.decode()

    lost, ended = await fleet.run([(0.2, age), (0.3, back_up)])
    assert (lost, ended) == (0, 0)
    await gateway.wait_metric("gw_retention_removed_total", OLD, kind="statistics")
    assert await gateway.metric("gw_retention_removed_total", kind="statistics") == OLD
    assert await gateway.metric("gw_retention_removed_bytes_total", kind="statistics") >= 1000 * OLD
    assert await gateway.metric("gw_retention_lag_seconds", kind="statistics") == 0
    assert gateway.sql("SELECT count(*) FROM statistics") == [(DEVICES * STATES,)]
    # The backup is of one moment: of each device all that was stored until then, without a gap.
    numbers: dict[str, list[int]] = {}
    with Reader(backup) as archive:
        columns = archive.manifest.tables["statistics"].columns
        for chunk in archive.rows("statistics"):
            for row in chunk:
                one = dict(zip(columns, row, strict=True))
                if one["serial_number"] in fleet.serials:
                    state = json.loads(bytes(one["data"]))
                    numbers.setdefault(one["serial_number"], []).append(state["unit"]["sequence"])
    assert numbers
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
