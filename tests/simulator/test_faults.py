"""What simulated devices do slowly, or wrongly, on request."""

from __future__ import annotations

import asyncio

import pytest
from few_lines_gateway import SERIAL, WAIT, joined, settled

from gw.simulator.faults import Faults

TRACE = {"serial": SERIAL, "interface": "eth0"}


async def status_of(server, request_id):
    answer = await server.message("result")
    assert answer["id"] == request_id
    return answer["result"]["status"]


async def test_access_point_runs_one_command_after_the_other(make, server):
    """What is in no queue, and what is in the other one, does not wait."""
    faults = Faults(command_seconds=3600)
    device = await joined(make, server, faults=faults, action_delay=0.0)
    server.peer.request_of("trace", TRACE, 11)
    server.peer.request_of("wifiscan", {"serial": SERIAL}, 12)
    server.peer.request_of("ping", {"serial": SERIAL}, 13)
    server.peer.request_of("upgrade", {"serial": SERIAL, "uri": "https://x/v9.bin"}, 14)
    assert [(await server.message("result"))["id"] for _ in range(2)] == [13, 14]
    async with asyncio.timeout(WAIT):
        await asyncio.shield(device.closed)  # the upgrade restarts it: the others are lost
    assert (device.firmware, device.counters.commands) == ("v9", 4)


async def test_commands_of_one_queue_are_answered_in_turn(make, server):
    await joined(make, server, faults=Faults(command_seconds=0.05))
    for number, method in enumerate(("trace", "wifiscan", "script"), 11):
        server.peer.request_of(method, TRACE, number)
    assert [(await server.message("result"))["id"] for _ in range(3)] == [11, 12, 13]


@pytest.mark.parametrize(
    ("method", "answers"),
    [
        ("script", ["command timed out and was aborted"]),
        ("reboot", ["triggered command action", "command timed out and was aborted"]),
    ],
)
async def test_command_that_hangs_is_aborted(make, server, method, answers):
    faults = Faults(hanging=frozenset({method}), abort_seconds=0.05)
    device = await joined(make, server, faults=faults, action_delay=0.0)
    server.peer.request_of(method, {"serial": SERIAL}, 9)
    assert [(await status_of(server, 9))["text"] for _ in answers] == answers
    await settled(device)
    assert (device.counters.reboots, device.connected) == (0, True)


async def test_switch_is_deaf_while_it_applies(make, server):
    """Neither a PING nor a request is answered before the configuration is."""
    faults = Faults(apply_seconds=0.3)
    device = await joined(make, server, platform="switch", uuid=100, faults=faults)
    server.peer.configure(200, {})
    async with asyncio.timeout(WAIT):
        while not device.deaf:  # from here on it reads nothing
            await asyncio.sleep(0.01)
    server.peer.transport.send_ping(b"late")
    server.peer.request_of("ping", {"serial": SERIAL}, 8)
    told = [await server.message() for _ in range(3)]
    assert told[0]["result"]["uuid"] == 200
    assert sorted(str(one.get("method")) for one in told[1:]) == ["None", "PONG"]
    server.peer.request_of("ping", {"serial": SERIAL}, 9)
    assert (await server.message("result"))["id"] == 9
    assert device.uuid == 200


async def test_access_point_hears_while_it_applies(make, server):
    device = await joined(make, server, uuid=100, faults=Faults(apply_seconds=1.0))
    server.peer.configure(200, {})
    server.peer.request_of("ping", {"serial": SERIAL}, 8)
    assert (await server.message("result"))["id"] == 8
    assert (await server.message("result"))["result"]["uuid"] == 200
    assert device.uuid == 200


async def test_access_point_gives_up_applying_after_a_minute(make, server):
    device = await joined(make, server, uuid=100, faults=Faults(apply_seconds=61))
    server.peer.configure(200, {})
    await device.wait_for_configure(WAIT)
    server.peer.request_of("ping", {"serial": SERIAL}, 8)
    assert (await server.message("result"))["id"] == 8
    assert (device.uuid, device.counters.unanswered) == (100, 1)


async def test_result_is_lost_when_applying_restarts_the_network(make, server):
    device = await joined(make, server, uuid=100, faults=Faults(drop_on_apply=True))
    server.peer.configure(200, {})
    await device.wait_for_configure(WAIT)
    async with asyncio.timeout(WAIT):
        await asyncio.shield(device.closed)
    await device.connect(deadline=WAIT)
    assert (await server.message())["params"]["uuid"] == 200


async def test_events_are_kept_until_they_are_asked_for(make, server):
    device = await joined(make, server)
    device.keep_event("wifi-frames", {"n": 1})
    device.keep_event("dhcp-snooping", {"n": 2})
    server.peer.request_of("event", {"serial": SERIAL, "types": ["wifi-frames"]})
    events = (await server.message("result"))["result"]["events"]
    assert [payload for _, payload in events["wifi-frames"]] == [{"n": 1}]
    assert list(events) == ["wifi-frames"]
    await device.drop()
    for number in range(300):
        device.keep_event("event", {"n": number})
    await device.connect(deadline=WAIT)
    await server.message("connect")
    told = [(await server.message("event"))["params"]["data"]["event"][1] for _ in range(250)]
    assert [one["payload"]["n"] for one in told] == list(range(50, 300))
    server.peer.request_of("event", {"serial": SERIAL})
    assert (await server.message("result"))["result"]["events"] == {}


async def test_results_without_status_and_promises_that_are_not_kept(make, server):
    faults = Faults(statusless=frozenset({"ping"}), reportless=True)
    device = await joined(make, server, faults=faults)
    server.peer.request_of("ping", {"serial": SERIAL})
    assert "status" not in (await server.message("result"))["result"]
    server.peer.request_of("request", {"message": "state", "request_uuid": "u-1"}, 8)
    assert (await status_of(server, 8))["error"] == 0
    await settled(device)
    assert device.counters.states == 0


async def test_state_before_connect_and_connect_twice(make, server):
    device = make(faults=Faults(early=True), compress=False)
    await device.connect(deadline=WAIT)
    assert [(await server.message())["method"] for _ in range(3)] == ["state", "connect", "connect"]


async def test_telemetry_that_nobody_asked_for(make, server):
    device = await joined(make, server, faults=Faults(runaway_every=1))
    device.send_state()
    assert "adhoc" not in (await server.message("telemetry"))["params"]
