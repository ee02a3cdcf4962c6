"""The process tree, with stub roles."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from stub_tree import Tree, get, gone, is_alive


async def test_starts_all_roles_and_says_where_they_are(tree: Tree) -> None:
    await tree.start()
    ready = await tree.ready()
    assert set(ready) == {
        "devices", "api", "security", "private_api", "private_security", "files", "metrics",
        "security_check", "pids",
    }  # fmt: skip
    assert ready["devices"].startswith("127.0.0.1:")
    for name in ("api", "security", "files"):
        assert ready[name].startswith("https://127.0.0.1:")
    started = {name: await tree.event(name, "started") for name in
               ("coordinator", "worker-0", "worker-1", "api")}  # fmt: skip
    assert ready["pids"] == {
        "supervisor": tree.process.pid,  # type: ignore[union-attr]
        "coordinator": started["coordinator"]["pid"],
        "api": started["api"]["pid"],
        "workers": [started["worker-0"]["pid"], started["worker-1"]["pid"]],
    }
    assert started["coordinator"]["rings"] == ["worker-0", "worker-1", "api"]
    assert started["worker-1"]["rings"] == ["worker-1"]
    assert started["api"]["rings"] == ["api"]
    port = int(ready["devices"].rpartition(":")[2])
    assert started["worker-0"]["sockets"] == {"devices": ["127.0.0.1", port]}
    assert started["worker-1"]["sockets"] == {"devices": ["127.0.0.1", port]}
    assert set(started["api"]["sockets"]) == {
        "api", "security", "files", "private_api", "private_security",
    }  # fmt: skip


async def test_api_starts_once_the_coordinator_is_ready(tree: Tree) -> None:
    await tree.start()
    await tree.ready()
    tree.take_events()
    order = [(m["name"], m["event"]) for m in tree.seen]
    assert order.index(("coordinator", "ready")) < order.index(("api", "started"))


async def test_secrets_go_only_where_they_are_needed(tree: Tree) -> None:
    await tree.start(store={"url": "postgresql://gw:secret@127.0.0.1/gw"})
    await tree.ready()
    tree.take_events()
    started = {m["name"]: m for m in tree.seen if m["event"] == "started"}
    assert {n for n, m in started.items() if m["password"]} == {"coordinator"}
    assert not any(m["settings"] for m in started.values())
    assert {n for n, m in started.items() if m["store"]} == {"coordinator", "api"}


async def test_a_dead_worker_is_replaced_and_the_ready_file_rewritten(tree: Tree) -> None:
    await tree.start()
    before = await tree.ready()
    os.kill(before["pids"]["workers"][1], signal.SIGKILL)
    again = await tree.event("worker-1", "started", generation=2)
    after = await tree.ready(lambda c: c["pids"] != before["pids"])
    assert after["pids"]["workers"] == [before["pids"]["workers"][0], again["pid"]]
    assert {k: v for k, v in after.items() if k != "pids"} == {
        k: v for k, v in before.items() if k != "pids"
    }
    status, text = await asyncio.to_thread(get, before["metrics"] + "/metrics")
    assert status == 200
    assert 'gw_process_starts_total{process="worker-1"} 2.0' in text
    assert 'gw_process_starts_total{process="worker-0"} 1.0' in text
    assert 'gw_queue_depth_bytes{direction="up",queue="worker-1"} 0.0' in text


async def test_connections_wait_while_the_only_worker_restarts(tree: Tree) -> None:
    await tree.start({"worker-0": "crashes"}, workers={"count": 1}, run={"restart_seconds": 2.0})
    # From the sixth death on the pause is above the one at which a slot is taken out.
    await tree.event("worker-0", "started", generation=6)
    address = next(m for m in tree.seen if m["name"] == "worker-0")["sockets"]["devices"]
    for _ in range(20):
        with socket.create_connection(address, timeout=60):
            pass
    again = await tree.event("worker-0", "started", generation=7)
    assert again["sockets"]["devices"] == address


async def test_a_worker_that_keeps_dying_stops_nobody_else(tree: Tree) -> None:
    await tree.start({"worker-1": "crashes"}, run={"restart_seconds": 0.2})
    await tree.event("worker-1", "started", generation=5)
    tree.signal(signal.SIGTERM)
    _, log = await tree.end()
    assert "signal SIGKILL" in log
    started = tree.names("started")
    assert (started.count("worker-0"), started.count("coordinator")) == (1, 1)


@pytest.mark.parametrize("role", ["coordinator", "worker-1", "api"])
@pytest.mark.parametrize("behaviour", ["configuration_error", "dies_before_ready"])
async def test_a_role_that_cannot_start_stops_all(tree: Tree, role: str, behaviour: str) -> None:
    await tree.start({role: behaviour})
    code, log = await tree.end()
    assert code == 1
    assert f"StartError: {role}" in log
    assert ("settings" if behaviour == "configuration_error" else "exit code 3") in log
    assert tree.names("started").count(role) == 1
    assert not tree.ready_file.exists()
    for message in tree.seen:
        if message["event"] == "started":
            assert not is_alive(message["pid"])


async def test_a_role_that_does_not_get_ready_stops_all(tree: Tree) -> None:
    await tree.start({"worker-1": "never_ready"}, run={"start_seconds": 2.0})
    code, log = await tree.end()
    assert code == 1
    assert re.search(r"\S+ was not ready within 2 seconds", log)  # a slow one may be the first


async def test_the_slot_of_a_worker_that_keeps_dying_is_taken_out(tree: Tree) -> None:
    await tree.start({"worker-1": "crashes"}, run={"restart_seconds": 1.5})
    again = await tree.event("worker-1", "started", generation=7)
    first = await tree.event("worker-1", "started", generation=1)
    assert again["sockets"] == first["sockets"]
    tree.signal(signal.SIGTERM)
    _, log = await tree.end()
    assert log.count("slot taken out") in (1, 2)


async def test_stops_workers_then_api_then_coordinator(tree: Tree) -> None:
    await tree.start()
    await tree.ready()
    tree.signal(signal.SIGTERM)
    code, log = await tree.end()
    assert code == 0, log
    order = [(m["name"], m["event"]) for m in tree.seen if m["event"] in ("SIGTERM", "ended")]
    assert order[-4:] == [
        ("api", "SIGTERM"), ("api", "ended"), ("coordinator", "SIGTERM"), ("coordinator", "ended"),
    ]  # fmt: skip
    assert {name for name, _ in order[:4]} == {"worker-0", "worker-1"}
    assert not tree.ready_file.exists()


async def test_draining_is_shown_and_new_connections_are_refused(tree: Tree) -> None:
    await tree.start({"worker-0": "stubborn"}, run={"drain_seconds": 50.0})
    ready = await tree.ready()
    assert await asyncio.to_thread(get, ready["metrics"] + "/") == (200, "<html>up</html>\n")
    assert (await asyncio.to_thread(get, ready["metrics"] + "/other"))[0] == 404
    tree.signal(signal.SIGTERM)
    await tree.event("worker-0", "SIGTERM")
    assert (await asyncio.to_thread(get, ready["metrics"] + "/"))[0] == 503
    await asyncio.sleep(1.1)  # a second signal before that is the first one again
    tree.signal(signal.SIGTERM)
    code, _ = await tree.end()
    assert code == 1


async def test_a_process_that_does_not_end_in_time_is_killed(tree: Tree) -> None:
    await tree.start({"worker-0": "stubborn"}, run={"drain_seconds": 3.0})
    ready = await tree.ready()
    tree.signal(signal.SIGINT)
    code, log = await tree.end()
    assert code == 1
    assert "did not end in time" in log
    assert tree.names("ended") == ["worker-1", "api", "coordinator"]
    assert not is_alive(ready["pids"]["workers"][0])


async def test_a_signal_that_comes_twice_at_once_is_one(tree: Tree) -> None:
    """`timeout -s INT` sends it to the process and to its group."""
    await tree.start()
    await tree.ready()
    tree.signal(signal.SIGINT)
    tree.signal(signal.SIGINT)
    tree.signal(signal.SIGTERM)
    code, log = await tree.end()
    assert code == 0, log
    assert "at once" not in log


async def test_a_second_signal_later_ends_at_once(tree: Tree) -> None:
    await tree.start({"worker-0": "stubborn"}, run={"drain_seconds": 50.0})
    ready = await tree.ready()
    tree.signal(signal.SIGTERM)
    await tree.event("worker-0", "SIGTERM")
    await asyncio.sleep(1.1)  # less is the same signal
    tree.signal(signal.SIGTERM)
    code, log = await tree.end()
    assert code == 1
    assert "killed, as told by a second signal" in log
    assert "did not end in time" not in log
    assert "did not end well" not in log
    assert not is_alive(ready["pids"]["workers"][0])


async def test_a_coordinator_that_dies_while_workers_drain_is_started_again(tree: Tree) -> None:
    await tree.start({"worker-0": "stubborn"})
    ready = await tree.ready()
    tree.signal(signal.SIGTERM)
    await tree.event("worker-0", "SIGTERM")
    os.kill(ready["pids"]["coordinator"], signal.SIGKILL)
    await tree.event("coordinator", "ready", generation=2)
    os.kill(ready["pids"]["workers"][0], signal.SIGKILL)
    _, log = await tree.end()
    assert tree.names("ended")[-1] == "coordinator", log


async def test_reload_is_forwarded_to_every_role(tree: Tree) -> None:
    await tree.start()
    await tree.ready()
    tree.signal(signal.SIGHUP)
    for name in ("worker-0", "worker-1", "api", "coordinator"):
        await tree.event(name, "SIGHUP")
    tree.signal(signal.SIGTERM)
    code, _ = await tree.end()
    assert code == 0


async def test_nobody_is_left_when_the_supervisor_is_killed(tree: Tree) -> None:
    await tree.start()
    pids = (await tree.ready())["pids"]
    tree.signal(signal.SIGKILL)
    for pid in (pids["coordinator"], pids["api"], *pids["workers"]):
        await gone(pid)


async def test_a_successor_waits_for_the_orphans_of_a_killed_supervisor(tree: Tree) -> None:
    await tree.start()
    first = await tree.ready()
    tree.signal(signal.SIGKILL)
    await tree.end()
    tree.ready_file.unlink()
    await tree.start()
    second = await tree.ready()
    assert not is_alive(first["pids"]["coordinator"])
    assert second["pids"]["supervisor"] != first["pids"]["supervisor"]


async def test_a_data_directory_serves_one_gateway(tree: Tree, tmp_path: Path) -> None:
    await tree.start()
    await tree.ready()
    (tmp_path / "other").mkdir()
    other = Tree(tmp_path / "other")
    try:
        await other.start(run={"data": str(tmp_path / "data")})
        code, log = await other.end()
    finally:
        await other.close()
    assert code == 1
    assert f"in use by another gw (pid {tree.process.pid})" in log  # type: ignore[union-attr]


@pytest.mark.parametrize("section", ["devices", "api", "metrics"])
async def test_a_port_in_use_is_named(tree: Tree, section: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await tree.start(**{section: {"port": port}})
        code, log = await tree.end()
    assert code == 1
    assert f"{section}: cannot listen on 127.0.0.1 port {port}: it is in use" in log
    assert f"--set {section}.port=N" in log
    assert tree.seen == []


async def test_a_ready_file_that_cannot_be_written_is_told_at_once(tree: Tree) -> None:
    tree.ready_file = tree.folder / "missing" / "ready.json"
    await tree.start()
    code, log = await tree.end()
    assert code == 1
    assert "--ready-file" in log
    assert tree.seen == []
