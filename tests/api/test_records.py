import pytest

AP = "24f5a207a130"


def description(answer, status=400):
    assert answer.status_code == status
    return answer.json()["ErrorDescription"]


@pytest.mark.operation(
    "GET /default_configurations",
    "GET /default_configuration/{name}",
    "POST /default_configuration/{name}",
    "PUT /default_configuration/{name}",
    "DELETE /default_configuration/{name}",
)
async def test_default_configurations(api):
    url = "/default_configuration/home"
    assert description(await api.get(url), 404)
    body = '{"modelIds":["*"],"description":"d","configuration":{"a":1.0},"platform":"AP"}'
    headers = {"content-type": "application/json"}
    made = await api.post(url, content=body, headers=headers)
    assert made.status_code == 200
    assert made.json()["Code"] == 0
    assert made.json()["Operation"] == "POST"
    found = await api.get(url)
    assert found.json()["modelIds"] == ["*"]
    assert found.json()["platform"] == "ap"
    assert b'"configuration":{"a":1.0}' in found.content
    assert (await api.get("/default_configurations?countOnly=true")).json() == {"count": 1}
    listed = (await api.get("/default_configurations?limit=500&offset=0")).json()
    assert listed == {"configurations": [found.json()]}
    assert (await api.get("/default_configurations?limit=0")).json() == {"configurations": []}
    changed = (await api.put(url, json={"description": "e", "configuration": '{"b":2.50}'})).json()
    assert changed["description"] == "e"
    assert changed["modelIds"] == ["*"]
    assert b'{"b":2.50}' in (await api.get(url)).content
    gone = await api.delete(url)
    assert (gone.status_code, gone.content) == (200, b"")
    assert description(await api.delete(url)).startswith("1006: ")
    assert description(await api.put(url, json={}), 404)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({}, 1098),
        ({"modelIds": []}, 1098),
        ({"modelIds": ["x"]}, 1018),
        ({"modelIds": ["x"], "configuration": {}, "platform": "tv"}, 1018),
        ({"modelIds": ["x"], "configuration": "["}, 1008),
        ({"modelIds": [1]}, 1003),
    ],
)
async def test_default_configuration_refused(api, body, number):
    answer = await api.post("/default_configuration/x", json=body)
    assert description(answer).startswith(f"{number}: ")


async def test_default_configuration_exists_and_large(api):
    body = {"modelIds": ["x"], "configuration": {"text": "y" * 200_000}}
    assert (await api.post("/default_configuration/x", json=body)).status_code == 200
    answer = await api.get("/default_configuration/x")
    assert answer.json()["configuration"] == body["configuration"]
    again = await api.post("/default_configuration/x", json=body)
    assert description(again).startswith("1099: ")


@pytest.mark.operation(
    "GET /blacklist",
    "GET /blacklist/{serialNumber}",
    "POST /blacklist/{serialNumber}",
    "PUT /blacklist/{serialNumber}",
    "DELETE /blacklist/{serialNumber}",
)
async def test_blacklist(api):
    url = f"/blacklist/{AP}"
    assert description(await api.get(url), 404)
    assert description(await api.put(url, json={"reason": "r"})).startswith("1003: ")
    assert description(await api.post(url, json={"reason": "r"})).startswith("1001: ")
    made = (await api.post(url, json={"serialNumber": AP, "reason": "r"})).json()
    assert made.pop("created") > 0
    assert made == {"serialNumber": AP, "author": "root@localhost", "reason": "r"}
    assert description(await api.post(url, json={"serialNumber": AP})).startswith("1021: ")
    changed = (await api.put(url, json={"serialNumber": AP, "reason": "s"})).json()
    assert changed["reason"] == "s"
    assert (await api.get(url)).json() == changed
    assert (await api.get("/blacklist?countOnly=true")).json() == {"count": 1}
    assert (await api.get("/blacklist")).json() == {"devices": [changed]}
    assert (await api.get("/blacklist?limit=0")).json() == {"devices": []}
    gone = await api.delete(url)
    assert (gone.status_code, gone.content) == (200, b"")
    assert description(await api.delete(url), 404)


@pytest.mark.operation("GET /system")
async def test_system(api):
    info = (await api.get("/system?command=info")).json()
    assert {"version", "uptime", "start", "os", "processors", "hostname", "UI"} <= set(info)
    assert info["certificates"] == []
    used = (await api.get("/system?command=resources")).json()
    assert used["numberOfFileDescriptors"] > 3
    assert used["peakRealMem"] >= used["currRealMem"] > 1000
    assert (await api.get("/system?command=extraConfiguration")).json() == {}
    assert description(await api.get("/system")).startswith("1031: ")
    assert description(await api.patch("/system")).startswith("1004: ")


IMAGE = {"uri": "https://images.example/a.bin", "revision": "TIP-v4.2.0"}


@pytest.mark.operation(
    "GET /default_firmwares",
    "GET /default_firmware/{deviceType}",
    "POST /default_firmware/{deviceType}",
    "PUT /default_firmware/{deviceType}",
    "DELETE /default_firmware/{deviceType}",
)
async def test_default_firmwares(api):
    url = "/default_firmware/acme_ap7"
    assert description(await api.get(url), 404)
    given = IMAGE | {"description": "d", "imageCreationDate": 17, "minimumRevision": "v4.1"}
    made = await api.post(url, json=given)
    assert made.status_code == 200, made.text
    shown = made.json()
    assert shown == given | {
        "deviceType": "acme_ap7", "created": shown["created"], "lastModified": shown["created"],
    }  # fmt: skip
    assert (await api.get(url)).json() == shown
    assert (await api.get("/default_firmwares")).json() == {"firmwares": [shown]}
    assert (await api.get("/default_firmwares?countOnly=true")).json() == {"count": 1}
    assert (await api.get("/default_firmwares?limit=0")).json() == {"firmwares": []}
    assert description(await api.post(url, json=given)).startswith("1175: ")
    changed = (await api.put(url, json={"minimumRevision": ""})).json()
    assert changed == shown | {"minimumRevision": "", "lastModified": changed["lastModified"]}
    gone = await api.delete(url)
    assert (gone.status_code, gone.content) == (200, b"")
    assert description(await api.delete(url), 404)
    assert description(await api.put(url, json={}), 404)


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({"revision": "v1.0"}, 1018),
        ({"uri": IMAGE["uri"]}, 1018),
        (IMAGE | {"uri": "ftp://x/a.bin"}, 1152),
        (IMAGE | {"uri": "https:///a.bin"}, 1152),
        (IMAGE | {"uri": "images.example"}, 1152),
        (IMAGE | {"minimumRevision": "latest"}, 1018),
        (IMAGE | {"minimumRevision": "v4.3"}, 1018),
        (IMAGE | {"revision": "devel", "minimumRevision": "v4.2"}, 1018),
        (IMAGE | {"imageCreationDate": -1}, 1018),
        (IMAGE | {"description": "x" * 5000}, 1018),
        (IMAGE | {"revision": 4}, 1003),
    ],
)
async def test_default_firmware_refused(api, body, number):
    answer = await api.post("/default_firmware/x", json=body)
    assert description(answer).startswith(f"{number}: ")
