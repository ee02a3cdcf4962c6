"""Optional roles in the process tree, with stub roles."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from stub_tree import Tree, get

RTTY = {"enabled": True, "host": "127.0.0.1", "port": 0, "viewer_port": 0}


async def test_sidecars_run_only_if_enabled(tree: Tree) -> None:
    await tree.start()
    ready = await tree.ready()
    assert not {"rtty", "rtty_viewer"} & set(ready)
    assert set(ready["pids"]) == {"supervisor", "coordinator", "api", "workers"}
    assert not {"radius", "rtty"} & set(tree.names("started"))
    coordinator = await tree.event("coordinator", "started")
    assert coordinator["rings"] == ["worker-0", "worker-1", "api"]


async def test_sidecars_have_what_they_ask_for(tree: Tree) -> None:
    await tree.start(rtty=RTTY, radius={"enabled": True})
    ready = await tree.ready()
    radius, rtty = [await tree.event(name, "started") for name in ("radius", "rtty")]
    assert (ready["pids"]["radius"], ready["pids"]["rtty"]) == (radius["pid"], rtty["pid"])
    assert (radius["rings"], rtty["rings"]) == (["radius"], [])
    coordinator = await tree.event("coordinator", "started")
    assert coordinator["rings"] == ["worker-0", "worker-1", "api", "radius"]
    assert radius["sockets"] == {}
    assert set(rtty["sockets"]) == {"rtty", "rtty_viewer"}
    device_port, viewer_port = (rtty["sockets"][name][1] for name in ("rtty", "rtty_viewer"))
    assert ready["rtty"] == f"127.0.0.1:{device_port}"
    assert ready["rtty_viewer"] == f"https://127.0.0.1:{viewer_port}"
    # Those who tell others where it listens know the ports that were taken.
    for name in ("coordinator", "worker-0", "api"):
        assert (await tree.event(name, "started"))["rtty_ports"] == [device_port, viewer_port]
    assert [radius["password"], rtty["password"]] == [False, False]


async def test_the_proxy_is_not_told_of_the_database(tree: Tree) -> None:
    store = {"url": "postgresql://gw:secret@127.0.0.1/gw"}
    await tree.start(store=store, radius={"enabled": True})
    await tree.ready()
    assert (await tree.event("coordinator", "started"))["store"]
    assert not (await tree.event("radius", "started"))["store"]


async def test_sidecars_start_after_the_coordinator_and_end_before_it(tree: Tree) -> None:
    await tree.start(rtty=RTTY, radius={"enabled": True})
    await tree.ready()
    tree.signal(signal.SIGTERM)
    code, log = await tree.end()
    assert code == 0, log
    order = [(m["name"], m["event"]) for m in tree.seen]
    for name in ("radius", "rtty"):
        assert order.index(("coordinator", "ready")) < order.index((name, "started"))
        assert order.index(("worker-0", "ended")) < order.index((name, "SIGTERM"))
        assert order.index((name, "ended")) < order.index(("coordinator", "SIGTERM"))


async def test_a_dead_sidecar_is_replaced_and_nobody_else(tree: Tree) -> None:
    await tree.start(rtty=RTTY, radius={"enabled": True})
    before = await tree.ready()
    os.kill(before["pids"]["rtty"], signal.SIGKILL)
    again = await tree.event("rtty", "started", generation=2)
    after = await tree.ready(lambda c: c["pids"] != before["pids"])
    assert after["pids"] == {**before["pids"], "rtty": again["pid"]}
    assert {k: v for k, v in after.items() if k != "pids"} == {
        k: v for k, v in before.items() if k != "pids"
    }
    assert again["sockets"] == (await tree.event("rtty", "started"))["sockets"]
    _, text = await asyncio.to_thread(get, before["metrics"] + "/metrics")
    assert 'gw_process_starts_total{process="rtty"} 2.0' in text
    assert 'gw_process_starts_total{process="radius"} 1.0' in text
    assert 'gw_queue_depth_bytes{direction="up",queue="radius"} 0.0' in text


async def test_reload_is_forwarded_to_sidecars(tree: Tree) -> None:
    await tree.start(rtty=RTTY)
    await tree.ready()
    tree.signal(signal.SIGHUP)
    await tree.event("rtty", "SIGHUP")


@pytest.mark.parametrize("behaviour", ["configuration_error", "dies_before_ready"])
async def test_a_sidecar_that_cannot_start_stops_all(tree: Tree, behaviour: str) -> None:
    await tree.start({"rtty": behaviour}, rtty=RTTY)
    code, log = await tree.end()
    assert code == 1
    assert "StartError: rtty" in log
    assert not tree.ready_file.exists()


async def test_a_sidecars_port_in_use_is_named_by_its_setting(tree: Tree) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await tree.start(rtty={**RTTY, "viewer_port": port})
        code, log = await tree.end()
    assert code == 1
    assert f"rtty: cannot listen on 127.0.0.1 port {port}: it is in use" in log
    assert "--set rtty.viewer_port=N" in log
