"""Device listeners behind load balancers: the PROXY protocol before TLS, by hand and by HAProxy."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import haproxy
import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
CLIENT = "203.0.113.7"
FAILURES = "gw_handshake_failures_total"
Start = Callable[..., Awaitable[Any]]

VERSION_1 = f"PROXY TCP4 {CLIENT} 192.0.2.1 4711 15002\r\n".encode()
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
VERSION_2 = (
    SIGNATURE + b"\x21\x21\x00\x2a" + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + b"\x12\x67\x3a\x9a"
    + b"\x04\x00\x03pad"  # a TLV
)  # fmt: skip
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def of(
    pki_dir: Path, serial: str, port: int, header: bytes = b"", source: str = ""
) -> SimulatedDevice:
    pki.device(pki_dir, [serial])
    return SimulatedDevice(serial, pki_dir, "127.0.0.1", port, preamble=header, source=source)


async def address_of(gateway: Any, device: SimulatedDevice) -> str:
    """Connect a device; return the address that its status shows."""
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    status = await gateway.get(f"device/{device.serial}/status")
    return str(status["ipAddress"])


async def ended(port: int, data: bytes, *, leave: bool = False) -> bytes:
    """Send bytes on a new connection, leave it if wanted, and return what came until its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if leave:
        writer.write_eof()
    async with asyncio.timeout(WAIT):
        try:
            got = await reader.read()
        except ConnectionResetError:
            got = b""
    writer.close()
    return got


