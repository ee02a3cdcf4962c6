"""The country of devices by their address, behind a balancer that tells it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import mmdb
import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
Start = Callable[..., Awaitable[Any]]
CONFIGURATION = {"unit": {"name": "x"}, "radios": [{"band": "5G"}, {"band": "2G", "country": "NO"}]}


def of(gateway: Any, pki_dir: Path, serial: str, address: str) -> SimulatedDevice:
    """A device whose address is told by a PROXY header."""
    pki.device(pki_dir, [serial])
    header = f"PROXY TCP4 {address} 192.0.2.1 4711 15002\r\n".encode()
    return SimulatedDevice(serial, pki_dir, "127.0.0.1", gateway.device_port, preamble=header)


async def join(device: SimulatedDevice) -> dict[str, Any]:
    """Connect a device, and return the configuration that it is sent."""
    await device.connect(deadline=WAIT)
    configure = await device.wait_for_configure(WAIT)
    found: dict[str, Any] = configure.config
    return found


async def give_defaults(gateway: Any) -> None:
    """Make a default configuration whose radios lack a country."""
    body = {"modelIds": ["*"], "platform": "ap", "description": "", "configuration": CONFIGURATION}
    answer = await gateway.request("POST", "default_configuration/all", json=body)
    assert answer.status_code == 200, answer.text


async def countries_of(gateway: Any, *addresses: str) -> dict[str, Any]:
    found: dict[str, Any] = await gateway.get(f"iptocountry?iplist={','.join(addresses)}")
    return found


async def test_a_database_file(start_gateway: Start, pki_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "countries.mmdb"
    mmdb.write(file, {"8.8.8.0/24": mmdb.country("US"), "2600::/16": mmdb.country("NL")})
    gateway = await start_gateway(**{
        "iptocountry.provider": "file", "iptocountry.file": file, "devices.default_country": "DE",
        "devices.proxy_networks": ["127.0.0.1"],
    })  # fmt: skip
    await give_defaults(gateway)
    serial, private = "02a0a1000040", "02a0a1000041"
    device = of(gateway, pki_dir, serial, "8.8.8.8")
    assert (await join(device))["radios"] == [
        {"band": "5G", "country": "US"}, {"band": "2G", "country": "NO"},
    ]  # fmt: skip
    assert (await gateway.device(serial))["locale"] == "US"
    assert (await gateway.get(f"device/{serial}/status"))["locale"] == "US"
    assert (await join(of(gateway, pki_dir, private, "10.0.0.9")))["radios"][0]["country"] == "DE"
    assert (await gateway.device(private))["locale"] == "DE"

    asked = ("8.8.8.8", "2600::1", "10.0.0.1", "9.9.9.9")
    assert await countries_of(gateway, *asked) == {
        "enabled": True, "countryCodes": ["US", "NL", "DE", "DE"],
    }  # fmt: skip
    wrong = await gateway.request("GET", "iptocountry?iplist=8.8.8.8,somewhere")
    assert wrong.status_code == 400
    assert "'somewhere' is not an IP address" in wrong.json()["ErrorDescription"]

    # A new file counts for the next connect, which also moves a device that is known.
    mmdb.write(file, {"8.8.8.0/24": mmdb.country("CA")})
    os.kill(gateway.ready["pids"]["supervisor"], signal.SIGHUP)
    await gateway.wait_metric("gw_country_database_loads_total", 1, result="success")
    assert (await countries_of(gateway, "8.8.8.8"))["countryCodes"] == ["CA"]
    device.stop()
    await of(gateway, pki_dir, serial, "8.8.8.8").connect(deadline=WAIT)
    await gateway.wait_device(serial, locale="CA")


class Service:
    """ipinfo, as far as it is asked: answers wait until `go_on` is set."""

    def __init__(self, pki_dir: Path) -> None:
        self._pki = pki_dir
        self.countries: dict[str, str] = {}
        self.status = 200
        self.asked: list[str] = []
        self.came = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aenter__(self) -> Service:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "server.pem", self._pki / "server.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.go_on.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        address = head.split(" ")[1].removeprefix("/")
        self.asked.append(address)
        self.came.set()
        await self.go_on.wait()
        body = json.dumps({"country": self.countries.get(address, "")}).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (self.status, len(body), body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def service(pki_dir: Path) -> AsyncIterator[Service]:
    async with Service(pki_dir) as one:
        yield one


async def test_a_service_holds_up_new_devices_only(
    start_gateway: Start, service: Service, pki_dir: Path
) -> None:
    gateway = await start_gateway(**{
        "iptocountry.provider": "ipinfo", "iptocountry.token": "s3cret-token",
        "iptocountry.url": service.url, "iptocountry.ca": pki_dir / "ca.pem",
        "iptocountry.seconds": 300, "iptocountry.wait_seconds": 300, "iptocountry.attempts": 1,
        "devices.default_country": "DE", "devices.proxy_networks": ["127.0.0.1"],
    })  # fmt: skip
    await give_defaults(gateway)
    serial, other = "02a0a1000050", "02a0a1000051"
    service.countries = {"8.8.8.8": "US", "1.1.1.1": "AU"}

    # A new device gets no configuration before its country is known; nobody else waits.
    device = of(gateway, pki_dir, serial, "8.8.8.8")
    await device.connect(deadline=WAIT)
    await asyncio.wait_for(service.came.wait(), WAIT)
    assert (await join(of(gateway, pki_dir, other, "10.0.0.1")))["radios"][0]["country"] == "DE"
    answer = await gateway.request("GET", f"device/{serial}")
    assert answer.status_code == 404
    service.go_on.set()
    configure = await device.wait_for_configure(WAIT)
    assert configure.config["radios"][0]["country"] == "US"
    await gateway.wait_device(serial, locale="US")
    assert (await countries_of(gateway, "8.8.8.8", "1.1.1.1"))["countryCodes"] == ["US", "AU"]
    assert service.asked == ["8.8.8.8", "1.1.1.1"], "what is known is not asked for again"

    # A known device is served at once; its country follows.
    service.go_on.clear()
    service.came.clear()
    service.countries["9.9.9.9"] = "CH"
    device.stop()
    moved = of(gateway, pki_dir, serial, "9.9.9.9")
    await join(moved)
    await asyncio.wait_for(service.came.wait(), WAIT)
    assert (await gateway.device(serial))["locale"] == "US"
    service.go_on.set()
    await gateway.wait_device(serial, locale="CH")

    # A service that refuses leaves the locale as it is, and is told once, without its token.
    service.status = 403
    moved.stop()
    again = of(gateway, pki_dir, serial, "8.8.4.4")
    await join(again)
    await gateway.wait_metric("gw_country_lookups_total", 1, result="failed")
    assert (await gateway.device(serial))["locale"] == "CH"
    (told,) = gateway.logged("the country of an address cannot be found out")
    assert told["reason"] == "ipinfo answers 403"
    assert (await countries_of(gateway, "8.8.4.5"))["countryCodes"] == ["DE"]
    assert "s3cret" not in gateway.log()
    shown = await gateway.get("systemConfiguration?entries=iptocountry.token")
    assert "s3cret" not in json.dumps(shown)
