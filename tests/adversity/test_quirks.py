"""What old firmware does otherwise is tolerated, over a real socket: one test per quirk of
gw/protocol/quirks.py."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults, Rejection
from gw.simulator.inbox import Message

pytestmark = pytest.mark.e2e

WAIT = 60.0
MUTE = Faults(silent=frozenset({"*"}))
"""The test answers."""
SMALL = {"compatible": "acme", "platform": "ap"}


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def make(gateway: Gateway):
    """Make devices that are not connected, cut at the end."""
    made: list[SimulatedDevice] = []

    def device(serial: str, **options: Any) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        one = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        made.append(one)
        return one

    yield device
    for one in made:
        one.stop()


Make = Callable[..., SimulatedDevice]


async def join(gateway: Gateway, device: SimulatedDevice) -> SimulatedDevice:
    """Connect, and wait until it runs what the gateway has for it."""
    await device.connect(deadline=WAIT)
    if device.platform == "ap":
        await device.wait_for_configure(WAIT)
        await gateway.wait_device(device.serial, configurationState="in_step")
    else:
        await gateway.wait_device(device.serial, deviceType="switch")
    return device


def answer(device: SimulatedDevice, message: Message, **result: Any) -> None:
    """Answer a request by hand."""
    body = {"serial": device.serial, "uuid": device.uuid} | result
    device.send_text(json.dumps({"jsonrpc": "2.0", "id": message.id, "result": body}).encode())


async def ask(gateway: Gateway, device: SimulatedDevice, name: str, **body: Any) -> Any:
    text = json.dumps({"serialNumber": device.serial, "when": 0} | body)
    return await gateway._post(f"device/{device.serial}/{name}", text)


async def rows(gateway: Gateway, query: str, *parameters: object) -> list[Any]:
    """Wait until a query of the store finds something."""
    async with asyncio.timeout(WAIT):
        while not (found := gateway.sql(query, *parameters)):
            await asyncio.sleep(0.02)
        return found


async def errors(gateway: Gateway) -> float:
    """All protocol errors."""
    return await gateway.metric("gw_protocol_errors_total")


async def logs(gateway: Gateway, device: SimulatedDevice) -> list[str]:
    found = await rows(
        gateway, "SELECT log FROM device_logs WHERE serial_number = ?", device.serial
    )
    return [line for (line,) in found]


@pytest.mark.quirk("float-uuid")
async def test_uuid_as_a_double(gateway: Gateway, make: Make) -> None:
    device = make("02a0eb000001", uuid=1795490000, capabilities=SMALL)
    await device.connect(deadline=WAIT, announce=False)
    device.send("connect", device.connect_params("boot") | {"uuid": 1795490000.0})
    device.send("state", {"uuid": 1795490000.0, "state": {}})
    query = "SELECT uuid, typeof(uuid) FROM statistics WHERE serial_number = ?"
    assert await rows(gateway, query, device.serial) == [(1795490000, "integer")]
    assert await errors(gateway) == 0


@pytest.mark.quirk("misread-uuid")
async def test_uuid_that_a_switch_misread(gateway: Gateway, make: Make) -> None:
    """It may connect, and a change brings it back to what the gateway knows."""
    device = make("02a0eb000002", platform="switch")
    device.memory.uuid = -9.223372036854775808e18
    await join(gateway, device)
    changed = await gateway.configure(device.serial, {"unit": {"name": "again"}})
    assert changed.json()["status"] == "completed", changed.text
    assert device.uuid == changed.json()["details"]["uuid"]
    assert await errors(gateway) == 0


@pytest.mark.quirk("log-before-connect")
async def test_log_comes_first(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000003"))
    await device.drop()
    await device.connect(deadline=WAIT, announce=False)
    device.send_log("cannot read capabilities")
    assert "cannot read capabilities" in await logs(gateway, device)
    device.announce()
    await device.confirm(WAIT)
    assert await errors(gateway) == 0


async def test_log_of_a_device_that_never_says_connect(gateway: Gateway, make: Make) -> None:
    """It is not in the store yet: the operator learns its reason from the gateway's log."""
    device = make("02a0eb000013", faults=Faults(no_capabilities=True))
    await device.connect(deadline=WAIT)
    async with asyncio.timeout(WAIT):
        while not gateway.logged("log of a device that is not in the store"):
            await asyncio.sleep(0.02)
    (line,) = gateway.logged("log of a device that is not in the store", serial=device.serial)
    assert "capabilities" in line["detail"]
    assert (await gateway.request("GET", f"device/{device.serial}")).status_code == 404


