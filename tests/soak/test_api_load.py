"""Clients of the API beside a fleet: how long messages of devices wait in their queues.

As long as beside processes that burn the same CPU: the machine is shared, nothing else is. `make
soak` measures 2,000 devices and 50 clients; `make test` sees that the same works on a small scale.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from gateway import Gateway

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
WAIT = "gw_queue_wait_seconds"
STATE_SECONDS = 5
MOST = 1.5
"""Times the wait beside burners, at the 99th percentile."""
UNBOUNDED = {f"api.requests_per_{one}": 0 for one in ("user", "address", "key")}
"""All clients are one user here."""


class Run(NamedTuple):
    """What a run showed."""

    messages: float
    p50: float
    p99: float
    told: dict[str, Any]
    """What the clients said; nothing of burners."""
    shares: list[float]
    """Of a core, that the clients and the API process took."""


def buckets(scrape: str) -> dict[float, float]:
    """Cumulative counts of the wait by upper bound, over all processes."""
    found: dict[float, float] = {}
    for bound, value in re.findall(rf'^{WAIT}_bucket\{{.*?le="([^"]+)".*?\}} (\S+)$', scrape, re.M):
        at = float(bound.replace("+Inf", "inf"))
        found[at] = found.get(at, 0.0) + float(value)
    return found


def quantile(counts: dict[float, float], q: float) -> float:
    """The quantile of cumulative counts, by a straight line within its bucket."""
    wanted = q * counts[float("inf")]
    below, under = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= wanted:
            if bound == float("inf") or count == under:
                return below
            return below + (bound - below) * (wanted - under) / (count - under)
        below, under = bound, count
    return below


async def clients(gateway: Gateway, number: int, seconds: float) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "api_clients.py"), gateway.ready["api"],
        str(gateway.pki / "ca.pem"), str(seconds), str(number),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{await gateway.sign_in()}\n".encode())
    process.stdin.close()
    return process


async def burners(shares: list[float], seconds: float) -> list[asyncio.subprocess.Process]:
    return [
        await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "burner.py"), str(share), str(seconds)
        )
        for share in shares
    ]


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def run(gateway: Gateway, number: int, seconds: float, shares: list[float]) -> Run:
    """Measure beside clients, or beside burners of these shares."""
    before = buckets(await gateway.scrape())
    told: dict[str, Any] = {}
    if shares:
        started = await burners(shares, seconds)
        await asyncio.gather(*(one.wait() for one in started))
        used = shares
    else:
        api = psutil.Process(gateway.ready["pids"]["api"])
        api_before = cpu_seconds(api)
        process = await clients(gateway, number, seconds)
        beside = psutil.Process(process.pid)
        await asyncio.sleep(seconds)
        used = [cpu_seconds(one) / seconds for one in (api, beside)]
        used[0] -= api_before / seconds
        said, _ = await process.communicate()
        told = json.loads(said)
    after = buckets(await gateway.scrape())
    counts = {bound: value - before.get(bound, 0.0) for bound, value in after.items()}
    return Run(
        counts[float("inf")], quantile(counts, 0.5), quantile(counts, 0.99), told,
        [min(one, 1.0) for one in used],
    )  # fmt: skip


async def compare(
    gateway: Gateway, folder: Path, devices: int, number: int, seconds: float, rounds: int
) -> tuple[list[Run], list[Run]]:
    """Measure beside clients and beside burners in turn, with a fleet that sends states."""
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gw", "simulate", "--devices", str(devices), "--quiet",
        "--host", "127.0.0.1", "--port", str(gateway.device_port), "--pki", str(gateway.pki),
        "--prefix", "02a0ad", "--state-interval", str(STATE_SECONDS),
        "--report", str(folder / "report.json"),
    )  # fmt: skip
    with_clients: list[Run] = []
    with_burners: list[Run] = []
    try:
        await gateway.wait_metric("gw_devices_connected", devices)
        await gateway.wait_metric("gw_device_messages_received_total", devices, method="state")
        for _ in range(rounds):
            with_clients.append(await run(gateway, number, seconds, []))
            with_burners.append(await run(gateway, number, seconds, with_clients[-1].shares))
    finally:
        simulator.terminate()
        await simulator.wait()
    assert json.loads((folder / "report.json").read_text())["lost_messages"] == 0
    for name, runs in (("clients", with_clients), ("burners", with_burners)):
        for one in runs:
            print(
                f"\n{name}: {one.messages:.0f} messages waited {one.p50 * 1000:.2f} ms (median), "
                f"{one.p99 * 1000:.2f} ms (99 %); {one.told or [round(s, 2) for s in one.shares]}"
            )
    return with_clients, with_burners


async def test_clients_beside_a_small_fleet(start_gateway, tmp_path):
    gateway = await start_gateway(**UNBOUNDED, **{"log.level": "warning"})
    with_clients, with_burners = await compare(gateway, tmp_path, 40, 10, 8, 1)
    assert with_clients[0].told["failures"] == 0
    assert with_clients[0].told["requests"] > 0
    for one in (*with_clients, *with_burners):
        # All devices were heard: a run is longer than the time between two states.
        assert one.messages >= 40
        assert 0 < one.p50 <= one.p99


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_clients_do_not_delay_devices(start_gateway, tmp_path):
    gateway = await start_gateway(**UNBOUNDED, **{"log.level": "warning"})
    with_clients, with_burners = await compare(gateway, tmp_path, 2000, 50, 60, 3)
    assert all(one.told["failures"] == 0 for one in with_clients)
    waits = [statistics.median(one.p99 for one in runs) for runs in (with_clients, with_burners)]
    print(f"\nratio of the waits at 99 %: {waits[0] / waits[1]:.2f}")
    assert waits[0] <= MOST * waits[1]


def test_quantiles():
    counts = {0.001: 50.0, 0.01: 99.0, float("inf"): 100.0}
    assert quantile(counts, 0.5) == 0.001
    assert quantile(counts, 0.745) == pytest.approx(0.0055)
    assert quantile(counts, 0.999) == 0.01
