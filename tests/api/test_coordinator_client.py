import asyncio

import pytest

from gw._native import ring
from gw.api import coordinator_client
from gw.core.errors import ApiError

URL = "/device/24f5a207a130/configure"
ORDER = {"serialNumber": "24f5a207a130", "UUID": 1, "configuration": {"a": 1}}


async def until_seen(coordinator, count):
    async with asyncio.timeout(60):
        while len(coordinator.seen) < count:
            coordinator.arrived.clear()
            if len(coordinator.seen) < count:
                await coordinator.arrived.wait()


async def test_answer_and_refusal(client, coordinator):
    answer = await client.request("fleet.statistics", {})
    assert answer.result["connectedDevices"] == 2
    coordinator.silent = True
    task = asyncio.create_task(client.request("x", {}, b"body"))
    await until_seen(coordinator, 2)
    coordinator.respond(coordinator.seen[-1].id, 1145, "busy", {})
    with pytest.raises(ApiError) as caught:
        await task
    assert (caught.value.number, caught.value.extra, caught.value.http) == (1145, "busy", 400)
    assert client.waiting == 0


async def test_answers_may_come_in_any_order(client, coordinator):
    coordinator.silent = True
    tasks = [asyncio.create_task(client.request("x", {"n": n})) for n in range(50)]
    await until_seen(coordinator, 50)
    for request in reversed(coordinator.seen):
        coordinator.respond(request.id, result={"n": request.arguments["n"]}, body=b"b")
    answers = await asyncio.gather(*tasks)
    assert [a.result["n"] for a in answers] == list(range(50))
    assert answers[0].body == b"b"


async def test_restart_of_the_coordinator_in_a_request(api, coordinator, devices):
    coordinator.seen.clear()  # the sign-in
    coordinator.silent = True
    task = asyncio.create_task(api.post(URL, json=ORDER))
    await until_seen(coordinator, 1)
    first = coordinator.seen[0]
    coordinator.detach()
    coordinator.silent = False
    coordinator.attach()
    coordinator.hello()
    answer = await task
    assert answer.status_code == 200
    assert [r.operation for r in coordinator.seen] == ["command.configure"] * 2
    assert coordinator.seen[1] == first
    assert first.arguments["command"] == answer.json()["UUID"]


async def test_second_answer_and_foreign_ones_are_dropped(client, coordinator):
    coordinator.silent = True
    task = asyncio.create_task(client.request("x", {}))
    await until_seen(coordinator, 1)
    coordinator.respond(7, result={"stale": True})
    coordinator.down.push(200, 0, 0, 0, b"\xc1", b"")
    coordinator.down.push(65, 0, 0, 0, b"\xc1", b"")
    for n in (1, 2):
        coordinator.respond(coordinator.seen[0].id, result={"n": n})
    assert (await task).result == {"n": 1}
    coordinator.silent = False
    assert (await client.request("fleet.statistics", {})).result


async def test_time_out(client, coordinator):
    coordinator.silent = True
    with pytest.raises(ApiError) as caught:
        await client.request("x", {}, timeout=0.02)
    assert (caught.value.number, caught.value.http) == (1002, 503)
    assert client.waiting == 0
    coordinator.silent = False
    coordinator.hello()
    await client.request("fleet.statistics", {})
    # What was given up is not sent again.
    assert [r.operation for r in coordinator.seen].count("x") == 1


async def test_bounds(client, coordinator, monkeypatch):
    coordinator.silent = True
    monkeypatch.setattr(coordinator_client, "MAX_WAITING", 2)
    tasks = [asyncio.create_task(client.request("x", {})) for _ in range(2)]
    await until_seen(coordinator, 2)
    with pytest.raises(ApiError) as caught:
        await client.request("x", {})
    assert caught.value.http == 503
    monkeypatch.setattr(coordinator_client, "MAX_WAITING", 3)
    monkeypatch.setattr(coordinator_client, "MAX_WAITING_BYTES", 1000)
    with pytest.raises(ApiError) as caught:
        await client.request("x", {}, b"x" * 1000)
    assert caught.value.http == 503
    for request in coordinator.seen:
        coordinator.respond(request.id)
    await asyncio.gather(*tasks)


async def test_too_large_for_the_ring(client, coordinator):
    with pytest.raises(ApiError) as caught:
        await client.request("x", {}, b"x" * (1 << 20))
    assert (caught.value.number, caught.value.http) == (1003, 400)
    with pytest.raises(ApiError) as caught:
        await client.request("x", {"text": "x" * 70_000})
    assert caught.value.number == 1003


async def test_full_ring(client, coordinator):
    """More than fits at once arrives all the same, in order."""
    asyncio.get_running_loop().remove_reader(coordinator.ends.up_wake)
    tasks = [asyncio.create_task(client.request("x", {"n": n}, b"x" * 400_000)) for n in range(6)]
    coordinator.silent = True
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert coordinator.up.refused > 0
    asyncio.get_running_loop().add_reader(coordinator.ends.up_wake, coordinator.receive)
    coordinator.receive()
    await until_seen(coordinator, 6)
    assert [r.arguments["n"] for r in coordinator.seen] == list(range(6))
    for request in coordinator.seen:
        coordinator.respond(request.id)
    await asyncio.gather(*tasks)


async def test_lost_wake_up_is_made_up_for(client, coordinator):
    coordinator.silent = True
    task = asyncio.create_task(client.request("x", {}))
    await until_seen(coordinator, 1)
    asyncio.get_running_loop().remove_reader(client._wake_fd)
    coordinator.respond(coordinator.seen[0].id, result={"late": True})
    assert (await task).result == {"late": True}


async def test_successor_on_the_ring_ends_the_process(client, coordinator, ring_ends):
    other = ring.Consumer(ring_ends.down_memfd, ring_ends.down_wake)
    with pytest.raises(ring.RingError):
        await asyncio.wait_for(client.failed, 60)
    other.close()


async def test_closing_refuses_what_waits(ring_ends):
    client = coordinator_client.CoordinatorClient(ring_ends, 1)
    client.start()
    task = asyncio.create_task(client.request("x", {}))
    await asyncio.sleep(0)
    client.close()
    with pytest.raises(ApiError):
        await task
    with pytest.raises(ApiError):
        await client.request("x", {})
