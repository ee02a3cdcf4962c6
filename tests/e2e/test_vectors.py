"""Every example message of the southbound specification over a real mTLS websocket.

What a device says has its effect in REST answers and metrics; what the gateway sends is the
example, member by member, when the matching REST call is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import southbound_vectors as vectors
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults
from gw.simulator.inbox import Message

pytestmark = pytest.mark.e2e

WAIT = 60.0
AP, RESTRICTED, SWITCH = "24f5a207a130", "24f5a207a134", "903cb36ae4f0"
MUTE = Faults(silent=frozenset({"*"}))
"""The test answers for the device."""


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


class Puppet(SimulatedDevice):
    """A device that says vectors; of itself it only does what it is asked to."""

    def say(self, name: str) -> None:
        """Send a vector as it is."""
        self.send_text(vectors.text(name))

    def answer(self, message: Message, name: str, **result: Any) -> None:
        """Send the vector of an answer for a request of this run."""
        found = vectors.load(name) | {"id": message.id}
        if "result" in found:
            found["result"] |= result
        self.send_text(json.dumps(found).encode())


@pytest.fixture
async def open_device(gateway: Gateway):
    """Open connections that have not said `connect`."""
    made: list[Puppet] = []

    async def connect(serial: str = AP, **options: Any) -> Puppet:
        pki.device(gateway.pki, [serial])
        platform = "switch" if serial == SWITCH else "ap"
        device = Puppet(
            serial, gateway.pki, "127.0.0.1", gateway.device_port, platform=platform, **options
        )
        made.append(device)
        await device.connect(deadline=WAIT, announce=False)
        return device

    yield connect
    for device in made:
        ended = device.closed
        device.stop()
        await asyncio.wait_for(asyncio.shield(ended), WAIT)


@pytest.fixture
async def join(gateway: Gateway, open_device):
    """Connect as the vectors do, and wait until the device runs what the gateway has for it."""

    async def connect(serial: str = AP, **options: Any) -> Puppet:
        device = await open_device(serial, **options)
        device.memory.uuid = 1795490000
        device.say("connect_switch" if serial == SWITCH else "connect")
        if serial == SWITCH:
            await gateway.wait_device(serial, deviceType="switch")
        else:
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        return device

    return connect


@pytest.fixture(autouse=True)
async def clean(gateway: Gateway):
    """Each test begins without the devices of the vectors, and with counters at 0."""
    for serial in (AP, RESTRICTED, SWITCH):
        await gateway.request("DELETE", f"device/{serial}")
    await gateway.mark()


async def status(gateway: Gateway, serial: str = AP) -> dict[str, Any]:
    found: dict[str, Any] = await gateway.get(f"device/{serial}/status")
    return found


async def records(gateway: Gateway, what: str, *, least: int = 1) -> list[dict[str, Any]]:
    """Wait for records of the access point, as REST shows them."""
    async with asyncio.timeout(WAIT):
        while True:
            answer = await gateway.get(f"device/{AP}/{what}")
            found: list[dict[str, Any]] = answer.get("data") or answer.get("values") or []
            if len(found) >= least:
                return found
            await asyncio.sleep(0.05)  # REST has no event to await


async def counted(gateway: Gateway, method: str, least: int = 1) -> None:
    """The message was counted by its method, and broke no rule."""
    await gateway.wait_metric("gw_device_messages_received_total", least, method=method)
    assert await gateway.metric("gw_protocol_errors_total") == 0


async def command(gateway: Gateway, uuid: str, **fields: object) -> dict[str, Any]:
    """Wait until a command shows these fields."""
    async with asyncio.timeout(WAIT):
        while True:
            found: dict[str, Any] = await gateway.get(f"command/{uuid}")
            if fields.items() <= found.items():
                return found
            await asyncio.sleep(0.05)  # REST has no event to await


async def ask(gateway: Gateway, device: Puppet, name: str, **body: Any) -> Any:
    text = json.dumps({"serialNumber": device.serial, "when": 0} | body)
    return await gateway._post(f"device/{device.serial}/{name}", text)


# -- connect


@pytest.mark.covers("connect")
async def test_connect(gateway, open_device):
    device = await open_device()
    device.say("connect")
    params = vectors.load("connect")["params"]
    shown = await gateway.wait_device(AP, firmware=params["firmware"])
    assert shown["connectReason"] == "socket"
    assert shown["devicePassword"] == params["password"]
    assert (shown["compatible"], shown["deviceType"]) == ("edgecore_eap102", "ap")
    kept = await gateway.get(f"device/{AP}/capabilities")
    assert kept["capabilities"] == params["capabilities"]
    live = await status(gateway)
    assert (live["connected"], live["verifiedCertificate"]) == (True, "VERIFIED")
    # No answer, but the one configure of a new device; never a `result`.
    await device.wait_for_configure(WAIT)
    assert {message.method for message in device.received} == {"configure"}
    await counted(gateway, "connect")


async def test_connect_recovery_gets_no_configuration(gateway, open_device):
    device = await open_device()
    device.say("connect_recovery")
    await gateway.wait_device(AP, connectReason="recovery")
    await device.confirm(WAIT)
    assert device.received == []
    assert (await gateway.device(AP))["hold"]


async def test_connect_restricted(gateway, open_device):
    device = await open_device(RESTRICTED)
    device.say("connect_restricted")
    shown = await gateway.wait_device(RESTRICTED, restrictedDevice=True)
    assert shown["connectReason"] == "crashlog"
    assert shown["restrictionDetails"]["dfs"] is True
    assert shown["restrictionDetails"]["country"] == ["US", "CA"]
    await counted(gateway, "connect")


async def test_connect_switch(gateway, open_device):
    device = await open_device(SWITCH)
    device.say("connect_switch")
    shown = await gateway.wait_device(SWITCH, deviceType="switch")
    assert shown["compatible"] == "edgecore_ecs4125-10p"


async def test_connect_missing_capabilities(gateway, open_device):
    device = await open_device()
    device.say("connect_missing_capabilities")
    await device.confirm(WAIT)
    assert await gateway.metric("gw_protocol_errors_total", reason="bad_params") == 1
    assert (await gateway.request("GET", f"device/{AP}")).status_code == 404
    device.say("connect")  # the session goes on
    await gateway.wait_device(AP, deviceType="ap")


# -- reports


@pytest.mark.covers("state")
@pytest.mark.parametrize("name", ["state", "state_compressed"])
async def test_state(gateway, join, name):
    device = await join()
    device.say(name)
    params = vectors.plain(vectors.load(name)["params"])
    (found,) = await records(gateway, "statistics")
    assert (found["data"], found["UUID"]) == (params["state"], 1795490000)
    live = await status(gateway)
    expected = {
        "associations_2G": 1, "associations_5G": 2, "associations_6G": 0, "hasGPS": True,
        "load": 0.121, "temperature": 54,
    }  # fmt: skip
    assert {key: live[key] for key in expected} == expected
    assert round(live["memoryUsed"], 2) == 26.83
    await counted(gateway, "state")


async def test_state_newer_config(gateway, join):
    """The device runs what is not ours: it gets ours again, under a higher id."""
    device = await join()
    before = await gateway.device(AP)
    vector = vectors.load("state_newer_config")
    newer = before["UUID"] + 5000  # as the vector's is to the one that its gateway had stored
    device.send_text(json.dumps(vector | {"params": vector["params"] | {"uuid": newer}}).encode())
    message = await device.wait_for_configure(WAIT)
    assert message.outcome.params.uuid > newer
    again = dict(message.config)
    del again["uuid"]
    stored = dict(before["configuration"])
    stored.pop("uuid", None)
    assert again == stored
    live = await status(gateway)
    assert (live["associations_2G"], live["associations_5G"]) == (0, 0)


@pytest.mark.asks("request")
@pytest.mark.parametrize("name", ["state_requested", "healthcheck_requested"])
async def test_requested_message_is_the_result_of_its_command(gateway, join, name):
    device = await join()
    device.faults = MUTE
    vector = vectors.load(name)
    method = vector["method"]
    asking = asyncio.create_task(ask(gateway, device, "request", message=method))
    message = await device.wait_for("request", WAIT)
    device.answer(message, "result_configure_ok", uuid=device.uuid)
    asked = (await asking).json()
    params = vectors.plain(vector["params"]) | {"request_uuid": asked["UUID"]}
    wire = vectors.packed(params) if "compress_64" in vector["params"] else params
    device.send_text(json.dumps(vector | {"params": wire}).encode())
    document = params["state" if method == "state" else "data"]
    shown = await command(gateway, asked["UUID"], results=document)
    assert shown["status"] == "completed"
    device.say(name)  # its command is unknown: a report like any other
    await records(gateway, "statistics" if method == "state" else "healthchecks", least=2)
    assert await gateway.metric("gw_protocol_errors_total") == 0


@pytest.mark.covers("healthcheck")
async def test_healthcheck(gateway, join):
    device = await join()
    device.say("healthcheck")
    params = vectors.load("healthcheck")["params"]
    (found,) = await records(gateway, "healthchecks")
    assert (found["values"], found["sanity"]) == (params["data"], 75)
    assert (await status(gateway))["sanity"] == 75
    await counted(gateway, "healthcheck")


# -- logs


@pytest.mark.covers("log")
async def test_log(gateway, join):
    device = await join()
    device.say("log")
    (found,) = await records(gateway, "logs")
    expected = {"log": "upload complete", "severity": 6, "logType": 0, "data": {}}
    assert expected.items() <= found.items()
    await counted(gateway, "log")


@pytest.mark.covers("crashlog")
async def test_crashlog_also_before_connect(gateway, join, open_device):
    await join()
    device = await open_device()
    device.say("crashlog")
    (found,) = await records(gateway, "logs?logType=1")
    lines = vectors.load("crashlog")["params"]["loglines"]
    expected = {"log": "".join(f"{line}\r\n" for line in lines), "severity": 0, "logType": 1}
    assert expected.items() <= found.items()
    await counted(gateway, "crashlog")


@pytest.mark.covers("rebootLog")
async def test_reboot_log(gateway, join):
    device = await join()
    device.say("rebootLog")
    (found,) = await records(gateway, "logs?logType=2")
    params = vectors.load("rebootLog")["params"]
    expected = {
        "log": "crashlog", "severity": 6, "logType": 2, "recorded": params["date"],
        "UUID": params["uuid"], "data": {"info": params["info"]},
    }  # fmt: skip
    assert expected.items() <= found.items()
    await counted(gateway, "rebootLog")


@pytest.mark.covers("recovery")
async def test_recovery_is_logged_and_answered_by_one_reboot(gateway, join):
    device = await join()
    device.say("recovery")
    message = await device.wait_for("reboot", WAIT)
    assert message.params == vectors.load("reboot")["params"]
    (found,) = await records(gateway, "logs?logType=1")
    params = vectors.load("recovery")["params"]
    lines = [f"Firmware: {params['firmware']}", *params["loglines"]]
    assert found["log"] == "".join(f"{line}\r\n" for line in lines)
    assert (found["UUID"], found["severity"]) == (0, 0)
    await counted(gateway, "recovery")
    rows = gateway.sql(
        "SELECT submitted_by FROM commands WHERE serial_number = ? AND command = 'reboot'", AP
    )
    assert rows == [("*system",)]


# -- what is passed on, or only counted


@pytest.mark.covers("event")
@pytest.mark.parametrize("name", ["event", "event_rrm"])
async def test_event(gateway, join, name):
    device = await join()
    device.say(name)
    _, event = vectors.load(name)["params"]["data"]["event"]
    async with asyncio.timeout(WAIT):
        query = "SELECT type, data FROM device_events WHERE serial_number = ? AND type = ?"
        while not (rows := gateway.sql(query, AP, event["type"])):
            await asyncio.sleep(0.02)
    assert [json.loads(data) for _, data in rows] == [event["payload"]]
    await counted(gateway, "event")


NOT_STORED = {
    "alarm": "alarm",
    "wifiscan_unsolicited": "wifiscan",
    "telemetry_data": "telemetry",
    "telemetry_adhoc": "telemetry",
    "venue_broadcast": "venue_broadcast",
    "ping_device": "ping",
    "cfgpending": "cfgpending",
}


@pytest.mark.covers("alarm", "wifiscan", "telemetry", "venue_broadcast", "ping", "cfgpending")
@pytest.mark.parametrize("name", NOT_STORED)
async def test_what_is_counted_and_not_stored(gateway, join, name):
    device = await join()
    configures = device.counters.configures
    device.say(name)
    await device.confirm(WAIT)
    await counted(gateway, NOT_STORED[name])
    device.say("log")  # comes behind it
    await records(gateway, "logs")
    assert device.connected
    for kind in ("statistics", "healthcheck"):
        assert await gateway.metric("gw_store_records_committed_total", kind=kind) == 0
    if name == "telemetry_data":  # nobody asked for it
        message = await device.wait_for("telemetry", WAIT)
        assert matches(vectors.load("telemetry_stop") | {"id": ANY}, json.loads(message.raw)) == []
    if name == "cfgpending":
        assert device.counters.configures == configures, "a notice is no report"


@pytest.mark.covers("deviceupdate")
async def test_deviceupdate(gateway, join):
    device = await join()
    device.say("deviceupdate")
    await gateway.wait_device(AP, devicePassword="Zk29-hh21")
    await counted(gateway, "deviceupdate")


@pytest.mark.covers("radius")
@pytest.mark.parametrize("name", ["radius_auth", "radius_acct"])
async def test_radius_envelope_also_before_connect(gateway, open_device, name):
    device = await open_device()
    device.say(name)
    await device.confirm(WAIT)
    await counted(gateway, "radius")
    assert device.connected


# -- answers

CHANGED = {"unit": {"name": "ap-2f-07"}}


@pytest.mark.parametrize(
    ("name", "number", "state"),
    [
        ("result_configure_ok", 0, "in_step"),
        ("result_configure_substituted", 1, None),
        ("result_configure_rejected", 2, None),
    ],
)
async def test_results_of_configure(gateway, join, name, number, state):
    device = await join()
    before = await gateway.device(AP)
    device.faults = MUTE
    asking = asyncio.create_task(gateway.configure(AP, CHANGED))
    message = await device.wait_for_configure(WAIT)
    uuid = 1795490000 if number == 2 else message.outcome.uuid
    device.answer(message, name, uuid=uuid)
    answered = (await asking).json()
    vector = vectors.load(name)["result"]["status"]
    assert (answered["status"], answered["errorCode"]) == ("completed", number), answered
    assert answered["errorText"] == ("" if number == 0 else vector["text"]) or number == 0
    assert answered["results"]["status"] == vector
    after = await gateway.device(AP)
    assert after["pendingUUID"] == 0
    if number == 2:
        assert after["configuration"] == before["configuration"]
        assert after["UUID"] == before["UUID"]
    else:
        assert after["configuration"]["unit"] == CHANGED["unit"]
        assert after["UUID"] == uuid
    if state:
        assert after["configurationState"] == state


RESULTS = {
    # vector of the answer: (command, its body, final status, error code, error text)
    "result_error": ("reboot", {}, "failed", 1, "command timed out and was aborted"),
    "result_event_queue": ("eventqueue", {"types": ["dhcp-snooping"]}, "completed", 0, "Success"),
    "result_jsonrpc_error": ("reboot", {}, "failed", 1, "Method not found"),
    "result_script": (
        "script", {"type": "shell", "script": "IyEvYmluL3NoCnVwdGltZQo="}, "completed", 0, "",
    ),
    "result_wifiscan": ("wifiscan", {}, "completed", 0, "Success"),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
async def test_results_of_commands(gateway, join, name):
    device = await join()
    device.faults = MUTE
    asked, body, state, number, text = RESULTS[name]
    asking = asyncio.create_task(ask(gateway, device, asked, **body))
    wire = {"eventqueue": "event"}.get(asked, asked)
    device.answer(await device.wait_for(wire, WAIT), name)
    answered = (await asking).json()
    assert (answered["status"], answered["errorCode"], answered["errorText"]) == (
        state, number, text
    ), answered  # fmt: skip
    shown = await gateway.get(f"command/{answered['UUID']}")
    assert (shown["status"], shown["errorCode"]) == (state, number)


async def test_result_ping(gateway, join):
    device = await join()
    device.faults = MUTE
    asking = asyncio.create_task(ask(gateway, device, "ping"))
    device.answer(await device.wait_for("ping", WAIT), "result_ping")
    answered = await asking
    assert answered.status_code == 200
    assert answered.json()["latency"].endswith("ms.")


async def test_result_powercycle(gateway, join):
    device = await join(SWITCH)
    device.faults = MUTE
    ports = vectors.load("powercycle")["params"]["ports"]
    asking = asyncio.create_task(ask(gateway, device, "powercycle", ports=ports))
    device.answer(await device.wait_for("powercycle", WAIT), "result_powercycle")
    answered = (await asking).json()
    assert (answered["status"], answered["errorText"]) == ("failed", "Ethernet8: no powered device")


async def test_result_script_deferred(gateway, join):
    """The first answer completes the command; the second, with the same id, ends no session."""
    device = await join()
    device.faults = MUTE
    asking = asyncio.create_task(
        ask(gateway, device, "script", type="bundle", script="YnVuZGxlLndpZmkoKTsK", deferred=True)
    )
    message = await device.wait_for("script", WAIT)
    device.answer(message, "result_script_deferred")
    answered = (await asking).json()
    assert (answered["status"], answered["waitingForFile"]) == ("completed", 1)
    done = {"error": 0, "result": "done"}
    device.answer(message, "result_script_deferred", status=done)
    await device.confirm(WAIT)
    assert device.connected
    assert (await gateway.get(f"command/{answered['UUID']}"))["status"] == "completed"


# -- what the gateway sends

ANY = object()
"""A value that is made for each command."""


def matches(expected: Any, found: Any, where: str = "") -> list[str]:
    """Return where a message is not the example; types must be equal as well."""
    if expected is ANY:
        return []
    if type(expected) is not type(found):
        return [f"{where} is {found!r}, not {expected!r}"]
    if isinstance(expected, dict):
        wrong = [f"{where}/{key} is missing" for key in expected.keys() - found.keys()]
        wrong += [f"{where}/{key} is too much" for key in found.keys() - expected.keys()]
        for key in expected.keys() & found.keys():
            wrong += matches(expected[key], found[key], f"{where}/{key}")
        return wrong
    if isinstance(expected, list) and len(expected) == len(found):
        return [
            one
            for number, (left, right) in enumerate(zip(expected, found, strict=True))
            for one in matches(left, right, f"{where}/{number}")
        ]
    return [] if expected == found else [f"{where} is {found!r}, not {expected!r}"]


CALLS = {
    # vector: (command, its body, members of params that are made anew)
    "cable-diagnostics": ("cable-diagnostics", {"ports": ["Ethernet0", "Ethernet1"]}, ()),
    "certupdate": (
        "certupdate", {"encodedCertificate": "dGFyIGFyY2hpdmUgYnl0ZXMgd291bGQgYmUgaGVyZQ=="}, ()),
    "event_queue": ("eventqueue", {"types": ["dhcp-snooping", "wifi-frames"]}, ()),
    "factory": ("factory", {"keepRedirector": True}, ()),
    "fixedconfig": ("fixedconfig", {"country": "CA"}, ()),
    "leds": ("leds", {"pattern": "blink", "duration": 30}, ()),
    "ping": ("ping", {}, ()),
    "powercycle": (
        "powercycle",
        {"ports": [{"name": "Ethernet1", "cycle": 5000}, {"name": "Ethernet8"}]}, ()),
    "reboot": ("reboot", {}, ()),
    "reenroll": ("reenroll", {}, ()),
    "request": ("request", {"message": "state"}, ("request_uuid",)),
    "script": (
        "script", {"type": "shell", "script": "IyEvYmluL3NoCnVwdGltZQo=", "timeout": 30}, ()),
    "script_deferred": (
        "script", {"type": "bundle", "script": "YnVuZGxlLndpZmkoKTsK", "deferred": True}, ("uri",)),
    "trace": ("trace", {"network": "up", "duration": 30}, ("uri",)),
    "transfer": ("transfer", {"server": "gw2.example.org", "port": 15002}, ()),
    "wifiscan": ("wifiscan", {"bandwidth": 80, "ies": [1, 7, 11]}, ()),
}  # fmt: skip


@pytest.mark.asks(
    "cable-diagnostics", "certupdate", "eventqueue", "factory", "fixedconfig", "leds", "ping",
    "powercycle", "reboot", "reenroll", "request", "script", "trace", "transfer", "wifiscan",
)  # fmt: skip
@pytest.mark.parametrize("name", CALLS)
async def test_commands_are_sent_as_the_agents_know_them(gateway, join, name):
    vector = vectors.load(name)
    device = await join(vector["params"]["serial"])
    device.faults = MUTE
    asked, body, made = CALLS[name]
    asking = asyncio.create_task(ask(gateway, device, asked, **body))
    message = await device.wait_for(vector["method"], WAIT)
    device.answer(message, "result_configure_ok", uuid=device.uuid)
    answered = await asking
    assert answered.status_code == 200, answered.text
    expected = vector | {"id": ANY, "params": vector["params"] | dict.fromkeys(made, ANY)}
    found = json.loads(message.raw)
    assert matches(expected, found) == []
    assert 1 < found["id"] < 2**31
    if "uri" in made:
        uuid = answered.json()["UUID"]
        assert found["params"]["uri"].endswith(f"/v1/upload/{uuid}")
    if "request_uuid" in made:
        assert found["params"]["request_uuid"] == answered.json()["UUID"]


@pytest.mark.asks("upgrade")
async def test_upgrade_with_a_signature(gateway, join):
    """REST calls it FWsignature; on the wire it is `signature`."""
    device = await join()
    device.faults = MUTE
    vector = vectors.load("upgrade")
    query = urlencode({"FWsignature": vector["params"]["signature"]})
    uri = vector["params"]["uri"]
    asking = asyncio.create_task(ask(gateway, device, f"upgrade?{query}", uri=uri))
    message = await device.wait_for("upgrade", WAIT)
    device.answer(message, "result_configure_ok", uuid=device.uuid)
    await asking
    assert matches(vector | {"id": ANY}, json.loads(message.raw)) == []


@pytest.mark.asks("rrm")
async def test_rrm_is_sent_with_id_0(gateway, join):
    device = await join()
    vector = vectors.load("rrm")
    answered = await ask(gateway, device, "rrm", actions=vector["params"]["actions"])
    assert answered.status_code == 200, answered.text
    message = await device.wait_for("rrm", WAIT)
    assert matches(vector, json.loads(message.raw)) == []


@pytest.mark.asks("telemetry")
async def test_telemetry_is_started_and_stopped(gateway, join):
    device = await join()
    device.faults = MUTE
    for name, body in (
        ("telemetry_start", {"interval": 5, "types": ["wifi-frames", "dhcp-snooping", "state"]}),
        ("telemetry_stop", {"interval": 0, "types": []}),
    ):
        answered = await ask(gateway, device, "telemetry", lifetime=60, kafka=False, **body)
        assert answered.status_code == 200, answered.text
        message = await device.wait_for("telemetry", WAIT)
        found = json.loads(message.raw)
        expected = vectors.load(name) | {"id": ANY}
        for params in (found["params"], expected["params"]):
            params.get("types", []).sort()  # their order means nothing
        assert matches(expected, found) == []


@pytest.mark.covers("venue_broadcast")
async def test_venue_broadcast_is_relayed_without_an_id(gateway, join, open_device):
    device = await join()
    other = await open_device(RESTRICTED)
    other.say("connect_restricted")
    await other.wait_for_configure(WAIT)
    for serial in (AP, RESTRICTED):
        body = json.dumps({"serialNumber": serial, "venue": "v-1"})
        assert (await gateway._post(f"device/{serial}", body, "PUT")).status_code == 200
    device.say("venue_broadcast")
    message = await other.wait_for("venue_broadcast", WAIT)
    assert matches(vectors.load("venue_broadcast_relay"), json.loads(message.raw)) == []
    await device.confirm(WAIT)
    assert [one.method for one in device.received if one.method == "venue_broadcast"] == []


@pytest.mark.asks("package")
async def test_package(gateway, join):
    device = await join()
    device.faults = MUTE
    vector = vectors.load("package")
    packages = vector["params"]["packages"]
    asking = asyncio.create_task(ask(gateway, device, "package", packages=packages))
    message = await device.wait_for("package", WAIT)
    device.answer(message, "result_configure_ok", uuid=device.uuid)
    assert (await asking).status_code == 200
    assert matches(vector | {"id": ANY}, json.loads(message.raw)) == []


@pytest.mark.asks("configure")
@pytest.mark.parametrize("name", ["configure", "configure_compressed"])
async def test_configure_is_sent_as_the_agents_know_it(gateway, open_device, name):
    """Compressed exactly if the device can; `config_hash` is more than agents look at."""
    device = await open_device()
    device.memory.uuid = 1795490000
    connect = vectors.load("connect")
    if name == "configure":
        del connect["params"]["capabilities"]["compress_cmd"]
    device.send_text(json.dumps(connect).encode())
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(AP, configurationState="in_step")
    config = vectors.load("configure")["params"]["config"]
    answered = await gateway.configure(AP, config)
    assert answered.json()["status"] == "completed", answered.text
    message = await device.wait_for_configure(WAIT)
    vector = vectors.load(name)
    assert ("compress_64" in message.params) == ("compress_64" in vector["params"])
    params = vectors.plain(message.params)
    expected = vectors.plain(vector["params"])
    uuid = params["uuid"]
    made = {"uuid": uuid, "config": expected["config"] | {"uuid": uuid}, "config_hash": ANY}
    assert matches(expected | made, params) == []
    if "compress_64" in message.params:
        whole = zlib.decompress(base64.b64decode(message.params["compress_64"]))
        assert message.params["compress_sz"] == len(whole)


ELSEWHERE = {
    "radius_coa": "tests/e2e/test_radius.py",
    "rtty": "tests/e2e/test_rtty.py",
}
"""They need a RADIUS server, a terminal."""


def test_every_vector_has_its_test():
    named = set(CALLS) | set(RESULTS) | set(NOT_STORED) | set(ELSEWHERE)
    text = Path(__file__).read_text("utf-8")
    missing = [name for name in vectors.NAMES if name not in named and text.count(f'"{name}"') == 0]
    assert missing == []
    assert set(vectors.NAMES) >= set(ELSEWHERE)
    for file in ELSEWHERE.values():
        assert (Path(__file__).parents[2] / file).exists()


def test_the_copies_are_those_of_the_specification():
    folder = Path(__file__).parents[2].parent / "shared" / "spec" / "vectors"
    if not folder.is_dir():
        pytest.skip("the specification is not beside this repository")
    theirs = {file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    ours = {
        name: json.loads((vectors.FOLDER / f"{name}.json").read_text("utf-8"))
        for name in vectors.NAMES
    }
    assert ours == theirs
