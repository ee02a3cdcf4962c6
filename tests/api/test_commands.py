import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gw.store.interface import Batch, PutCommand
from gw.store.rows import CommandRow

AP = "24f5a207a130"
URL = f"/device/{AP}/configure"
JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.usefixtures("devices")


def description(answer, status=400):
    assert answer.status_code == status
    assert answer.json()["ErrorCode"] == status
    return answer.json()["ErrorDescription"]


def order(**more):
    return {"serialNumber": AP, "UUID": 1, "when": 0, "configuration": {"a": 1}} | more


@pytest.mark.operation("GET /command/{commandUUID}")
async def test_configure(api, coordinator):
    coordinator.configure_outcome = {"status": "completed", "results": '{"status":{"error":0}}'}
    text = '{"a": 1.10, "b":18446744073709551616}'
    body = f'{{"serialNumber":"{AP}","UUID":1,"when":0,"configuration":{text}}}'
    answer = await api.post(URL + "?force=true", content=body, headers=JSON)
    found = answer.json()
    assert answer.status_code == 200
    assert found["status"] == "completed"
    assert found["results"] == {"status": {"error": 0}}
    assert text.encode() in answer.content
    asked = coordinator.seen[-1].arguments
    assert asked["force"] is True
    assert asked["by"] == "root@localhost"
    assert asked["command"] == found["UUID"]
    assert uuid.UUID(found["UUID"]).version == 4
    again = (await api.get(f"/command/{found['UUID']}?serialNumber={AP}")).json()
    assert again == found


REJECTED = {
    "status": "completed",
    "error_code": 2,
    "error_text": "channel: not allowed",
    "results": '{"status":{"error":2,"rejected":[{"parameter":"channel"}]}}',
}


async def test_rejection(api, coordinator):
    coordinator.configure_outcome = REJECTED
    answer = await api.post(URL, json=order())
    assert answer.status_code == 200
    assert answer.json()["errorCode"] == 2
    assert answer.json()["errorText"] == "channel: not allowed"
    assert answer.json()["results"]["status"]["rejected"] == [{"parameter": "channel"}]


async def test_strict_rejection(api, coordinator):
    coordinator.configure_outcome = REJECTED
    answer = await api.post(URL + "?strict=true", json=order())
    assert answer.status_code == 400
    found = answer.json()
    assert found["status"] == "failed"
    assert found["errorCode"] == 2
    assert found["ErrorDescription"].startswith("1137: ")
    assert "channel: not allowed" in found["ErrorDescription"]


async def test_later(api, coordinator):
    coordinator.configure_outcome = {"status": "pending"}
    found = (await api.post(URL, json=order(when=4_000_000_000))).json()
    assert found["status"] == "pending"
    assert found["when"] == 4_000_000_000


async def test_busy(api, coordinator):
    coordinator.configure_outcome = None
    text = description(await api.post(URL, json=order()))
    assert text.startswith("1145: ")
    assert text.endswith("(UUID=1 Command=configure)")


@pytest.mark.parametrize("missing", ["serialNumber", "UUID", "configuration"])
async def test_missing_members(api, missing):
    body = order()
    del body[missing]
    text = description(await api.post(URL, json=body))
    assert text.startswith("1018: ")
    assert missing in text


async def test_refused_before_the_coordinator(api, coordinator):
    async def post(path, body):
        return description(await api.post(path, json=body))

    assert (await post("/device/xyz/configure", order())).startswith("1001: ")
    assert (await post(URL, order(serialNumber="24:f5:a2:07:a1:30"))).startswith("1030: ")
    assert (await post(URL, order(when=-1))).startswith("1003: ")
    assert (await post(URL, order(when="soon"))).startswith("1003: ")
    assert (await post(f"/device/{AP}/reboot", {})).startswith("1033: ")
    assert (await post(f"/device/{AP}/explode", {})).startswith("1031: ")
    unknown = await api.post("/device/24f5a207a1ff/configure", json=order())
    assert description(unknown, 404).startswith("404: ")
    assert [r for r in coordinator.seen if r.operation == "command.configure"] == []