@pytest.mark.quirk("log-newline")
async def test_log_with_a_newline_at_its_end(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000004"))
    device.send_log("uc-proto: two\nlines\n")
    assert await logs(gateway, device) == ["uc-proto: two\nlines"]


@pytest.mark.quirk("log-before-result")
@pytest.mark.quirk("refused-uuid-in-state")
@pytest.mark.quirk("text-before-error")
async def test_switch_refuses_with_logs_and_names_the_refused_uuid(
    gateway: Gateway, make: Make
) -> None:
    """The operator sees the reason, nothing is sent again, what is stored stays."""
    faults = Faults(reject=[Rejection(at="/unit/name", value="no", reason="no such port")])
    device = await join(gateway, make("02a0eb000005", platform="switch", faults=faults))
    before = await gateway.device(device.serial)
    changed = await gateway.configure(device.serial, {"unit": {"name": "no"}})
    command = changed.json()
    assert command["errorCode"] == 2
    assert "no such port" in command["errorText"]
    assert any("no such port" in line for line in await logs(gateway, device))
    configures = device.counters.configures
    device.send_state()  # names the refused uuid
    device.send_healthcheck()  # names the active one
    device.send_state()
    await device.confirm(WAIT)
    await gateway.wait_metric("gw_store_records_committed_total", 2, kind="statistics")
    after = await gateway.device(device.serial)
    assert device.counters.configures == configures
    assert (after["configuration"], after["UUID"]) == (before["configuration"], before["UUID"])
    assert await errors(gateway) == 0


@pytest.mark.quirk("zero-uuid-in-state")
async def test_state_of_a_switch_that_restarted(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000006", platform="switch"))
    changed = await gateway.configure(device.serial, {"unit": {"name": "zero"}})
    uuid = changed.json()["details"]["uuid"]
    device.reboot()
    await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
    await device.connect(deadline=WAIT)
    configures = device.counters.configures
    device.send_state()
    await rows(
        gateway, "SELECT 1 FROM statistics WHERE serial_number = ? AND uuid = 0", device.serial
    )
    await device.confirm(WAIT)
    shown = await gateway.device(device.serial)
    assert (shown["UUID"], shown["configurationState"]) == (uuid, "in_step")
    assert device.counters.configures == configures


@pytest.mark.quirk("refusal-with-uuid-0")
async def test_refusal_that_names_no_configuration(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000007", platform="switch", faults=MUTE))
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "zero"}}))
    message = await device.wait_for_configure(WAIT)
    answer(device, message, uuid=0, status={"text": "Configure parse failed", "error": 2})
    command = (await asking).json()
    assert (command["errorCode"], command["errorText"]) == (2, "Configure parse failed")
    assert (await gateway.device(device.serial))["pendingUUID"] == 0


@pytest.mark.quirk("rejected-strings")
async def test_rejections_as_text(gateway: Gateway, make: Make) -> None:
    faults = Faults(
        reject=[Rejection(at="/unit/name", value="no", reason="not a name")],
        reject_as_objects=False,
    )
    device = await join(gateway, make("02a0eb000008", faults=faults))
    command = (await gateway.configure(device.serial, {"unit": {"name": "no"}})).json()
    assert command["errorCode"] == 2
    shown = await gateway.device(device.serial)
    assert "not a name" in json.dumps(shown)


@pytest.mark.quirk("error-answer")
async def test_error_instead_of_a_result(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000009"))
    device.faults = MUTE
    asking = asyncio.create_task(ask(gateway, device, "leds", pattern="on"))
    message = await device.wait_for("leds", WAIT)
    fault = {"code": -32601, "message": "Method not found"}
    device.send_text(json.dumps({"jsonrpc": "2.0", "id": message.id, "error": fault}).encode())
    command = (await asking).json()
    assert (command["status"], command["errorText"]) == ("failed", "Method not found")
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "x"}}))
    message = await device.wait_for_configure(WAIT)
    device.send_text(json.dumps({"jsonrpc": "2.0", "id": message.id, "error": fault}).encode())
    command = (await asking).json()
    assert (command["errorCode"], command["errorText"]) == (2, "Method not found")


