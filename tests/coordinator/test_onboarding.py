"""Devices at their first `connect`, and known ones at each further one."""

import json

import msgspec
import pytest

from gw._native import config_hash
from gw.coordinator import onboarding
from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import from_device
from gw.core.ids import MAX_CONFIG_UUID
from gw.core.records import RECORD_VERSION, Connect, PeerCertificate
from gw.protocol.messages import Capabilities, ConnectParams, capabilities
from gw.protocol.restrictions import Restrictions
from gw.store.interface import PatchDevice, PutCapabilities, PutDevice
from gw.store.rows import DefaultConfigurationRow, DeviceRow

SERIAL = "0a1b2c3d4e5f"


class Work:
    """Notes what is to be written."""

    def __init__(self) -> None:
        self.ops: list[object] = []

    def write(self, op: object, size: int = 0) -> None:
        self.ops.append(op)

    def patched(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for op in self.ops:
            if isinstance(op, PatchDevice):
                assert op.serial == SERIAL
                found |= op.values
        return found


def session(verdict: str = "VERIFIED") -> DeviceSession:
    certificate = PeerCertificate(SERIAL, "Issuing CA", 10, 20, "0a", verdict)
    connect = Connect(
        version=RECORD_VERSION, address="192.0.2.1:4000", certificate=certificate, uuid=7,
        config_hash="", connected_at=0, connected_ns=0, completion_ms=2.5,
    )  # fmt: skip
    return DeviceSession(1, SERIAL, connect)


def connect(found: dict | None = None, uuid: int = 1, **members: object) -> ConnectParams:
    raw = msgspec.Raw(json.dumps(found or {}).encode())
    return ConnectParams(SERIAL, uuid, members.pop("firmware", "r1"), raw, **members)


def defaults(**rows: tuple[str, str]) -> dict[str, DefaultConfigurationRow]:
    """Default configurations: name = (models, platform)."""
    return {
        name: DefaultConfigurationRow(
            name=name,
            configuration=f'{{"uuid":3,"unit":{{"name":"{name}"}}}}',
            model_ids=json.dumps(models.split()),
            platform=platform,
        )
        for name, (models, platform) in rows.items()
    }


@pytest.mark.parametrize(
    ("compatible", "platform", "rows", "origin"),
    [
        ("m1", "ap", defaults(one=("m1", "")), "one"),
        ("m1", "ap", defaults(one=("m0 m1", "ap")), "one"),
        ("m1", "ap", defaults(one=("m1", "AP")), "one"),
        ("m1", "ap", defaults(one=("*", "")), "one"),
        ("m1", "ap", defaults(b=("m1", ""), a=("*", "")), "a"),
        ("m1", "ap", defaults(a=("m1", "switch"), b=("*", "ap")), "b"),
        ("m1", "ap", defaults(one=("m", ""), two=("m11", "")), "built in"),
        ("m1", "ap", defaults(one=("m1", "switch")), "built in"),
        ("m1", "ap", {}, "built in"),
        ("m1", "switch", defaults(one=("*", "switch")), "one"),
        ("m1", "switch", defaults(one=("*", "ap")), ""),
        ("m1", "switch", {}, ""),
        ("", "", defaults(one=("*", "")), "one"),
        ("", "", {}, ""),
    ],
)
def test_find_default(compatible, platform, rows, origin):
    found = Capabilities(compatible=compatible, platform=platform)
    document, name = onboarding.find_default(found, rows)
    assert name == origin
    if origin in rows:
        assert json.loads(document) == {"unit": {"name": origin}}
    else:
        assert bool(document) == bool(origin)


def test_built_in_default_opens_no_radio():
    document = json.loads(onboarding.ACCESS_POINT_DEFAULT)
    assert "radios" not in document
    assert "ssids" not in json.dumps(document["interfaces"])


def create(params: ConnectParams, *, quarantined: bool = False):
    work = Work()
    shadow = onboarding.create(
        SERIAL, params, session(), defaults(one=("m1", "")), quarantined=quarantined, work=work
    )
    [op] = work.ops
    assert isinstance(op, PutDevice)
    assert from_device(op.row).row == shadow.row
    return op.row


def test_new_device_gets_the_default_of_its_type():
    row = create(connect({"compatible": "m1", "model": "Model 1", "platform": "AP"}, uuid=55))
    assert json.loads(row.configuration) == {"unit": {"name": "one"}}
    assert row.config_hash == config_hash(row.configuration.encode())
    assert 55 < row.config_uuid <= MAX_CONFIG_UUID
    assert (row.serial_number, row.mac_address) == (SERIAL, "0a:1b:2c:3d:4e:5f")
    assert (row.compatible, row.model, row.device_type) == ("m1", "Model 1", "ap")
    assert json.loads(row.notes)[0]["note"].endswith("configuration: one.")
    assert not row.quarantined


@pytest.mark.parametrize("uuid", [1, 2_000_000_000, MAX_CONFIG_UUID, 2**63 - 1])
def test_uuid_of_a_new_device_is_above_the_reported_one_if_there_is_room(uuid):
    row = create(connect({"compatible": "m1"}, uuid=uuid))
    assert 0 < row.config_uuid <= MAX_CONFIG_UUID
    assert (row.config_uuid > uuid) == (uuid < MAX_CONFIG_UUID)


@pytest.mark.parametrize(
    ("found", "quarantined"), [({"compatible": "m1"}, True), ({"platform": "switch"}, False)]
)
def test_new_device_without_a_configuration(found, quarantined):
    row = create(connect(found), quarantined=quarantined)
    assert (row.configuration, row.config_uuid, row.config_hash) == ("", 0, "")
    assert row.last_configuration_change == 0
    assert row.quarantined == quarantined


KNOWN = {
    "firmware": "r1", "device_password": "kept", "connect_reason": "boot", "compatible": "m1",
    "device_type": "ap", "last_recorded_contact": 5, "last_fw_update": 6, "certificate_expiry": 20,
}  # fmt: skip


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {}),
        ({"password": None}, {}),
        ({"password": "new"}, {"device_password": "new"}),
        ({"reason": "socket"}, {"connect_reason": "socket"}),
        ({"found": {"compatible": "m2"}}, {"compatible": "m2"}),
        ({"found": {"platform": "SWITCH"}}, {"device_type": "switch"}),
        (
            {"found": {"restrictions": {"dfs": True}}},
            {"restricted_device": True, "restriction_details": Restrictions(dfs=True).document()},
        ),
    ],
)
def test_update_changes_what_is_said_and_keeps_the_rest(members, expected):
    work, shadow = Work(), from_device(DeviceRow(serial_number=SERIAL, **KNOWN))
    onboarding.update(shadow, connect(**members), session(), work)
    assert work.patched() == expected
    for name, value in expected.items():
        assert getattr(shadow.row, name, value) == value


