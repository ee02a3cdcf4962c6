"""RADIUS between devices, over their real mTLS sessions, and servers of another implementation."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from pathlib import Path

import msgspec
import psutil
import pytest
from gateway import Gateway
from pyrad.packet import CoAPacket

from gw.radius import packet as wire
from gw.radius.packet import Attr, Attribute, Code, Packet
from gw.radius.routing import proxy_state
from gw.security import pki
from gw.simulator.device import SimulatedDevice

from .radius_server import DICTIONARY, SECRET, CoaClient, RadiusServer

pytestmark = pytest.mark.e2e

WAIT = 60.0


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def coa_port() -> int:
    return free_udp_port()


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir, coa_port):
    """One gateway with the proxy for all tests of the module."""
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"), pki_dir,
        **{
            "radius.enabled": "true", "radius.host": "127.0.0.1", "radius.auth_port": 0,
            "radius.acct_port": 0, "radius.coa_port": coa_port, "radius.answer_seconds": 3.0,
            "radius.coa_seconds": 2.0, "radius.gone_seconds": 0, "radius.probe_seconds": 0.5,
            "radius.reconnect_seconds": 0.2, "radius.down_after": 1, "radius.down_seconds": 3600,
        },
    )  # fmt: skip
    asyncio.run(gateway.start())
    yield gateway
    if gateway.process is not None:
        status = asyncio.run(gateway.stop())
        assert status == 0, f"gw run exited {status}:\n{gateway.log()[-4000:]}"


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    return shared_gateway


@pytest.fixture
async def server():
    one = await RadiusServer().start()
    yield one
    one.stop()


def entry(server: RadiusServer, name: str = "one", **more: object) -> dict[str, object]:
    return {"name": name, "ip": "127.0.0.1", "port": server.port,
            "secret": server.secret.decode(), "weight": 1} | more  # fmt: skip


def pool(*servers: dict[str, object], **more: object) -> dict[str, object]:
    kind = {"strategy": "round_robin", "servers": list(servers)}
    return {"name": "pool", "poolProxyIp": "0.0.1.1", "radsecPoolType": "generic",
            "authConfig": kind, "acctConfig": kind, "coaConfig": kind} | more  # fmt: skip


async def configure(gateway: Gateway, *pools: dict[str, object]) -> None:
    before = len(gateway.logged("pools applied"))
    answer = await gateway.request("PUT", "radiusProxyConfig", json={"pools": list(pools)})
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(WAIT):
        while len(gateway.logged("pools applied")) == before:
            await asyncio.sleep(0.02)  # a log file has no event to await


def access_request(device: SimulatedDevice, identifier: int = 7, **more: bytes) -> Packet:
    attributes = (
        wire.attribute(Attr.USER_NAME, "alice@example.org"),
        Attribute(Attr.PROXY_STATE, f"{device.serial}:0.0.1.1:1812:up0v0".encode()),
        *(Attribute(getattr(Attr, name.upper()), value) for name, value in more.items()),
    )
    packet = Packet(Code.ACCESS_REQUEST, identifier, bytes([identifier] * 16), attributes)
    return wire.sign_access_request(packet, SECRET)


def accounting(
    device: SimulatedDevice, status: int, session: str = "A1B2", identifier: int = 8, **counts: int
) -> Packet:
    """A request of a user of its own: sessions of earlier tests may still be there."""
    attributes = (
        wire.attribute(Attr.USER_NAME, f"alice-{device.serial}@example.org"),
        wire.attribute(Attr.CALLED_STATION_ID, "24-F5-A2-07-A1-32:Corp-Net"),
        wire.attribute(Attr.CALLING_STATION_ID, "3C-22-FB-10-4E-01"),
        wire.attribute(Attr.ACCT_SESSION_ID, session),
        wire.attribute(Attr.ACCT_MULTI_SESSION_ID, "99AA"),
        wire.attribute(Attr.ACCT_STATUS_TYPE, status),
        *(wire.attribute(getattr(Attr, name), value) for name, value in counts.items()),
        Attribute(Attr.PROXY_STATE, f"{device.serial}:0.0.1.1:1813:up0v0".encode()),
    )
    return wire.sign_request(
        Packet(Code.ACCOUNTING_REQUEST, identifier, bytes(16), attributes), SECRET
    )


async def answer_of(device: SimulatedDevice, kind: str, request: Packet) -> Packet:
    """Send a request, and return its answer, which must be signed for the device."""
    device.send_radius(kind, wire.encode(request))
    found, data = await device.wait_for_radius(WAIT)
    answer = wire.parse(data)
    assert found == kind
    assert answer.identifier == request.identifier
    assert wire.answer_holds(answer, request.authenticator, SECRET)
    return answer


async def sessions(gateway: Gateway, path: str) -> list[dict[str, object]]:
    return (await gateway.get(f"radiusSessions/{path}"))["sessions"]


async def wait_sessions(gateway: Gateway, serial: str, count: int) -> None:
    async with asyncio.timeout(WAIT):
        while (await gateway.get(f"device/{serial}/status")).get("hasRADIUSSessions") != count:
            await asyncio.sleep(0.05)  # REST has no event to await


# -- authentication


async def test_access_request_reaches_the_server_and_its_answer_the_device(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000001")
    server.answer = lambda request, reply: reply.AddAttribute("Reply-Message", "welcome")
    request = access_request(device)
    answer = await answer_of(device, "auth", request)
    assert answer.code == Code.ACCESS_ACCEPT
    assert answer.text(Attr.REPLY_MESSAGE) == "welcome"
    assert answer.get(Attr.PROXY_STATE) == request.get(Attr.PROXY_STATE)
    seen = await server.next()
    assert seen["User-Name"] == ["alice@example.org"]
    for direction in ("from_device", "to_server", "from_server", "to_device"):
        assert await gateway.metric("gw_radius_packets_total", direction=direction) == 1


@pytest.mark.covers("radius")
async def test_the_vectors_as_they_are(gateway, join, server):
    """Both requests of the specification, and the Disconnect-Request for the session they make."""
    await configure(gateway, pool(entry(server)))
    device = await join("24f5a207a130")
    folder = Path(__file__).parents[1] / "vectors" / "southbound"
    auth, acct, coa = (
        json.loads((folder / f"radius_{kind}.json").read_text())["message"]
        for kind in ("auth", "acct", "coa")
    )
    for message, code in ((auth, Code.ACCESS_ACCEPT), (acct, Code.ACCOUNTING_RESPONSE)):
        request = wire.parse(base64.b64decode(message["data"]))
        assert (await answer_of(device, message["radius"], request)).code == code
    named = {"callingStationId": "3C-22-FB-10-4E-01", "accountingSessionId": "A1B2C3D4E5F60718",
             "accountingMultiSessionId": "99AA88BB77CC66DD"}  # fmt: skip
    asking = asyncio.create_task(operate(gateway, device.serial, "coadm", **named))
    kind, data = await device.wait_for_radius(WAIT)
    found, expected = wire.parse(data), wire.parse(base64.b64decode(coa["data"]))
    assert (kind, found.code, found.attributes) == ("coa", expected.code, expected.attributes)
    ack = Packet(Code.DISCONNECT_ACK, found.identifier, bytes(16))
    device.send_radius("coa", wire.encode(wire.sign_answer(ack, found.authenticator, SECRET)))
    assert (await asking).status_code == 200


async def test_it_works_before_connect(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000002")
    await device.disconnect()
    await device.connect(announce=False, deadline=WAIT)
    answer = await answer_of(device, "auth", access_request(device))
    assert answer.code == Code.ACCESS_ACCEPT


async def test_a_device_speaks_for_itself_only(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device, other = await join("02a0e2000003"), await join("02a0e2000004")
    device.send_radius("auth", wire.encode(access_request(other)))
    await gateway.wait_metric("gw_radius_dropped_total", 1, reason="foreign_serial")
    assert server.seen.empty()


async def test_what_cannot_be_is_dropped_with_its_reason(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000005")
    request = access_request(device)
    away = wire.sign_access_request(
        request.with_values(Attribute(33, f"{device.serial}:0.0.1.9:1812:x".encode())), SECRET
    )
    forged = wire.sign_access_request(request, b"another secret")
    for packet, reason in (
        (away, "no_pool"),
        (forged, "bad_authenticator"),
        (wire.sign_answer(Packet(2, 1, bytes(16)), bytes(16), SECRET), "bad_code"),
    ):
        device.send_radius("auth", wire.encode(packet))
        await gateway.wait_metric("gw_radius_dropped_total", 1, reason=reason)
    device.send_radius("auth", b"\1\7\0\x16" + bytes(16) + b"\1\1")
    await gateway.wait_metric("gw_radius_dropped_total", 1, reason="malformed")
    device.send_text(b'{"radius":"auth","data":"AAAA"}')
    await gateway.wait_metric("gw_protocol_errors_total", 1, reason="radius_size")
    assert server.seen.empty()
    assert (await answer_of(device, "auth", request)).code == Code.ACCESS_ACCEPT


async def test_a_conversation_stays_with_its_server(gateway, join, server):
    other = await RadiusServer().start()

    def challenge(request, reply):
        if "State" not in request:
            reply.code = Code.ACCESS_CHALLENGE
            reply.AddAttribute("State", str(id(request)).encode())

    server.answer = other.answer = challenge
    await configure(gateway, pool(entry(server), entry(other, "two")))
    device = await join("02a0e2000006")
    places = []
    for round in range(4):
        first = await answer_of(device, "auth", access_request(device, 10 + 2 * round))
        assert first.code == Code.ACCESS_CHALLENGE
        asked = server if not server.seen.empty() else other
        await asked.next()
        places.append(asked)
        second = access_request(device, 11 + 2 * round, state=first.get(Attr.STATE))
        assert (await answer_of(device, "auth", second)).code == Code.ACCESS_ACCEPT
        await asked.next()
    assert places.count(server) == places.count(other) == 2
    other.stop()


async def test_a_silent_server_is_replaced_and_left_out(gateway, join, server):
    other = await RadiusServer().start()
    server.silent = True
    await configure(gateway, pool(entry(server), entry(other, "two")))
    device = await join("02a0e2000007")
    for identifier in range(3):
        answer = await answer_of(device, "auth", access_request(device, identifier))
        assert answer.code == Code.ACCESS_ACCEPT
    assert server.seen.qsize() == 1
    assert other.seen.qsize() == 3
    await gateway.wait_metric("gw_radius_retries_total", 1)
    await gateway.wait_metric("gw_radius_servers_down", 1)
    assert gateway.logged("RADIUS server is down", port=server.port)
    other.stop()


async def test_a_probe_brings_a_server_back(gateway, join, server):
    server.silent = True
    kind = {"strategy": "random", "monitor": True, "monitorMethod": "radius",
            "servers": [entry(server)]}  # fmt: skip
    await configure(gateway, pool(authConfig=kind))
    await gateway.wait_metric("gw_radius_servers_down", 1)
    server.silent = False
    await gateway.wait_metric("gw_radius_probes_total", 1, result="answered")
    async with asyncio.timeout(WAIT):
        while await gateway.metric("gw_radius_servers_down") != 0:
            await asyncio.sleep(0.05)  # a scrape has no event to await
    device = await join("02a0e2000008")
    assert (await answer_of(device, "auth", access_request(device))).code == Code.ACCESS_ACCEPT


async def test_an_answer_with_a_wrong_signature_is_none(gateway, join, server):
    await configure(gateway, pool(entry(server, secret="not the server's")))
    device = await join("02a0e2000009")
    request = wire.sign_access_request(access_request(device), b"not the server's")
    server.secret = b"not the server's"
    device.send_radius("auth", wire.encode(request))
    await server.next()
    _, data = await device.wait_for_radius(WAIT)
    assert wire.answer_holds(wire.parse(data), request.authenticator, b"not the server's")

    server.answer = lambda request, reply: setattr(reply, "secret", b"a third one")
    device.send_radius("auth", wire.encode(request))
    await gateway.wait_metric("gw_radius_dropped_total", 1, reason="bad_answer")


# -- accounting


async def test_accounting_is_followed_from_start_to_stop(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000010")
    assert (await answer_of(device, "acct", accounting(device, 1))).code == 5
    counts = {"ACCT_INPUT_OCTETS": 11, "ACCT_OUTPUT_OCTETS": 22, "ACCT_INPUT_PACKETS": 33,
              "ACCT_OUTPUT_PACKETS": 44, "ACCT_SESSION_TIME": 55}  # fmt: skip
    await answer_of(device, "acct", accounting(device, 3, identifier=9, **counts))
    await wait_sessions(gateway, device.serial, 1)
    (found,) = await sessions(gateway, device.serial)
    times = {name: found.pop(name) for name in ("started", "lastTransaction")}
    assert times["started"] <= times["lastTransaction"]
    assert found == {
        "destination": f"127.0.0.1:{server.port}", "serialNumber": device.serial,
        "userName": f"alice-{device.serial}@example.org", "accountingSessionId": "A1B2",
        "accountingMultiSessionId": "99AA", "inputPackets": 33, "outputPackets": 44,
        "inputOctets": 11, "outputOctets": 22, "inputGigaWords": 0, "outputGigaWords": 0,
        "sessionTime": 55, "callingStationId": "3C-22-FB-10-4E-01",
        "chargeableUserIdentity": "", "interface": "up0v0", "secret": "", "nasId": "",
        "calledStationId": "24-F5-A2-07-A1-32:Corp-Net",
    }  # fmt: skip
    assert len(await sessions(gateway, f"0?userName=ALICE-{device.serial}")) == 1
    found = await sessions(gateway, "0?mac=3c:22:fb")
    assert device.serial in {one["serialNumber"] for one in found}
    assert await sessions(gateway, "0?userName=bob") == []
    serials = (await gateway.get("radiusSessions/0?serialNumberOnly=true"))["serialNumbers"]
    assert device.serial in serials
    assert (await gateway.request("GET", "radiusSessions/0")).status_code == 400
    await answer_of(device, "acct", accounting(device, 2, identifier=10))
    await wait_sessions(gateway, device.serial, 0)
    assert await sessions(gateway, device.serial) == []


async def test_a_device_that_goes_away_stops_its_sessions(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000011")
    await answer_of(device, "acct", accounting(device, 1))
    await answer_of(device, "acct", accounting(device, 1, "C3D4", 9))
    await server.next()
    await server.next()
    await device.disconnect()
    stops = [await server.next(), await server.next()]
    assert [one["Acct-Status-Type"] for one in stops] == [[2], [2]]
    assert {one["Acct-Session-Id"][0] for one in stops} == {"A1B2", "C3D4"}
    assert {one["Acct-Terminate-Cause"][0] for one in stops} == {2}
    assert all("Event-Timestamp" in one for one in stops)
    assert await sessions(gateway, device.serial) == []


# -- requests to devices


def coa_request(code: int, serial: str, **more: object) -> tuple[CoAPacket, bytes]:
    packet = CoAPacket(code=code, id=77, secret=SECRET, dict=DICTIONARY, **more)
    packet["Acct-Session-Id"] = "A1B2"
    packet[26] = [wire.vendor_attribute(58888, 1, serial.encode()).value]
    return packet, packet.RequestPacket()


async def test_a_servers_request_reaches_the_device_and_its_answer_the_server(
    gateway, join, server, coa_port
):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000020")
    await answer_of(device, "acct", accounting(device, 1))
    client = await CoaClient(coa_port).start()
    sent, data = coa_request(43, "02-a0-e2-00-00-20")
    client.send(data)
    kind, received = await device.wait_for_radius(WAIT)
    request = wire.parse(received)
    assert (kind, request.code) == ("coa", Code.COA_REQUEST)
    assert wire.request_holds(request, SECRET)
    # The device is told the interface, as in what it sent itself.
    own = proxy_state(device.serial, "up0v0")
    assert request.all(Attr.PROXY_STATE) == [own.value]
    answer = Packet(Code.COA_ACK, request.identifier, bytes(16), (own,))
    forged = wire.sign_answer(answer, bytes(16), SECRET)
    device.send_radius("coa", wire.encode(forged))
    await gateway.wait_metric("gw_radius_dropped_total", 1, reason="bad_answer")
    device.send_radius("coa", wire.encode(wire.sign_answer(answer, request.authenticator, SECRET)))
    reply = sent.VerifyReply(sent.CreateReply(packet=await client.next()))
    assert reply
    client.stop()


async def test_requests_of_strangers_and_for_strangers(gateway, join, server, coa_port):
    await configure(gateway, pool(entry(server)))
    client = await CoaClient(coa_port).start()
    sent, data = coa_request(40, "02-a0-e2-0f-ff-ff")
    client.send(data)
    refusal = await client.next()
    assert sent.VerifyReply(sent.CreateReply(packet=refusal))
    assert wire.parse(refusal).code == Code.DISCONNECT_NAK
    assert wire.parse(refusal).number(Attr.ERROR_CAUSE) == 502
    nobody = Packet(Code.COA_REQUEST, 3, bytes(16), (wire.attribute(Attr.ACCT_SESSION_ID, "?"),))
    client.send(wire.encode(wire.sign_request(nobody, SECRET)))
    refusal = wire.parse(await client.next())
    assert (refusal.code, refusal.number(Attr.ERROR_CAUSE)) == (Code.COA_NAK, 502)
    client.send(wire.encode(wire.sign_request(nobody, b"wrong")))
    await gateway.wait_metric("gw_radius_dropped_total", 1, reason="bad_authenticator")
    client.stop()


async def test_datagrams_that_are_none_are_dropped(gateway, server, coa_port):
    await configure(gateway, pool(entry(server)))
    client = await CoaClient(coa_port).start()
    for data in (b"x", bytes(20), b"\x2b\x01\xff\xff" + bytes(60), bytes(5000)):
        client.send(data)
    await gateway.wait_metric("gw_radius_dropped_total", 4, reason="malformed")
    assert (await gateway.request("DELETE", "radiusProxyConfig")).status_code == 200
    async with asyncio.timeout(WAIT):
        while await gateway.metric("gw_radius_dropped_total", reason="unknown_sender") == 0:
            client.send(b"x")
            await asyncio.sleep(0.05)  # a scrape has no event to await
    assert client.answers.empty()
    client.stop()


async def test_a_server_with_an_address_of_the_other_ip_version(gateway, join):
    server = await RadiusServer().start("::1")
    await configure(gateway, pool(entry(server, ip="::1")))
    device = await join("02a0e2000012")
    assert (await answer_of(device, "auth", access_request(device))).code == 2
    await answer_of(device, "acct", accounting(device, 1))
    (found,) = await sessions(gateway, device.serial)
    assert found["destination"] == f"[::1]:{server.port}"
    server.stop()


async def test_a_flood_of_one_device_holds_up_nobody(gateway, join, server):
    """What is too much is dropped; the flood's own session and others go on."""
    server.silent = True
    await configure(gateway, pool(entry(server)))
    flooding, other = await join("02a0e2000013"), await join("02a0e2000014")
    for number in range(4000):
        packet = access_request(flooding, number % 256)
        packet = wire.sign_access_request(
            msgspec.structs.replace(packet, authenticator=number.to_bytes(16, "big")), SECRET
        )
        flooding.send_radius("auth", wire.encode(packet))
        if number % 100 == 0:
            await flooding.drain()
    await flooding.confirm(WAIT)
    await gateway.wait_metric("gw_radius_dropped_total", 1000, reason="device_busy")
    server.silent = False
    assert (await answer_of(other, "auth", access_request(other))).code == 2
    before = (await gateway.get(f"device/{flooding.serial}/statistics?newest=true"))["data"]
    flooding.send_state()
    async with asyncio.timeout(WAIT):
        while (await gateway.get(f"device/{flooding.serial}/statistics?newest=true"))[
            "data"
        ] == before:
            await asyncio.sleep(0.05)  # REST has no event to await
    assert flooding.connected


