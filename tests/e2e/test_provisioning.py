"""Unknown devices that an outside provisioning service is asked for (southbound.md 4.5): a real
HTTPS service, real devices, and nobody who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl

import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
BASE = "02a0e50000"
PROVISIONED = {"unit": {"name": "provisioned"}, "radios": [{"band": "5G"}]}


class Service:
    """The inventory of a provisioning service."""

    def __init__(self, pki_dir) -> None:
        self._pki = pki_dir
        self.answers: dict[str, tuple[int, object]] = {}
        """Status and document by serial number; 404 for others."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.silent = False
        self.under_way = self.most = 0
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aenter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "server.pem", self._pki / "server.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self.go_on.set()
        self._server.close()

    async def _serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                path = head[0].split(" ")[1]
                self.requests.append((path, {k.lower(): v for k, v in headers.items()}))
                self.asked.set()
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                if self.silent:
                    await self.go_on.wait()
                else:
                    await asyncio.sleep(0.05)  # long enough for lookups to meet
                self.under_way -= 1
                serial = path.partition("?")[0].rpartition("/")[2]
                status, document = self.answers.get(serial, (404, {}))
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
                )
                await writer.drain()
        writer.close()


@pytest.fixture
async def service(pki_dir):
    async with Service(pki_dir) as one:
        yield one


@pytest.fixture
async def join(pki_dir):
    """Connect devices; cut at the end."""
    made: list[SimulatedDevice] = []

    async def connect(gateway, serial: str, **options: object) -> SimulatedDevice:
        pki.device(pki_dir, [serial])
        device = SimulatedDevice(serial, pki_dir, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        await device.connect(deadline=WAIT)
        return device

    yield connect
    for device in made:
        device.stop()


@pytest.fixture
def asking(start_gateway, service, pki_dir):
    """Start gateways that ask."""

    async def start(**settings: object):
        return await start_gateway(**{
            "devices.unknown": "ask", "provisioning.url": service.url,
            "provisioning.ca": pki_dir / "ca.pem",
        } | settings)  # fmt: skip

    return start


async def closed(device: SimulatedDevice):
    return await asyncio.wait_for(asyncio.shield(device.closed), WAIT)


async def test_a_provisioned_device_gets_its_configuration(asking, service, join):
    gateway = await asking(**{
        "devices.default_country": "CA", "provisioning.bearer_token": "s3cret",
        "provisioning.api_key": "k3y", "provisioning.internal_name": "https://gw:17002",
    })  # fmt: skip
    serial, text = f"{BASE}01", f"{BASE}02"
    service.answers[serial] = (200, {"serialNumber": serial, "config": PROVISIONED | {"uuid": 7}})
    service.answers[text] = (200, {"config": json.dumps({"unit": {"name": "text"}})})
    device = await join(gateway, serial)
    await device.wait_for_configure(WAIT)
    assert device.config["radios"] == [{"band": "5G", "country": "CA"}]
    shown = await gateway.wait_device(serial, configurationState="in_step")
    assert shown["locale"] == "CA"
    assert shown["notes"][0]["note"].endswith("provisioned.")
    other = await join(gateway, text)
    await other.wait_for_configure(WAIT)
    assert other.config["unit"] == {"name": "text"}
    assert (await gateway.device(text))["locale"] == ""

    path, headers = service.requests[0]
    assert path == f"/api/v1/inventory/{serial}?config=true"
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["x-api-key"] == "k3y"
    assert headers["x-internal-name"] == "https://gw:17002"
    assert "s3cret" not in gateway.log()
    assert await gateway.metric("gw_provisioning_lookups_total", result="found") == 2
    # Known from now on: nobody is asked again.
    device.stop()
    again = await join(gateway, serial)
    await again.confirm(WAIT)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ((200, {"config": "none"}), "none"),
        ((200, {"serialNumber": "x"}), "none"),
        ((404, {}), "unknown"),
        ((500, {}), "failed"),
        ((200, b"<html>"), "failed"),
        ((200, b'{"config":' + b"[" * 5000 + b"]" * 5000 + b"}"), "unusable"),
        ((200, {"config": [1]}), "unusable"),
        ((200, {"config": '{"unit":'}), "unusable"),
        ((200, {"config": {"ethernet": [{"select-ports": [1]}]}}), "unusable"),
        ((200, {"config": {"name": "x" * 5_000_000}}), "unusable"),
    ],
)
async def test_what_is_no_configuration_leads_to_the_fallback(
    asking, service, join, answer, result
):
    gateway = await asking(**{"provisioning.fallback": "create"})
    serial = f"{BASE}10"
    service.answers[serial] = answer
    device = await join(gateway, serial)
    await device.wait_for_configure(WAIT)
    assert await gateway.metric("gw_provisioning_lookups_total", result=result) == 1
    assert "built in" in (await gateway.device(serial))["notes"][0]["note"]


