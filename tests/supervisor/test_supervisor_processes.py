"""Parts of the process tree, without the tree."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gw
from gw import supervisor_processes as processes
from gw.core.settings import Run, Settings
from gw.ops import metrics
from gw.supervisor_sockets import ListenError


def test_pauses_grow_to_their_limit_and_start_anew_after_a_long_life() -> None:
    pauses = processes.RestartPauses(1.0)
    short = [round(pauses.after(0.5), 3) for _ in range(8)]
    assert short == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert pauses.after(3600.0) == 0.0
    assert pauses.after(0.5) == 0.1


def test_pauses_of_a_week_of_crashes() -> None:
    pauses = processes.RestartPauses(5.0)
    for _ in range(3000):
        last = pauses.after(0.0)
    assert last == 5.0


def test_a_role_sees_neither_settings_nor_the_password() -> None:
    home = str(Path(gw.__file__).parent.parent)
    given = {
        "PATH": "/bin",
        "PYTHONPATH": f"/x:{home}",
        "GW_ADMIN_PASSWORD": "secret",
        "GW_STORE__URL": "postgresql://secret",
        "GW_BOOTSTRAP_FD": "9",
        "GW_PURE_PYTHON": "1",
    }
    expected = {"PATH": "/bin", "PYTHONPATH": f"{home}:/x", "GW_PURE_PYTHON": "1"}
    assert processes.role_environment(given, with_password=False) == expected
    assert processes.role_environment(given, with_password=True) == {
        **expected,
        "GW_ADMIN_PASSWORD": "secret",
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [(None, "it could not be started"), (0, "exit code 0"), (78, "exit code 78"),
     (-signal.SIGKILL, "signal SIGKILL"), (-64, "signal SIGRTMAX"), (-99, "signal 99")],
)  # fmt: skip
def test_ends_are_described(code: int | None, text: str) -> None:
    assert processes.describe_exit(code) == text


@pytest.fixture
def counters() -> Iterator[int]:
    fd = metrics.create(1)
    yield fd
    os.close(fd)


def child_of(counters: int, **more: object) -> processes.Child:
    return processes.Child(
        "worker", 0, command=[sys.executable, "-c", "import time; time.sleep(60)"],
        settings=Settings(run=Run(restart_seconds=0.01)), environment=dict(os.environ), rings=[],
        counters_memfd=counters, counters_slot=0, **{"sockets": dict, **more},
    )  # fmt: skip


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def kept_in_vain(child: processes.Child) -> None:
    """Let a child try to start some times."""
    child.generation = 1  # the first start is the one whose failure ends the gateway
    before = descriptors()
    keeping = asyncio.create_task(child.keep())
    async with asyncio.timeout(60):
        while child.generation < 10:
            await asyncio.sleep(0.01)
    assert not keeping.done()
    child.stop()
    await keeping
    child.close()
    assert len(descriptors()) <= len(before)


async def test_a_start_without_sockets_leaks_nothing_and_is_tried_again(counters: int) -> None:
    def no_socket() -> dict[str, int]:
        raise ListenError("devices: cannot listen")

    await kept_in_vain(child_of(counters, sockets=no_socket))


async def test_a_start_without_a_descriptor_for_its_process_is_tried_again(
    counters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def no_descriptor(pid: int, flags: int = 0) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    await kept_in_vain(child_of(counters))
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "reaped"
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not set(map(str, pids)) & set(children)


async def test_a_first_start_that_fails_ends_the_gateway(counters: int) -> None:
    child = child_of(counters)
    child._command = ["/there/is/no/such/program"]
    with pytest.raises(processes.StartError, match="worker-0 cannot be started"):
        await child.keep()
    child.close()
