"""Who did what: one entry with each request that changes something."""

import json

import pytest

pytestmark = pytest.mark.e2e
SERIAL = "02a0e8000010"
SECRET = "Correct-Horse-9!"


async def entries(gateway, **conditions):
    pairs = "&".join(f"{name}={value}" for name, value in conditions.items())
    return (await gateway.get(f"audit?{pairs}", service="security"))["entries"]


async def finished(gateway, **conditions):
    """The entries, once each has its result: it is written just after the answer."""
    while True:
        found = await entries(gateway, **conditions)
        if all(one["result"] >= 0 for one in found):
            return found


async def test_a_change_is_one_entry_with_all_that_an_auditor_asks(shared_gateway):
    gateway = shared_gateway
    body = {"serialNumber": SERIAL, "reason": "lost"}
    answer = await gateway.request("POST", f"blacklist/{SERIAL}", json=body)
    assert answer.status_code == 200, answer.text
    (found,) = await finished(gateway, target=SERIAL)
    assert found["author"] == "admin@localhost"
    assert found["role"] == "root"
    assert found["via"] == "token"
    assert found["address"] == "127.0.0.1"
    assert found["request"].startswith("POST /api/v1/blacklist/{")
    assert found["operation"] == "blacklist.put"
    assert (found["result"], found["detail"]) == (0, "")
    assert gateway.logged("done", operation="blacklist.put", target=SERIAL)


async def sign_in_as(gateway, email, role):
    """Make a user; return the token, and all of the answer."""
    new = {"email": email, "userRole": role, "currentPassword": SECRET}
    made = await gateway.request("POST", "user/0", service="security", json=new)
    assert made.status_code == 200, made.text
    credentials = {"userId": email, "password": SECRET}
    signed = await gateway.request(
        "POST", "oauth2", service="security", signed=False, json=credentials
    )
    return signed.json()


async def test_what_was_not_allowed_is_an_entry_too(shared_gateway):
    gateway = shared_gateway
    session = await sign_in_as(gateway, "csr1@x.org", "csr")
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    other = "02a0e8000011"
    refused = await gateway.request(
        "DELETE", f"device/{other}", signed=False, extra_headers=headers
    )
    assert refused.status_code == 403
    while not (found := await entries(gateway, target=other)):
        pass  # it is written in the background
    assert [(one["author"], one["result"]) for one in found] == [("csr1@x.org", 7)]


async def test_secrets_are_never_in_it(shared_gateway):
    gateway = shared_gateway
    session = await sign_in_as(gateway, "audited@x.org", "csr")
    token = session["access_token"]
    out = {"Authorization": f"Bearer {token}"}
    gone = await gateway.request(
        "DELETE", f"oauth2/{token}", service="security", signed=False, extra_headers=out
    )
    assert gone.status_code == 204
    found = await finished(gateway, author="audited@x.org")
    assert {one["via"] for one in found} >= {"sign-in"}
    text = json.dumps(await finished(gateway, limit=1000)) + gateway.log()
    assert "audited@x.org" in text
    for secret in (SECRET, token, session["refresh_token"]):
        assert secret not in text


async def test_pages_go_on_where_the_one_before_ended(shared_gateway):
    gateway = shared_gateway
    whole = await finished(gateway, limit=1000)
    assert len(whole) > 3
    assert [one["id"] for one in whole] == sorted((one["id"] for one in whole), reverse=True)
    paged, before = [], 0
    while page := await entries(gateway, limit=2, before=before):
        paged += page
        before = page[-1]["id"]
    assert [one["id"] for one in paged] == [one["id"] for one in whole]


async def test_reading_leaves_no_entry(shared_gateway):
    before = await finished(shared_gateway, limit=1)
    await shared_gateway.get("devices?connectionStatistics=true")
    assert await finished(shared_gateway, limit=1) == before


async def test_administrators_only(shared_gateway):
    gateway = shared_gateway
    session = await sign_in_as(gateway, "csr2@x.org", "csr")
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    refused = await gateway.request(
        "GET", "audit", service="security", signed=False, extra_headers=headers
    )
    assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
