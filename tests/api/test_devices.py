import json

import msgspec
import pytest

from gw._native import config_hash
from gw.store.interface import (
    Batch,
    InsertHealthCheck,
    InsertLog,
    InsertStatistics,
    PutBlacklist,
    PutCapabilities,
)
from gw.store.rows import BlacklistRow

AP = "24f5a207a130"
SWITCH = "24f5a207a131"
NEW = "24f5a207a1ff"

pytestmark = pytest.mark.usefixtures("devices")


def description(answer, status=400):
    assert answer.status_code == status
    found = answer.json()
    assert set(found) == {"ErrorCode", "ErrorDetails", "ErrorDescription"}
    assert found["ErrorCode"] == status
    return found["ErrorDescription"]


@pytest.mark.operation("GET /devices")
async def test_pages(api):
    async def serials(query):
        return [d["serialNumber"] for d in (await api.get(f"/devices{query}")).json()["devices"]]

    assert await serials("") == [AP, SWITCH]
    assert await serials("?limit=1") == [AP]
    assert await serials("?limit=1&offset=1") == [SWITCH]
    assert await serials("?limit=0") == []
    assert await serials("?limit=-1&offset=x") == [AP, SWITCH]
    assert await serials("?offset=99999999999999999999999") == []
    assert await serials("?platform=AP") == [AP]
    assert await serials("?platform=switch&limit=1000") == [SWITCH]
    assert await serials("?orderBy=serialNumber:d") == [SWITCH, AP]
    assert await serials("?orderBy=deviceType:d,serialnumber:a") == [SWITCH, AP]
    assert await serials(f"?select={SWITCH},ffffffffffff") == [SWITCH]
    assert await serials("?includeProvisioned=false") == [SWITCH]
    assert await serials("?countOnly=TRUE") == [AP, SWITCH]


async def test_every_sortable_column(api):
    for name in (await api.get("/devices?orderSpec=true")).json()["list"]:
        for direction in "ad":
            answer = await api.get(f"/devices?orderBy={name}:{direction}")
            assert len(answer.json()["devices"]) == 2


@pytest.mark.operation("GET /devices")
async def test_other_forms(api, coordinator, status):
    coordinator.statuses[AP] = status

    async def read(query):
        return (await api.get(f"/devices?{query}")).json()

    assert await read("countOnly=true") == {"count": 2}
    assert await read("countOnly=true&platform=switch") == {"count": 1}
    assert await read("serialOnly=true") == {"serialNumbers": [AP, SWITCH]}
    assert await read("health=true&lowLimit=90&highLimit=100") == {"serialNumbers": [AP]}
    assert await read("health=true&highLimit=90") == {"serialNumbers": []}
    names = (await read("orderSpec=true"))["list"]
    assert "serialNumber" in names
    assert names == sorted(names)
    assert await read("connectionStatistics=true") == {
        "connectedDevices": 2,
        "averageConnectionTime": 30,
        "connectingDevices": 1,
    }


async def test_bad_queries(api):
    assert description(await api.get("/devices?limit=1001")).startswith("1018: ")
    assert "1000" in description(await api.get("/devices?limit=1001"))
    assert description(await api.get("/devices?platform=tv")).startswith("1018: ")
    assert description(await api.get("/devices?orderBy=password:a")).startswith("1043: ")
    assert description(await api.get("/devices?orderBy=venue:x")).startswith("1043: ")
    assert description(await api.get("/devices?select=xyz")).startswith("1001: ")
    many = "&".join("a=1" for _ in range(300))
    assert description(await api.get(f"/devices?{many}")).startswith("1018: ")


@pytest.mark.operation("GET /devices")
async def test_with_status(api, coordinator, status):
    coordinator.statuses[AP] = status
    found = (await api.get("/devices?deviceWithStatus=true")).json()["devicesWithStatus"]
    connected, away = found
    assert connected["connected"] is True
    assert connected["ipAddress"] == "192.0.2.9:1"
    assert connected["configuration"]["a"][0] == 1000
    assert connected["appliedUUID"] == 5
    assert away["connected"] is False
    assert away["lastContact"] == ""
    assert away["verifiedCertificate"] == "NO_CERTIFICATE"
    assert away["UUID"] == 9
    assert away["associations_2G"] == 0


