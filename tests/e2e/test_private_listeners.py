"""The listeners for sister services, and the load balancers' checks (northbound.md 1 and 2.1)."""

import stat

import httpx
import pytest

pytestmark = pytest.mark.e2e
SERIAL = "02a0e8000001"


def key_of(gateway):
    path = gateway.folder / "data" / "internal.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text()


def internal(gateway, **more):
    return {"X-INTERNAL-NAME": "https://owprov:16005", "X-API-KEY": key_of(gateway), **more}


async def ask(gateway, path, headers=None, *, method="GET", service="private_api", **more):
    return await gateway.request(
        method, path, service=service, signed=False, extra_headers=headers, **more
    )


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


async def test_a_sister_service_shows_the_key(shared_gateway):
    gateway = shared_gateway
    known = await ask(gateway, "devices", internal(gateway))
    assert known.status_code == 200
    for wrong in ("", "x" * 64, key_of(gateway)[:-1]):
        refused = await ask(gateway, "devices", internal(gateway) | {"X-API-KEY": wrong})
        assert code(refused) == 8
    assert code(await ask(gateway, "devices")) == 8


async def test_the_key_is_worth_nothing_on_the_public_listeners(shared_gateway):
    for service, path in (("api", "devices"), ("security", "users")):
        assert code(await ask(shared_gateway, path, internal(shared_gateway), service=service)) == 8


async def test_users_and_tokens_for_a_sister_service(shared_gateway):
    gateway = shared_gateway
    token = await gateway.sign_in()
    users = await ask(gateway, "users", internal(gateway), service="private_security")
    assert [user["email"] for user in users.json()["users"]] == ["admin@localhost"]
    found = await ask(
        gateway, f"validateToken?token={token}", internal(gateway), service="private_security"
    )
    assert found.json()["userInfo"]["email"] == "admin@localhost"
    assert "$argon2" not in found.text


async def test_a_user_may_come_in_by_the_private_listener_too(shared_gateway):
    token = await shared_gateway.sign_in()
    answer = await ask(shared_gateway, "devices", {"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["system?command=info", "capabilities", "deviceDashboard"])
async def test_what_the_private_listener_does_not_offer(shared_gateway, path):
    answer = await ask(shared_gateway, path, internal(shared_gateway))
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1004: ")
    assert (await shared_gateway.request("GET", path)).status_code == 200


async def test_a_sister_service_has_no_role(shared_gateway):
    path = f"device/{SERIAL}"
    refused = await ask(shared_gateway, path, internal(shared_gateway), method="DELETE")
    assert code(refused) == 7


async def test_a_configured_key(start_gateway):
    key = "k" * 40
    gateway = await start_gateway(**{"security.internal_key": key})
    assert not (gateway.folder / "data" / "internal.key").exists()
    headers = {"X-INTERNAL-NAME": "x", "X-API-KEY": key}
    assert (await ask(gateway, "devices", headers)).status_code == 200
    assert key not in gateway.log()


async def test_the_checks_of_load_balancers(shared_gateway):
    async with httpx.AsyncClient(timeout=60) as client:
        for name in ("metrics", "security_check"):
            answer = await client.get(shared_gateway.ready[name] + "/")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/html")
        answer = await client.get(shared_gateway.ready["security_check"] + "/metrics")
        assert answer.status_code == 404
