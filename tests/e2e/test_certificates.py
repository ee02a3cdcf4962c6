"""Certificates in life: several authorities with policies of their own, and files that are replaced
while devices are connected. No signal is sent: the gateway notices by itself."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from gw.security import certificates, pki
from gw.security.certificates import Authority, certificate_pem, key_pem, new_key
from gw.simulator.device import SimulatedDevice
from gw.simulator.tls import client_context

pytestmark = pytest.mark.e2e

WAIT = 60.0
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FIRST, SECOND = "02a0e4000001", "02a0e4000002"


@pytest.fixture
def pki_dir(tmp_path):
    """A PKI of this test alone: its files are replaced."""
    folder = tmp_path / "pki"
    pki.init(folder)
    return folder


class Authorities:
    """Two PKIs whose authorities have the same names, and files that hold both."""

    def __init__(self, first: Path, second: Path, folder: Path) -> None:
        self.first, self.second = first, second
        self.bundle = folder / "both-cas.pem"
        self.lists = folder / "both-crls.pem"
        self.trust([first, second])
        self.write_lists()

    def trust(self, folders: list[Path]) -> None:
        replace(self.bundle, b"".join((one / "ca.pem").read_bytes() for one in folders))

    def write_lists(self) -> None:
        both = [(one / "crl.pem").read_bytes() for one in (self.first, self.second)]
        replace(self.lists, b"".join(both))

    def device(self, gateway, folder: Path, name: str) -> SimulatedDevice:
        """A device whose certificate is of one of them."""
        pki.device(folder, [name])
        # Its own bundle must name the gateway's authority.
        target = folder.parent / f"{folder.name}-client"
        (target / "devices").mkdir(parents=True, exist_ok=True)
        (target / "ca.pem").write_bytes((self.first / "ca.pem").read_bytes())
        for ending in (".pem", ".key"):
            source = folder / "devices" / f"{name}{ending}"
            (target / "devices" / source.name).write_bytes(source.read_bytes())
        return SimulatedDevice(name, target, "127.0.0.1", gateway.device_port)


@pytest.fixture
def both(pki_dir, tmp_path):
    second = tmp_path / "second"
    pki.init(second)
    return Authorities(pki_dir, second, tmp_path)


def replace(file: Path, content: bytes) -> None:
    """Write beside, then rename."""
    beside = file.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(file)


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def fingerprint(file: Path) -> str:
    return load(file).fingerprint(hashes.SHA256()).hex()


async def closed(device: SimulatedDevice):
    return await asyncio.wait_for(asyncio.shield(device.closed), WAIT)


async def announce(device: SimulatedDevice, serial: str) -> None:
    """Connect, and say another serial number."""
    await device.connect(deadline=WAIT, announce=False)
    device.send("connect", device.connect_params("socket") | {"serial": serial})


async def test_two_authorities_of_one_name_have_policies_of_their_own(start_gateway, both):
    assert load(both.first / "issuing.pem").subject == load(both.second / "issuing.pem").subject
    policies = [
        {"fingerprint": fingerprint(both.second / "issuing.pem"), "simulator_prefix": True},
        {"fingerprint": fingerprint(both.first / "issuing.pem"), "serial_mismatch_bits": 2},
    ]
    gateway = await start_gateway(**{
        "devices.ca": both.bundle, "devices.crl": both.lists, "devices.ca_policies": policies,
    })  # fmt: skip
    simulator = both.device(gateway, both.second, "53494d000001")
    await announce(simulator, "02a0e4000010")
    await simulator.wait_for_configure(WAIT)
    assert (await gateway.device("02a0e4000010"))["simulated"] is True
    status = await gateway.get("device/02a0e4000010/status")
    assert status["verifiedCertificate"] == "SIMULATED"

    # What the one may, the other may not.
    thief = both.device(gateway, both.first, "53494d000001")
    await announce(thief, "02a0e4000011")
    assert (await closed(thief)).code == 1008
    thief = both.device(gateway, both.second, FIRST)
    await announce(thief, "02a0e4000003")
    assert (await closed(thief)).code == 1008
    assert await gateway.wait_metric("gw_session_ends_total", 2, reason="serial_mismatch") == 2
    near = both.device(gateway, both.first, FIRST)
    await announce(near, "02a0e4000003")
    await near.wait_for_configure(WAIT)
    status = await gateway.get("device/02a0e4000003/status")
    assert status["verifiedCertificate"] == "MISMATCH_SERIAL"
    near.stop()
    simulator.stop()


async def test_unknown_devices_are_treated_as_their_authority_says(start_gateway, both):
    policies = [
        {"fingerprint": fingerprint(both.second / "issuing.pem"), "unknown": "create",
         "simulated": True},
    ]  # fmt: skip
    gateway = await start_gateway(**{
        "devices.ca": both.bundle, "devices.crl": both.lists, "devices.ca_policies": policies,
        "devices.unknown": "refuse",
    })  # fmt: skip
    welcome = both.device(gateway, both.second, SECOND)
    await welcome.connect(deadline=WAIT)
    await welcome.wait_for_configure(WAIT)
    assert (await gateway.device(SECOND))["simulated"] is True
    stranger = both.device(gateway, both.first, FIRST)
    await stranger.connect(deadline=WAIT)
    assert (await closed(stranger)).code == 1008
    assert gateway.logged("device refused", serial=FIRST)
    welcome.stop()


async def test_a_common_name_with_separators_is_a_policy(start_gateway, pki_dir):
    policies = [{"issuer": "gw issuing CA", "common_name": "mac"}]
    strict = await start_gateway()
    loose = await start_gateway(**{"devices.ca_policies": policies})
    made_out_to(pki_dir, FIRST, "02:A0:E4:00:00:01", datetime.timedelta(days=1))
    one = SimulatedDevice(FIRST, pki_dir, "127.0.0.1", loose.device_port)
    await one.connect(deadline=WAIT)
    await one.wait_for_configure(WAIT)
    status = await loose.get(f"device/{FIRST}/status")
    assert status["verifiedCertificate"] == "VERIFIED"
    one.stop()
    other = SimulatedDevice(FIRST, pki_dir, "127.0.0.1", strict.device_port)
    await refused(other)
    await strict.wait_metric("gw_handshake_failures_total", 1, reason="bad_common_name")


async def test_a_revoked_certificate_ends_its_session(start_gateway, both):
    gateway = await start_gateway(**{
        "devices.ca": both.bundle, "devices.crl": both.lists, "devices.reload_seconds": 0.2,
    })  # fmt: skip
    revoked = both.device(gateway, both.second, SECOND)
    others = [both.device(gateway, both.first, SECOND[:-1] + n) for n in "34567"]
    for one in (revoked, *others):
        await one.connect(deadline=WAIT)
        await one.wait_for_configure(WAIT)
    pki.revoke(both.second, SECOND)
    both.write_lists()
    assert (await closed(revoked)).code == 1008
    assert await gateway.wait_metric("gw_session_ends_total", 1, reason="revoked") == 1
    await gateway.wait_metric("gw_certificate_reloads_total", 2, result="success")
    await refused(revoked)
    assert await gateway.wait_metric("gw_handshake_failures_total", 1, reason="revoked") == 1
    for one in others:
        await one.confirm(WAIT)
        assert one.counters.connects == 1, "another session was disturbed"
        one.stop()


async def test_a_certificate_revoked_during_its_handshake(start_gateway, pki_dir):
    """OpenSSL checks the list that was there when the handshake began."""
    gateway = await start_gateway(
        **{"devices.reload_seconds": 0.2, "devices.handshake_seconds": 120}
    )
    pki.device(pki_dir, [SECOND])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(pki_dir, SECOND).wrap_bio(incoming, outgoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.device_port)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    writer.write(outgoing.read())
    incoming.write(await asyncio.wait_for(reader.read(65_536), WAIT))  # it has begun

    pki.revoke(pki_dir, SECOND)
    await gateway.wait_metric("gw_certificate_reloads_total", 2, result="success")
    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            more = await asyncio.wait_for(reader.read(65_536), WAIT)
            assert more, "the gateway gave up the handshake"
            incoming.write(more)
    client.write(UPGRADE)
    writer.write(outgoing.read())
    assert await gateway.wait_metric("gw_handshake_failures_total", 1, reason="revoked") == 1
    async with asyncio.timeout(WAIT):
        while await reader.read(65_536):  # the end comes
            pass
    writer.close()
    assert await gateway.metric("gw_connections") == 0


async def refused(device: SimulatedDevice) -> None:
    """The device does not get in. With TLS 1.3 it learns of that after its own handshake."""
    try:
        await device.connect(deadline=WAIT, announce=False)
    except (OSError, ConnectionError):
        return
    await closed(device)


async def test_a_replaced_bundle_and_server_certificate_serve_the_next_handshake(
    start_gateway, both
):
    both.trust([both.first])
    gateway = await start_gateway(**{
        "devices.ca": both.bundle, "devices.crl": both.lists, "devices.reload_seconds": 0.2,
    })  # fmt: skip
    stays = both.device(gateway, both.first, FIRST)
    await stays.connect(deadline=WAIT)
    await stays.wait_for_configure(WAIT)
    newcomer = both.device(gateway, both.second, SECOND)
    await refused(newcomer)
    await gateway.wait_metric("gw_handshake_failures_total", 1, reason="unknown_ca")
    before = await server_certificate(gateway, both, FIRST)

    both.trust([both.first, both.second])
    pki.init(both.first, ["new.example"])  # issues the server certificate anew
    assert load(both.first / "server.pem").fingerprint(hashes.SHA256()) != before
    async with asyncio.timeout(WAIT):
        # Each worker takes it over by itself: all that one can see is what it shows.
        shown = [before]
        while before in shown:
            shown = [await server_certificate(gateway, both, FIRST) for _ in range(6)]
    await newcomer.connect(deadline=WAIT)
    await newcomer.wait_for_configure(WAIT)
    await stays.confirm(WAIT)
    assert stays.counters.connects == 1, "a session was disturbed"
    newcomer.stop()
    stays.stop()


async def server_certificate(gateway, both, name: str) -> bytes:
    """Shake hands, and return the fingerprint of what the gateway shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(both.first / "ca.pem")
    folder = both.first / "devices"
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.device_port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256())