async def test_a_page_of_sessions_asks_in_parts(api, coordinator, store):
    from gw.store.interface import PutDevice
    from gw.store.rows import DeviceRow

    rows = [DeviceRow(serial_number=f"{i:012x}") for i in range(100)]
    await store.commit(Batch([PutDevice(row) for row in rows]))
    coordinator.statuses = {row.serial_number: {"connected": True} for row in rows}
    answer = await api.get("/devices?deviceWithStatus=true")
    assert all(one["connected"] for one in answer.json()["devicesWithStatus"])


@pytest.mark.operation("GET /devices", "GET /device/{serialNumber}")
async def test_complete_info(api, coordinator, store, status):
    coordinator.statuses[AP] = status
    await store.commit(
        Batch(
            [
                InsertStatistics(AP, 5, 10, b'{"unit":{"load":[0.10]}}'),
                InsertHealthCheck(AP, 5, 100, 10, b"{}"),
            ]
        )
    )
    one = (await api.get(f"/device/{AP}?completeInfo=true")).json()
    assert set(one) == {"deviceInfo", "connectionInfo", "healthCheckInfo", "statsInfo"}
    assert one["statsInfo"] == {"unit": {"load": [0.1]}}
    assert one["healthCheckInfo"] == {"UUID": 5, "sanity": 100, "recorded": 10, "values": {}}
    many = (await api.get("/devices?completeInfo=true")).json()["devices"]
    assert many[0] == one
    assert many[1]["connectionInfo"]["connected"] is False
    assert many[1]["healthCheckInfo"] == {"UUID": 0, "sanity": 0, "recorded": 0, "values": {}}


@pytest.mark.operation("GET /device/{serialNumber}")
async def test_device(api, store):
    await store.commit(Batch([PutBlacklist(BlacklistRow(serial_number=SWITCH))]))
    answer = await api.get("/device/24:F5:A2-07:A1:30")
    found = answer.json()
    assert found["serialNumber"] == AP
    assert found["UUID"] == found["configuration"]["uuid"] == 5
    assert found["blackListed"] is False
    assert found["macAddress"] == "24:f5:a2:07:a1:30"
    assert found["pendingConfiguration"] == ""
    assert found["restrictionDetails"]["key_info"] == {"vendor": "", "algo": ""}
    assert found["configurationState"] == "in_step"
    # The operator's spelling, number by number.
    assert b'"b":1.50' in answer.content
    assert b"[1e3, 10000000000000000001]" in answer.content
    refused = (await api.get(f"/device/{SWITCH}")).json()
    assert refused["blackListed"] is True
    assert refused["configurationState"] == "rejected"
    assert refused["rejectedUUID"] == 9
    assert refused["rejections"] == [{"parameter": "x", "reason": "no", "substitution": None}]
    assert refused["rejectedText"] == "refused"


async def test_unknown_and_malformed(api):
    assert description(await api.get(f"/device/{NEW}"), 404).startswith("404: ")
    for bad in ("xyz", "24f5a207a1", "24f5a207a1300"):
        assert description(await api.get(f"/device/{bad}")).startswith("1001: ")
    for method, path in (
        ("GET", "/nothing"),
        ("PATCH", "/devices"),
        ("PUT", "/devices"),
        ("GET", f"/device/{AP}/x/y"),
        ("POST", f"/device/{AP}/logs/x"),
    ):
        assert description(await api.request(method, path)).startswith("1004: ")


