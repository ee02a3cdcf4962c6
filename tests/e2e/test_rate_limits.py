"""The limits of requests, at the listeners of the real program."""

import asyncio

import pytest

pytestmark = pytest.mark.e2e


async def test_a_user_who_asks_too_much_is_told_when_to_come_back(start_gateway):
    gateway = await start_gateway(**{"api.requests_per_user": 1, "api.burst_seconds": 1})
    await gateway.sign_in()
    answers = await asyncio.gather(*(gateway.request("GET", "devices") for _ in range(30)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert len(refused) < 30
    for answer in refused:
        assert answer.status_code == 403
        assert answer.json()["ErrorCode"] == 10
        assert "1 requests a second per user" in answer.json()["ErrorDescription"]
        assert int(answer.headers["retry-after"]) >= 1
    counted = await gateway.wait_metric("gw_api_limited_total", len(refused), limit="user")
    assert counted == len(refused)


async def test_an_address_is_counted_before_anybody_is_looked_up(start_gateway):
    gateway = await start_gateway(**{"api.requests_per_address": 1, "api.burst_seconds": 1})
    answers = await asyncio.gather(
        *(gateway.request("GET", "devices", signed=False) for _ in range(20))
    )
    codes = [answer.json()["ErrorCode"] for answer in answers]
    assert set(codes) == {8, 10}
    other = await gateway.request("GET", "users", signed=False, service="security")
    assert other.status_code == 403


async def test_a_user_is_guessed_at_from_many_sides(start_gateway):
    gateway = await start_gateway(**{"security.login_attempts_per_user": 2})
    body = {"userId": "admin@localhost", "password": "wrong"}
    codes, retry = [], ""
    for _ in range(4):
        answer = await gateway.request(
            "POST", "oauth2", service="security", signed=False, json=body
        )
        codes.append(answer.json()["ErrorCode"])
        retry = answer.headers.get("retry-after", "")
    assert codes == [2, 2, 10, 10]
    assert "per user" in answer.json()["ErrorDescription"]
    assert 1 <= int(retry) <= 60
