"""Text messages: numbers are proven, sign-ins get their codes, and a provider that fails."""

from __future__ import annotations

import asyncio
import base64
import re
import uuid

import pytest
from gateway import PASSWORD, Gateway
from sms_provider import Message, Provider

pytestmark = pytest.mark.e2e

PHONE = "+41791234567"


@pytest.fixture
async def provider(pki_dir):
    async with Provider(pki_dir) as one:
        yield one


@pytest.fixture
async def gateway(start_gateway, provider) -> Gateway:
    return await start_gateway(**provider.settings, **{"sms.token": "provider-secret"})


class Person:
    """A user with a session."""

    def __init__(self, gateway: Gateway, id: str, email: str) -> None:
        self.gateway, self.id, self.email = gateway, id, email
        self.headers: dict[str, str] = {}

    async def sign_in(self) -> dict[str, object]:
        body = {"userId": self.email, "password": PASSWORD}
        answer = await self.gateway.request(
            "POST", "oauth2", service="security", signed=False, json=body
        )
        found = answer.json()
        if "access_token" in found:
            self.headers = {"Authorization": f"Bearer {found['access_token']}"}
        return found

    async def call(self, method: str, path: str, **body: object):
        return await self.gateway.request(
            method, path, service="security", signed=False, extra_headers=self.headers, json=body
        )

    async def prove(self, provider: Provider, phone: str) -> None:
        sent = await self.call("POST", "sms?validateNumber=true", to=phone)
        assert sent.status_code == 200, sent.text
        code = code_in(await provider.message())
        query = f"completeValidation=true&validationCode={code}"
        taken = await self.call("POST", f"sms?{query}", to=phone)
        assert taken.status_code == 200, taken.text

    async def turn_on(self, phone: str):
        info = {"mfa": {"enabled": True, "method": "sms"}, "mobiles": [{"number": phone}]}
        return await self.call("PUT", f"user/{self.id}", userTypeProprietaryInfo=info)


async def person(gateway: Gateway, role: str = "admin") -> Person:
    email = f"{uuid.uuid4().hex}@example.org"
    new = {"email": email, "userRole": role, "currentPassword": PASSWORD}
    made = await gateway.request("POST", "user/0", service="security", json=new)
    found = Person(gateway, made.json()["id"], email)
    await found.sign_in()
    return found


def code_in(message: Message) -> str:
    found = re.search(r"\b\d{6}\b", message.fields["text"])
    assert found
    return found[0]


def number(answer) -> int:
    assert answer.status_code == 400, answer.text
    return int(answer.json()["ErrorDescription"].partition(":")[0])


async def complete(gateway: Gateway, challenge: dict, answer: str):
    return await gateway.request(
        "POST", "oauth2?completeMFAChallenge=true", service="security", signed=False,
        json={"uuid": challenge["uuid"], "answer": answer},
    )  # fmt: skip


@pytest.mark.operation("owsec POST /sms")
async def test_a_number_is_proven_and_asked_at_sign_in(gateway, provider):
    user = await person(gateway)
    assert number(await user.turn_on(PHONE)) == 1044
    # As people write it; the gateway sends as E.164 has it.
    sent = await user.call("POST", "sms?validateNumber=true", to="+41 79 123-45-67")
    assert sent.json()["Code"] == 0
    message = await provider.message()
    assert message.fields["to"] == PHONE
    assert message.headers["authorization"] == "Bearer provider-secret"
    wrong = f"{(int(code_in(message)) + 1) % 10**6:06}"
    proof = "sms?completeValidation=true&validationCode="
    assert number(await user.call("POST", proof + wrong, to=PHONE)) == 1057
    assert number(await user.turn_on(PHONE)) == 1044
    right = proof + code_in(message)
    assert number(await user.call("POST", right, to="+41790000000")) == 1057
    assert (await user.call("POST", right, to=PHONE)).status_code == 200
    other = await person(gateway)
    assert number(await other.turn_on(PHONE)) == 1044  # proven by another
    changed = (await user.turn_on(PHONE)).json()["userTypeProprietaryInfo"]
    assert changed["mfa"] == {"enabled": True, "method": "sms"}
    assert changed["mobiles"] == [{"number": PHONE, "verified": True, "primary": True}]

    challenge = await user.sign_in()
    assert (challenge["method"], challenge["question"]) == ("sms", "mfa challenge")
    assert "access_token" not in challenge
    first = code_in(await provider.message())
    again = await gateway.request(
        "POST", "oauth2?resendMFACode=true", service="security", signed=False,
        json={"uuid": challenge["uuid"]},
    )  # fmt: skip
    assert again.status_code == 200
    second = code_in(await provider.message())
    if first != second:
        refused = await complete(gateway, challenge, first)
        assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 12)
    done = await complete(gateway, challenge, second)
    assert done.json()["access_token"], done.text
    assert (await complete(gateway, challenge, second)).json()["ErrorCode"] == 11
    # Off, the number is forgotten.
    await user.call("PUT", f"user/{user.id}?resetMFA=true")
    assert "access_token" in await user.sign_in()
    assert await gateway.metric("gw_sms_total", outcome="sent") == 3
    for secret in (first, second, PHONE, "provider-secret", "url-secret"):
        assert secret not in gateway.log()