@pytest.mark.operation("POST /device/{serialNumber}")
async def test_create(api):
    text = '{"z":1.0,"big":123456789012345678901234567890,"e":1E+2}'
    body = (
        f'{{"serialNumber":"{NEW}","configuration":{text},"owner":"o","notes":[{{"note":"hi"}}]}}'
    )
    headers = {"content-type": "application/json; charset=utf-8"}
    answer = await api.post(f"/device/{NEW}", content=body, headers=headers)
    assert answer.status_code == 200
    found = answer.json()
    assert found["owner"] == "o"
    assert found["deviceType"] == "ap"
    assert found["notes"] == [{"note": "hi", "created": 1000, "createdBy": "root@localhost"}]
    assert found["configurationHash"] == config_hash(text.encode())
    assert text[1:].encode() in answer.content
    again = await api.post(f"/device/{NEW}", content=body, headers=headers)
    assert description(again, 500).startswith("1011: ")


async def test_create_from_text(api):
    body = {"serialNumber": NEW, "configuration": '{"a":1.00}'}
    answer = await api.post(f"/device/{NEW}", json=body)
    assert answer.status_code == 200
    assert b'"a":1.00' in answer.content


async def test_create_refused(api, coordinator):
    async def post(body, path=NEW):
        return description(await api.post(f"/device/{path}", json=body))

    assert (await post({"serialNumber": NEW})).startswith("1008: ")
    assert (await post({"serialNumber": "x", "configuration": {}})).startswith("1020: ")
    assert (await post({"serialNumber": AP, "configuration": {}})).startswith("1030: ")
    assert (await post({"serialNumber": NEW, "configuration": "["})).startswith("1008: ")
    assert (await post({"serialNumber": NEW, "configuration": [1]})).startswith("1008: ")
    assert (await post({"serialNumber": 5})).startswith("1003: ")
    assert [r for r in coordinator.seen if r.operation == "device.create"] == []


@pytest.mark.operation("POST /device/{serialNumber}")
async def test_validate_only(api):
    async def validate(body):
        return (await api.post(f"/device/{NEW}?validateOnly=true", json=body)).json()

    assert (await validate({"configuration": {"a": 1}}))["valid"] is True
    assert (await validate({"configuration": "{"}))["valid"] is False
    assert "error" in await validate({"configuration": "{"})
    missing = await api.post(f"/device/{NEW}?validateOnly=true", json={})
    assert description(missing).startswith("1097: ")


@pytest.mark.operation("PUT /device/{serialNumber}")
async def test_change(api):
    body = {"notes": [{"note": "one"}], "venue": "v2", "configuration": {"a": 2}, "firmware": "x"}
    found = (await api.put(f"/device/{AP}", json=body)).json()
    assert found["venue"] == "v2"
    assert found["configuration"] == {"uuid": 6, "a": 2}
    assert found["firmware"] == "1.2"
    found = (await api.put(f"/device/{AP}", json={"notes": [{"note": "two"}]})).json()
    assert [n["note"] for n in found["notes"]] == ["one", "two"]
    assert found["configuration"] == {"uuid": 6, "a": 2}
    assert description(await api.put(f"/device/{NEW}", json={}), 404).startswith("404: ")


@pytest.mark.operation("DELETE /device/{serialNumber}")
async def test_delete_needs_a_role(api, as_csr):
    refused = await api.delete(f"/device/{AP}", headers=as_csr)
    assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
    done = await api.delete(f"/device/{AP}")
    assert (done.status_code, done.content) == (200, b"")
    assert description(await api.delete(f"/device/{AP}"), 404).startswith("404: ")


@pytest.mark.operation("GET /device/{serialNumber}/status")
async def test_status(api, coordinator, status):
    away = (await api.get(f"/device/{AP}/status")).json()
    assert (away["serialNumber"], away["connected"]) == (AP, False)
    assert away["configurationState"] == "in_step"
    assert "ipAddress" not in away
    stranger = (await api.get("/device/24f5a207a1ff/status")).json()
    assert stranger == {"serialNumber": "24f5a207a1ff", "connected": False}
    coordinator.statuses[AP] = status
    found = (await api.get(f"/device/{AP}/status")).json()
    assert found["connected"] is True
    assert found["configurationState"] == "in_step"
    assert "configuration" not in found
    assert found["hasGPS"] is False


