"""The community UI's calls of the security service and of system pages, as it sends them.

Rows of ui-calls.md 3 and 5: exact paths, queries and bodies, and the members that the UI reads.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import pyotp
import pytest
from gateway import PASSWORD, Gateway
from resources import (
    API_KEY,
    ENDPOINT,
    ERROR,
    MFA_CHALLENGE,
    RESOURCES,
    SUCCESS,
    SYSTEM_INFO,
    TAG,
    TOKEN,
    USER,
)
from shapes import fits
from ui_client import Ui

pytestmark = pytest.mark.e2e

ADMINISTRATOR = "admin@localhost"
NEW = "Other-Horse-8!"
WRONG_TOKEN = {8, 9}
"""Errors at which the UI drops its session."""


@pytest.fixture
async def ui(shared_gateway: Gateway) -> Ui:
    made = Ui(shared_gateway)
    await made.sign_in(ADMINISTRATOR, PASSWORD)
    return made


@pytest.fixture
async def stranger(shared_gateway: Gateway) -> Ui:
    """The UI before anybody signed in."""
    return Ui(shared_gateway)


async def make_user(ui: Ui, **more: Any) -> dict[str, Any]:
    """The form of the users page."""
    body = {
        "name": "New User", "description": "made", "email": f"{uuid.uuid4().hex}@example.org",
        "currentPassword": PASSWORD, "notes": [{"note": "first"}], "userRole": "admin",
        "emailValidation": False, "changePassword": False,
    } | more  # fmt: skip
    answer = await ui.sec.post("user/0", body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


# -- before a session


async def test_login_page(stranger):
    answer = await stranger.sec.post("oauth2?requirements=true", {})
    assert answer.status_code == 200
    fits(answer.json(), {"accessPolicy": str, "passwordPolicy": str, "passwordPattern": str})
    pattern = re.compile(answer.json()["passwordPattern"])
    assert pattern.fullmatch(PASSWORD)
    assert not pattern.fullmatch("short")
    for page in ("accessPolicy", "passwordPolicy"):
        path = answer.json()[page]
        if path.startswith("/"):
            base = stranger.sec.base.removesuffix("/api/v1")
            shown = await type(stranger.sec)(base, stranger.gateway._tls).get(path)
            assert shown.headers["content-type"].startswith("text/html")


async def test_login(stranger):
    body = {"userId": ADMINISTRATOR, "password": PASSWORD}
    answer = await stranger.sec.post("oauth2", body)
    fits(answer.json(), TOKEN)
    for one in ("ADMIN@LOCALHOST", "Admin@localhost"):
        assert (await stranger.sec.post("oauth2", body | {"userId": one})).status_code == 200
    for wrong in ({"password": "x"}, {"userId": "nobody@example.org"}, {"password": ""}):
        answer = await stranger.sec.post("oauth2", body | wrong)
        assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 2)
        fits(answer.json(), ERROR)


async def test_change_password_form(ui, stranger):
    user = await make_user(ui, changePassword=True)
    first = {"userId": user["email"], "password": PASSWORD}
    answer = await stranger.sec.post("oauth2", first)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 1)
    for wrong, code in (("weak", 5), (PASSWORD, 3)):
        answer = await stranger.sec.post("oauth2", first | {"newPassword": wrong})
        assert (answer.status_code, answer.json()["ErrorCode"]) == (403, code)
    answer = await stranger.sec.post("oauth2", first | {"newPassword": NEW})
    assert answer.status_code == 200
    fits(answer.json(), TOKEN)
    assert answer.json()["userMustChangePassword"] is False
    assert (await stranger.sec.post("oauth2", first)).json()["ErrorCode"] == 2
    again = await stranger.sec.post("oauth2", first | {"password": NEW})
    assert again.status_code == 200


async def test_suspended_user(ui, stranger):
    user = await make_user(ui)
    answer = await ui.sec.put(f"user/{user['id']}", {"suspended": True})
    assert answer.json()["suspended"] is True
    answer = await stranger.sec.post("oauth2", {"userId": user["email"], "password": PASSWORD})
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 15)
    await ui.sec.put(f"user/{user['id']}", {"suspended": False})
    answer = await stranger.sec.post("oauth2", {"userId": user["email"], "password": PASSWORD})
    assert answer.status_code == 200


async def test_forgotten_password_form(stranger):
    for user in (ADMINISTRATOR, "nobody@example.org"):
        answer = await stranger.sec.post("oauth2?forgotPassword=true", {"userId": user})
        assert answer.status_code == 200
        assert answer.json()["userMustChangePassword"] is True
        assert answer.json().get("access_token", "") == ""


# -- after the login


async def test_what_keeps_the_spinner(ui):
    me = (await ui.sec.get("oauth2?me=true")).json()
    fits(me, USER)
    assert (me["email"], me["userRole"]) == (ADMINISTRATOR, "root")
    endpoints = (await ui.sec.get("systemEndpoints")).json()
    fits(endpoints, {"endpoints": [ENDPOINT]})
    assert [one["type"] for one in endpoints["endpoints"]] == ["owgw"]
    # The UI opens the gateway's socket only if the two addresses differ.
    assert ui.gw.base != ui.sec.base
    preferences = (await ui.sec.get("preferences")).json()
    fits(preferences, {"data": [TAG], "id": str, "modified": int})
    assert me["avatar"] in ("", "0")
    # Without a provisioning service the UI asks the security service, and without a token.
    base = ui.prov.base.removesuffix("/api/v1")
    schema = await type(ui.sec)(base, ui.gateway._tls).get("wwwassets/ucentral.schema.pretty.json")
    assert schema.status_code == 200
    fits(schema.json(), {"$defs": dict})


async def test_preferences(ui):
    wanted = [{"tag": "gateway.devices.table.hiddenColumns", "value": "a,b"},
              {"tag": "provisioning.pageSize", "value": "20"}]  # fmt: skip
    answer = await ui.sec.put("preferences", {"data": wanted})
    assert answer.json()["data"] == wanted
    assert (await ui.sec.get("preferences")).json()["data"] == wanted


async def test_logout(stranger):
    await stranger.sign_in(ADMINISTRATOR, PASSWORD)
    answer = await stranger.sec.delete(f"/oauth2/{stranger.token}")
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await stranger.sec.get("oauth2?me=true")
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 8)
    answer = await stranger.gw.get("devices?countOnly=true&platform=all")
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 8)


async def test_services_that_are_not_there(ui):
    """Their calls go to the security service, and must not end the session."""
    for client, path in (
        (ui.fms, "firmwareAge?select=02a0aa000001,02a0aa000002"),
        (ui.fms, "firmwares?deviceSet=true"),
        (ui.fms, "firmwares?deviceType=edgecore_eap102&limit=500&offset=0"),
        (ui.fms, "firmwares?deviceType=edgecore_eap102&latestOnly=true"),
        (ui.fms, "firmwares?updateTimeOnly=true"),
        (ui.fms, "deviceReport"),
        (ui.prov, "inventory/02a0aa000001?withExtendedInfo=true"),
        (ui.prov, "inventory?withExtendedInfo=true&select=02a0aa000001"),
        (ui.prov, "simulation/*"),
        (ui.prov, "status/*"),
    ):
        answer = await client.get(path)
        assert answer.status_code in (400, 404), path
        fits(answer.json(), ERROR)
    for answer in (await ui.fms.put("firmwares?update=true", {}),
                   await ui.fms.put("firmware/1", {"description": "x", "notes": []})):  # fmt: skip
        assert answer.status_code == 400
        assert answer.json()["ErrorCode"] not in WRONG_TOKEN
    info = await ui.prov.get("system?command=info")
    assert info.status_code == 200
    assert isinstance(info.json()["UI"], str)


# -- users


async def test_users_page(ui):
    made = await make_user(ui)
    fits(made, USER)
    users = (await ui.sec.get("users?offset=0&limit=500&withExtendedInfo=true")).json()
    fits(users, {"users": [USER]})
    assert made["id"] in [one["id"] for one in users["users"]]
    one = (await ui.sec.get(f"user/{made['id']}?withExtendedInfo=true")).json()
    fits(one, USER)
    assert one["notes"][0]["note"] == "first"
    change = {"id": made["id"], "name": "Renamed", "description": "changed", "userRole": "csr",
              "notes": [{"note": "second"}]}  # fmt: skip
    changed = (await ui.sec.put(f"user/{made['id']}", change)).json()
    fits(changed, USER)
    assert (changed["name"], changed["description"]) == ("Renamed", "changed")
    assert changed["userRole"] == "csr"
    assert [note["note"] for note in changed["notes"]] == ["first", "second"]
    answer = await ui.sec.put(f"user/{made['id']}?resetMFA=true", {})
    assert answer.status_code == 200
    for query in ("forgotPassword=true", "email_verification=true"):
        answer = await ui.sec.put(f"user/{made['id']}?{query}", {})
        # No mail server is set: the page shows the reason.
        assert answer.status_code == 400
        assert answer.json()["ErrorDescription"].startswith("1085:")
    answer = await ui.sec.delete(f"/user/{made['id']}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await ui.sec.get(f"user/{made['id']}?withExtendedInfo=true")).status_code == 404


# -- account


async def test_account_page(ui):
    me = (await ui.sec.get("oauth2?me=true")).json()
    change = {"id": me["id"], "name": "The Administrator", "description": "of all",
              "notes": [{"note": "mine"}],
              "userTypeProprietaryInfo": me["userTypeProprietaryInfo"]}  # fmt: skip
    changed = (await ui.sec.put(f"user/{me['id']}", change)).json()
    fits(changed, USER)
    assert changed["name"] == "The Administrator"
    assert changed["notes"][-1]["note"] == "mine"
    answer = await ui.sec.put(f"user/{me['id']}", {"id": me["id"], "currentPassword": "weak"})
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1047:")


async def test_avatar(ui):
    me = (await ui.sec.get("oauth2?me=true")).json()
    image = b"\x89PNG\r\n\x1a\n" + b"x" * 100
    # A form: the browser makes the content type.
    answer = await ui.sec.post(f"/avatar/{me['id']}", files={"file": ("me.png", image)})
    assert answer.status_code == 200
    assert answer.json()["errorCode"] == 0
    tag = (await ui.sec.get("oauth2?me=true")).json()["avatar"]
    assert tag not in ("", "0")
    shown = await ui.sec.get(f"avatar/{me['id']}?cache={tag}")
    assert shown.content == image
    answer = await ui.sec.delete(f"avatar/{me['id']}")
    assert answer.status_code == 200
    assert (await ui.sec.get("oauth2?me=true")).json()["avatar"] in ("", "0")


async def test_api_keys(ui):
    me = (await ui.sec.get("oauth2?me=true")).json()["id"]
    assert (await ui.sec.get(f"apiKey/{me}")).json() == {"apiKeys": []}
    body = {"userUuid": me, "name": "robot1", "description": "of the ui",
            "expiresOn": int(time.time()) + 86_400}  # fmt: skip
    made = await ui.sec.post(f"apiKey/{me}", body)
    fits(made.json(), API_KEY)
    assert made.json()["apiKey"]
    key = made.json()["id"]
    listed = (await ui.sec.get(f"apiKey/{me}")).json()
    fits(listed, {"apiKeys": [API_KEY]})
    change = {"id": key, "userUuid": me, "description": "other"}
    answer = await ui.sec.put(f"apiKey/{me}?keyUuid={key}", change)
    assert answer.json()["description"] == "other"
    answer = await ui.sec.delete(f"apiKey/{me}?keyUuid={key}")
    assert answer.status_code == 200
    assert (await ui.sec.get(f"apiKey/{me}")).json() == {"apiKeys": []}


async def test_authenticator_and_sign_in_with_it(ui, stranger):
    user = await make_user(ui)
    await stranger.sign_in(user["email"], PASSWORD)
    image = await stranger.sec.get("totp?reset=true")
    assert image.headers["content-type"].startswith("image/svg+xml")
    secret = pyotp.parse_uri(re.search(r"otpauth://[^<]+", image.text)[0].replace("&amp;", "&"))
    assert isinstance(secret, pyotp.TOTP)
    now = time.time()
    for index, at in ((1, now - 30), (2, now)):
        answer = await stranger.sec.put(f"totp?index={index}&value={secret.at(int(at))}", {})
        assert answer.status_code == 200, answer.text
        fits(answer.json(), {"nextIndex": int, "moreCodes": bool})
        assert answer.json()["moreCodes"] is (index == 1)
    info = {"userTypeProprietaryInfo": {"mfa": {"enabled": True, "method": "authenticator"}}}
    changed = (await stranger.sec.put(f"user/{user['id']}", info)).json()
    assert changed["userTypeProprietaryInfo"]["mfa"] == info["userTypeProprietaryInfo"]["mfa"]

    other = Ui(ui.gateway)
    body = {"userId": user["email"], "password": PASSWORD}
    challenge = (await other.sec.post("oauth2", body)).json()
    fits(challenge, MFA_CHALLENGE)
    assert "access_token" not in challenge
    wrong = {"uuid": challenge["uuid"], "answer": "000000"}
    answer = await other.sec.post("oauth2?completeMFAChallenge=true", wrong)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 12)
    # A code is good once: the next step's is taken early rather than waited for.
    right = {"uuid": challenge["uuid"], "answer": secret.at(int(now) + 30)}
    answer = await other.sec.post("oauth2?completeMFAChallenge=true", right)
    assert answer.status_code == 200, answer.text
    fits(answer.json(), TOKEN)
    answer = await other.sec.post("oauth2?resendMFACode=true", {"uuid": challenge["uuid"]})
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 11)
    answer = await ui.sec.put(f"user/{user['id']}?resetMFA=true", {})
    assert answer.status_code == 200
    assert (await other.sec.post("oauth2", body)).json()["access_token"]


# -- system pages


@pytest.mark.parametrize("service", ["owgw", "owsec"])
async def test_services_and_monitoring_pages(ui, service):
    base = {"owgw": ui.gw, "owsec": ui.sec}[service].base.removesuffix("/api/v1")
    system = ui.system(base)
    fits((await system.get("system?command=info")).json(), SYSTEM_INFO)
    fits((await system.get("system?command=resources")).json(), RESOURCES)
    names = (await system.post("system", {"command": "getsubsystemnames"})).json()
    fits(names, {"list": [str]})
    levels = (await system.post("system", {"command": "getloglevels"})).json()
    fits(levels, {"tagList": [TAG]})
    level_names = (await system.post("system", {"command": "getloglevelnames"})).json()
    fits(level_names, {"list": [str]})
    assert {one["value"] for one in levels["tagList"]} <= set(level_names["list"])
    wanted = {"command": "setloglevel", "subsystems": levels["tagList"][:1]}
    answer = await system.post("system", wanted)
    assert answer.status_code == 200
    answer = await system.post("system", {"command": "reload", "subsystems": names["list"][:1]})
    assert answer.status_code == 200
    fits(answer.json(), SUCCESS)


async def test_secrets_page(ui):
    known = (await ui.sec.get("/systemSecret/0?dictionary=true")).json()
    fits(known, {"knownKeys": [{"key": str, "description": str}]})
    assert "google.maps.apikey" in [one["key"] for one in known["knownKeys"]]
    assert (await ui.sec.get("/systemSecret/google.maps.apikey")).status_code == 404
    body = {"key": "google.maps.apikey", "value": "abc"}
    answer = await ui.sec.put("/systemSecret/google.maps.apikey?value=abc", body)
    assert answer.status_code == 200
    fits((await ui.sec.get("/systemSecret/google.maps.apikey")).json(), {"key": str, "value": str})
    listed = (await ui.sec.get("/systemSecret/0?all=true")).json()
    fits(listed, {"secrets": [{"key": str, "value": str}]})
    assert (await ui.sec.delete("/systemSecret/google.maps.apikey")).status_code == 200
    assert (await ui.sec.get("/systemSecret/0?all=true")).json() == {"secrets": []}
