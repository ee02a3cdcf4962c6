import pytest

from gw.store import interface, rows

from .conftest import AP, SWITCH

SIMULATED = "53494d000001"


@pytest.fixture
async def fleet(store, devices):
    """The two devices, and a simulated one."""
    row = rows.DeviceRow(serial_number=SIMULATED, simulated=True, last_recorded_contact=100)
    await store.commit(interface.Batch([interface.PutDevice(row)]))


async def left(api):
    return (await api.get("/devices?serialOnly=true")).json()["serialNumbers"]


def number(answer):
    found = answer.json()
    if answer.status_code == 403:
        return found["ErrorCode"]
    return int(found["ErrorDescription"].partition(":")[0])


async def test_needs_a_role(api, as_csr, fleet):
    assert number(await api.delete("/devices?macPattern=*", headers=as_csr)) == 7
    assert len(await left(api)) == 3


@pytest.mark.parametrize(
    "query",
    ["", "?macPattern=", "?macPattern=xyz", "?macPattern=%25", "?macPattern=_", "?select=zz",
     "?oldestContact=soon", "?select=24f5a207a130,nothex", "?macPattern=" + "*" * 500],
)  # fmt: skip
async def test_refused(api, fleet, query):
    assert number(await api.delete("/devices" + query)) == 1018
    assert len(await left(api)) == 3


@pytest.mark.operation("DELETE /devices")
async def test_select(api, fleet):
    answer = await api.delete(f"/devices?select={AP.upper()},24f5a207a1ff,{AP}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert await left(api) == [SWITCH, SIMULATED]


@pytest.mark.parametrize(
    ("pattern", "stay"),
    [
        ("24F5*", [SIMULATED]),
        ("*131", [AP, SIMULATED]),
        ("**a2*0", [SWITCH, SIMULATED]),
        ("24f5", [AP, SWITCH, SIMULATED]),
        (AP, [SWITCH, SIMULATED]),
        ("*", []),
        ("*&simulatedOnly=true", [AP, SWITCH]),
        ("24f5*&simulatedOnly=true", [AP, SWITCH, SIMULATED]),
    ],
)
@pytest.mark.operation("DELETE /devices")
async def test_pattern(api, fleet, pattern, stay):
    assert (await api.delete(f"/devices?macPattern={pattern}")).status_code == 200
    assert await left(api) == stay


async def test_oldest_contact(api, fleet):
    assert (await api.delete("/devices?oldestContact=100")).status_code == 200
    assert await left(api) == [SIMULATED]
    assert (await api.delete("/devices?oldestContact=101&simulatedOnly=true")).status_code == 200
    assert await left(api) == []


async def test_simulated_devices_in_the_background(api, fleet, coordinator):
    assert (await api.delete("/devices?simulatedDevices=true")).status_code == 200
    while SIMULATED in await left(api):
        pass
    assert await left(api) == [AP, SWITCH]


@pytest.mark.operation("GET /capabilities")
async def test_models(api, store, devices):
    assert (await api.get("/capabilities")).json() == {"device_types": []}
    raw = '{"compatible":"edgecore_eap101","big":18446744073709551616}'
    await store.commit(interface.Batch([interface.PutCapabilities(AP, raw, 5)]))
    answer = await api.get("/capabilities")
    assert answer.text == (
        '{"device_types":[{"deviceType":"edgecore_eap101","capabilities":' + raw + "}]}"
    )