@pytest.mark.quirk("foreign-answer-id")
async def test_answer_with_a_wrong_id(gateway: Gateway, make: Make) -> None:
    """An access point's slip: id 0, or the previous uuid. It ends nothing and no session."""
    device = await join(gateway, make("02a0eb00000a"))
    device.faults = MUTE
    asking = asyncio.create_task(ask(gateway, device, "leds", pattern="on"))
    message = await device.wait_for("leds", WAIT)
    wrong = {"serial": device.serial, "uuid": 0, "status": {"error": 2, "text": "failed to load"}}
    for rpc_id in (0, 1795490000 if message.id != 1795490000 else 5, None) * 10:
        text = json.dumps({"jsonrpc": "2.0", "id": rpc_id, "result": wrong})
        device.send_text(text.encode())
    await device.confirm(WAIT)
    assert await gateway.metric("gw_protocol_errors_total", reason="foreign_answer") == 30
    assert not asking.done()
    assert device.connected
    answer(device, message, status={"error": 0, "text": "success"})
    assert (await asking).json()["status"] == "completed"


@pytest.mark.quirk("no-answer")
async def test_configure_without_an_answer(gateway: Gateway, make: Make) -> None:
    """The connection is lost while the network restarts; the next connect tells what runs."""
    device = await join(gateway, make("02a0eb00000b"))
    device.faults = MUTE
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "later"}}))
    await device.wait_for_configure(WAIT)
    await device.drop()
    await device.connect(deadline=WAIT)
    command = (await asking).json()
    assert command["status"] == "completed", command
    assert (await gateway.device(device.serial))["configuration"]["unit"]["name"] == "later"


