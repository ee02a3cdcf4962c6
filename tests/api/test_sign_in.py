import asyncio
import json

import pytest

from gw.api.owsec.throttle import Throttle
from gw.security.tokens import token_hash
from gw.store.interface import Batch, PutToken, PutUser

PASSWORD = "Right-Horse-7"
OTHER = "Other-Horse-8"


def code(answer):
    assert answer.status_code == 403
    assert set(answer.json()) == {"ErrorCode", "ErrorDetails", "ErrorDescription"}
    return answer.json()["ErrorCode"]


async def me(security, token):
    return await security.get("/oauth2?me=true", headers={"authorization": f"Bearer {token}"})


@pytest.mark.operation("owsec POST /oauth2", "owsec GET /oauth2")
async def test_login(sign_in, security):
    answer = await sign_in()
    assert answer.status_code == 200
    token = answer.json()
    assert token["token_type"] == "Bearer"
    assert token["username"] == "root@localhost"
    assert token["expires_in"] == 2_592_000
    assert token["aclTemplate"]["PortalLogin"] is True
    user = (await me(security, token["access_token"])).json()
    assert user["userRole"] == "root"
    assert user["currentPassword"] == ""
    assert user["lastLogin"] > 0
    assert "preferences" not in user


async def test_email_in_any_case(security):
    body = {"userId": " Root@LOCALHOST ", "password": PASSWORD}
    assert (await security.post("/oauth2", json=body)).status_code == 200


async def test_wrong_password_and_unknown_user_look_alike(sign_in):
    wrong, unknown = await sign_in(password="no"), await sign_in("nobody")
    assert code(wrong) == code(unknown) == 2
    assert wrong.json() == unknown.json()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"userId":1}', b"\xff"])
