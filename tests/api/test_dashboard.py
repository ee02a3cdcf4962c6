"""GET /deviceDashboard: what is counted how, and how seldom it is counted."""

import asyncio
import time

import pytest

from gw.api.dashboard import Dashboard, TagCount
from gw.store import interface, rows

from .conftest import AP, SWITCH

STATE = (
    b'{"unit":{"load":[0.01,0.3,0.9],"memory":{"total":100,"free":90},"uptime":90000},'
    b'"radios":[{"phy":"a","channel":36}],'
    b'"interfaces":[{"ssids":[{"phy":"a","associations":[{},{}]}]}]}'
)
LISTS = {
    "commands", "upTimes", "lastContact", "memoryUsed", "load1", "load5", "load15", "vendors",
    "status", "deviceType", "healths", "certificates", "associations",
}  # fmt: skip


def tags(found, name):
    return {one["tag"]: one["value"] for one in found[name]}


@pytest.mark.operation("GET /deviceDashboard")
async def test_numbers(api, coordinator, store, devices, status):
    now = int(time.time())
    await store.commit(
        interface.Batch(
            [
                interface.InsertStatistics(AP, 5, now, STATE),
                interface.PutCommand(
                    rows.CommandRow(
                        uuid="u", serial_number=AP, command="reboot", status="completed"
                    )
                ),
                interface.PatchDevice(SWITCH, {"last_recorded_contact": now - 8 * 86_400}),
            ]
        )
    )
    coordinator.statuses[AP] = status | {"lastContact": now, "lastState": now, "sanity": 95}
    answer = await api.get("/deviceDashboard")
    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == LISTS | {"snapshot", "numberOfDevices"}
    assert all(isinstance(found[name], list) for name in LISTS)
    assert found["numberOfDevices"] == 2
    assert now <= found["snapshot"] <= time.time()
    assert {name: tags(found, name) for name in LISTS} == {
        "commands": {"reboot": 1},
        "upTimes": {">day": 1},
        "lastContact": {"now": 1, ">week": 1},
        "memoryUsed": {"< 25%": 1},
        "load1": {"< 5%": 1},
        "load5": {"< 50%": 1},
        "load15": {">75%": 1},
        "vendors": {"Unknown": 2},
        "status": {"connected": 1, "not connected": 1},
        "deviceType": {"edgecore_eap101": 1, "Unknown": 1},
        "healths": {">90%": 1},
        "certificates": {"verified": 1},
        "associations": {"5G": 2},
    }


class Fleet:
    """A reader of a fleet that counts what it is asked."""

    def __init__(self, serials):
        self.serials = serials
        self.passes = self.states = 0
        self.failing = False

    async def fleet(self, *, after="", limit=1000):
        if self.failing:
            raise OSError("away")
        self.passes += after == ""
        return [
            rows.FleetRow(serial_number=s, compatible="", last_recorded_contact=0)
            for s in self.serials
            if s > after
        ][:limit]

    async def newest_states(self, serials):
        self.states += len(serials)
        return dict.fromkeys(serials, STATE)

    async def count_commands(self):
        return {}


async def test_many_who_ask_are_served_by_one_pass():
    serials = [f"{n:012x}" for n in range(1201)]
    fleet = Fleet(serials)
    at = 1

    async def sessions(wanted):
        return dict.fromkeys(wanted, (0, 100, "VERIFIED", at))

    dashboard = Dashboard(fleet, sessions, lambda _: "V", 1000)
    found = await asyncio.gather(*(dashboard.read() for _ in range(20)))
    assert fleet.passes == 1
    assert {one.number_of_devices for one in found} == {1201}
    assert found[0].vendors == [TagCount("V", 1201)]
    assert found[0].healths == [TagCount("100%", 1201)]
    await dashboard.read()
    assert (fleet.passes, fleet.states) == (1, 1201)

    hasty = Dashboard(fleet, sessions, lambda _: "V", 0)
    await hasty.read()
    await hasty.read()
    assert fleet.states == 2 * 1201  # the second pass knows the states
    at = 2
    await hasty.read()
    assert fleet.states == 3 * 1201


async def test_a_failed_pass_is_not_kept():
    fleet = Fleet(["a"])

    async def sessions(wanted):
        return {}

    dashboard = Dashboard(fleet, sessions, lambda _: "", 1000)
    fleet.failing = True
    with pytest.raises(OSError, match="away"):
        await dashboard.read()
    fleet.failing = False
    assert (await dashboard.read()).number_of_devices == 1
