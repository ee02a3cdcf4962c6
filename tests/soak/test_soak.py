"""A fleet that drifts, drops and reboots, on a gateway whose processes are killed again and again.

`make soak` runs it for SOAK_SECONDS (600 unless set); `make test` runs the same for half a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.e2e

DEVICES = 500
STATE_SECONDS = 2
CALM_SECONDS = 10
"""At the end nothing is killed for so long."""
END_SECONDS = 60
MORE_DESCRIPTORS = 20
"""What may come and go; a leak is more."""
MORE_MEMORY = 1.5


async def soak(gateway, folder, seconds: float, between_kills: float) -> None:
    """Run the fleet, kill worker and coordinator in turn, and see that nothing is amiss after."""
    report_file = folder / "report.json"
    command = [sys.executable, "-m", "gw", "simulate", "--devices", str(DEVICES), "--quiet"]
    command += ["--host", "127.0.0.1", "--port", str(gateway.device_port), "--prefix", "02a0de"]
    command += ["--pki", str(gateway.pki), "--report", str(report_file)]
    command += ["--state-interval", str(STATE_SECONDS), "--health-interval", "7"]
    command += ["--drift", "7", "--drop", "11", "--reboot", "13", "--platform", "mixed"]
    simulator = await asyncio.create_subprocess_exec(*command)
    kills = 0
    try:
        await gateway.wait_metric("gw_devices_connected", DEVICES * 0.9)
        lasting = psutil.Process(gateway.ready["pids"]["api"])
        steady = [psutil.Process(gateway.ready["pids"]["supervisor"]), lasting]
        before = [(one.num_fds(), one.memory_info().rss) for one in steady]
        end = time.monotonic() + seconds - CALM_SECONDS
        while time.monotonic() + between_kills < end:
            await asyncio.sleep(between_kills)
            slot = kills // 2 % len(gateway.ready["pids"]["workers"])
            await gateway.kill(*(("coordinator",) if kills % 2 else ("worker", slot)))
            kills += 1
        await asyncio.sleep(max(0.0, end - time.monotonic()) + CALM_SECONDS)
        for process, (descriptors, memory) in zip(steady, before, strict=True):
            assert process.num_fds() <= descriptors + MORE_DESCRIPTORS, process
            assert process.memory_info().rss <= memory * MORE_MEMORY + 50e6, process
    finally:
        simulator.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                status = await simulator.wait()
        finally:
            if simulator.returncode is None:  # it hangs: that is a fault, but not for ever
                simulator.kill()
                await simulator.wait()
    report = json.loads(report_file.read_text())
    # Some are just coming back: from a drop, or a reboot.
    assert report["connected"] >= DEVICES * 0.8, (status, report["errors"])
    # Every fourth is a switch, for which there is no default configuration.
    assert report["configured_devices"] == DEVICES * 3 // 4
    assert report["hash_mismatches"] == report["lost_messages"] == 0
    assert report["drifts"] > 0

    stored: dict[str, list[int]] = {}
    for serial, data in gateway.sql("SELECT serial_number, data FROM statistics ORDER BY id"):
        stored.setdefault(serial, []).append(json.loads(data)["unit"]["sequence"])
    lost = 0
    for serial, sent in report["states_sent"].items():
        numbers = stored.get(serial, [])
        assert numbers == sorted(set(numbers)), f"{serial}: doubled or out of order: {numbers}"
        starts = {*report["sessions"][serial], sent + 1}
        missing = sorted(set(range(1, sent + 1)) - set(numbers))
        for number in missing:
            # Lost with a connection: a gap must end where the next one begins.
            following = next(one for one in range(number, sent + 2) if one not in missing)
            assert following in starts, f"{serial}: {number} is missing within {sorted(starts)}"
        lost += len(missing)
    total = sum(report["states_sent"].values())
    print(
        f"\n{seconds:.0f} s, {DEVICES} devices, {kills} kills, {report['reconnects']} reconnects: "
        f"{total} states, {lost} lost with their connections; {report['drifts']} drifts, "
        f"{report['configures']} configurations, configured after "
        f"{report['configure_seconds']['median'] * 1000:.0f} ms (median)"
    )
    if kills:
        assert await gateway.metric("gw_process_starts_total") > 0


async def test_half_a_minute(start_gateway, tmp_path):
    gateway = await start_gateway(**{"log.level": "warning"})
    await soak(gateway, tmp_path, 30, 5)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_soak(start_gateway, tmp_path):
    gateway = await start_gateway(**{"log.level": "warning"})
    await soak(gateway, tmp_path, float(os.environ.get("SOAK_SECONDS", "600")), 20)