@pytest.mark.operation(
    "GET /device/{serialNumber}/statistics", "DELETE /device/{serialNumber}/statistics"
)
async def test_statistics(api, store, coordinator, status):
    rows = [InsertStatistics(AP, 5, t, b'{"n":%d.0}' % t) for t in range(1, 6)]
    await store.commit(Batch(rows))
    base = f"/device/{AP}/statistics"

    async def times(query):
        found = (await api.get(base + query)).json()
        assert found["serialNumber"] == AP
        return [one["recorded"] for one in found["data"]]

    assert await times("") == [1, 2, 3, 4, 5]
    assert await times("?newest=true&limit=2") == [5, 4]
    assert await times("?startDate=2&endDate=4&offset=1") == [3, 4]
    assert await times("?limit=0") == []
    assert (await api.get(base + "?countOnly=true&startDate=3")).json() == {"count": 3}
    assert description(await api.get(base + "?lastOnly=true")).startswith("1033: ")
    coordinator.statuses |= {AP: status, SWITCH: status}
    assert (await api.get(base + "?lastOnly=true")).content == b'{"n":5.0}'
    none = await api.get(f"/device/{SWITCH}/statistics?lastOnly=true")
    assert description(none).startswith("1154: ")
    done = await api.delete(base + "?endDate=3")
    assert (done.status_code, done.content) == (200, b"")
    assert await times("") == [4, 5]


@pytest.mark.operation(
    "GET /device/{serialNumber}/healthchecks", "DELETE /device/{serialNumber}/healthchecks"
)
async def test_healthchecks(api, store):
    await store.commit(Batch([InsertHealthCheck(AP, 5, 90 + t, t, b"{}") for t in (1, 2)]))
    base = f"/device/{AP}/healthchecks"
    values = (await api.get(base + "?newest=true&limit=1")).json()["values"]
    assert values == [{"UUID": 5, "sanity": 92, "recorded": 2, "values": {}}]
    assert (await api.get(base + "?lastOnly=true")).json() == values[0]
    assert (await api.delete(base + "?startDate=2")).content == b""
    assert [v["recorded"] for v in (await api.get(base)).json()["values"]] == [1]
    none = await api.get(f"/device/{SWITCH}/healthchecks?lastOnly=true")
    assert description(none, 404)


@pytest.mark.operation("GET /device/{serialNumber}/logs", "DELETE /device/{serialNumber}/logs")
async def test_logs(api, store):
    rows = [InsertLog(AP, 5, 6, kind, 10 + kind, f"line {kind}", b"{}") for kind in (0, 1, 2)]
    await store.commit(Batch(rows))
    base = f"/device/{AP}/logs"
    for kind, query in ((0, ""), (1, "?logType=1&newest=true"), (2, "?logType=2")):
        (line,) = (await api.get(base + query)).json()["values"]
        assert (line["log"], line["logType"]) == (f"line {kind}", kind)
    await api.delete(base + "?logType=1")
    assert (await api.get(base + "?logType=1")).json()["values"] == []
    assert len((await api.get(base)).json()["values"]) == 1


@pytest.mark.operation(
    "GET /device/{serialNumber}/capabilities", "DELETE /device/{serialNumber}/capabilities"
)
async def test_capabilities(api, store):
    base = f"/device/{AP}/capabilities"
    assert description(await api.get(base), 404)
    assert description(await api.delete(base), 404)
    await store.commit(Batch([PutCapabilities(AP, '{"compatible":"x"}', 20)]))
    assert (await api.get(base)).json() == {
        "capabilities": {"compatible": "x"},
        "firstUpdate": 20,
        "lastUpdate": 20,
        "serialNumber": AP,
    }
    assert (await api.delete(base)).content == b""
    assert description(await api.get(base), 404)


async def test_every_field_of_the_document_is_described(api):
    from gw.api.device_document import DeviceDocument

    found = (await api.get(f"/device/{AP}")).json()
    assert set(found) == set(DeviceDocument.__struct_encode_fields__)
    assert json.loads(msgspec.json.encode(found)) == found