async def test_addresses_come_from_the_header_of_trusted_balancers(
    start_gateway: Start, pki_dir: Path
) -> None:
    further = {"port": 0, "ca": str(pki_dir / "ca.pem")}
    gateway = await start_gateway(**{
        "devices.proxy_networks": ["127.0.0.0/8"],
        "devices.listeners": [
            {"name": "direct"} | further,
            {"name": "elsewhere", "proxy_networks": ["192.0.2.0/24", "2001:db8::/32"]} | further,
        ],
    })  # fmt: skip
    port = gateway.device_port
    others = gateway.ready["device_listeners"]
    direct, elsewhere = (int(others[n].rpartition(":")[2]) for n in ("direct", "elsewhere"))

    # A balancer's own checks are no faults; nor is a device behind one that does not know.
    assert await ended(port, b"", leave=True) == b""
    assert await ended(port, LOCAL, leave=True) == b""
    one = of(pki_dir, "02a0a1000001", port, VERSION_1)
    other = of(pki_dir, "02a0a1000002", port, VERSION_2)
    unknown = of(pki_dir, "02a0a1000003", port, b"PROXY UNKNOWN\r\n")
    assert await address_of(gateway, one) == f"{CLIENT}:4711"
    assert await address_of(gateway, other) == "[2001:db8::7]:4711"
    assert (await address_of(gateway, unknown)).startswith("127.0.0.1:")
    assert (await address_of(gateway, of(pki_dir, "02a0a1000004", direct))).startswith("127.0.0.1:")
    assert await gateway.metric(FAILURES) == 0
    assert gateway.logged("device connected", serial=one.serial, address=f"{CLIENT}:4711")

    # TLS without a header, half a header, and something else.
    with pytest.raises((OSError, ConnectionError)):
        await of(pki_dir, "02a0a1000005", port).connect(deadline=WAIT)
    assert await ended(port, VERSION_2[:-5], leave=True) == b""
    assert await ended(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert await gateway.wait_metric(FAILURES, 3, reason="proxy_header") == 3

    # Who is no balancer of this listener is not listened to, whatever he says.
    with pytest.raises((OSError, ConnectionError)):
        await of(pki_dir, "02a0a1000006", elsewhere, VERSION_1).connect(deadline=WAIT)
    assert await gateway.wait_metric(FAILURES, 1, listener="elsewhere") == 1
    told = gateway.logged("connection refused", reason="proxy_untrusted", listener="elsewhere")
    assert told[0]["address"].startswith("127.0.0.1:")

    # A header where none is expected is not TLS: nobody may give himself an address.
    with pytest.raises((OSError, ConnectionError)):
        await of(pki_dir, "02a0a1000007", direct, VERSION_1).connect(deadline=WAIT)
    assert await gateway.wait_metric(FAILURES, 1, listener="direct", reason="tls") == 1

    # What failed left nothing behind, and a bad certificate is told with the device's address.
    stranger_pki = gateway.folder / "stranger"
    pki.init(stranger_pki)
    pki.device(stranger_pki, ["02a0a1000008"])
    (stranger_pki / "ca.pem").write_bytes((pki_dir / "ca.pem").read_bytes())
    stranger = SimulatedDevice("02a0a1000008", stranger_pki, "127.0.0.1", port, preamble=VERSION_1)
    with pytest.raises((OSError, ConnectionError)):
        await stranger.connect(deadline=WAIT)
    await gateway.wait_metric(FAILURES, 1, reason="unknown_ca")
    assert gateway.logged("connection refused", reason="unknown_ca", address=f"{CLIENT}:4711")
    assert await gateway.metric("gw_handshakes_in_flight") == 0


async def test_silence_instead_of_a_header_holds_nobody_up(
    start_gateway: Start, pki_dir: Path
) -> None:
    gateway = await start_gateway(**{
        "devices.proxy_networks": ["127.0.0.1"], "devices.max_pending": 4, "workers.count": 1,
    })  # fmt: skip
    silent = [await asyncio.open_connection("127.0.0.1", gateway.device_port) for _ in range(12)]
    for number, (_, writer) in enumerate(silent):
        writer.write(VERSION_2[: number + 1])
    device = of(pki_dir, "02a0a1000010", gateway.device_port, VERSION_2)
    assert await address_of(gateway, device) == "[2001:db8::7]:4711"
    for _, writer in silent:
        writer.close()


async def test_an_address_has_a_share_of_its_own(start_gateway: Start, pki_dir: Path) -> None:
    """Behind a balancer too: it is the address in the header that counts."""
    gateway = await start_gateway(**{
        "devices.proxy_networks": ["127.0.0.1"], "devices.max_pending_per_address": 2,
        "devices.handshake_seconds": 300, "workers.count": 1,
    })  # fmt: skip
    port = gateway.device_port
    silent = []
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(VERSION_1)
        silent.append((reader, writer))
    await gateway.wait_metric(FAILURES, 1, reason="address_limit")
    assert gateway.logged("connection refused", reason="address_limit", address=f"{CLIENT}:4711")
    other = of(pki_dir, "02a0a1000011", port, VERSION_2)
    assert await address_of(gateway, other) == "[2001:db8::7]:4711"
    # Whose handshake is done, or who has left, does not count any more.
    for _, writer in silent:
        writer.close()
    await gateway.wait_metric(FAILURES, 2, reason="reset")
    for serial in ("02a0a1000012", "02a0a1000013", "02a0a1000014"):
        device = of(pki_dir, serial, port, VERSION_1)
        assert await address_of(gateway, device) == f"{CLIENT}:4711"
    assert await gateway.metric(FAILURES, reason="address_limit") == 1


@pytest.fixture
def balance(tmp_path: Path) -> Iterator[Callable[..., haproxy.HaProxy]]:
    """Start balancers that are ended with the test."""
    haproxy.program()
    started: list[haproxy.HaProxy] = []

    def start(gateways: dict[str, tuple[int, int]], header: str) -> haproxy.HaProxy:
        folder = tmp_path / f"haproxy-{len(started)}"
        folder.mkdir()
        started.append(haproxy.HaProxy(folder, gateways, header=header))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def ports_of(gateway: Any) -> tuple[int, int]:
    return gateway.device_port, int(gateway.ready["metrics"].rpartition(":")[2])


@pytest.mark.parametrize("header", ["send-proxy-v2", "send-proxy"])
async def test_haproxy_tells_the_device_s_address(
    header: str, start_gateway: Start, balance: Callable[..., haproxy.HaProxy], pki_dir: Path
) -> None:
    gateway = await start_gateway(**{"devices.proxy_networks": ["127.0.0.1"]})
    balancer = balance({"gw1": ports_of(gateway)}, header)
    # The device has an address that is not the balancer's: only the header can tell it.
    device = of(pki_dir, "02a0a1000020", balancer.port, source="127.0.0.9")
    assert (await address_of(gateway, device)).startswith("127.0.0.9:")
    await device.confirm(WAIT)
    assert await gateway.metric(FAILURES) == 0, gateway.log()[-2000:]


async def test_haproxy_spreads_devices_and_heeds_the_check(
    start_gateway: Start, balance: Callable[..., haproxy.HaProxy], pki_dir: Path
) -> None:
    """Least connections over two gateways; when one drains, its devices go to the other."""
    settings = {"devices.proxy_networks": ["127.0.0.1"], "workers.count": 1}
    first, second = await start_gateway(**settings), await start_gateway(**settings)
    balancer = balance({"gw1": ports_of(first), "gw2": ports_of(second)}, "send-proxy-v2")
    serials = [f"02a0a10000{number:02x}" for number in range(0x30, 0x3A)]
    devices = [of(pki_dir, serial, balancer.port) for serial in serials]
    for device in devices:
        await device.connect(deadline=WAIT)
        await device.wait_for_configure(WAIT)
    counts = [await one.metric("gw_connections") for one in (first, second)]
    assert sum(counts) == 10
    assert min(counts) >= 4, counts

    assert await first.stop() == 0
    async with asyncio.timeout(WAIT):
        while sum(device.connected for device in devices) > counts[1]:
            await asyncio.sleep(0.02)  # the ends come through the balancer
    for device in devices:
        if not device.connected:
            await device.connect(deadline=WAIT)
        await device.confirm(WAIT)
    assert await second.metric("gw_connections") == 10
    assert await second.metric(FAILURES) == 0


def test_haproxy_accepts_the_shipped_configuration() -> None:
    command = [haproxy.program(), "-c", "-f", str(haproxy.CONFIGURATION)]
    done = subprocess.run(command, capture_output=True, timeout=WAIT, check=False)
    assert done.returncode == 0, done.stderr.decode()
