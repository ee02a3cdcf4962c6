"""Who may connect: each wrong identity is refused with a logged reason and a metric, and nothing
else is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.tls import client_context

pytestmark = pytest.mark.e2e

WAIT = 60.0
GOOD = "02a0cd000001"


def device(gateway: Gateway, serial: str, **options: object) -> SimulatedDevice:
    return SimulatedDevice(
        serial, options.pop("pki", gateway.pki), "127.0.0.1", gateway.device_port, **options
    )


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def good(gateway: Gateway):
    """A device that is in, and must stay so."""
    pki.device(gateway.pki, [GOOD])
    one = device(gateway, GOOD)
    await one.connect(deadline=WAIT)
    await one.wait_for_configure(WAIT)
    yield one
    await one.confirm(WAIT)
    assert one.counters.connects == 1, "the good device was disturbed"
    one.stop()


async def hello(gateway: Gateway, context: ssl.SSLContext) -> bytes:
    """Try TLS and a websocket upgrade by hand; returns what comes back, empty if cut."""
    with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.device_port, ssl=context, server_hostname="gateway"
        )
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with asyncio.timeout(WAIT):
            answer = await reader.read(1024)
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
        return answer
    return b""


async def refused(gateway: Gateway, reason: str) -> None:
    """The refusal is counted and logged with its reason."""
    assert await gateway.wait_metric("gw_handshake_failures_total", 1, reason=reason) == 1
    entries = gateway.logged("connection refused", reason=reason)
    assert len(entries) == 1
    assert entries[0]["address"].startswith("127.0.0.1:")


def bare_context(gateway: Gateway) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(gateway.pki / "ca.pem")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_certificate(gateway, good, version):
    context = bare_context(gateway)
    context.maximum_version = version
    assert await hello(gateway, context) == b""
    await refused(gateway, "no_certificate")


async def test_certificate_of_another_authority(gateway, good, tmp_path):
    pki.init(tmp_path / "other")
    pki.device(tmp_path / "other", [GOOD])
    context = bare_context(gateway)
    folder = tmp_path / "other" / "devices"
    context.load_cert_chain(folder / f"{GOOD}.pem", folder / f"{GOOD}.key")
    assert await hello(gateway, context) == b""
    await refused(gateway, "unknown_ca")


async def test_expired_certificate(gateway, good):
    pki.device(gateway.pki, ["02a0cd000002"], expired=True)
    context = client_context(gateway.pki, "02a0cd000002")
    assert await hello(gateway, context) == b""
    await refused(gateway, "expired")


async def test_revoked_certificate(gateway, good, start_gateway):
    pki.device(gateway.pki, ["02a0cd000003"])
    pki.revoke(gateway.pki, "02a0cd000003")
    gateway.process.send_signal(1)  # SIGHUP: certificates are read again
    async with asyncio.timeout(WAIT):
        while len(gateway.logged("certificates reloaded")) < 2:
            await asyncio.sleep(0.05)
    context = client_context(gateway.pki, "02a0cd000003")
    assert await hello(gateway, context) == b""
    await refused(gateway, "revoked")


async def test_tls_below_1_2(gateway, good):
    context = client_context(gateway.pki, GOOD)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself gives up
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert await hello(gateway, context) == b""
    await refused(gateway, "tls")


async def test_serial_of_another_device(gateway, good):
    pki.device(gateway.pki, ["02a0cd000004"])
    thief = device(gateway, "02a0cd000004")
    await thief.connect(deadline=WAIT, announce=False)
    params = thief.connect_params("socket") | {"serial": GOOD}
    thief.send("connect", params)
    closed = await asyncio.wait_for(asyncio.shield(thief.closed), WAIT)
    assert closed.code == 1008
    await gateway.wait_metric("gw_session_ends_total", 1, reason="serial_mismatch")
    entries = gateway.logged("session ended by the gateway", reason="serial_mismatch")
    assert GOOD in entries[0]["detail"]
    assert (await gateway.get(f"device/{GOOD}/status"))["connected"]


async def test_another_serial_later_in_the_session(gateway, good):
    """Near serials too: owgw's two-bit rule is a policy that is off unless set."""
    pki.device(gateway.pki, ["02a0cd000005"])
    thief = device(gateway, "02a0cd000005")
    await thief.connect(deadline=WAIT)
    await thief.wait_for_configure(WAIT)
    thief.send("state", {"serial": "02a0cd000004", "uuid": 1, "state": {}})
    closed = await asyncio.wait_for(asyncio.shield(thief.closed), WAIT)
    assert closed.code == 1008


