"""Pictures of users, and secrets of the system (security.md 5 and 8)."""

import pytest

pytestmark = pytest.mark.e2e
ROOT = "11111111-0000-0000-6666-999999999999"
PASSWORD = "Correct-Horse-9!"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


async def upload(gateway, image, name="file", kind="image/png"):
    return await gateway.request(
        "POST", f"avatar/{ROOT}", service="security", files={name: ("me.png", image, kind)}
    )


async def as_user(gateway, email, role):
    new = {"email": email, "userRole": role, "currentPassword": PASSWORD}
    made = await gateway.request("POST", "user/0", service="security", json=new)
    body = {"userId": email, "password": PASSWORD}
    signed = await gateway.request("POST", "oauth2", service="security", signed=False, json=body)
    token = signed.json()["access_token"]
    return made.json()["id"], {"Authorization": f"Bearer {token}"}


@pytest.mark.operation(
    "owsec GET /avatar/{id}", "owsec POST /avatar/{id}", "owsec DELETE /avatar/{id}"
)
async def test_a_picture_is_kept_and_shown(shared_gateway):
    gateway = shared_gateway
    stored = (await upload(gateway, PNG)).json()
    assert stored["errorCode"] == 0
    user = await gateway.get(f"user/{ROOT}", service="security")
    assert user["avatar"] == stored["avatarId"]
    answer = await gateway.request("GET", f"avatar/{ROOT}?cache={user['avatar']}",
                                   service="security")  # fmt: skip
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    _, csr = await as_user(gateway, "avatar@x.org", "csr")
    refused = await gateway.request(
        "DELETE", f"avatar/{ROOT}", service="security", signed=False, extra_headers=csr
    )
    assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
    gone = await gateway.request("DELETE", f"avatar/{ROOT}", service="security")
    assert (gone.status_code, gone.content) == (200, b"")
    answer = await gateway.request("GET", f"avatar/{ROOT}", service="security")
    assert answer.status_code == 404
    assert (await gateway.get(f"user/{ROOT}", service="security"))["avatar"] == "0"


@pytest.mark.parametrize(
    ("image", "name"),
    [(SVG, "file"), (b"", "file"), (PNG, "other"), (PNG[:8] + bytes(2_000_000), "file")],
    ids=["svg", "empty", "another field", "too large"],
)
async def test_what_is_no_picture(shared_gateway, image, name):
    answer = await upload(shared_gateway, image, name, "image/png")
    assert answer.status_code == 200
    assert answer.json()["errorCode"] == 13


@pytest.mark.operation(
    "owsec GET /systemSecret/{secret}",
    "owsec PUT /systemSecret/{secret}",
    "owsec DELETE /systemSecret/{secret}",
)
async def test_secrets_of_the_system(shared_gateway):
    gateway = shared_gateway
    name = "google.maps.apikey"

    async def call(method, path, headers=None):
        return await gateway.request(
            method, f"systemSecret/{path}", service="security", signed=headers is None,
            extra_headers=headers,
        )  # fmt: skip

    assert (await call("GET", name)).status_code == 404
    known = (await call("GET", "0?dictionary=true")).json()["knownKeys"]
    assert name in [one["key"] for one in known]
    value = "AIza-not-a-real-one"
    assert (await call("PUT", f"{name}?value={value}")).json() == {"key": name, "value": value}
    assert (await call("GET", name)).json()["value"] == value
    assert (await call("GET", "0?all=true")).json()["secrets"] == [{"key": name, "value": value}]
    assert (await call("PUT", "other.name?value=x")).status_code == 400
    ((kept,),) = gateway.sql("SELECT value FROM system_secrets")
    assert value not in kept
    assert value not in gateway.log()
    _, admin = await as_user(gateway, "secrets@x.org", "admin")
    for method, path in (("GET", name), ("PUT", f"{name}?value=x"), ("DELETE", name)):
        refused = await call(method, path, admin)
        assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
    assert (await call("DELETE", name)).status_code == 200
    assert (await call("DELETE", name)).status_code == 404
