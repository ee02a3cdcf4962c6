"""Devices are kept on their stored configuration: the acceptance of the first issue."""

from __future__ import annotations

import asyncio
import json

import orjson
import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults, Rejection

pytestmark = pytest.mark.e2e

WAIT = 60.0


class Devices:
    """Makes devices of a gateway and cuts them at the end."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.made: list[SimulatedDevice] = []

    def make(self, serial: str, **options: object) -> SimulatedDevice:
        pki.device(self.gateway.pki, [serial])
        device = SimulatedDevice(
            serial, self.gateway.pki, "127.0.0.1", self.gateway.device_port, **options
        )
        self.made.append(device)
        return device

    async def join(self, serial: str, **options: object) -> SimulatedDevice:
        """Connect a device and wait until its first configuration is confirmed."""
        device = self.make(serial, **options)
        await device.connect(deadline=WAIT)
        await device.wait_for_configure(WAIT)
        await self.gateway.wait_device(serial, configurationState="in_step")
        return device


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def devices(gateway: Gateway):
    made = Devices(gateway)
    yield made
    for device in made.made:
        device.stop()


def pushes(gateway: Gateway, serial: str) -> int:
    """Configurations ever sent to a device, counted by the log."""
    return len(gateway.logged("configuration sent", serial=serial))


async def settle(device: SimulatedDevice) -> None:
    """Return once the gateway has treated all that the device sent so far."""
    await device.confirm(WAIT)


async def stored(gateway: Gateway, serial: str, count: int) -> None:
    """Wait until so many states of a device are stored."""
    async with asyncio.timeout(WAIT):
        while (
            gateway.sql("SELECT count(*) FROM statistics WHERE serial_number = ?", serial)[0][0]
            < count
        ):
            await asyncio.sleep(0.02)


async def test_change_reaches_a_connected_device_at_once(gateway, devices):
    device = await devices.join("02a0c9000001")
    answer = await gateway.configure(device.serial, {"unit": {"name": "lobby"}})
    assert answer.status_code == 200, answer.text
    command = answer.json()
    assert (command["status"], command["errorCode"]) == ("completed", 0)
    assert device.config["unit"] == {"name": "lobby"}
    shown = await gateway.device(device.serial)
    assert shown["configuration"] == {"uuid": device.uuid, "unit": {"name": "lobby"}}
    assert shown["UUID"] == shown["appliedUUID"] == device.uuid
    assert shown["configurationState"] == "in_step"


async def test_put_reaches_a_connected_device_without_its_next_report(gateway, devices):
    device = await devices.join("02a0c9000002")
    answer = await gateway.put_device(device.serial, {"unit": {"name": "roof"}})
    assert answer.status_code == 200, answer.text
    message = await device.wait_for_configure(WAIT)
    assert message.config["unit"] == {"name": "roof"}
    await gateway.wait_device(device.serial, configurationState="in_step", appliedUUID=device.uuid)


async def test_drift_is_put_right_at_the_next_message(gateway, devices):
    device = await devices.join("02a0c9000003")
    for kind in ("older", "ahead", "content"):
        wanted = (await gateway.device(device.serial))["configurationHash"]
        assert device.drift(kind)
        device.send_state()
        message = await device.wait_for_configure(WAIT)
        assert message.outcome.applied, (kind, message.outcome)
        shown = await gateway.wait_device(device.serial, configurationState="in_step")
        assert (shown["configurationHash"], shown["appliedHash"]) == (wanted, wanted)


async def test_equal_content_in_another_spelling_sends_nothing(gateway, devices):
    device = await devices.join("02a0c9000004")
    text = '{"unit":{"name":"a","beacon":1.50},"radios":[{"channel":36,"band":"5G"}]}'
    first = await gateway.configure(device.serial, text)
    assert first.json()["status"] == "completed"
    before = await gateway.device(device.serial)
    sent = pushes(gateway, device.serial)
    for spelling in (
        '{ "radios" : [ {"band":"5G", "channel":36.0} ], "unit":{"beacon":15e-1,"name":"a"} }',
        '{"uuid":77,"unit":{"name":"\\u0061","beacon":1.5},"radios":[{"channel":36,"band":"5G"}]}',
    ):
        answer = await gateway.configure(device.serial, spelling)
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")
        assert (await gateway.put_device(device.serial, spelling)).status_code == 200
    device.send_state()
    await settle(device)
    after = await gateway.device(device.serial)
    names = ("UUID", "configuration", "configurationHash", "lastConfigurationChange")
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert pushes(gateway, device.serial) == sent
    forced = await gateway.configure(device.serial, text, query="?force=true")
    assert forced.json()["status"] == "completed"
    assert pushes(gateway, device.serial) == sent + 1


async def test_rejection_is_visible_and_is_not_sent_again(gateway, devices):
    faults = Faults(reject=[Rejection(at="/radios/0/channel", value=165, reason="not allowed")],
                    reject_as_objects=True)  # fmt: skip
    device = await devices.join("02a0c9000005", faults=faults, report_hash=False)
    good = device.uuid
    answer = await gateway.configure(device.serial, {"radios": [{"channel": 165}]})
    command = answer.json()
    assert (answer.status_code, command["status"], command["errorCode"]) == (200, "completed", 2)
    shown = await gateway.device(device.serial)
    assert shown["UUID"] == good
    assert shown["pendingUUID"] == 0
    refused = shown["rejectedUUID"]
    assert refused > good
    assert shown["rejections"][0]["parameter"] == {"radios": [{"channel": 165}]}
    assert shown["rejections"][0]["reason"] == "not allowed"

    sent = pushes(gateway, device.serial)
    for uuid in (refused, good):
        for _ in range(500):
            device.memory.uuid = uuid
            device.send_state()
        await settle(device)
    await stored(gateway, device.serial, 1000)
    assert pushes(gateway, device.serial) == sent

    device.memory.uuid = good
    changed = await gateway.configure(device.serial, {"radios": [{"channel": 36}]})
    assert (changed.json()["status"], changed.json()["errorCode"]) == ("completed", 0)
    shown = await gateway.device(device.serial)
    assert shown["rejections"] == []


async def test_operator_may_ask_for_a_refused_configuration_again(gateway, devices):
    faults = Faults(reject=[Rejection(at="/radios/0/channel", value=165)])
    device = await devices.join("02a0c9000006", faults=faults)
    document = {"radios": [{"channel": 165}]}
    assert (await gateway.configure(device.serial, document)).json()["errorCode"] == 2
    device.faults.reject.clear()
    again = await gateway.configure(device.serial, document)
    assert again.json()["errorCode"] == 0
    assert device.config["radios"] == [{"channel": 165}]


async def test_substitution_is_applied_and_stays_visible(gateway, devices):
    faults = Faults(
        reject=[Rejection(at="/radios/0/channel", value=165, substitution=36)],
        reject_as_objects=True,
    )
    device = await devices.join("02a0c9000007", faults=faults)
    answer = await gateway.configure(device.serial, {"radios": [{"channel": 165}]})
    assert (answer.json()["status"], answer.json()["errorCode"]) == ("completed", 1)
    shown = await gateway.device(device.serial)
    assert shown["appliedUUID"] == shown["UUID"] == device.uuid
    assert shown["rejections"][0]["substitution"] == {"radios": [{"channel": 36}]}
    sent = pushes(gateway, device.serial)
    for _ in range(50):
        device.send_state()
    await settle(device)
    assert pushes(gateway, device.serial) == sent


async def test_device_in_step_that_restarts_gets_nothing(gateway, devices, tmp_path):
    device = await devices.join("02a0c9000008", state_dir=tmp_path)
    sent = pushes(gateway, device.serial)
    device.stop()
    again = devices.make("02a0c9000008", state_dir=tmp_path)
    assert again.uuid == device.uuid
    await again.connect(deadline=WAIT)
    again.send_state()
    await settle(again)
    await stored(gateway, again.serial, 1)
    assert pushes(gateway, again.serial) == sent


async def test_change_for_an_absent_device_waits_for_it(gateway, devices):
    device = await devices.join("02a0c9000009")
    await device.drop()
    answer = await gateway.configure(device.serial, {"unit": {"name": "later"}})
    assert answer.json()["status"] == "pending"
    await device.connect(deadline=WAIT)
    message = await device.wait_for_configure(WAIT)
    assert message.config["unit"] == {"name": "later"}
    await gateway.wait_device(device.serial, configurationState="in_step", appliedUUID=device.uuid)
    command = await gateway.get(f"command/{answer.json()['UUID']}")
    assert command["status"] == "completed"


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not-applied"])
async def test_gateway_killed_in_the_middle_settles_by_the_next_report(
    gateway, devices, applied, tmp_path
):
    serial = f"02a0c900001{applied:d}"
    device = await devices.join(serial, state_dir=tmp_path)
    before = device.memory
    device.faults.silent = frozenset({"configure"})
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "kept"}}))
    await device.wait_for_configure(WAIT)
    await gateway.kill_everything()
    await asyncio.gather(asking, return_exceptions=True)
    if not applied:
        device.memory = before
    device.stop()
    await gateway.start()
    again = devices.make(serial, state_dir=tmp_path)
    await again.connect(deadline=WAIT)
    if not applied:
        message = await again.wait_for_configure(WAIT)
        assert message.config["unit"] == {"name": "kept"}
    shown = await gateway.wait_device(
        again.serial, configurationState="in_step", appliedUUID=again.uuid
    )
    assert shown["configuration"]["unit"] == {"name": "kept"}
    assert shown["pendingUUID"] == 0
    assert again.counters.configures == (0 if applied else 1)


async def test_device_that_restarts_in_the_middle_is_settled(gateway, devices, tmp_path):
    device = await devices.join("02a0c900000b", state_dir=tmp_path)
    device.faults.silent = frozenset({"configure"})
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "once"}}))
    await device.wait_for_configure(WAIT)
    device.stop()
    again = devices.make("02a0c900000b", state_dir=tmp_path)
    await again.connect(deadline=WAIT)
    answer = await asking
    assert answer.json()["status"] == "completed"
    assert again.counters.configures == 0
    shown = await gateway.device(again.serial)
    assert shown["configuration"]["unit"] == {"name": "once"}
    assert shown["configurationState"] == "in_step"


async def test_switch_state_does_not_commit_what_was_refused(gateway, devices):
    """An OLS agent's state names the id it was last asked for, even if it refused it."""
    faults = Faults(reject=[Rejection(at="/unit/name", value="bad")])
    device = devices.make("02a0c900000c", platform="switch", faults=faults, report_hash=False)
    await device.connect(deadline=WAIT)
    await gateway.wait_device(device.serial, deviceType="switch")
    first = await gateway.configure(device.serial, {"unit": {"name": "good"}})
    assert first.json()["errorCode"] == 0
    good = device.uuid
    device.faults.silent = frozenset({"configure"})
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "bad"}}))
    message = await device.wait_for_configure(WAIT)
    message = await device.wait_for_configure(WAIT)
    assert message.outcome.error == 2
    await gateway.kill_everything()
    await asyncio.gather(asking, return_exceptions=True)
    device.stop()
    await gateway.start()
    again = devices.make("02a0c900000c", platform="switch", faults=faults, report_hash=False)
    again.memory = device.memory
    faults.silent = frozenset()
    await again.connect(deadline=WAIT)
    for _ in range(20):
        again.memory.uuid = message.outcome.uuid
        again.send_state()
        again.memory.uuid = good
    shown = await gateway.wait_device(again.serial, pendingUUID=0)
    assert shown["configuration"]["unit"] == {"name": "good"}
    assert shown["rejectedUUID"] > 0