async def test_five_wrong_codes(gateway, provider):
    user = await person(gateway)
    await user.call("POST", "sms?validateNumber=true", to=PHONE)
    code = code_in(await provider.message())
    wrong = f"{(int(code) + 1) % 10**6:06}"
    proof = "sms?completeValidation=true&validationCode="
    for _ in range(5):
        assert number(await user.call("POST", proof + wrong, to=PHONE)) == 1057
    assert number(await user.call("POST", proof + code, to=PHONE)) == 1057


async def test_what_is_no_number(gateway):
    user = await person(gateway)
    for to, expected in (("", 1094), ("12345", 1018), ("+1", 1018), ("+0123456789", 1018),
                         ("+41791234567x", 1018), ("+" + "1" * 16, 1018)):  # fmt: skip
        assert number(await user.call("POST", "sms?validateNumber=true", to=to)) == expected
    assert number(await user.call("POST", "sms?completeValidation=true", to=PHONE)) == 1096


async def test_a_text_of_an_administrator(gateway, provider):
    answer = await gateway.request(
        "POST", "sms", service="security", json={"to": PHONE, "text": "hello"}
    )
    assert answer.status_code == 200
    assert (await provider.message()).fields == {"to": PHONE, "text": "hello"}
    csr = await person(gateway, "csr")
    refused = await csr.call("POST", "sms", to=PHONE, text="hello")
    assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)


async def test_a_provider_that_fails(gateway, provider):
    user = await person(gateway)
    await user.prove(provider, PHONE)
    await user.turn_on(PHONE)
    provider.statuses = [503]
    assert number(await user.call("POST", "sms?validateNumber=true", to=PHONE)) == 1056
    # What nobody waits for is tried again, and nobody gets in without the code.
    provider.statuses = [503, 429]
    challenge = await user.sign_in()
    assert "access_token" not in challenge
    done = await complete(gateway, challenge, code_in(await provider.message()))
    assert "access_token" in done.json()
    asked = provider.asked
    provider.statuses = [401]  # it never will
    await user.sign_in()
    await gateway.wait_metric("gw_sms_total", 2, outcome="failed")
    assert provider.asked == asked + 1


async def test_texts_to_one_number_are_limited(start_gateway, provider):
    gateway = await start_gateway(**provider.settings, **{"sms.per_number_per_hour": 2})
    body = {"to": PHONE, "text": "x"}
    answers = [
        await gateway.request("POST", "sms", service="security", json=body) for _ in range(3)
    ]
    assert [one.status_code for one in answers] == [200, 200, 400]
    assert "1095: " in answers[2].text
    assert "2 messages per number and hour" in answers[2].text
    other = await gateway.request(
        "POST", "sms", service="security", json=body | {"to": "+15550001"}
    )
    assert other.status_code == 200


async def test_a_provider_that_wants_a_form(start_gateway, provider):
    gateway = await start_gateway(
        **provider.settings,
        **{"sms.format": "form", "sms.to_field": "To", "sms.text_field": "Body",
           "sms.sender_field": "From", "sms.sender": "+15559999999", "sms.username": "AC1",
           "sms.password": "pw"},
    )  # fmt: skip
    answer = await gateway.request(
        "POST", "sms", service="security", json={"to": PHONE, "text": "a & b"}
    )
    assert answer.status_code == 200
    message = await asyncio.wait_for(provider.message(), 60)
    assert message.fields == {"To": PHONE, "Body": "a & b", "From": "+15559999999"}
    basic = base64.b64encode(b"AC1:pw").decode()
    assert message.headers["authorization"] == f"Basic {basic}"
    found = await gateway.get(
        "systemConfiguration?entries=sms.url,sms.password,sms.sender", service="security"
    )
    assert [one["parameterValue"] for one in found] == ["(hidden)", "(hidden)", "+15559999999"]
