"""Two thousand devices at once, as the simulator runs them beside the gateway."""

from __future__ import annotations

import asyncio
import json
import sys

import psutil
import pytest

pytestmark = pytest.mark.e2e

DEVICES = 2000
SECONDS = 60
INTERVAL = 5


async def test_2000_devices_for_a_minute_are_all_stored(start_gateway, tmp_path):
    gateway = await start_gateway(**{"log.level": "warning"})
    workers = [psutil.Process(pid) for pid in gateway.ready["pids"]["workers"]]
    coordinator = psutil.Process(gateway.ready["pids"]["coordinator"])
    empty = sum(worker.memory_info().rss for worker in workers)
    report_file = tmp_path / "report.json"
    command = [sys.executable, "-m", "gw", "simulate", "--devices", str(DEVICES)]
    command += ["--host", "127.0.0.1", "--port", str(gateway.device_port)]
    command += ["--pki", str(gateway.pki), "--prefix", "02a0cf", "--report", str(report_file)]
    command += ["--state-interval", str(INTERVAL), "--duration", str(SECONDS + 30)]
    simulator = await asyncio.create_subprocess_exec(*command)
    try:
        await gateway.wait_metric("gw_devices_connected", DEVICES)
        before = [worker.cpu_times() for worker in (*workers, coordinator)]
        states = await gateway.metric("gw_device_messages_received_total", method="state")
        async with asyncio.timeout(SECONDS + 240):
            assert await simulator.wait() == 0
    finally:
        if simulator.returncode is None:
            simulator.kill()
            await simulator.wait()
    full = sum(worker.memory_info().rss for worker in workers)
    used = [
        now.user + now.system - then.user - then.system
        for now, then in zip(
            [worker.cpu_times() for worker in (*workers, coordinator)], before, strict=True
        )
    ]
    received = await gateway.metric("gw_device_messages_received_total", method="state") - states
    report = json.loads(report_file.read_text())
    assert report["connected"] == report["configured_devices"] == DEVICES
    assert report["errors"] == {}
    assert report["lost_messages"] == report["hash_mismatches"] == 0
    assert report["reconnects"] == 0

    stored: dict[str, list[int]] = {}
    for serial, data in gateway.sql("SELECT serial_number, data FROM statistics ORDER BY id"):
        stored.setdefault(serial, []).append(json.loads(data)["unit"]["sequence"])
    for serial, sent in report["states_sent"].items():
        numbers = stored.get(serial, [])
        assert numbers == list(range(1, len(numbers) + 1)), f"{serial}: {numbers}"
        # The last one may have been cut off with the simulator's connection.
        assert len(numbers) >= sent - 1, f"{serial}: {len(numbers)} of {sent}"
    # A busy machine sends later, and so less.
    assert min(report["states_sent"].values()) >= SECONDS // INTERVAL // 2
    print(
        f"\n{DEVICES} devices, {received:.0f} states: "
        f"{(full - empty) / DEVICES / 1024:.1f} KiB of worker memory per connection, "
        f"CPU per state {sum(used[:-1]) / received * 1e6:.0f} us in the workers, "
        f"{used[-1] / received * 1e6:.0f} us in the coordinator"
    )