DEEP = 30_000
BAD = {
    "deep": "[" * DEEP + "]" * DEEP,
    "deep object": '{"a":' * 100 + "1" + "}" * 100,
    "duplicate": '{"a":1,"a":1}',
    "surrogate": '{"a":"\\ud800"}',
    "exponent": '{"a":1e999999999999999999999}',
    "digits": '{"a":' + "9" * 10_000 + "}",
    "list": "[]",
    "number": "5",
    "string of nothing": '"x"',
    "string of duplicates": '"{\\"a\\":1,\\"a\\":2}"',
    "broken string": '"\\ud800"',
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
async def test_bad_configurations(api, text):
    body = f'{{"serialNumber":"{AP}","UUID":1,"configuration":{text}}}'
    for url, method in ((URL, "POST"), (f"/device/{AP}", "PUT")):
        answer = await api.request(method, url, content=body, headers=JSON)
        found = description(answer)
        assert found.startswith("1008: ")
        assert found.endswith(")")
        assert len(found) < 400


@pytest.mark.parametrize("text", ["01", "NaN", "{'a':1}", '{"a":1,}', '{"a":"\x01"}', ""])
async def test_not_json(api, text):
    body = f'{{"serialNumber":"{AP}","UUID":1,"configuration":{text}}}'
    answer = await api.post(URL, content=body, headers=JSON)
    assert description(answer)[:5] in ("1003:", "1008:")


async def test_not_utf8(api):
    body = b'{"serialNumber":"%s","UUID":1,"configuration":{"a":"\xff"}}' % AP.encode()
    assert description(await api.post(URL, content=body, headers=JSON)).startswith("1003: ")


async def test_content_type_and_size(api, apps):
    plain = await api.post(URL, content=json.dumps(order()), headers={"content-type": "text/plain"})
    assert description(plain).startswith("1003: ")
    large = b" " * (apps.context.settings.api.max_body_bytes + 1)
    assert "8000000" in description(await api.post(URL, content=large, headers=JSON))

    async def parts():
        for _ in range(11):
            yield b" " * 1_000_000

    assert "8000000" in description(await api.post(URL, content=parts(), headers=JSON))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.one_of(
        st.binary(),
        VALUES.map(lambda v: json.dumps(v).encode()),
        VALUES.map(lambda v: json.dumps(order(configuration=v)).encode()),
        st.dictionaries(st.sampled_from(list(order())), VALUES).map(
            lambda v: json.dumps(order() | v).encode()
        ),
    )
)
async def test_any_body_is_answered_in_kind(api, body):
    answer = await api.post(URL, content=body, headers=JSON)
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert answer.json()["ErrorDescription"][:4] in ("1003", "1008", "1018", "1030")


@pytest.mark.operation("GET /commands", "DELETE /commands", "DELETE /command/{commandUUID}")
async def test_history(api, store):
    rows = [
        CommandRow(
            uuid=str(uuid.UUID(int=t)),
            serial_number=AP,
            command="configure",
            status="completed",
            submitted=t,
        )
        for t in (1, 2, 3)
    ]
    await store.commit(Batch([PutCommand(row) for row in rows]))

    async def times(query):
        found = (await api.get(f"/commands?serialNumber={AP}{query}")).json()["commands"]
        return [one["submitted"] for one in found]

    assert await times("") == [1, 2, 3]
    assert await times("&newest=true&limit=2") == [3, 2]
    assert await times("&startDate=2&endDate=3&offset=1&limit=5") == [3]
    assert await times("&limit=0") == []
    assert description(await api.get("/commands")).startswith("1001: ")
    one = rows[0].uuid
    assert (await api.delete(f"/command/{one}")).content == b""
    assert description(await api.get(f"/command/{one}"), 404)
    assert description(await api.delete(f"/command/{one}"), 404)
    assert description(await api.get("/command/nonsense"), 404)
    gone = await api.delete(f"/commands?serialNumber={AP}&startDate=3")
    assert (gone.status_code, gone.content) == (200, b"")
    assert await times("") == [2]