async def test_large_configuration_is_refused_to_the_operator(gateway, devices):
    device = await devices.join("02a0c900000d", compress_cmd=False)
    text = json.dumps({"unit": {"name": "x" * 40_000}})
    answer = await gateway.configure(device.serial, text)
    assert answer.status_code == 400
    assert "32768" in answer.json()["ErrorDescription"]
    assert device.counters.oversized == 0


async def test_large_configuration_goes_compressed_where_the_agent_can(gateway, devices):
    device = await devices.join("02a0c900000e")
    answer = await gateway.configure(device.serial, {"unit": {"name": "x" * 200_000}})
    assert (answer.json()["status"], answer.json()["errorCode"]) == ("completed", 0)
    assert device.counters.compressed_configures == device.counters.configures
    assert device.counters.fragments == device.counters.hash_mismatches == 0


async def test_number_spelling_survives_to_the_device_and_back(gateway, devices):
    device = await devices.join("02a0c900000f")
    text = '{"unit":{"big":12345678901234567890123,"small":1.10,"exp":1e2}}'
    answer = await gateway.configure(device.serial, text)
    assert answer.json()["errorCode"] == 0
    shown = await gateway.request("GET", f"device/{device.serial}")
    for spelling in ("12345678901234567890123", "1.10", "1e2"):
        assert spelling in shown.text
        assert spelling.encode() in bytes(device.memory.config)


