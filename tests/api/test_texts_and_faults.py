"""Texts that no database takes, stores that fail, and attempts that are counted."""

import asyncio

import pytest

from gw.api.query import MAX_INTEGER, integer
from gw.store.errors import StoreError

from .conftest import AP, PASSWORD

JSON = {"content-type": "application/json"}


def description(answer):
    return answer.json()["ErrorDescription"]


@pytest.mark.usefixtures("devices")
async def test_nul_in_texts(api, security):
    owner = b'{"owner":"a\\u0000b"}'
    answer = await api.put(f"/device/{AP}", content=owner, headers=JSON)
    assert description(answer).startswith("1003: ")
    note = b'{"notes":[{"note":"\\u0000"}]}'
    assert (await api.put(f"/device/{AP}", content=note, headers=JSON)).status_code == 400
    models = b'{"modelIds":["\\u0000"],"configuration":{}}'
    answer = await api.post("/default_configuration/a", content=models, headers=JSON)
    assert description(answer).startswith("1003: ")
    for name in ("a%00b", "a%0Ab", "n" * 257):
        answer = await api.post(f"/default_configuration/{name}", json={"modelIds": ["*"]})
        assert description(answer).startswith("1018: ")
    # In a configuration it is an escape like any other, and stays one.
    text = b'{"configuration":{"a":"\\u0000"}}'
    found = await api.put(f"/device/{AP}", content=text, headers=JSON)
    assert '"a":"\\u0000"' in found.text


@pytest.mark.parametrize(
    ("sent", "kept"), [("30", 30), (30, 30), ("x", None), ("", None), ("1.5", None), ([30], None)]
)
async def test_numbers_may_be_sent_as_texts(api, sent, kept):
    body = {"deviceType": "x", "uri": "https://h/x", "revision": "1", "imageCreationDate": sent}
    answer = await api.post("/default_firmware/x", json=body)
    if kept is None:
        assert description(answer).startswith("1003: ")
        assert "imageCreationDate" in description(answer)
    else:
        assert answer.json()["imageCreationDate"] == kept


@pytest.mark.usefixtures("devices")
async def test_the_number_fits_what_is_wrong(api):
    lone = await api.put(f"/device/{AP}", content=b'{"owner":"\\ud800"}', headers=JSON)
    assert description(lone).startswith("1003: ")
    lone = await api.put(
        f"/device/{AP}", content=b'{"configuration":{"a":"\\ud800"}}', headers=JSON
    )
    assert description(lone).startswith("1008: ")


def test_integers_of_a_query():
    assert integer("0" * 40 + "5") == 5
    assert integer("0") == 0
    assert integer("9" * 40) == MAX_INTEGER
    for text in ("-1", "+1", "1.0", "1e3", "", " 1", "\u0663", "NaN"):
        assert integer(text) is None


@pytest.mark.parametrize("retriable", [True, False])
async def test_a_store_that_fails(api, apps, monkeypatch, retriable):
    async def fail(*_, **__):
        raise StoreError("/secret/path/gw.db: disk I/O error", retriable=retriable)

    monkeypatch.setattr(apps.context.reader, "devices", fail)
    answer = await api.get("/devices")
    assert answer.status_code == 503
    assert description(answer).startswith("1002: ")
    assert "secret" not in answer.text


async def test_logins_are_counted(sign_in, security, apps, token):
    apps.logins.clear()
    await sign_in()
    assert apps.logins == [True]
    await sign_in(password="wrong")
    await sign_in("nobody")
    await sign_in("new")  # must change the password first
    assert apps.logins == [True, False, False, False]
    await security.post("/oauth2?requirements=true", json={})
    await security.post("/oauth2?forgotPassword=true", json={"userId": "root@localhost"})
    await security.post("/oauth2?grant_type=refresh_token", json={"refreshToken": "x"})
    await security.get("/oauth2?me=true", headers={"authorization": f"Bearer {token}"})
    assert len(apps.logins) == 4


async def test_throttled_logins_are_counted(sign_in, apps):
    for _ in range(42):
        answer = await sign_in("nobody", password="x")
    assert answer.json()["ErrorCode"] == 10
    assert apps.logins == [False] * 42


async def test_a_suspended_user_is_told_apart_only_with_the_password(sign_in, store):
    from gw.store.interface import Batch, PutUser

    user = await store.user("id-csr")
    user.suspended = True
    await store.commit(Batch([PutUser(user)]))
    assert (await sign_in("csr", password="wrong")).json()["ErrorCode"] == 2
    assert (await sign_in("csr")).json()["ErrorCode"] == 15


async def test_a_changed_password_ends_other_sessions(sign_in, security):
    first = (await sign_in()).json()["access_token"]
    changed = await sign_in(newPassword="Another-Horse-9!")
    headers = {"authorization": f"Bearer {first}"}
    answer = await security.get("/oauth2?me=true", headers=headers)
    assert answer.json()["ErrorCode"] == 8
    headers = {"authorization": f"Bearer {changed.json()['access_token']}"}
    me = (await security.get("/oauth2?me=true", headers=headers)).json()
    assert me["lastPasswordChange"] > 0
    assert PASSWORD not in str(me)


@pytest.mark.usefixtures("devices")
async def test_a_coordinator_that_hangs_is_noticed_by_waiting_commands(
    api, coordinator, monkeypatch
):
    from gw.api import coordinator_client

    monkeypatch.setattr(coordinator_client, "DEFAULT_SECONDS", 0.2)
    monkeypatch.setattr(
        coordinator_client.CoordinatorClient.request, "__kwdefaults__", {"timeout": 0.2}
    )
    coordinator.silent = True
    order = {"serialNumber": AP, "UUID": 1, "when": 0, "configuration": {"a": 1}}
    async with asyncio.timeout(60):
        answer = await api.post(f"/device/{AP}/configure", json=order)
    assert answer.status_code == 503
    assert "did not answer" in description(answer)


@pytest.mark.usefixtures("devices")
async def test_device_documents_have_the_documented_members(api, coordinator, status):
    """Whatever the coordinator tells of a session, only documented members are answered."""
    coordinator.statuses[AP] = status | {"secret": "x"}
    document = (await api.get("https://gw.example:16002/openapi.json")).json()
    schemas = document["components"]["schemas"]
    device, live, facts = (
        set(schemas[name]["properties"])
        for name in ("DeviceDocument", "ConnectionState", "ConfigurationFacts")
    )
    found = (await api.get("/devices?deviceWithStatus=true")).json()["devicesWithStatus"]
    assert set(found[0]) == set(found[1]) == device | live
    assert set((await api.get(f"/device/{AP}")).json()) == device
    shown = (await api.get(f"/device/{AP}/status")).json()
    assert set(shown) == live | facts | {"serialNumber"}