def test_restrictions_end_when_the_device_says_no_more_of_them():
    row = DeviceRow(serial_number=SERIAL, **KNOWN, restricted_device=True)
    row.restriction_details = Restrictions(rtty=True).document()
    work, shadow = Work(), from_device(row)
    onboarding.update(shadow, connect(), session(), work)
    assert work.patched() == {"restricted_device": False, "restriction_details": "{}"}


def test_update_notes_new_firmware():
    work, shadow = Work(), from_device(DeviceRow(serial_number=SERIAL, **KNOWN))
    known = session()
    onboarding.update(shadow, connect(firmware="r2"), known, work)
    found = work.patched()
    assert found.keys() == {"firmware", "last_fw_update"}
    assert found["firmware"] == known.firmware == shadow.row.firmware == "r2"
    assert found["last_fw_update"] > 6


def test_update_of_a_simulator():
    work, shadow = Work(), from_device(DeviceRow(serial_number=SERIAL, **KNOWN))
    onboarding.update(shadow, connect(), session("SIMULATED"), work)
    assert work.patched() == {"simulated": True}


def test_update_keeps_capabilities_as_sent():
    work, shadow = Work(), from_device(DeviceRow(serial_number=SERIAL, **KNOWN))
    params = connect({"compatible": "m1", "wifi": {"phy0": [1]}})
    onboarding.update(shadow, params, session(), work)
    [op] = [op for op in work.ops if isinstance(op, PutCapabilities)]
    assert (op.serial, op.capabilities) == (SERIAL, bytes(params.capabilities).decode())
    assert capabilities(op.capabilities.encode()).compatible == "m1"
