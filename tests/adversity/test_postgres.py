"""The whole program on PostgreSQL: coordinator and database killed, stopped, paused under load."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest
from gateway import Gateway, gone
from numbered_states import NumberedStates

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

PREFIX = "02a0e9"
DEVICES = 60
STATES = 100
WAIT = 120.0
IMPATIENT = {"store.query_seconds": 2, "store.commit_seconds": 2, "store.connect_seconds": 2}


@pytest.fixture
async def on_postgres(start_postgres, start_gateway):
    """A gateway that soon gives a query up, and a database server of its own."""
    server = start_postgres()
    name = await server.make_database()
    gateway = await start_gateway(**{"store.url": server.url(name)}, **IMPATIENT)
    return gateway, server


@pytest.fixture
async def patient(start_postgres, start_gateway):
    """A gateway whose database is always there."""
    server = start_postgres()
    name = await server.make_database()
    return await start_gateway(**{"store.url": server.url(name)})


async def test_a_device_is_configured(patient):
    gateway = patient
    (serial,) = pki.numbered_serials(PREFIX, 1)
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    living = asyncio.create_task(device.stay_connected())
    try:
        await device.wait_connected(WAIT)
        await gateway.wait_device(serial, serialNumber=serial.lower())
        answer = await gateway.configure(serial, {"unit": {"name": "on postgres"}})
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "completed"
        shown = await gateway.wait_device(serial, configurationState="in_step")
        assert shown["configuration"]["unit"]["name"] == "on postgres"
        device.send_state()
        await device.confirm(WAIT)
        await gateway.wait_metric("gw_store_records_committed_total", 1, kind="statistics")
        found = await gateway.get(f"device/{serial}/statistics")
        assert len(found["data"]) == 1
        commands = await gateway.get(f"commands?serialNumber={serial}")
        assert "configure" in {one["command"] for one in commands["commands"]}
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


async def test_coordinator_killed_under_load_loses_and_doubles_nothing(patient):
    gateway = patient
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)

    async def kill():
        await gateway.kill("coordinator")

    lost, ended = await fleet.run([(0.2, kill), (0.5, kill)])
    print(f"\n{DEVICES * STATES} states, coordinator killed twice: {lost} lost")
    assert lost == 0
    assert ended == 0, "no device session was dropped"


@pytest.mark.parametrize("how", ["stopped", "killed", "paused"])
async def test_database_away_under_load(on_postgres, how):
    """Devices stay connected, reads are refused with 503, and all catches up."""
    gateway, server = on_postgres
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)
    take, bring = {
        "stopped": (server.stop, server.start),
        "killed": (server.kill, server.start),
        "paused": (server.pause, server.resume),
    }[how]

    await gateway.sign_in()
    errors = await gateway.metric("gw_store_errors_total")

    async def away():
        await asyncio.to_thread(take)
        try:
            for _ in range(3):
                await refused(gateway)
            await gateway.wait_metric("gw_store_errors_total", errors + 2)
        finally:
            await asyncio.to_thread(bring)
        async with asyncio.timeout(WAIT):
            while (await gateway.request("GET", "devices")).status_code != 200:
                await asyncio.sleep(0.1)  # REST has no event to await

    # Early: what was sent before must not be all, or there would be nothing to commit meanwhile.
    lost, ended = await fleet.run([(0.2, away)])
    assert lost == 0
    assert ended == 0, "no device session was dropped"
    assert await gateway.metric("gw_process_starts_total", process="coordinator") == 1
    assert gateway.logged("the store is away; trying again")
    assert "p@ss" not in gateway.log()
    assert "p%40ss" not in gateway.log()


async def test_coordinator_and_database_killed_together(on_postgres):
    """The new coordinator waits for the database, and settles what the old one had sent."""
    gateway, server = on_postgres
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)

    async def both():
        pid = gateway.ready["pids"]["coordinator"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(server.kill)
        await gone(pid)
        await asyncio.to_thread(server.start)
        await gateway.wait_ready(without={"coordinator": pid})

    lost, ended = await fleet.run([(0.2, both), (0.6, both)])
    assert lost == 0
    assert ended == 0, "no device session was dropped"


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_a_minute_without_database(on_postgres):
    """100 devices with a state in two seconds stay connected: the queues hold a minute of them."""
    gateway, server = on_postgres
    await gateway.sign_in()
    fleet = NumberedStates(gateway, PREFIX, 100, pace=2.0)
    coordinator = psutil.Process(gateway.ready["pids"]["coordinator"])

    async def away():
        await gateway.wait_metric("gw_store_records_committed_total", 200, kind="statistics")
        before = coordinator.memory_info().rss
        await asyncio.to_thread(server.kill)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            await refused(gateway)
            await asyncio.sleep(1)  # the load goes on for a minute: nothing is waited for
        grown = coordinator.memory_info().rss - before
        await asyncio.to_thread(server.start)
        began = time.monotonic()
        sent = sum(device.sequence for device in fleet.devices)
        await gateway.wait_metric("gw_store_records_committed_total", sent, kind="statistics")
        took = time.monotonic() - began
        print(
            f"\n{sent} states caught up in {took:.1f} s, coordinator {grown / 2**20:.0f} MiB more"
        )
        # A unit of work being made, one being written, and what they are made of.
        assert grown < 100 * 2**20

    lost, ended = await fleet.run([(0.0, away)])
    assert lost == 0
    assert ended == 0, "no device session was dropped"
    assert all(len(starts) == 1 for starts in fleet.boundaries.starts.values())


async def refused(gateway: Gateway) -> None:
    answer = await gateway.request("GET", "devices")
    assert answer.status_code == 503, answer.text
    assert "database does not answer" in answer.json()["ErrorDescription"]
    assert int(answer.headers["retry-after"]) > 0


async def test_a_gateway_that_starts_before_its_database_waits_for_it(
    start_postgres, start_gateway, tmp_path
):
    server = start_postgres()
    name = await server.make_database()
    server.stop()
    starting = asyncio.create_task(start_gateway(**{"store.url": server.url(name)}, **IMPATIENT))
    log = tmp_path / "gateway-0" / "gw.log"
    async with asyncio.timeout(WAIT):
        while not (log.exists() and "the store is away" in log.read_text()):
            await asyncio.sleep(0.05)  # a log has no event to await
    await asyncio.to_thread(server.start)
    gateway = await starting
    assert (await gateway.get("devices?countOnly=true"))["count"] == 0
