"""API keys: made, used, bounded by their rights, and gone (security.md 4)."""

import time

import pytest

pytestmark = pytest.mark.e2e
ROOT = "11111111-0000-0000-6666-999999999999"
LATER = int(time.time()) + 86_400


async def make(gateway, name, *, user=ROOT, **more):
    body = {"name": name, "expiresOn": LATER, "description": "for a test", **more}
    return await gateway.request("POST", f"apiKey/{user}", service="security", json=body)


async def made(gateway, name, **more):
    answer = await make(gateway, name, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def by_key(gateway, key, method, path, *, service="api", **more):
    return await gateway.request(
        method, path, service=service, signed=False, extra_headers={"X-API-KEY": key}, **more
    )


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


def number(answer):
    assert answer.status_code == 400, answer.text
    return int(answer.json()["ErrorDescription"].partition(":")[0])


@pytest.mark.operation("owsec GET /apiKey/{uuid}", "owsec POST /apiKey/{uuid}")
async def test_a_key_is_told_once_and_has_the_rights_of_its_owner(shared_gateway):
    gateway = shared_gateway
    key = await made(gateway, "Robot1")
    assert key["name"] == "robot1"
    assert key["rights"] == {"acls": []}
    assert (await by_key(gateway, key["apiKey"], "GET", "devices")).status_code == 200
    me = await by_key(gateway, key["apiKey"], "GET", "oauth2?me=true", service="security")
    assert me.json()["email"] == "admin@localhost"
    listed = await gateway.get(f"apiKey/{ROOT}", service="security")
    found = next(one for one in listed["apiKeys"] if one["id"] == key["id"])
    assert found["apiKey"] != key["apiKey"]
    assert key["apiKey"].startswith(found["apiKey"][:8])
    ((kept,),) = gateway.sql("SELECT key_hash FROM api_keys WHERE id = ?", key["id"])
    assert kept != key["apiKey"]
    await wait_used(gateway, key["id"])
    assert key["apiKey"] not in gateway.log()


async def wait_used(gateway, id):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = await gateway.get(f"apiKey/{ROOT}", service="security")
        if any(one["id"] == id and one["lastUse"] > 0 for one in listed["apiKeys"]):
            return
    raise AssertionError("the use was not noted")


async def test_rights_are_enforced(shared_gateway):
    gateway = shared_gateway
    rights = {"acls": [{"service": "owgw", "access": "read"}]}
    key = (await made(gateway, "reader", rights=rights))["apiKey"]
    assert (await by_key(gateway, key, "GET", "devices")).status_code == 200
    refused = await by_key(gateway, key, "POST", "blacklist/02a0e8000002", json={"reason": "x"})
    assert code(refused) == 7
    assert "API key" in refused.json()["ErrorDescription"]
    assert code(await by_key(gateway, key, "GET", "users", service="security")) == 7


@pytest.mark.operation("owsec DELETE /apiKey/{uuid}")
async def test_a_deleted_key_is_refused_at_once(shared_gateway):
    gateway = shared_gateway
    key = await made(gateway, "gone")
    assert (await by_key(gateway, key["apiKey"], "GET", "devices")).status_code == 200
    path = f"apiKey/{ROOT}?keyUuid={key['id']}"
    assert (await gateway.request("DELETE", path, service="security")).status_code == 200
    assert code(await by_key(gateway, key["apiKey"], "GET", "devices")) == 8
    assert (await gateway.request("DELETE", path, service="security")).status_code == 404


async def test_a_key_is_no_token_and_a_token_no_key(shared_gateway):
    gateway = shared_gateway
    key = (await made(gateway, "kind"))["apiKey"]
    token = await gateway.sign_in()
    as_token = {"Authorization": f"Bearer {key}"}
    answer = await gateway.request("GET", "devices", signed=False, extra_headers=as_token)
    assert code(answer) == 8
    assert code(await by_key(gateway, token, "GET", "devices")) == 8


async def test_what_is_refused(shared_gateway):
    gateway = shared_gateway
    assert number(await make(gateway, "no blanks")) == 1018
    assert number(await make(gateway, "past", expiresOn=5)) == 1018
    wrong = {"acls": [{"service": "owgw", "access": "sometimes"}]}
    assert number(await make(gateway, "wrong", rights=wrong)) == 1018
    assert number(await make(gateway, "nobody", user="x")) == 1149
    await made(gateway, "twice")
    assert number(await make(gateway, "TWICE")) == 1147
    answer = None
    for n in range(12):
        answer = await make(gateway, f"many{n}")
        if answer.status_code != 200:
            break
    assert number(answer) == 1148


@pytest.mark.operation("owsec PUT /apiKey/{uuid}")
async def test_the_description_changes(shared_gateway):
    gateway = shared_gateway
    listed = await gateway.get(f"apiKey/{ROOT}", service="security")
    id = listed["apiKeys"][0]["id"]
    body = {"id": id, "description": "another"}
    path = f"apiKey/{ROOT}?keyUuid={id}"
    answer = await gateway.request("PUT", path, service="security", json=body)
    assert answer.json()["description"] == "another"
    unknown = await gateway.request(
        "PUT", f"apiKey/{ROOT}", service="security", json={"id": "x", "description": ""}
    )
    assert number(unknown) == 1150


@pytest.mark.operation("owsec GET /validateApiKey")
async def test_another_service_resolves_a_key(start_gateway):
    gateway = await start_gateway(**{"security.internal_key": "k" * 32})
    key = (await made(gateway, "robot"))["apiKey"]
    headers = {"X-INTERNAL-NAME": "https://owprov:16005", "X-API-KEY": "k" * 32}

    async def ask(query):
        return await gateway.request(
            "GET", f"validateApiKey{query}", service="private_security", signed=False,
            extra_headers=headers,
        )  # fmt: skip

    found = (await ask(f"?apikey={key}")).json()
    assert found["expiresOn"] == LATER
    assert found["userInfo"]["email"] == "admin@localhost"
    assert found["tokenInfo"]["username"] == ROOT
    assert code(await ask("?apikey=nonsense")) == 7
    assert (await ask("")).status_code == 404


async def test_a_suspended_owner_and_the_keys_of_others(shared_gateway):
    gateway = shared_gateway
    new = {"email": "owner@x.org", "userRole": "admin", "currentPassword": "Correct-Horse-9!"}
    owner = (await gateway.request("POST", "user/0", service="security", json=new)).json()["id"]
    key = (await made(gateway, "theirs", user=owner))["apiKey"]
    assert (await by_key(gateway, key, "GET", "devices")).status_code == 200
    # An admin has nothing to do with the keys of root.
    other = await by_key(gateway, key, "GET", f"apiKey/{ROOT}", service="security")
    assert code(other) == 7
    await gateway.request("PUT", f"user/{owner}", service="security", json={"suspended": True})
    assert code(await by_key(gateway, key, "GET", "devices")) == 15
    await gateway.request("DELETE", f"user/{owner}", service="security")
    assert code(await by_key(gateway, key, "GET", "devices")) == 8