async def test_second_connection_replaces_the_first(gateway, good):
    pki.device(gateway.pki, ["02a0cd000006"])
    devices = [device(gateway, "02a0cd000006", report_hash=False) for _ in range(8)]
    # Enough of them that both workers are hit: the newest wins on either.
    for number, one in enumerate(devices):
        await one.connect(deadline=WAIT)
        await gateway.wait_metric("gw_device_messages_received_total", number + 2, method="connect")
        if number:
            closed = await asyncio.wait_for(asyncio.shield(devices[number - 1].closed), WAIT)
            assert closed.code == 1008
    assert await gateway.metric("gw_connections") == 2
    assert (await gateway.get("device/02a0cd000006/status"))["connected"]
    devices[-1].stop()


async def test_low_bits_are_a_policy(start_gateway, pki_dir):
    serial, near = "02a0cd000010", "02a0cd000013"
    issuer = pki_dir / "issuing.pem"
    from cryptography import x509

    subject = x509.load_pem_x509_certificate(issuer.read_bytes()).subject
    name = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    policy = [{"issuer": name, "serial_mismatch_bits": 2}]
    gateway = await start_gateway(**{"devices.ca_policies": policy})
    pki.device(gateway.pki, [serial])
    one = device(gateway, serial)
    await one.connect(deadline=WAIT, announce=False)
    one.send("connect", one.connect_params("socket") | {"serial": near})
    await one.wait_for_configure(WAIT)
    status = await gateway.get(f"device/{near}/status")
    assert status["verifiedCertificate"] == "MISMATCH_SERIAL"
    one.stop()


async def test_unknown_device_is_refused_unless_a_policy_says_otherwise(start_gateway):
    gateway = await start_gateway(**{"devices.unknown": "refuse"})
    pki.device(gateway.pki, ["02a0cd000007"])
    stranger = device(gateway, "02a0cd000007")
    await stranger.connect(deadline=WAIT)
    closed = await asyncio.wait_for(asyncio.shield(stranger.closed), WAIT)
    assert closed.code == 1008
    answer = await gateway.request("GET", "device/02a0cd000007")
    assert answer.status_code == 404
    assert gateway.logged("device refused", serial="02a0cd000007")

    body = '{"serialNumber":"02a0cd000007","configuration":{"unit":{"name":"known"}}}'
    assert (await gateway._post("device/02a0cd000007", body)).status_code == 200
    await stranger.connect(deadline=WAIT)
    message = await stranger.wait_for_configure(WAIT)
    assert message.config["unit"] == {"name": "known"}
    stranger.stop()


async def test_quarantined_device_is_kept_but_not_configured(start_gateway):
    gateway = await start_gateway(**{"devices.unknown": "quarantine"})
    pki.device(gateway.pki, ["02a0cd000008"])
    one = device(gateway, "02a0cd000008")
    await one.connect(deadline=WAIT)
    await gateway.wait_device("02a0cd000008", hold="the device is in quarantine")
    assert one.counters.configures == 0
    answer = await gateway.configure("02a0cd000008", {"unit": {"name": "approved"}})
    assert answer.json()["errorCode"] == 0
    assert one.config["unit"] == {"name": "approved"}
    one.stop()
