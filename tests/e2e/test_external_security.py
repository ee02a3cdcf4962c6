"""A gateway whose users are another one's: an external owsec (security.md 1.2)."""

import asyncio
import time

import pytest

pytestmark = pytest.mark.e2e
KEY = "k" * 40
ROOT = "11111111-0000-0000-6666-999999999999"
PASSWORD = "Correct-Horse-9!"


@pytest.fixture
async def both(start_gateway, pki_dir):
    """The gateway that has the users, and the one that asks it."""
    owner = await start_gateway(**{"security.internal_key": KEY})
    asking = await start_gateway(
        **{
            "security.external_url": owner.ready["private_security"],
            "security.external_key": KEY,
            "security.external_ca": str(pki_dir / "ca.pem"),
            "security.external_seconds": 5,
            "security.external_cache_seconds": 0.2,
        }
    )
    return owner, asking


async def ask(gateway, headers, path="devices", method="GET"):
    return await gateway.request(method, path, signed=False, extra_headers=headers)


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


async def until_code(gateway, headers, wanted):
    """Ask until the cache has forgotten, and the answer is the wanted one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = await ask(gateway, headers)
        if answer.status_code == 403 and answer.json()["ErrorCode"] == wanted:
            return
    raise AssertionError(f"not {wanted}, but {answer.status_code} {answer.text}")


async def test_tokens_and_keys_of_another_service(both):
    owner, asking = both
    assert asking.ready["security"] == owner.ready["private_security"]
    assert asking.ready["private_security"] == ""
    token = await owner.sign_in()
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await ask(asking, bearer)).status_code == 200
    assert code(await ask(asking, {"Authorization": "Bearer nonsense"})) == 8
    assert code(await ask(asking, {})) == 8
    body = {"name": "robot", "expiresOn": int(time.time()) + 1000}
    key = await owner.request("POST", f"apiKey/{ROOT}", service="security", json=body)
    by_key = {"X-API-KEY": key.json()["apiKey"]}
    assert (await ask(asking, by_key)).status_code == 200
    assert code(await ask(asking, {"X-API-KEY": "nonsense"})) == 8
    # Roles come along: root deletes devices (there is none), a csr may not.
    gone = await ask(asking, bearer, "device/02a0e8000099", "DELETE")
    assert gone.status_code == 404
    new = {"email": "csr@x.org", "userRole": "csr", "currentPassword": PASSWORD}
    user = await owner.request("POST", "user/0", service="security", json=new)
    credentials = {"userId": "csr@x.org", "password": PASSWORD}
    signed = await owner.request(
        "POST", "oauth2", service="security", signed=False, json=credentials
    )
    csr = {"Authorization": f"Bearer {signed.json()['access_token']}"}
    assert code(await ask(asking, csr, "device/02a0e8000099", "DELETE")) == 7
    # What is taken back there is refused here, once the answer that is kept is too old.
    await owner.request("DELETE", f"user/{user.json()['id']}", service="security")
    await until_code(asking, csr, 8)
    for secret in (token, key.json()["apiKey"], KEY):
        assert secret not in asking.log()
    assert await asking.metric("gw_security_questions_total", outcome="known") >= 2


async def test_a_service_that_is_away(both):
    owner, asking = both
    bearer = {"Authorization": f"Bearer {await owner.sign_in()}"}
    assert (await ask(asking, bearer)).status_code == 200
    await owner.stop()
    await until_code(asking, bearer, 13)
    # Refused, and not signed out: 13 and not 8.
    assert code(await ask(asking, {"Authorization": "Bearer other"})) == 13
    await owner.start()


async def test_many_at_a_time_are_one_question(both):
    owner, asking = both
    bearer = {"Authorization": f"Bearer {await owner.sign_in()}"}
    await asking.mark()
    answers = await asyncio.gather(*(ask(asking, bearer) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await asking.metric("gw_security_questions_total") < 20


@pytest.mark.parametrize("wrong", ["key", "authority"])
async def test_a_service_that_is_not_trusted_or_does_not_trust(
    start_gateway, tmp_path, pki_dir, wrong
):
    owner = await start_gateway(**{"security.internal_key": KEY})
    settings = {
        "security.external_url": owner.ready["private_security"],
        "security.external_key": "x" * 40 if wrong == "key" else KEY,
    }
    if wrong == "key":
        settings["security.external_ca"] = str(pki_dir / "ca.pem")
    asking = await start_gateway(**settings)
    bearer = {"Authorization": f"Bearer {await owner.sign_in()}"}
    assert code(await ask(asking, bearer)) == 13