async def test_report_settles_what_was_never_answered(gateway, devices):
    """The device applied it and its answer was lost: the next state is enough."""
    device = await devices.join("02a0c9000020", report_hash=False)
    device.faults.silent = frozenset({"configure"})
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "silent"}}))
    message = await device.wait_for_configure(WAIT)
    device.send_state()
    command = (await asking).json()
    assert (command["status"], command["errorCode"]) == ("completed", 0)
    shown = await gateway.device(device.serial)
    assert (shown["configurationState"], shown["pendingUUID"]) == ("in_step", 0)
    assert shown["appliedUUID"] == device.uuid
    # The answer that comes after all changes nothing, and is kept.
    device.send_text(orjson.dumps(message.outcome.answer))
    await settle(device)
    async with asyncio.timeout(WAIT):
        while not (await gateway.get(f"command/{command['UUID']}"))["results"]:
            await asyncio.sleep(0.05)
    assert (await gateway.device(device.serial))["configurationState"] == "in_step"
    # The same for what the gateway sent by itself.
    device.drift("older")
    device.send_state()
    await device.wait_for_configure(WAIT)
    device.send_state()
    await gateway.wait_device(device.serial, configurationState="in_step", appliedUUID=device.uuid)
    device.faults.silent = frozenset()
    answer = await gateway.configure(device.serial, {"unit": {"name": "not busy"}})
    assert answer.json()["status"] == "completed"
