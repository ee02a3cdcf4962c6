"""An authenticator app as second factor: set up, signed in with, reset (security.md 2.2 and 5)."""

import html
import re
import time

import pyotp
import pytest

pytestmark = pytest.mark.e2e
PASSWORD = "Correct-Horse-9!"
STEP = 30


async def login(gateway, email, query="", **more):
    body = {"userId": email, "password": PASSWORD, **more}
    return await gateway.request(
        "POST", f"oauth2{query}", service="security", signed=False, json=body
    )


async def user_with_session(gateway, email, role="csr"):
    new = {"email": email, "userRole": role, "currentPassword": PASSWORD}
    made = (await gateway.request("POST", "user/0", service="security", json=new)).json()
    token = (await login(gateway, email)).json()["access_token"]
    return made["id"], {"Authorization": f"Bearer {token}"}


async def call(gateway, headers, method, path, **more):
    return await gateway.request(
        method, path, service="security", signed=False, extra_headers=headers, **more
    )


def code(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["ErrorCode"]


def number(answer):
    assert answer.status_code == 400, answer.text
    return int(answer.json()["ErrorDescription"].partition(":")[0])


async def set_up(gateway, headers):
    """Go through the set-up as an app would; return it, and the time of the last code."""
    image = await call(gateway, headers, "GET", "totp?reset=true")
    uri = html.unescape(re.search(r"otpauth://[^<]+", image.text)[0])
    app = pyotp.parse_uri(uri)
    now = time.time()
    # The code of the step before, and the present one: a clock may be a step off.
    first = await call(gateway, headers, "PUT", f"totp?index=1&value={app.at(now - STEP)}")
    assert first.json() == {"nextIndex": 2, "moreCodes": True}
    same = await call(gateway, headers, "PUT", f"totp?index=2&value={app.at(now - STEP)}")
    assert number(same) == 1088
    second = await call(gateway, headers, "PUT", f"totp?index=2&value={app.at(now)}")
    assert second.json() == {"nextIndex": 0, "moreCodes": False}
    return app, now


async def turn(gateway, headers, id, enabled, method="authenticator"):
    body = {"userTypeProprietaryInfo": {"mfa": {"enabled": enabled, "method": method}}}
    return await call(gateway, headers, "PUT", f"user/{id}", json=body)


async def complete(gateway, challenge, answer):
    body = {"uuid": challenge["uuid"], "answer": answer}
    return await login(gateway, "", "?completeMFAChallenge=true", **body)


@pytest.mark.operation("owsec GET /totp", "owsec PUT /totp")
async def test_an_app_is_set_up_and_asked_for(shared_gateway):
    gateway = shared_gateway
    id, headers = await user_with_session(gateway, "app@x.org")
    app, last = await set_up(gateway, headers)
    ((kept,),) = gateway.sql("SELECT document FROM users WHERE id = ?", id)
    assert app.secret not in kept
    enabled = (await turn(gateway, headers, id, True)).json()["userTypeProprietaryInfo"]
    assert enabled["mfa"] == {"enabled": True, "method": "authenticator"}
    assert enabled["authenticatorSecret"] == ""
    challenge = (await login(gateway, "app@x.org")).json()
    assert challenge["method"] == "authenticator"
    # The last code of the set-up was used; the next one is good, once.
    assert code(await complete(gateway, challenge, app.at(last))) == 12
    following = app.at(last + STEP)
    done = await complete(gateway, challenge, following)
    assert done.json()["access_token"], done.text
    challenge = (await login(gateway, "app@x.org")).json()
    assert code(await complete(gateway, challenge, following)) == 12
    for secret in (app.secret, following):
        assert secret not in gateway.log()


async def test_resetting_it(shared_gateway):
    gateway = shared_gateway
    id, headers = await user_with_session(gateway, "lost@x.org")
    await set_up(gateway, headers)
    await turn(gateway, headers, id, True)
    other, others = await user_with_session(gateway, "colleague@x.org")
    # A colleague of the same role may change the user, but not take the second factor away.
    refused = await turn(gateway, others, id, False)
    assert code(refused) == 7
    assert code(await call(gateway, others, "PUT", f"user/{id}?resetMFA=true", json={})) == 7
    assert "uuid" in (await login(gateway, "lost@x.org")).json()
    reset = await gateway.request("PUT", f"user/{id}?resetMFA=true", service="security", json={})
    assert reset.json()["userTypeProprietaryInfo"]["mfa"]["enabled"] is False
    assert (await login(gateway, "lost@x.org")).json()["access_token"]
    assert number(await turn(gateway, headers, id, True)) == 1055
    assert other


async def test_the_order_of_a_set_up_is_kept(shared_gateway):
    gateway = shared_gateway
    _, headers = await user_with_session(gateway, "order@x.org")
    assert number(await call(gateway, headers, "PUT", "totp?index=1&value=123456")) == 1090
    image = await call(gateway, headers, "GET", "totp?reset=true")
    assert image.headers["content-type"] == "image/svg+xml"
    assert image.text.startswith("<svg")
    assert number(await call(gateway, headers, "PUT", "totp?index=3&value=123456")) == 1087
    assert number(await call(gateway, headers, "PUT", "totp?index=2&value=123456")) == 1089
    assert number(await call(gateway, headers, "PUT", "totp?index=1&value=12345")) == 1086


async def test_an_app_that_was_not_set_up_cannot_be_turned_on(shared_gateway):
    gateway = shared_gateway
    id, headers = await user_with_session(gateway, "early@x.org")
    info = {"mfa": {"enabled": True, "method": "authenticator"}}
    body = {"userTypeProprietaryInfo": info}
    answer = await gateway.request("PUT", f"user/{id}", service="security", json=body)
    assert number(answer) == 1055
    assert headers


@pytest.mark.operation("owsec POST /sms")
async def test_there_are_no_text_messages(shared_gateway):
    gateway = shared_gateway
    id, headers = await user_with_session(gateway, "sms@x.org")
    for query in ("?validateNumber=true", "?completeValidation=true&validationCode=1"):
        answer = await call(gateway, headers, "POST", f"sms{query}", json={"to": "1"})
        assert number(answer) == 1084
    body = {"userTypeProprietaryInfo": {"mfa": {"enabled": True, "method": "sms"}}}
    assert number(await gateway.request("PUT", f"user/{id}", service="security", json=body)) == 1084
