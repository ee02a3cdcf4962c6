import httpx
import pytest

from gw.api.edge import Edge, RouteMethods

AP = "24f5a207a130"


async def test_no_answer_without_a_token(apps):
    transport = httpx.ASGITransport(apps.api)
    async with httpx.AsyncClient(transport=transport, base_url="https://gw/api/v1") as client:
        for method, path in (
            ("GET", "/devices"),
            ("GET", f"/device/{AP}"),
            ("POST", f"/device/{AP}/configure"),
            ("DELETE", f"/device/{AP}"),
            ("GET", "/commands"),
            ("GET", "/system?command=info"),
        ):
            answer = await client.request(method, path)
            assert answer.status_code == 403
            assert answer.json()["ErrorCode"] == 8
            assert answer.json()["ErrorDetails"] == method
            assert answer.headers["access-control-allow-origin"] == "*"
            key = await client.request(method, path, headers={"x-api-key": "k"})
            assert key.json()["ErrorCode"] == 8
        assert (await client.get("/nothing")).status_code == 400


async def test_preflight_needs_no_token(apps):
    transport = httpx.ASGITransport(apps.api)
    headers = {"origin": "https://ui", "access-control-request-headers": "authorization,x-a"}
    async with httpx.AsyncClient(transport=transport, base_url="https://gw/api/v1") as client:
        answer = await client.options(f"/device/{AP}", headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["access-control-allow-methods"] == "DELETE, GET, POST, PUT"
        assert answer.headers["access-control-allow-headers"] == "authorization,x-a"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-max-age"] == "86400"
        assert answer.headers["access-control-allow-origin"] == "https://ui"
        assert answer.headers["vary"] == "Origin, Accept-Encoding"
        other = await client.options("/nothing")
        assert other.status_code == 200
        assert other.headers["access-control-allow-origin"] == "*"
        assert other.headers["access-control-allow-methods"] == "DELETE, GET, POST, PUT"
        static = await client.options(f"/device/{AP}/logs")
        assert static.headers["access-control-allow-methods"] == "DELETE, GET, POST"


async def test_headers_of_answers(api, devices):
    answer = await api.get("/devices", headers={"origin": "https://ui"})
    assert answer.headers["access-control-allow-origin"] == "https://ui"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    plain = await api.get("/devices", headers={"accept-encoding": "gzip;q=0, br"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


async def test_only_listed_origins(settings):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100_000})

    seen = []
    edge = Edge(app, RouteMethods([]), ["https://ui"], lambda status, _: seen.append(status))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(edge), base_url="https://gw"
    ) as client:
        ours = await client.get("/", headers={"origin": "https://ui"})
        assert ours.headers["access-control-allow-origin"] == "https://ui"
        other = await client.get("/", headers={"origin": "https://evil"})
        assert "access-control-allow-origin" not in other.headers
        assert ours.content == b"x" * 100_000
    assert seen == [200, 200]


async def test_fault_outside_the_framework():
    async def app(scope, receive, send):
        raise LookupError("secret")

    edge = Edge(app, RouteMethods([]), ["*"], lambda *_: None)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(edge), base_url="https://gw"
    ) as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert answer.json()["ErrorDescription"].startswith("1002: ")
    assert "secret" not in answer.text


async def test_fault_in_a_handler(api, apps, monkeypatch):
    async def broken(*_args, **_more):
        raise LookupError("secret")

    monkeypatch.setattr(type(apps.context.reader), "count_devices", broken)
    answer = await api.get("/devices?countOnly=true")
    assert answer.status_code == 500
    assert answer.json()["ErrorCode"] == 500
    assert answer.json()["ErrorDescription"].startswith("1002: ")
    assert "secret" not in answer.text


def test_methods_by_path():
    methods = RouteMethods([("/a/{x}", ["GET", "OPTIONS"]), ("/a/b", ["POST"]), ("/", ["GET"])])
    assert methods.of("/a/b") == ["GET", "POST"]
    assert methods.of("/a/c/") == ["GET"]
    assert methods.of("/") == ["GET"]
    assert methods.of("/a") == methods.of("/b/c") == ["DELETE", "GET", "POST", "PUT"]


@pytest.mark.parametrize("page", ["/", "/docs", "/docs/docs.js", "/docs/docs.css"])
async def test_pages_are_public_and_self_contained(apps, page):
    transport = httpx.ASGITransport(apps.api)
    async with httpx.AsyncClient(transport=transport, base_url="https://gw") as client:
        answer = await client.get(page)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "<style" not in answer.text
    assert " style=" not in answer.text


async def test_openapi_document(apps):
    transport = httpx.ASGITransport(apps.api)
    async with httpx.AsyncClient(transport=transport, base_url="https://gw") as client:
        answer = await client.get("/openapi.json")
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    names = set()
    for path, operations in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in operations.items():
            assert method in {"get", "post", "put", "delete"}
            assert operation["summary"]
            assert operation["operationId"] not in names
            names.add(operation["operationId"])
            in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            socket = path.endswith(("/ws", "/ws_telemetry", "/tail"))  # a plain GET never succeeds
            succeeds = set() if socket else {"200"}
            assert set(operation["responses"]) >= {"400", "403", "500"} | succeeds
    assert {"configure", "list_devices", "read_device"} <= names
    schemas = document["components"]["schemas"]
    assert "configurationState" in schemas["DeviceDocument"]["properties"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    meta = pytest.importorskip("jsonschema_rs").meta
    for schema in schemas.values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)
