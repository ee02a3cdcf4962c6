"""GET /fleet/devices, /fleet/summary and /node: the fleet as a console wants it."""

import time

import pytest

from gw.api.fleet import CERTIFICATE_SECONDS, Summaries
from gw.store import interface, rows

from .conftest import AP, SWITCH

FIRST = "02a0ad000000"


def device(number, **columns):
    return rows.DeviceRow(
        **{"serial_number": f"02a0ad{number:06x}", "device_type": "ap", "compatible": "cig_wf188n"}
        | columns
    )


@pytest.fixture
async def fleet(store):
    """Twelve devices, three to a firmware; one of them waits for a change."""
    made = [device(n, firmware=f"v{n // 3}", last_recorded_contact=100 + n) for n in range(12)]
    made[4].pending_uuid = 7
    made[5].certificate_expiry = int(time.time()) + CERTIFICATE_SECONDS - 3600
    made[6].certificate_expiry = int(time.time()) + CERTIFICATE_SECONDS + 3600
    await store.commit(interface.Batch([interface.PutDevice(row) for row in made]))
    return [row.serial_number for row in made]


async def serials(api, query=""):
    answer = await api.get(f"/fleet/devices{query}")
    assert answer.status_code == 200, answer.text
    return [one["serialNumber"] for one in answer.json()["devices"]]


async def test_a_device_in_short(api, coordinator, devices, status):
    coordinator.statuses[AP] = status | {"lastContact": 700, "sanity": 90}
    found = {
        one["serialNumber"]: one for one in (await api.get("/fleet/devices")).json()["devices"]
    }
    assert found[AP] == {
        "serialNumber": AP,
        "deviceType": "ap",
        "compatible": "edgecore_eap101",
        "firmware": "1.2",
        "venue": "v1",
        "entity": "",
        "simulated": False,
        "quarantined": False,
        "connected": True,
        "lastContact": 700,
        "sanity": 90,
        "certificateExpiryDate": 0,
        "UUID": 5,
        "appliedUUID": 5,
        "configurationState": "in_step",
        "hold": "",
        "rejectedText": "",
        "rejectedAt": 0,
    }
    away = found[SWITCH]
    assert (away["connected"], away["sanity"]) == (False, -1)
    assert (away["configurationState"], away["rejectedText"]) == ("rejected", "refused")


async def test_pages_by_key_end_and_hold_every_device_once(api, fleet):
    found, after = [], ""
    for _ in range(9):
        page = (await api.get(f"/fleet/devices?limit=5&after={after}&count=true")).json()
        assert page["count"] == 12
        found += [one["serialNumber"] for one in page["devices"]]
        after = page["next"]
        if not after:
            break
    assert found == fleet


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("02a0ad000003", [3]),
        ("02:A0:AD:00:00:03", [3]),
        ("02a0", range(12)),
        ("000003", [3]),
        ("00b", []),
        ("000b", [11]),
        ("00000b", [11]),
        ("cig", range(12)),
        ("CIG_", range(12)),
        ("v2", range(6, 9)),
        ("v2 ", range(6, 9)),
        ("%", []),
        ("zzz", []),
    ],
)
async def test_search(api, fleet, typed, numbers):
    assert await serials(api, f"?q={typed.replace('%', '%25')}") == [fleet[n] for n in numbers]


async def test_filters(api, fleet, coordinator, status):
    assert await serials(api, "?firmware=v1") == fleet[3:6]
    assert await serials(api, "?firmware=v1&state=pending") == [fleet[4]]
    assert await serials(api, "?compatible=nothing") == []
    assert await serials(api, "?platform=switch") == []
    assert await serials(api, "?expiring=true") == [fleet[5]]
    coordinator.statuses[fleet[2]] = status
    coordinator.statuses[fleet[9]] = status
    assert await serials(api, "?connected=true") == [fleet[2], fleet[9]]
    assert await serials(api, "?connected=true&firmware=v3") == [fleet[9]]
    assert len(await serials(api, "?connected=false")) == 10


async def test_connected_ones_in_pages(api, fleet, coordinator, status):
    wanted = [fleet[n] for n in (1, 2, 6, 11)]
    coordinator.statuses |= dict.fromkeys(wanted, status)
    found, after = [], ""
    for _ in range(9):
        page = (await api.get(f"/fleet/devices?connected=true&limit=1&after={after}")).json()
        assert len(page["devices"]) <= 1
        found += [one["serialNumber"] for one in page["devices"]]
        after = page["next"]
        if not after:
            break
    assert found == wanted


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("state=sad", "state is one of in_step, pending"),
        ("connected=perhaps", "connected is one of true, false"),
        ("platform=toaster", "platform is one of ap, switch"),
        ("after=x", "after is the `next` of a page"),
        ("limit=1001", "limit may be 1000 at most"),
    ],
)
async def test_bad_parameters_are_named(api, query, told):
    answer = await api.get(f"/fleet/devices?{query}")
    assert answer.status_code == 400
    assert told in answer.json()["ErrorDescription"]


async def test_summary(api, fleet, devices):
    found = (await api.get("/fleet/summary")).json()
    assert found["devices"] == 14
    assert (found["connected"], found["connecting"]) == (2, 1)
    assert found["states"] == {
        "in_step": 1,
        "pending": 1,
        "drifted": 0,
        "rejected": 1,
        "held": 0,
        "unmanaged": 11,
        "unknown": 0,
    }
    assert found["firmwares"][0] == {"value": "v0", "count": 3}
    assert {one["value"]: one["count"] for one in found["types"]} == {
        "cig_wf188n": 12, "edgecore_eap101": 1, "": 1,
    }  # fmt: skip
    assert found["certificatesExpiring"] == 1
    assert (found["otherFirmwares"], found["otherTypes"]) == (0, 0)


async def test_summary_names_the_most_frequent_and_counts_the_rest(api, store):
    made = [device(n, firmware=f"f{n:03}") for n in range(60)] + [device(60, firmware="f007")]
    await store.commit(interface.Batch([interface.PutDevice(row) for row in made]))
    found = (await api.get("/fleet/summary")).json()
    assert found["firmwares"][0] == {"value": "f007", "count": 2}
    assert len(found["firmwares"]) == 50
    assert found["otherFirmwares"] == 10


async def test_summary_is_made_anew_only_after_a_while(apps, fleet, store):
    kept, anew = Summaries(apps.context, 3600), Summaries(apps.context, 0)
    first = await kept.read()
    assert (await anew.read()).devices == first.devices == 12
    await store.commit(interface.Batch([interface.DeleteDevice(FIRST)]))
    assert (await kept.read()) is first
    assert (await anew.read()).devices == 11


async def test_node(api):
    found = (await api.get("/node")).json()
    assert found["version"]
    assert found["now"] >= found["started"]
    assert [one["name"] for one in found["processes"]] == ["api"]
    assert found["totals"]["messagesReceived"] == 0


@pytest.mark.parametrize("path", ["/fleet/devices", "/fleet/summary", "/node"])
async def test_nobody_reads_it_without_a_token(api, path):
    answer = await api.get(path, headers={"authorization": ""})
    assert answer.status_code == 403
