"""The minimum firmware of a type: when an upgrade is made, and when one is withdrawn."""

import asyncio
import json

import pytest

from gw.coordinator.firmware import Firmwares
from gw.coordinator.shadow import from_device
from gw.core.errors import ApiError
from gw.ops import metrics
from gw.protocol.lifecycle import State
from gw.store.rows import DefaultFirmwareRow, DeviceRow

SERIAL = "02a0e4f00001"
DEFAULT = DefaultFirmwareRow(
    device_type="acme", uri="https://x/a.bin", revision="v4.2.0", minimum_revision="v4.2"
)


class World:
    """Executor, commands, store and counters, as far as they are asked."""

    def __init__(self):
        self.made, self.cancelled, self.open, self.counted = [], [], {}, 0
        self.refusal = None
        self.known = None

    async def run(self, shadow, arguments, params):
        if self.refusal is not None:
            raise self.refusal
        self.made.append((arguments, json.loads(params)))
        self.open[arguments["command"]] = Command(arguments["command"])
        return "pending"

    def cancel(self, uuid, text):
        self.cancelled.append((uuid, text))
        del self.open[uuid]

    def get(self, uuid):
        return self.open.get(uuid)

    def of_device(self, serial):
        return list(self.open.values())

    def cached(self, serial):
        return self.known

    def write(self, op, size=0):
        pass

    def add(self, index, amount=1):
        assert index == metrics.index("gw_firmware_upgrades_total")
        self.counted += 1


class Command:
    name = "upgrade"
    state = State.PENDING

    def __init__(self, uuid):
        self.uuid = uuid


@pytest.fixture
def world():
    return World()


@pytest.fixture
def firmwares(world):
    one = Firmwares(world, world, world, world, world)
    one.rows["acme"] = DEFAULT
    return one


def device(world, firmware, **more):
    row = DeviceRow(serial_number=SERIAL, compatible="acme", firmware=firmware, **more)
    world.known = from_device(row)
    return world.known


async def settle(firmwares):
    await asyncio.gather(*list(firmwares._tasks.values()))


async def test_an_old_firmware_is_upgraded_once(world, firmwares):
    shadow = device(world, "v4.1")
    firmwares.check(shadow)
    firmwares.check(shadow)
    assert "below v4.2" in shadow.barred
    await settle(firmwares)
    ((arguments, params),) = world.made
    assert (arguments["name"], arguments["by"]) == ("upgrade", "*system")
    assert params == {"serial": SERIAL, "uri": DEFAULT.uri, "keep_redirector": 1, "when": 0}
    assert shadow.row.firmware_image == DEFAULT.uri
    world.open.clear()  # it has its result
    firmwares.check(shadow)
    await settle(firmwares)
    assert len(world.made) == world.counted == 1
    # Another image is another chance, with a command of its own.
    firmwares.rows["acme"] = DefaultFirmwareRow(
        device_type="acme", uri="https://x/b.bin", revision="v4.3.0", minimum_revision="v4.2"
    )
    firmwares.check(shadow)
    await settle(firmwares)
    assert len({one["command"] for one, _ in world.made}) == 2


async def test_an_upgrade_that_waits_is_withdrawn(world, firmwares):
    shadow = device(world, "v4.1")
    firmwares.check(shadow)
    await settle(firmwares)
    shadow.row.firmware = "v4.2.1"
    firmwares.check(shadow)
    assert shadow.barred == ""
    ((uuid, text),) = world.cancelled
    assert uuid == world.made[0][0]["command"]
    assert "not below" in text


@pytest.mark.parametrize(
    ("firmware", "more"),
    [("v4.2", {}), ("devel", {}), ("", {}), ("v4.1", {"quarantined": True})],
)
async def test_who_gets_no_upgrade(world, firmwares, firmware, more):
    shadow = device(world, firmware, **more)
    firmwares.check(shadow)
    await settle(firmwares)
    assert world.made == []
    assert bool(shadow.barred) is (firmware == "v4.1")


async def test_an_upgrade_of_an_operator_is_not_interfered_with(world, firmwares):
    shadow = device(world, "v4.1")
    world.open["theirs"] = Command("theirs")
    firmwares.check(shadow)
    await settle(firmwares)
    assert world.made == []
    assert shadow.barred


async def test_a_deleted_device_gets_none(world, firmwares):
    shadow = device(world, "v4.1")
    firmwares.check(shadow)
    world.known = None
    await settle(firmwares)
    assert world.made == []


async def test_a_missing_signature_is_shown(world, firmwares):
    world.refusal = ApiError(1146, "no key")
    shadow = device(world, "v4.1")
    firmwares.check(shadow)
    await settle(firmwares)
    assert shadow.barred.endswith("minimum of its type: no key")
    assert shadow.row.hold == shadow.barred
    assert shadow.row.firmware_image == ""


async def test_what_cannot_be_made_now_is_tried_again(world, firmwares):
    world.refusal = ApiError(1145, "busy")
    shadow = device(world, "v4.1")
    firmwares.check(shadow)
    await settle(firmwares)
    world.refusal = None
    firmwares.check(shadow)
    await settle(firmwares)
    assert len(world.made) == 1
