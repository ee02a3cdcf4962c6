"""Both agents with everything they do wrong at once, against the real program: nothing breaks, and
whoever stops misbehaving ends up with the gateway's configuration."""

from __future__ import annotations

import asyncio
import json
import sys

import msgspec
import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults
from gw.simulator.fleet import Plan, make_fleet

pytestmark = pytest.mark.e2e

WAIT = 60.0
STATES = 60
ALL_AT_ONCE = Faults(
    reject_first=1,
    drift_every=7,
    drop_every=19,
    reboot_every=23,
    garbage_every=5,
    chatter_every=2,
    foreign_every=6,
    repeats=1,
    answer_delay=0.05,
    clock=-40_000_000,
)


def troubles(gateway: Gateway) -> list[dict[str, object]]:
    """What the gateway logged as an error, or with a trace."""
    lines = gateway.log().splitlines()
    assert [line for line in lines if "Traceback" in line] == []
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in entries if one["level"] in ("error", "critical") or "exception" in one]


async def test_everything_goes_wrong_at_once(start_gateway):
    gateway: Gateway = await start_gateway(**{"configuration.resend_seconds": 0.1})
    serials = pki.numbered_serials("02a0ea", 12)
    pki.device(gateway.pki, serials)
    plan = Plan(
        full_speed=True, states=STATES, backoff_scale=0.01, backoff_max=0.5, faults=ALL_AT_ONCE
    )
    fleet = make_fleet(
        f"127.0.0.1:{gateway.device_port}", gateway.pki, serials, plan,
        platform=lambda number: "switch" if number % 3 == 2 else "ap",
    )  # fmt: skip
    async with asyncio.timeout(240):
        report = await fleet.run()
    # They did misbehave.
    assert all(sent >= STATES for sent in report.states_sent.values())
    assert report.reconnects > 12
    assert sum(device.counters.rejections for device in fleet.devices) > 0
    assert sum(device.counters.drifts for device in fleet.devices) > 0
    for reason in ("foreign_answer", "unknown_method", "bad_params", "bad_compression"):
        assert await gateway.metric("gw_protocol_errors_total", reason=reason) > 0, reason
    for reason in ("bad_json", "serial_mismatch", "binary", "depth"):
        assert await gateway.metric("gw_session_ends_total", reason=reason) > 0, reason
    for method in ("rebootLog", "alarm", "event", "telemetry", "radius", "deviceupdate"):
        assert await gateway.metric("gw_device_messages_received_total", method=method) > 0, method
    # Nothing of it broke anything, and nothing that was sent to them would break an agent.
    assert troubles(gateway) == []
    assert await gateway.metric("gw_store_errors_total") == 0
    assert sum(device.counters.crashes for device in fleet.devices) == 0
    assert sum(device.counters.fragments for device in fleet.devices) == 0
    assert sum(device.counters.oversized for device in fleet.devices) == 0
    assert sum(device.counters.hash_mismatches for device in fleet.devices) == 0
    async with asyncio.timeout(WAIT):
        while await gateway.metric("gw_connections"):
            await asyncio.sleep(0.05)

    # The same devices, better behaved, take what the gateway has for them.
    for device in fleet.devices:
        again = SimulatedDevice(
            device.serial, gateway.pki, "127.0.0.1", gateway.device_port, platform=device.platform
        )
        again.memory = msgspec.structs.replace(device.memory)
        await again.connect(deadline=WAIT)
        async with asyncio.timeout(WAIT):
            while not (await gateway.get(f"device/{device.serial}/status"))["connected"]:
                await asyncio.sleep(0.05)
        if device.platform == "ap":
            changed = await gateway.configure(device.serial, {"unit": {"name": "well"}})
            assert changed.json()["status"] == "completed", changed.text
            assert again.config["unit"]["name"] == "well"
        again.stop()


async def test_refused_once_is_not_sent_again_by_itself(start_gateway):
    """The reason is shown, the stored configuration stays, and the next change is taken."""
    gateway: Gateway = await start_gateway()
    serial = "02a0ea0000f1"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    before = await gateway.wait_device(serial, configurationState="in_step")
    device._refusals = 1
    refused = (await gateway.configure(serial, {"unit": {"name": "no"}})).json()
    assert refused["errorCode"] == 2
    assert "not now" in json.dumps(refused["results"])
    for _ in range(3):
        device.send_state()
    await device.confirm(WAIT)
    await gateway.wait_metric("gw_store_records_committed_total", 3, kind="statistics")
    after = await gateway.device(serial)
    assert after["configuration"] == before["configuration"]
    assert device.counters.configures == 2
    taken = (await gateway.configure(serial, {"unit": {"name": "yes"}})).json()
    assert (taken["status"], taken["errorCode"]) == ("completed", 0)
    device.stop()


async def test_trace_and_telemetry_of_simulated_devices_end_to_end(start_gateway):
    """`gw simulate` answers with files and streams, as the access point does."""
    gateway: Gateway = await start_gateway()
    serial = "02a0ea0000f2"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, uploads=True, streams=True
    )
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(serial, configurationState="in_step")
    body = json.dumps({"serialNumber": serial, "network": "up", "duration": 1})
    command = (await gateway._post(f"device/{serial}/trace", body)).json()
    async with asyncio.timeout(WAIT):
        while command["waitingForFile"]:
            await asyncio.sleep(0.05)
            command = await gateway.get(f"command/{command['UUID']}")
    assert command["status"] == "completed"
    file = await gateway.request("GET", f"file/{command['UUID']}?serialNumber={serial}")
    assert (file.status_code, len(file.content)) == (200, 1028)
    device.stop()


async def test_options_of_the_simulator(start_gateway, tmp_path):
    gateway: Gateway = await start_gateway()
    report_file = tmp_path / "report.json"
    command = [sys.executable, "-m", "gw", "simulate", "--devices", "4", "--platform", "mixed"]
    command += ["--host", "127.0.0.1", "--port", str(gateway.device_port), "--quiet"]
    command += ["--pki", str(gateway.pki), "--prefix", "02a0eb", "--report", str(report_file)]
    command += ["--full-speed", "--states", "20", "--chatter", "2", "--late", "0.01"]
    command += ["--silent", "leds", "--ignore", "trace", "--fail", "reboot", "--repeat", "1"]
    command += ["--foreign", "4", "--garbage", "9", "--clock", "3600", "--reject-first", "1"]
    command += ["--apply", "0.01", "--runaway", "5", "--hang", "trace"]
    simulator = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(120):
            assert await simulator.wait() == 0
    finally:
        if simulator.returncode is None:
            simulator.kill()
            await simulator.wait()
    report = json.loads(report_file.read_text())
    assert set(report["states_sent"].values()) == {20}
    await gateway.wait_metric("gw_store_records_committed_total", 30, kind="statistics")
    assert await gateway.metric("gw_protocol_errors_total", reason="foreign_answer") > 0
    assert troubles(gateway) == []
