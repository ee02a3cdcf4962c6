"""Subscribers: accounts of their own, which open nothing of the gateway (security.md 2.5)."""

import pytest

pytestmark = pytest.mark.e2e
PASSWORD = "Correct-Horse-9!"


async def call(gateway, method, path, headers=None, **more):
    return await gateway.request(
        method, path, service="security", signed=headers is None, extra_headers=headers, **more
    )


async def make(gateway, email):
    new = {"email": email, "userRole": "subscriber", "currentPassword": PASSWORD}
    made = await call(gateway, "POST", "subuser/0", json=new)
    assert made.status_code == 200, made.text
    return made.json()["id"]


async def sign_in(gateway, email):
    body = {"userId": email, "password": PASSWORD}
    answer = await call(gateway, "POST", "suboauth2", {}, json=body)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    return token, {"Authorization": f"Bearer {token}"}


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


@pytest.mark.operation(
    "owsec POST /suboauth2",
    "owsec GET /suboauth2",
    "owsec POST /subuser/{id}",
    "owsec PUT /subuser/{id}",
    "owsec PUT /subpreferences",
)
async def test_a_subscriber_has_an_account_of_its_own(shared_gateway):
    gateway = shared_gateway
    id = await make(gateway, "sub1@x.org")
    token, own = await sign_in(gateway, "sub1@x.org")
    me = await call(gateway, "GET", "suboauth2?me=true", own)
    assert (me.json()["id"], me.json()["userRole"]) == (id, "subscriber")
    kept = await call(gateway, "PUT", "subpreferences", own, json={"data": [
        {"tag": "a", "value": "b"}]})  # fmt: skip
    assert kept.json()["data"] == [{"tag": "a", "value": "b"}]
    changed = await call(gateway, "PUT", f"subuser/{id}", own, json={"name": "Sub"})
    assert changed.json()["name"] == "Sub"
    found = await call(gateway, "GET", f"validateSubToken?token={token}")
    assert found.json()["userInfo"]["email"] == "sub1@x.org"
    assert (await call(gateway, "GET", f"validateToken?token={token}")).status_code == 404
    gone = await call(gateway, "DELETE", f"suboauth2/{token}", own)
    assert gone.status_code == 204
    assert code(await call(gateway, "GET", "suboauth2?me=true", own)) == 8


async def test_its_token_opens_nothing_else(shared_gateway):
    gateway = shared_gateway
    await make(gateway, "sub2@x.org")
    _, own = await sign_in(gateway, "sub2@x.org")
    for service, path in (
        ("api", "devices"), ("security", "users"), ("security", "oauth2?me=true"),
        ("security", "preferences"), ("private_api", "devices"),
    ):  # fmt: skip
        answer = await gateway.request(
            "GET", path, service=service, signed=False, extra_headers=own
        )
        assert code(answer) == 8, path
    body = {"userId": "sub2@x.org", "password": PASSWORD}
    assert code(await call(gateway, "POST", "oauth2", {}, json=body)) == 2


@pytest.mark.operation(
    "owsec GET /subusers", "owsec GET /subuser/{id}", "owsec DELETE /subuser/{id}"
)
async def test_users_and_subscribers_are_kept_apart(shared_gateway):
    gateway = shared_gateway
    id = await make(gateway, "sub3@x.org")
    users = (await call(gateway, "GET", "users?limit=1000")).json()["users"]
    subscribers = (await call(gateway, "GET", "subusers?limit=1000")).json()["users"]
    assert "sub3@x.org" not in [one["email"] for one in users]
    assert [one["email"] for one in subscribers if one["id"] == id] == ["sub3@x.org"]
    assert (await call(gateway, "GET", f"user/{id}")).status_code == 404
    assert (await call(gateway, "GET", f"subuser/{id}")).status_code == 200
    # A subscriber sees and changes nobody else.
    other = await make(gateway, "sub4@x.org")
    _, own = await sign_in(gateway, "sub3@x.org")
    assert code(await call(gateway, "GET", "subusers", own)) == 7
    assert code(await call(gateway, "PUT", f"subuser/{other}", own, json={"name": "x"})) == 7
    assert code(await call(gateway, "DELETE", f"subuser/{other}", own)) == 7
    assert (await call(gateway, "DELETE", f"subuser/{id}", own)).status_code == 200
    assert (await call(gateway, "GET", f"subuser/{id}")).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "submfa"), ("PUT", "submfa"),
                                              ("POST", "signup"), ("PUT", "signup")])  # fmt: skip
@pytest.mark.operation(
    "owsec GET /submfa", "owsec PUT /submfa", "owsec POST /signup", "owsec PUT /signup"
)
async def test_what_is_not_offered_says_so(shared_gateway, method, path):
    answer = await call(shared_gateway, method, path)
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1062: ")