async def test_the_fallback_may_refuse_and_answers_are_remembered(asking, service, join):
    gateway = await asking()
    device = await join(gateway, f"{BASE}20")
    assert (await closed(device)).code == 1008
    assert gateway.logged("device refused", serial=f"{BASE}20")
    assert (await gateway.request("GET", f"device/{BASE}20")).status_code == 404
    await device.connect(deadline=WAIT)
    assert (await closed(device)).code == 1008
    assert len(service.requests) == 1
    assert await gateway.metric("gw_provisioning_lookups_total", result="remembered") == 1


async def test_what_is_wrong_for_one_device_is_not_held_against_the_service(asking, service, join):
    gateway = await asking()
    wrong, good = f"{BASE}22", f"{BASE}23"
    service.answers[wrong] = (200, {"config": 7})
    service.answers[good] = (200, {"config": PROVISIONED})
    assert (await closed(await join(gateway, wrong))).code == 1008
    told = gateway.logged("a provisioned configuration is unusable", serial=wrong)
    assert "neither an object nor its text" in told[0]["detail"]
    device = await join(gateway, good)
    await device.wait_for_configure(WAIT)
    assert device.config["unit"] == {"name": "provisioned"}


async def test_a_configuration_that_the_device_cannot_receive(asking, service, join):
    gateway = await asking(**{"provisioning.fallback": "quarantine"})
    serial = f"{BASE}21"
    service.answers[serial] = (200, {"config": {"unit": {"name": "x" * 40_000}}})
    await join(gateway, serial, compress_cmd=False)
    await gateway.wait_device(serial, hold="the device is in quarantine")
    assert gateway.logged("a provisioned configuration is larger than the device receives")


async def test_a_silent_service_holds_up_nobody(asking, service, join):
    service.silent = True
    gateway = await asking(**{
        "provisioning.seconds": 8, "provisioning.fallback": "quarantine",
        "provisioning.max_lookups": 1,
    })  # fmt: skip
    known = f"{BASE}30"
    body = json.dumps({"serialNumber": known, "configuration": {"unit": {"name": "known"}}})
    assert (await gateway._post(f"device/{known}", body)).status_code == 200
    unknown = [f"{BASE}{number}" for number in range(31, 36)]
    devices = [await join(gateway, unknown[0])]
    await asyncio.wait_for(service.asked.wait(), WAIT)
    one = await join(gateway, known)
    await one.wait_for_configure(WAIT)  # while the service is still silent
    assert (await gateway.request("GET", f"device/{unknown[0]}")).status_code == 404
    devices += [await join(gateway, serial) for serial in unknown[1:]]
    for serial in unknown:
        await gateway.wait_device(serial, hold="the device is in quarantine")
    assert [device.counters.connects for device in devices] == [1] * 5
    # One waited for the whole time; the others were spared it.
    assert service.most == 1
    assert await gateway.metric("gw_provisioning_lookups_total", result="failed") == 1
    assert await gateway.metric("gw_provisioning_lookups_total", result="remembered") == 4
    assert len(gateway.logged("provisioning failed")) == 1
    assert await gateway.metric("gw_provisioning_waiting") == 0