@pytest.mark.quirk("error-text")
@pytest.mark.quirk("text-array")
async def test_status_of_odd_types(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb00000c"))
    device.faults = MUTE
    script = base64.b64encode(b"exit 255").decode()
    for status, code, text in (
        ({"error": "unknown", "result": 255}, 255, ""),
        ({"error": "unknown"}, 1, ""),
        ({"error": 1, "text": ["Ethernet8: no powered device", "x"]}, 1,
         "Ethernet8: no powered device; x"),
        ({"error": 3, "txt": "spelled otherwise"}, 3, "spelled otherwise"),
    ):  # fmt: skip
        asking = asyncio.create_task(
            ask(gateway, device, "script", type="shell", script=script, timeout=30)
        )
        message = await device.wait_for("script", WAIT)
        answer(device, message, status=status)
        command = (await asking).json()
        assert (command["status"], command["errorCode"]) == ("failed", code), command
        assert command["errorText"] == text
        assert command["results"]["status"] == status


@pytest.mark.quirk("ping-without-status")
async def test_ping_without_status(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb00000d"))
    device.faults = MUTE
    asking = asyncio.create_task(ask(gateway, device, "ping"))
    message = await device.wait_for("ping", WAIT)
    answer(device, message, deviceUTCTime=1795503600211)
    answered = await asking
    assert answered.status_code == 200, answered.text
    assert answered.json()["latency"].endswith("ms.")


@pytest.mark.quirk("second-result")
async def test_second_result_with_the_same_id(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb00000e"))
    device.faults = MUTE
    asking = asyncio.create_task(ask(gateway, device, "leds", pattern="on"))
    message = await device.wait_for("leds", WAIT)
    answer(device, message, status={"error": 0, "text": "triggered command action"})
    answer(device, message, status={"error": 1, "text": "command returned an error code"})
    command = (await asking).json()
    assert command["status"] == "completed"
    await device.confirm(WAIT)
    shown = await gateway.get(f"command/{command['UUID']}")
    assert (shown["status"], shown["errorCode"]) == ("completed", 0)
    assert device.connected


@pytest.mark.quirk("no-compress-sz")
async def test_compressed_params_without_their_size(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb00000f"))
    plain = json.dumps({"serial": device.serial, "uuid": 5, "state": {"n": 1}}).encode()
    packed = base64.b64encode(zlib.compress(plain)).decode()
    for params in (
        {"compress_64": packed},
        {"compress_64": packed, "compressed_sz": len(plain)},
        {"compress_64": packed, "compress_sz": len(plain) + 1},
    ):
        device.send_text(
            json.dumps({"jsonrpc": "2.0", "method": "state", "params": params}).encode()
        )
    await device.confirm(WAIT)
    await gateway.wait_metric("gw_store_records_committed_total", 3, kind="statistics")
    assert await errors(gateway) == 0


CAPABILITIES = [
    ({"model": "acme_sw", "platform": "SWITCH",
      "version": {"switch": {"major": 2, "minor": 1, "patch": 0}}},
     {"compatible": "acme_sw", "deviceType": "switch"}),
    ({"compatible": "acme_1", "platform": "Ap", "version": [7]},
     {"compatible": "acme_1", "deviceType": "ap"}),
    ({"compatible": "acme_2", "platform": ["ap"], "compress_cmd": "yes", "label_macaddr": 5},
     {"compatible": "acme_2", "deviceType": ""}),
]  # fmt: skip


@pytest.mark.quirk("version-shapes")
@pytest.mark.quirk("platform-case")
@pytest.mark.quirk("model-only")
@pytest.mark.quirk("odd-capabilities")
@pytest.mark.parametrize("number", range(len(CAPABILITIES)))
async def test_capabilities_of_many_shapes(gateway: Gateway, make: Make, number: int) -> None:
    capabilities, shown = CAPABILITIES[number]
    device = make(f"02a0eb00002{number}", capabilities=capabilities)
    await device.connect(deadline=WAIT)
    await gateway.wait_device(device.serial, **shown)
    kept = await gateway.get(f"device/{device.serial}/capabilities")
    assert kept["capabilities"] == capabilities
    assert await errors(gateway) == 0


@pytest.mark.quirk("extra-members")
@pytest.mark.quirk("serial-case")
async def test_members_that_no_document_names(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000010"))
    state = {"unit": {"x-more": [1]}}
    device.send_text(
        json.dumps(
            {
                "jsonrpc": "1.0",
                "method": "state",
                "vendor": {"a": 1},
                "params": {
                    "serial": f" {device.serial.upper()}\t",
                    "uuid": device.uuid,
                    "state": state,
                    "x-more": None,
                },
            }
        ).encode()
    )
    query = "SELECT data FROM statistics WHERE serial_number = ?"
    assert [json.loads(data) for (data,) in await rows(gateway, query, device.serial)] == [state]
    assert await errors(gateway) == 0


@pytest.mark.quirk("no-reason-no-password")
async def test_connect_without_password_keeps_the_stored_one(gateway: Gateway, make: Make) -> None:
    device = make("02a0eb000011", password="kept-2f")
    await join(gateway, device)
    device.password = None
    await device.drop()
    await device.connect(deadline=WAIT, announce=False)
    params = device.connect_params("x")
    del params["reason"]
    device.send("connect", params | {"firmware": "newer"})
    shown = await gateway.wait_device(device.serial, firmware="newer")
    assert (shown["devicePassword"], shown["connectReason"]) == ("kept-2f", "boot")


@pytest.mark.quirk("missing-members")
async def test_messages_without_a_member(gateway: Gateway, make: Make) -> None:
    device = await join(gateway, make("02a0eb000012"))
    for _ in range(4):
        for method, params in (
            ("state", {"uuid": 1}),
            ("state", {"state": {}}),
            ("event", {"data": {"event": "restart"}}),
            ("event", {}),
        ):
            device.send(method, params)
        device.send_text(b'{"jsonrpc":"2.0","method":"log","params":{"log":"x","severity":1}}')
    device.send_state()
    await device.confirm(WAIT)
    assert await errors(gateway) == 20
    assert device.connected
    await gateway.wait_metric("gw_store_records_committed_total", 1, kind="statistics")