async def operate(gateway: Gateway, serial: str, operation: str, **body: object):
    path = f"radiusSessions/{serial}?operation={operation}"
    return await gateway.request("PUT", path, json=body)


SESSION = {"callingStationId": "3C-22-FB-10-4E-01", "accountingSessionId": "A1B2",
           "accountingMultiSessionId": "99AA"}  # fmt: skip


@pytest.mark.operation("GET /radiusSessions/{serialNumber}", "PUT /radiusSessions/{serialNumber}")
async def test_an_operator_ends_a_session(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000021")
    await answer_of(device, "acct", accounting(device, 1))
    asking = asyncio.create_task(operate(gateway, device.serial, "coadm", **SESSION))
    kind, data = await device.wait_for_radius(WAIT)
    request = wire.parse(data)
    assert (kind, request.code) == ("coa", Code.DISCONNECT_REQUEST)
    assert wire.request_holds(request, SECRET)
    assert request.text(Attr.ACCT_SESSION_ID) == "A1B2"
    assert request.text(Attr.PROXY_STATE) == f"{device.serial}:0.0.0.0:3799:up0v0"
    ack = Packet(Code.DISCONNECT_ACK, request.identifier, bytes(16))
    device.send_radius("coa", wire.encode(wire.sign_answer(ack, request.authenticator, SECRET)))
    answer = await asking
    assert (answer.status_code, answer.json()["Code"]) == (200, 0), answer.text

    asking = asyncio.create_task(
        operate(gateway, "0", "disconnectUser", userName=f"alice-{device.serial}@example.org")
    )
    _, data = await device.wait_for_radius(WAIT)
    request = wire.parse(data)
    cause = wire.attribute(Attr.ERROR_CAUSE, 503)
    nak = Packet(Code.DISCONNECT_NAK, request.identifier, bytes(16), (cause,))
    device.send_radius("coa", wire.encode(wire.sign_answer(nak, request.authenticator, SECRET)))
    refused = await asking
    assert refused.status_code == 400
    assert refused.json()["ErrorDescription"].startswith("1137:")
    assert "error cause 503" in refused.json()["ErrorDescription"]

    silent = await operate(gateway, device.serial, "coadm", **SESSION)
    assert "did not answer in time" in silent.json()["ErrorDescription"]


WRONG = {
    "operation": ("reboot", SESSION, "1031"),
    "station": ("coadm", SESSION | {"callingStationId": ""}, "1018"),
    "session": ("coadm", SESSION | {"accountingSessionId": ""}, "1018"),
    "multi": ("coadm", SESSION | {"accountingMultiSessionId": ""}, "1018"),
    "user": ("disconnectUser", {}, "1018"),
    "unknown": ("coadm", SESSION, "1137"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_disconnects_are_refused(gateway, case):
    operation, body, number = WRONG[case]
    answer = await operate(gateway, "02a0e20000ff", operation, **body)
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith(number), answer.text


# -- RadSec


def radsec_pool(gateway: Gateway, port: int, **more: object) -> dict[str, object]:
    folder = gateway.pki
    pki.device(folder, ["02a0e2000fff"])
    own = {
        "name": "radsec", "ip": "127.0.0.1", "radsec": True, "radsecPort": port,
        "radsecCert": (folder / "devices/02a0e2000fff.pem").read_text(),
        "radsecKey": (folder / "devices/02a0e2000fff.key").read_text(),
        "radsecCacerts": [(folder / "ca.pem").read_text()], "secret": SECRET.decode(),
    } | more  # fmt: skip
    return pool(own, radsecPoolType="radsec", radsecKeepAlive=1)


def tls_server(folder) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def leave(gateway: Gateway, listener: asyncio.Server) -> None:
    """Have the proxy forget its servers, and wait until its connections are gone."""
    assert (await gateway.request("DELETE", "radiusProxyConfig")).status_code == 200
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    async with asyncio.timeout(WAIT):
        while any(
            one.laddr.port == port for one in psutil.Process().net_connections("tcp") if one.laddr
        ):
            await asyncio.sleep(0.02)  # closed by the loop: there is no event to await


async def test_radsec_carries_all_kinds_and_comes_back(gateway, join):
    server = RadiusServer(b"radsec")
    listener = await server.serve_tls(tls_server(gateway.pki))
    await configure(gateway, radsec_pool(gateway, server.port))
    async with asyncio.timeout(WAIT):
        first = await server.connected.get()
    await gateway.wait_metric("gw_radius_connections", 1)
    device = await join("02a0e2000030")
    # The device's own secret is another one than RadSec's.
    assert (await answer_of(device, "auth", access_request(device))).code == 2
    assert (await answer_of(device, "acct", accounting(device, 1, "by TLS"))).code == 5
    assert server.seen.qsize() == 2
    await gateway.wait_metric("gw_radius_probes_total", 1, result="answered")

    request = wire.sign_request(
        Packet(Code.DISCONNECT_REQUEST, 5, bytes(16),
               (wire.attribute(Attr.ACCT_SESSION_ID, "by TLS"),)),
        b"radsec",
    )  # fmt: skip
    first.write(wire.encode(request))
    _, data = await device.wait_for_radius(WAIT)
    received = wire.parse(data)
    assert wire.request_holds(received, SECRET)
    ack = Packet(Code.DISCONNECT_ACK, received.identifier, bytes(16))
    device.send_radius("coa", wire.encode(wire.sign_answer(ack, received.authenticator, SECRET)))
    async with asyncio.timeout(WAIT):
        answer = wire.parse(await server.answers.get())
    assert wire.answer_holds(answer, request.authenticator, b"radsec")

    first.transport.abort()
    async with asyncio.timeout(WAIT):
        second = await server.connected.get()
    assert (await answer_of(device, "auth", access_request(device, 9))).code == 2
    # Without answers to the keep-alive the connection is made anew.
    server.silent = True
    async with asyncio.timeout(WAIT):
        await server.connected.get()
    assert second.transport.is_closing()
    await leave(gateway, listener)


async def test_radsec_server_of_another_authority_is_refused(gateway, tmp_path):
    pki.init(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server = RadiusServer(b"radsec")
    listener = await server.serve_tls(context)
    await configure(gateway, radsec_pool(gateway, server.port))
    await gateway.wait_metric("gw_radius_connection_failures_total", 2)
    assert server.connected.empty()
    assert await gateway.metric("gw_radius_connections") == 0
    lost = gateway.logged("RadSec connection lost", port=server.port)
    assert "certificate verify failed" in lost[0]["detail"]
    await leave(gateway, listener)


# -- configuration


@pytest.mark.operation(
    "GET /radiusProxyConfig", "PUT /radiusProxyConfig", "DELETE /radiusProxyConfig"
)
async def test_pools_are_kept_shown_and_deleted(gateway, server):
    await configure(gateway, pool(entry(server), poolProxyIp=""))
    found = await gateway.get("radiusProxyConfig")
    assert found["pools"][0]["poolProxyIp"] == "0.0.1.1"
    assert found["pools"][0]["authConfig"]["servers"][0]["secret"] == "testing123"
    assert (await gateway.request("DELETE", "radiusProxyConfig")).status_code == 200
    assert await gateway.get("radiusProxyConfig") == {"pools": []}
    assert b"testing123" not in gateway.log_file.read_bytes()


async def test_pools_survive_the_proxy_and_the_gateway(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    before = len(gateway.logged("pools applied"))
    await gateway.kill("coordinator")
    async with asyncio.timeout(WAIT):
        while len(gateway.logged("pools applied")) == before:
            await asyncio.sleep(0.02)  # a log file has no event to await
    device = await join("02a0e2000040")
    assert (await answer_of(device, "auth", access_request(device))).code == 2


async def test_the_proxy_is_started_again_and_goes_on(gateway, join, server):
    await configure(gateway, pool(entry(server)))
    device = await join("02a0e2000041")
    assert (await answer_of(device, "acct", accounting(device, 1))).code == 5
    await gateway.kill("radius")
    answer = None
    async with asyncio.timeout(WAIT):
        while answer is None:  # until the pools have reached the new one, packets are dropped
            device.send_radius("auth", wire.encode(access_request(device)))
            with contextlib.suppress(TimeoutError):
                answer = await device.wait_for_radius(1.0)
    assert answer[0] == "auth"
    assert await sessions(gateway, device.serial) == []
    await wait_sessions(gateway, device.serial, 0)


async def test_a_page_tells_whether_a_server_is_well(gateway, server):
    """The page's certificate is of no authority that the machine knows: the server is down."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(gateway.pki / "server.pem", gateway.pki / "server.key")
    page = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{page.sockets[0].getsockname()[1]}/health/{{ip}}"
    kind = {"strategy": "random", "monitor": True, "monitorMethod": "https",
            "methodParameters": [url], "servers": [entry(server)]}  # fmt: skip
    await configure(gateway, pool(authConfig=kind, acctConfig={}, coaConfig={}))
    await gateway.wait_metric("gw_radius_probes_total", 1, result="silent")
    await gateway.wait_metric("gw_radius_servers_down", 1)
    await leave(gateway, page)


async def user_of(gateway: Gateway, role: str) -> str:
    """Make a user, and return an access token."""
    email, password = f"{role}@radius.example", "Right-Horse-8!"
    answer = await gateway.request(
        "POST", "user/0?email_verification=false", service="security",
        json={"id": "0", "email": email, "name": role, "userRole": role,
              "currentPassword": password, "changePassword": False},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    answer = await gateway.request(
        "POST", "oauth2", json={"userId": email, "password": password}, service="security",
        signed=False,
    )  # fmt: skip
    token: str = answer.json()["access_token"]
    return token


async def test_secrets_are_for_those_who_may_change_them(gateway, server):
    await configure(gateway, pool(entry(server)))
    token = await user_of(gateway, "noc")
    headers = {"Authorization": f"Bearer {token}"}
    answer = await gateway.request(
        "GET", "radiusProxyConfig", signed=False, extra_headers=headers
    )  # fmt: skip
    assert answer.status_code == 200
    assert answer.json()["pools"][0]["authConfig"]["servers"][0]["secret"] == ""
    for method in ("PUT", "DELETE"):
        answer = await gateway.request(
            method, "radiusProxyConfig", signed=False, extra_headers=headers,
            **({"json": {"pools": []}} if method == "PUT" else {}),
        )  # fmt: skip
        assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 7)


BAD = {
    "empty": ({"pools": []}, "1003", "pools"),
    "name": ({"pools": [{}]}, "1138", "pools[0].name"),
    "type": ({"pools": [{"name": "a", "radsecPoolType": "x"}]}, "1177", "radsecPoolType"),
    "strategy": ({"pools": [{"name": "a", "authConfig": {"strategy": "x"}}]}, "1139",
                 "pools[0].authConfig.strategy"),
    "monitor": ({"pools": [{"name": "a", "acctConfig": {"monitorMethod": "x"}}]}, "1140",
                "pools[0].acctConfig.monitorMethod"),
    "no server": ({"pools": [{"name": "a"}]}, "1141", "pools[0]"),
    "server": ({"pools": [{"name": "a", "authConfig": {"servers": [{"name": "s", "ip": "x"}]}}]},
               "1142", "pools[0].authConfig.servers[0].ip"),
    "weight": ({"pools": [{"name": "a", "authConfig": {"strategy": "weighted", "servers": [
        {"name": "s", "ip": "10.0.0.1", "port": 1812, "secret": "x"}]}}]},
        "1143", "pools[0].authConfig.servers[0].weight"),
    "no pem": ({"pools": [{"name": "a", "radsecPoolType": "radsec", "authConfig": {"servers": [
        {"name": "s", "ip": "10.0.0.1", "radsecCert": "/etc/passwd"}]}}]},
        "1142", "servers[0].radsecCert"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_wrong_pools_are_refused_by_the_field(gateway, case):
    document, number, field = BAD[case]
    answer = await gateway.request("PUT", "radiusProxyConfig", json=document)
    text = answer.json()["ErrorDescription"]
    assert answer.status_code == 400
    assert text.startswith(number), text
    assert field in text
