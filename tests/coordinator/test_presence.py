"""Which session acts for a device."""

import pytest

from gw.coordinator.presence import DeviceSession, Presence, generation_of, slot_of
from gw.core.records import RECORD_VERSION, Connect, PeerCertificate

SERIAL = "0a1b2c3d4e5f"
CERTIFICATE = PeerCertificate(SERIAL, "Issuing CA", 10, 20, "0a", "VERIFIED")


def session(number: int, connected_ns: int = 0, *, slot: int = 0, generation: int = 1,
            serial: str = SERIAL) -> DeviceSession:  # fmt: skip
    connect = Connect(
        version=RECORD_VERSION, address="192.0.2.1:4000", certificate=CERTIFICATE, uuid=7,
        config_hash="", connected_at=1_800_000_000_500, connected_ns=connected_ns,
        completion_ms=2.5,
    )  # fmt: skip
    id = (slot << 56) | (generation << 32) | number
    return DeviceSession(id, serial, connect)


def test_ids_hold_slot_and_generation():
    one = session(9, slot=3, generation=0xABCDEF)
    assert (slot_of(one.id), generation_of(one.id), one.slot) == (3, 0xABCDEF, 3)


def test_first_session_acts():
    presence, one = Presence(), session(1)
    assert presence.register(one) is None
    assert presence.of(SERIAL) is one
    assert presence.owner(SERIAL, one.id) is one
    assert presence.owner(SERIAL, one.id + 1) is None
    assert len(presence) == 1


@pytest.mark.parametrize(
    ("old_ns", "new_ns", "newer_wins"), [(10, 20, True), (10, 10, True), (20, 10, False)]
)
def test_newest_connect_wins_whatever_comes_first(old_ns, new_ns, newer_wins):
    presence, old, new = Presence(), session(1, old_ns), session(2, new_ns)
    presence.register(old)
    loser = presence.register(new)
    assert loser is (old if newer_wins else new)
    assert presence.of(SERIAL) is (new if newer_wins else old)
    assert len(presence) == 1


def test_session_again_replaces_nothing():
    presence, one, again = Presence(), session(1, 10), session(1, 5)
    presence.register(one)
    assert presence.register(again) is None
    assert presence.of(SERIAL) is again


def test_end_of_a_session_that_was_replaced_changes_nothing():
    presence, old, new = Presence(), session(1, 10), session(2, 20)
    presence.register(old)
    presence.register(new)
    assert presence.remove(SERIAL, old.id) is None
    assert presence.of(SERIAL) is new
    assert presence.remove(SERIAL, new.id) is new
    assert presence.remove(SERIAL, new.id) is None
    assert presence.of(SERIAL) is None


def test_sessions_of_a_dead_worker():
    presence = Presence()
    gone = session(1, slot=1, generation=1, serial="000000000001")
    back = session(1, slot=1, generation=2, serial="000000000002")
    other = session(1, slot=2, generation=1, serial="000000000003")
    for one in (gone, back, other):
        presence.register(one)
    assert presence.of_worker(1, 2) == [gone]
    assert presence.of_worker(1, 1) == []
    assert presence.all() == [gone, back, other]


def test_statistics():
    presence = Presence()
    assert presence.statistics()["averageConnectionTime"] == 0
    for number, age in enumerate((10, 30)):
        one = session(number, serial=f"{number:012x}")
        one.started = int(one.last_contact) - age
        presence.register(one)
    found = presence.statistics()
    assert found["connectedDevices"] == 2
    assert found["averageConnectionTime"] in {20, 21}


def test_status():
    one = session(1)
    one.firmware, one.reason = "r1", "socket"
    one.traffic(100, 50, 3)
    found = one.status()
    expected = {
        "serialNumber": SERIAL, "ipAddress": "192.0.2.1:4000", "connected": True, "UUID": 7,
        "rxBytes": 100, "txBytes": 50, "messageCount": 3, "firmware": "r1",
        "connectReason": "socket", "started": 1_800_000_000, "connectionCompletionTime": 2.5,
        "certificateExpiryDate": 20, "certificateIssuerName": "Issuing CA", "sessionId": one.id,
        "verifiedCertificate": "VERIFIED",
    }  # fmt: skip
    assert found | expected == found
    assert found["totalConnectionTime"] >= 0
