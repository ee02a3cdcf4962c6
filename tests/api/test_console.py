"""The web console is served beside the API, and signs in at the same origin."""

import gzip

import pytest

from gw.api.app import gateway_app
from gw.api.console import Console, accepts

from .conftest import PASSWORD, http

INDEX = "<!doctype html><script type=module src=/console/assets/index-a1B2c3D4.js></script>"
SCRIPT = "console.log('gw');\n" * 100
BROTLI = b"as if it were brotli"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "dist"
    (made / "assets").mkdir(parents=True)
    (made / "index.html").write_text(INDEX)
    script = made / "assets" / "index-a1B2c3D4.js"
    script.write_text(SCRIPT)
    script.with_name(script.name + ".br").write_bytes(BROTLI)
    script.with_name(script.name + ".gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (made / "assets" / "plain.svg").write_text("<svg/>")
    (tmp_path / "outside.txt").write_text("not for anybody")
    return made


@pytest.fixture
async def visitor(apps, folder):
    app = gateway_app(
        apps.context, apps.authentication, console=Console(folder), security=apps.security
    )
    async with http(app, "https://gw.example:16002") as made:
        made.base_url = "https://gw.example:16002"
        made.headers["accept-encoding"] = "identity"
        yield made


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/devices/02a0ad000001"])
async def test_every_place_of_the_console_is_its_index(visitor, path):
    answer = await visitor.get(path)
    assert answer.status_code == 200
    assert answer.text == INDEX
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


async def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline(visitor):
    answer = await visitor.get("/console/")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_hashed_names_are_kept_for_ever_and_others_are_asked_for_again(visitor):
    hashed = await visitor.get("/console/assets/index-a1B2c3D4.js")
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    plain = await visitor.get("/console/assets/plain.svg")
    assert plain.headers["cache-control"] == "no-cache"
    again = await visitor.get(
        "/console/assets/plain.svg", headers={"if-none-match": plain.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", None)],
)
async def test_what_the_build_compressed_is_sent_as_it_is(visitor, accepted, coding):
    async with visitor.stream(
        "GET", "/console/assets/index-a1B2c3D4.js", headers={"accept-encoding": accepted}
    ) as answer:
        content = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers.get("content-encoding") == coding
        assert "Accept-Encoding" in answer.headers["vary"]
        assert answer.headers["content-length"] == str(len(content))
    expected = {"br": BROTLI, "gzip": gzip.compress(SCRIPT.encode()), None: SCRIPT.encode()}
    if coding == "gzip":
        assert gzip.decompress(content) == SCRIPT.encode()
    else:
        assert content == expected[coding]


@pytest.mark.parametrize(
    "path",
    ["/console/none.js", "/console/../outside.txt", "/console/..%2Foutside.txt",
     "/console/assets/index-a1B2c3D4.js.br", "/console/%2e%2e/outside.txt"],
)  # fmt: skip
async def test_there_is_nothing_else(visitor, path):
    answer = await visitor.get(path)
    assert answer.status_code in (400, 404)
    assert "not for anybody" not in answer.text


async def test_it_is_what_the_listener_begins_with(visitor):
    answer = await visitor.get("/")
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert (await visitor.get("/docs")).status_code == 200


async def test_without_a_build_the_start_is_a_page_of_links(apps, tmp_path):
    with pytest.raises(FileNotFoundError):
        Console(tmp_path)
    async with http(apps.api, "https://gw.example:16002") as made:
        made.base_url = "https://gw.example:16002"
        assert (await made.get("/")).status_code == 200
        for path in ("/console/", "/console/security/api/v1/oauth2"):
            told = (await made.get(path)).json()["ErrorDescription"]
            assert told.startswith("1004")


async def test_it_signs_in_at_its_own_origin(visitor):
    assert (await visitor.get("/console/config.json")).json() == {"signIn": "/console/security"}
    body = {"userId": "root@localhost", "password": PASSWORD}
    answer = await visitor.post("/console/security/api/v1/oauth2", json=body)
    assert answer.status_code == 200
    token = answer.json()["access_token"]
    signed = {"authorization": f"Bearer {token}"}
    me = await visitor.get("/console/security/api/v1/oauth2?me=true", headers=signed)
    assert me.json()["email"] == "root@localhost"
    assert (await visitor.get("/api/v1/devices", headers=signed)).status_code == 200
    # Of the gateway's own routes there is none beside.
    other = await visitor.get("/console/security/api/v1/devices", headers=signed)
    assert other.json()["ErrorDescription"].startswith("1004")


async def test_wrong_passwords_are_refused_there_as_well(visitor):
    body = {"userId": "root@localhost", "password": "wrong"}
    answer = await visitor.post("/console/security/api/v1/oauth2", json=body)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 2)


async def test_an_external_security_service_is_named_and_allowed(apps, folder):
    console = Console(folder, sign_in="https://sec.example:16001/")
    app = gateway_app(apps.context, apps.authentication, console=console)
    async with http(app, "https://gw.example:16002") as made:
        made.base_url = "https://gw.example:16002"
        told = (await made.get("/console/config.json")).json()
        assert told == {"signIn": "https://sec.example:16001"}
        policy = (await made.get("/console/")).headers["content-security-policy"]
        assert "connect-src 'self' https://sec.example:16001;" in policy


@pytest.mark.parametrize(
    ("header", "coding", "taken"),
    [
        ("br", "br", True), ("BR", "br", True), ("gzip;q=0.5, br;q=1", "br", True),
        ("br;q=0", "br", False), ("br; q=0.000", "br", False), ("", "br", False),
        ("brotli", "br", False), ("*", "br", False),
    ],
)  # fmt: skip
def test_codings(header, coding, taken):
    assert accepts(header, coding) is taken
