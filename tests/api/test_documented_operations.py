"""Every operation of the two API documents takes any input and answers as documented."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import AP

ALLOWED = {200, 202, 204, 400, 403, 404, 405}
INTEGERS = ("0", "1", "-1", "1000", "1001", "9" * 31, "NaN", "1e3", " 1", "\u0663", "", "%")
TEXT = st.one_of(
    st.sampled_from([*INTEGERS, AP, "true", "false", "TRUE", "all", "ap", "a,b", ",", "*", "\0"]),
    st.text(max_size=30),
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=10,
)
RELAXED = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check(answer):
    """An answer is JSON of the documented statuses; a refusal has the envelope."""
    assert answer.status_code in ALLOWED, (answer.request.url, answer.status_code, answer.text)
    if answer.status_code >= 400:
        found = answer.json()
        assert set(found) == {"ErrorCode", "ErrorDetails", "ErrorDescription"}
        assert found["ErrorDetails"] == answer.request.method
        number = int(found["ErrorDescription"].partition(":")[0])
        expected = number if answer.status_code == 403 else answer.status_code
        assert found["ErrorCode"] == expected
    elif answer.content and "json" in answer.headers["content-type"]:
        answer.json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def body_members(document, operation):
    """Names of the members that the body of an operation may have."""
    content = operation.get("requestBody", {}).get("content", {})
    for one in content.values():
        name = one["schema"]["$ref"].rpartition("/")[2]
        return sorted(document["components"]["schemas"][name].get("properties", {}))
    return []


@st.composite
def requests_of(draw, document, path, operation):
    """A request of an operation: path, query as pairs (repeated too), and body or None."""
    for one in operation["parameters"]:
        if one["in"] == "path":
            value = draw(st.one_of(st.just(AP), TEXT.filter(bool)))
            quoted = "".join(f"%{byte:02X}" for byte in value.encode("utf-8", "surrogatepass"))
            path = path.replace("{" + one["name"] + "}", quoted)
    names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    query = draw(st.lists(st.tuples(st.sampled_from([*names, "other"]), TEXT), max_size=5))
    members = body_members(document, operation)
    if not members:
        return path, query, None
    known = st.dictionaries(st.sampled_from([*members, "serialNumber"]), JSON, max_size=5)
    body = draw(st.one_of(known, known, JSON))
    return path, query, json.dumps(body)


async def exercise(client, document, example, path, operation, method):
    target, query, body = example.draw(requests_of(document, path, operation))
    if "simulatedDevices" in dict(query):
        return  # goes on in the background
    extra = (
        {} if body is None else {"content": body, "headers": {"content-type": "application/json"}}
    )
    base = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
    pairs = [(name, value.encode("utf-8", "replace").decode()) for name, value in query]
    check(await client.request(method, base + target, params=pairs, **extra))


@RELAXED
@given(example=st.data())
@pytest.mark.usefixtures("devices")
async def test_gateway(api, example):
    document = (await api.get("https://gw.example:16002/openapi.json")).json()
    for path, method, operation in operations(document):
        await exercise(api, document, example, path, operation, method)


@RELAXED
@given(example=st.data())
async def test_security(security, apps, token, example):
    security.headers["authorization"] = f"Bearer {token}"
    document = (await security.get("https://gw.example:16001/openapi.json")).json()
    for path, method, operation in operations(document):
        await exercise(security, document, example, path, operation, method)


async def test_documents(api, security):
    """Both have all that their reader needs: summaries, unique ids, notes of the members."""
    for client, title in ((api, "gw"), (security, "gw security")):
        base = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
        document = (await client.get(base + "/openapi.json")).json()
        assert document["info"]["title"] == title
        found = [operation for _, _, operation in operations(document)]
        assert all(one["summary"] and one["tags"] for one in found)
        ids = [one["operationId"] for one in found]
        assert len(set(ids)) == len(ids)
        assert document["x-other-listener"]["port"] in (16001, 16002)
        for page in ("/docs", "/docs/docs.js", "/docs/docs.css", "/favicon.ico"):
            assert (await client.get(base + page)).status_code == 200
    document = (await api.get("https://gw.example:16002/openapi.json")).json()
    listing = document["paths"]["/api/v1/devices"]["get"]["parameters"]
    order = next(one for one in listing if one["name"] == "orderBy")
    assert order["description"].startswith("`name:a`")
    members = document["components"]["schemas"]["ConfigureBody"]["properties"]
    assert members["when"]["description"] == "Epoch seconds; 0: now."


@pytest.mark.usefixtures("devices")
async def test_unauthenticated(api, security, apps):
    """Whatever is not described as public refuses a stranger, with code 8."""
    for client in (api, security):
        client.headers.pop("authorization", None)
        base = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
        document = (await client.get(base + "/openapi.json")).json()
        for path, method, operation in operations(document):
            if operation.get("security") == []:
                continue
            for header in ({}, {"x-api-key": "x"}, {"authorization": "Bearer " + "0" * 64}):
                target = path.replace("{serialNumber}", AP)
                answer = await client.request(method, base + target, headers=header)
                assert answer.status_code == 403, (method, path)
                assert answer.json()["ErrorCode"] == 8