async def test_lookups_are_bounded(asking, service, join):
    gateway = await asking(**{"provisioning.max_lookups": 2, "provisioning.fallback": "create"})
    serials = [f"{BASE}{number}" for number in range(40, 48)]
    for serial in serials:
        service.answers[serial] = (200, {"config": PROVISIONED})
    devices = [await join(gateway, serial) for serial in serials]
    for device in devices:
        await device.wait_for_configure(WAIT)
    assert len(service.requests) == 8
    assert service.most <= 2


async def test_beyond_the_bound_the_fallback_counts_at_once(asking, service, join):
    service.silent = True
    gateway = await asking(**{"provisioning.max_waiting": 1})
    first = await join(gateway, f"{BASE}50")
    await asyncio.wait_for(service.asked.wait(), WAIT)
    second = await join(gateway, f"{BASE}51")
    assert (await closed(second)).code == 1008
    assert await gateway.metric("gw_provisioning_lookups_total", result="overload") == 1
    assert first.connected


async def test_only_the_newest_connection_of_a_device_is_let_in(asking, service, join):
    service.silent = True
    gateway = await asking()
    serial = f"{BASE}60"
    service.answers[serial] = (200, {"config": PROVISIONED})
    devices = [await join(gateway, serial)]
    await asyncio.wait_for(service.asked.wait(), WAIT)
    for _ in range(4):  # enough that both workers are hit
        devices.append(await join(gateway, serial))
        assert (await closed(devices[-2])).code == 1008
    service.go_on.set()
    await devices[-1].wait_for_configure(WAIT)
    assert len(service.requests) == 1
    assert (await gateway.get(f"device/{serial}/status"))["connected"]


async def test_a_device_that_leaves_meanwhile_is_not_added(asking, service, join):
    service.silent = True
    gateway = await asking()
    serial = f"{BASE}70"
    service.answers[serial] = (200, {"config": PROVISIONED})
    device = await join(gateway, serial)
    await asyncio.wait_for(service.asked.wait(), WAIT)
    device.stop()
    await gateway.wait_metric("gw_session_ends_total", 1)
    async with asyncio.timeout(WAIT):
        while await gateway.metric("gw_provisioning_waiting"):
            await asyncio.sleep(0.05)
    service.go_on.set()
    await gateway.wait_metric("gw_provisioning_lookups_total", 1, result="found")
    assert (await gateway.request("GET", f"device/{serial}")).status_code == 404


async def test_a_blacklisted_device_that_waits_is_closed(asking, service, join):
    service.silent = True
    gateway = await asking()
    serial = f"{BASE}71"
    device = await join(gateway, serial)
    await asyncio.wait_for(service.asked.wait(), WAIT)
    body = json.dumps({"serialNumber": serial, "reason": "stolen"})
    answer = await gateway._post(f"blacklist/{serial}", body)
    assert answer.status_code == 200, answer.text
    assert (await closed(device)).code == 1008


async def test_a_coordinator_that_restarts_asks_again(asking, service, join):
    service.silent = True
    gateway = await asking()
    serial = f"{BASE}72"
    service.answers[serial] = (200, {"config": PROVISIONED})
    device = await join(gateway, serial)
    await asyncio.wait_for(service.asked.wait(), WAIT)
    await gateway.kill("coordinator")
    await closed(device)  # nobody knows any more that it was asked for: it comes again
    service.go_on.set()
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    assert device.config["unit"] == {"name": "provisioned"}


async def test_an_authority_may_be_asked_for_alone(start_gateway, service, join, pki_dir):
    from cryptography import x509

    subject = x509.load_pem_x509_certificate((pki_dir / "issuing.pem").read_bytes()).subject
    gateway = await start_gateway(**{
        "devices.unknown": "refuse", "provisioning.url": service.url,
        "provisioning.ca": pki_dir / "ca.pem",
        "devices.ca_policies": [{"subject": subject.rfc4514_string(), "unknown": "ask"}],
    })  # fmt: skip
    serial = f"{BASE}80"
    service.answers[serial] = (200, {"config": PROVISIONED})
    device = await join(gateway, serial)
    await device.wait_for_configure(WAIT)
    assert device.config["unit"] == {"name": "provisioned"}
