"""loadtest/ against a gateway, for ten seconds: everything it asks for is answered."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from pathlib import Path

import pytest
from gateway import PASSWORD

pytestmark = pytest.mark.e2e

LOADTEST = Path(__file__).resolve().parents[2] / "loadtest" / "locustfile.py"
DEVICES = 20


async def test_ten_seconds_of_rest_load(start_gateway, tmp_path):
    gateway = await start_gateway(**{"log.level": "warning"})
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gw", "simulate", "--devices", str(DEVICES), "--host", "127.0.0.1",
        "--port", str(gateway.device_port), "--pki", str(gateway.pki), "--prefix", "02a0ce",
        "--state-interval", "1", stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await gateway.wait_metric("gw_devices_connected", DEVICES)
        locust = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "locust", "-f", str(LOADTEST), "--headless", "--only-summary",
            "-u", "10", "-r", "10", "-t", "10s", "--csv", str(tmp_path / "load"),
            "--host", gateway.ready["api"], "--security", gateway.ready["security"],
            "--ca", str(gateway.pki / "ca.pem"), cwd=tmp_path,
            env=os.environ | {"GW_PASSWORD": PASSWORD},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            said, _ = await locust.communicate()
        assert locust.returncode == 0, said.decode()[-4000:]
    finally:
        simulator.terminate()
        await simulator.wait()
    with (tmp_path / "load_stats.csv").open() as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    for name in ("sign in", "devices with status", "device", "device statistics", "configure"):
        assert int(rows[name]["Request Count"]) > 0, name
        assert int(rows[name]["Failure Count"]) == 0, name
    total = rows["Aggregated"]
    print(
        f"\n{total['Request Count']} requests, {float(total['Requests/s']):.0f} a second, "
        f"median {total['Median Response Time']} ms, 99 % {total['99%']} ms"
    )