async def test_bad_bodies(security, body):
    answer = await security.post(
        "/oauth2", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1003: ")
    assert answer.json()["ErrorDetails"] == "POST"


async def test_empty_object_is_an_unknown_user(security):
    assert code(await security.post("/oauth2", json={})) == 2


async def test_body_too_large(security):
    answer = await security.post("/oauth2", json={"userId": "x" * 20_000})
    assert answer.status_code == 400
    assert "16384" in answer.json()["ErrorDescription"]


@pytest.mark.operation("owsec POST /oauth2")
async def test_password_change(sign_in, security):
    assert code(await sign_in("new")) == 1
    assert code(await sign_in("new", newPassword="weak")) == 5
    assert code(await sign_in("new", newPassword=PASSWORD)) == 3
    assert code(await sign_in("new", password="no", newPassword=OTHER)) == 2
    assert (await sign_in("new", newPassword=OTHER)).status_code == 200
    assert code(await sign_in("new")) == 2
    assert (await sign_in("new", password=OTHER)).status_code == 200
    # The first one is in the history now.
    assert code(await sign_in("new", password=OTHER, newPassword=PASSWORD)) == 3


async def test_suspended_users(sign_in, token, security, store, apps):
    user = await store.user("id-root")
    user.suspended = True
    await store.commit(Batch([PutUser(user)]))
    apps.authentication.forget_user("id-root")
    assert code(await sign_in()) == 15
    assert code(await me(security, token)) == 15
    user.suspended, user.waiting_for_email_check = False, True
    await store.commit(Batch([PutUser(user)]))
    assert code(await sign_in()) == 4


@pytest.mark.operation("owsec POST /oauth2")
async def test_refresh(sign_in, security):
    first = (await sign_in()).json()
    bearer = {"authorization": f"Bearer {first['access_token']}"}

    async def refresh(token, headers=bearer):
        return await security.post(
            "/oauth2?grant_type=refresh_token", json={"refreshToken": token}, headers=headers
        )

    assert code(await refresh("nonsense")) == 14
    assert code(await refresh(first["refresh_token"], {})) == 14
    both = await asyncio.gather(refresh(first["refresh_token"]), refresh(first["refresh_token"]))
    assert sorted(one.status_code for one in both) == [200, 403]
    second = next(one for one in both if one.status_code == 200).json()
    assert second["lastRefresh"] > 0
    assert code(await me(security, first["access_token"])) == 8
    assert (await me(security, second["access_token"])).status_code == 200


@pytest.mark.operation("owsec DELETE /oauth2/{token}")
async def test_logout(token, api, security):
    assert (await api.get("/devices")).status_code == 200
    bearer = {"authorization": f"Bearer {token}"}
    other = await security.delete("/oauth2/other", headers=bearer)
    assert other.status_code == 400
    assert other.json()["ErrorDescription"].startswith("1018: ")
    answer = await security.delete(f"/oauth2/{token}", headers=bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["connection"] == "close"
    assert code(await api.get("/devices")) == 8


async def test_logout_of_an_unknown_token_costs_the_coordinator_nothing(security, coordinator):
    headers = {"authorization": "Bearer feed"}
    assert (await security.delete("/oauth2/feed", headers=headers)).status_code == 204
    assert coordinator.seen == []


async def test_tokens(security, store, token):
    row = await store.token(token_hash(token))
    row.expires = 5
    await store.commit(Batch([PutToken(row)]))
    assert code(await me(security, token)) == 9
    assert code(await me(security, "feed")) == 8
    assert code(await me(security, "x" * 5000)) == 8
    assert code(await security.get("/oauth2?me=true")) == 8
    basic = {"authorization": f"Basic {token}"}
    assert code(await security.get("/oauth2?me=true", headers=basic)) == 8


async def test_me_is_required(security, token):
    answer = await security.get("/oauth2", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["ErrorDescription"].startswith("1050: ")


async def test_requirements_and_forgotten_password(security):
    needs = (await security.post("/oauth2?requirements=true", json={})).json()
    assert set(needs) == {"passwordPattern", "accessPolicy", "passwordPolicy"}
    known, unknown = [
        await security.post("/oauth2?forgotPassword=true", json={"userId": user})
        for user in ("root@localhost", "nobody@localhost")
    ]
    assert known.status_code == unknown.status_code == 200
    assert known.json() == unknown.json()
    assert known.json()["userMustChangePassword"] is True
    assert known.json()["access_token"] == ""


async def test_throttle(sign_in, settings, security):
    for _ in range(settings.security.login_attempts_per_minute):
        await sign_in("nobody")
    assert code(await sign_in()) == 10
    needs = await security.post("/oauth2?requirements=true", json={})
    assert needs.status_code == 200


def test_throttle_counts_per_minute_and_network():
    now = [0.0]
    throttle = Throttle(2, lambda: now[0])
    assert [throttle.allows("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert throttle.allows("192.0.2.2")
    assert throttle.allows("::ffff:192.0.2.2")
    assert not throttle.allows("192.0.2.2")
    assert throttle.allows("2001:db8::1")
    assert throttle.allows("2001:db8::2")
    assert not throttle.allows("2001:db8::3")
    now[0] = 60.0
    assert throttle.allows("192.0.2.1")
    for i in range(20_000):
        throttle.allows(f"10.0.{i // 250}.{i % 250}")
    assert throttle.allows("192.0.2.1")


@pytest.mark.operation("owsec GET /validateToken")
async def test_validate_token(security, token):
    headers = {"authorization": f"Bearer {token}"}
    found = (await security.get(f"/validateToken?token={token}", headers=headers)).json()
    assert found["tokenInfo"]["access_token"] == token
    assert found["tokenInfo"]["username"] == "id-root"
    assert found["userInfo"]["email"] == "root@localhost"
    assert "$argon2" not in json.dumps(found)
    unknown = await security.get("/validateToken?token=x", headers=headers)
    assert unknown.status_code == 404
    assert unknown.json()["ErrorDescription"].startswith("404: ")
    assert code(await security.get(f"/validateToken?token={token}")) == 8


@pytest.mark.operation(
    "owsec GET /systemEndpoints", "owsec GET /preferences", "owsec PUT /preferences"
)
async def test_what_the_ui_needs_after_login(security, token):
    headers = {"authorization": f"Bearer {token}"}
    empty = (await security.get("/preferences", headers=headers)).json()
    assert empty == {"id": "id-root", "modified": 0, "data": []}
    wanted = [{"tag": "size", "value": "25"}]
    kept = (await security.put("/preferences", json={"data": wanted}, headers=headers)).json()
    assert kept["data"] == wanted
    assert (await security.get("/preferences", headers=headers)).json() == kept
    endpoints = (await security.get("/systemEndpoints", headers=headers)).json()["endpoints"]
    assert [(e["type"], e["uri"]) for e in endpoints] == [("owgw", "https://gw.example:16002")]
    info = (await security.get("/system?command=info", headers=headers)).json()
    assert {"version", "uptime", "start", "os", "processors", "hostname", "UI"} <= set(info)
    # Without owfms its calls come here; they must not look like a lost session.
    for path in ("/firmwareAge?select=x", "/inventory/x", "/nothing"):
        answer = await security.get(path, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["ErrorDescription"].startswith("1004: ")


async def test_concurrent_changes_of_one_user(sign_in, security, token):
    headers = {"authorization": f"Bearer {token}"}
    data = [{"tag": "a", "value": "b"}]
    await asyncio.gather(
        security.put("/preferences", json={"data": data}, headers=headers),
        *(sign_in() for _ in range(5)),
    )
    assert (await security.get("/preferences", headers=headers)).json()["data"] == data


@pytest.mark.operation("owsec GET /users", "owsec GET /user/{id}")
async def test_users(security, token, as_csr):
    headers = {"authorization": f"Bearer {token}"}

    async def read(path):
        return (await security.get(path, headers=headers)).json()

    emails = [user["email"] for user in (await read("/users"))["users"]]
    assert emails == ["csr@localhost", "new@localhost", "root@localhost"]
    assert (await read("/users?limit=0"))["users"] == []
    assert (await read("/users?idOnly=true&limit=1"))["users"] == ["id-csr"]
    assert (await read("/users?emailSearch=ROOT&idOnly=true"))["users"] == ["id-root"]
    assert (await read("/users?nameSearch=e&idOnly=true&offset=0"))["users"] == ["id-new"]
    assert (await read("/users?select=id-new,x&idOnly=true"))["users"] == ["id-new"]
    assert (await read("/user/root@localhost?byEmail=true"))["id"] == "id-root"
    assert (await read("/user/id-new"))["changePassword"] is True
    assert (await read("/user/x"))["ErrorCode"] == 404
    assert code(await security.get("/users", headers=as_csr)) == 7
    assert code(await security.get("/user/id-csr", headers=as_csr)) == 7