async def test_a_half_written_file_leaves_the_former_in_use_and_is_told_once(start_gateway, both):
    gateway = await start_gateway(**{
        "devices.ca": both.bundle, "devices.crl": both.lists, "devices.reload_seconds": 0.05,
    })  # fmt: skip
    whole = both.bundle.read_bytes()
    both.bundle.write_bytes(whole[: len(whole) // 2 - 100])  # in the middle of a certificate
    await gateway.wait_metric("gw_certificate_reloads_total", 2, result="failure")
    devices = [both.device(gateway, both.second, SECOND[:-1] + n) for n in "abcd"]
    for one in devices:  # the whole bundle still counts, in either worker
        await one.connect(deadline=WAIT)
        await one.wait_for_configure(WAIT)
    assert await gateway.metric("gw_certificate_reloads_total", result="success") == 0
    both.bundle.write_bytes(whole)
    await gateway.wait_metric("gw_certificate_reloads_total", 2, result="success")
    told = gateway.logged("certificates not reloaded, the former ones stay")
    assert len(told) == 2, "each of the two workers tells it once"
    for one in devices:
        assert one.counters.connects == 1
        one.stop()


async def test_certificates_that_end_meanwhile(start_gateway, pki_dir):
    settings = {"devices.reload_seconds": 0.2}
    keeping = await start_gateway(**settings)
    closing = await start_gateway(**settings | {"devices.expired": "close"})
    made_out_to(pki_dir, FIRST, FIRST, datetime.timedelta(seconds=25))
    devices = []
    for gateway in (keeping, closing):
        one = SimulatedDevice(FIRST, pki_dir, "127.0.0.1", gateway.device_port)
        await one.connect(deadline=WAIT)
        await one.wait_for_configure(WAIT)
        devices.append(one)
    kept, ended = devices
    assert (await closed(ended)).code == 1008
    await closing.wait_metric("gw_session_ends_total", 1, reason="expired")
    await keeping.wait_metric("gw_sessions_expired_certificate", 1)
    await kept.confirm(WAIT)
    told = keeping.logged("the certificate of an open session has ended", serial=FIRST)
    assert len(told) == 1
    await refused(ended)
    await closing.wait_metric("gw_handshake_failures_total", 1, reason="expired")
    kept.stop()


def authority(folder: Path) -> Authority:
    return Authority(load(folder / "issuing.pem"), certificates.load_key(folder / "issuing.key"))


def made_out_to(folder: Path, serial: str, text: str, life: datetime.timedelta) -> None:
    """Make a device certificate with a common name and a life of its own."""
    issuing, key = authority(folder), new_key()
    name = certificates._name("TIP", text)
    end = datetime.datetime.now(datetime.UTC) + life
    builder = issuing._leaf(name, key, ExtendedKeyUsageOID.CLIENT_AUTH, end)
    leaf = builder.sign(issuing.key, hashes.SHA256())
    devices = folder / "devices"
    devices.mkdir(exist_ok=True)
    (devices / f"{serial}.pem").write_bytes(certificate_pem(leaf) + issuing.pem)
    (devices / f"{serial}.key").write_bytes(key_pem(key))


async def test_a_list_past_its_next_update_refuses_the_devices_of_its_issuer(
    start_gateway, pki_dir
):
    gateway = await start_gateway(**{"devices.reload_seconds": 0.2})
    pki.device(pki_dir, [FIRST, SECOND])
    stays = SimulatedDevice(FIRST, pki_dir, "127.0.0.1", gateway.device_port)
    await stays.connect(deadline=WAIT)
    await stays.wait_for_configure(WAIT)

    issuing = authority(pki_dir)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    old = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing.certificate.subject)
        .last_update(yesterday - datetime.timedelta(days=1))
        .next_update(yesterday)
        .sign(issuing.key, hashes.SHA256())
    )
    replace(pki_dir / "crl.pem", old.public_bytes(serialization.Encoding.PEM))
    await gateway.wait_metric("gw_certificate_reloads_total", 2, result="success")
    late = SimulatedDevice(SECOND, pki_dir, "127.0.0.1", gateway.device_port)
    await refused(late)
    await gateway.wait_metric("gw_handshake_failures_total", 1, reason="crl_expired")
    told = gateway.logged(
        "a revocation list is past its next update: devices of its issuer are refused, "
        "open sessions stay"
    )
    assert {entry["issuer"] for entry in told} == {issuing.certificate.subject.rfc4514_string()}
    await stays.confirm(WAIT)
    assert stays.counters.connects == 1
    stays.stop()
