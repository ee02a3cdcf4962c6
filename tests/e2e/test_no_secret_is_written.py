"""What users, services and devices keep secret is in no log, no metric, no audit entry, no event.

A session of calls that name each secret in every way there is, right ones and wrong ones, with the
log as detailed as it can be; then everything that was written is searched for them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time

import pyotp
import pytest
from gateway import DEADLINE, PASSWORD, Gateway
from mail_server import MailServer
from sms_provider import Provider
from websockets.asyncio.client import connect

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
SERIAL = "02a0aa0000c1"
PHONE = "+41799999999"
GIVEN = {
    "new password": "Fresh-Stable-41!", "wrong password": "Guessed-Wrong-77!",
    "reset password": "Reset-Stable-52!", "psk": "wpa-passphrase-8173", "script": "echo s3cr3t-arg",
    "radius secret": "radius-shared-9241", "system secret": "maps-key-5520",
    "provider token": "provider-token-3301", "device password": "device-password-6604",
    "made-up token": "f" * 60 + "beef", "made-up key": "a" * 60 + "cafe",
}  # fmt: skip


OF_DEVICES = ("psk", "radius secret", "device password", "stream id")
"""What devices tell is told to integrators as owgw does (docs/events.md)."""


def told_to_integrators(events: str) -> str:
    """The events but those for sister services, which are told keys and tokens on purpose."""
    lines = events.splitlines()
    return "\n".join(one for one in lines if '"topic":"service_events"' not in one)


class Session:
    """Calls, and the secrets that they bring."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.secrets = dict(GIVEN) | {"password": PASSWORD}

    async def call(self, method: str, path: str, *, service="security", by=None, **more):
        headers = {} if by is None else by
        return await self.gateway.request(
            method, path, service=service, signed=by is None, extra_headers=headers, **more
        )

    async def login(self, email: str, password: str, **more):
        body = {"userId": email, "password": password} | more
        answer = await self.call("POST", "oauth2", by={}, json=body)
        for name in ("access_token", "refresh_token"):
            if token := answer.json().get(name):
                self.secrets[f"{name} {len(self.secrets)}"] = token
        return answer.json()


async def accounts(session: Session, mails: MailServer, texts: Provider) -> None:
    """Sign-ins, second factors, mailed links, keys."""
    email = "somebody@example.org"
    new = {"email": email, "userRole": "admin", "currentPassword": PASSWORD}
    user = (await session.call("POST", "user/0", json=new)).json()
    await session.login(email, GIVEN["wrong password"])
    await session.login(f"{GIVEN['wrong password']}@example.org", PASSWORD)
    token = await session.login(email, PASSWORD, newPassword=GIVEN["new password"])
    own = {"Authorization": f"Bearer {token['access_token']}"}
    # Not as they should be sent: bodies that are no JSON, and tokens where none belongs.
    await session.call("POST", "oauth2", by={}, content=f'{{"password":"{PASSWORD}"')
    await session.call("POST", "oauth2", by={}, json={"userId": [PASSWORD], "password": 5})
    await session.call("GET", f"validateToken?token={token['access_token']}")
    await session.call("GET", f"validateToken?token={GIVEN['made-up token']}")
    await session.call("GET", f"users?access_token={token['access_token']}")
    await session.call("DELETE", f"oauth2/{GIVEN['made-up token']}", by=own)
    basic = base64.b64encode(PASSWORD.encode()).decode()
    for header in (
        {"Authorization": f"Bearer {GIVEN['made-up token']}"},
        {"X-API-KEY": GIVEN["made-up key"]},
        {"Authorization": f"Basic {basic}"},
    ):
        await session.call("GET", "devices", service="api", by=header)
    refreshed = await session.call(
        "POST", "oauth2?grant_type=refresh_token", by=own,
        json={"refreshToken": token["refresh_token"]},
    )  # fmt: skip
    session.secrets["refreshed"] = refreshed.json()["access_token"]
    own = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}

    me = (await session.call("GET", "oauth2?me=true")).json()["id"]
    key = {"name": "robot", "expiresOn": int(time.time()) + 1000}
    made = (await session.call("POST", f"apiKey/{me}", json=key)).json()["apiKey"]
    session.secrets |= {"API key": made, "basic": basic}
    await session.call("GET", "devices", service="api", by={"X-API-KEY": made})
    await session.call("GET", f"validateApiKey?apikey={made}")

    await session.call("PUT", f"user/{user['id']}?forgotPassword=true", json={})
    link = re.search(r"id=([^\s&]+)", (await asyncio.to_thread(mails.next)).get_content())
    session.secrets["link"] = link[1]
    form = {"id": link[1], "password1": GIVEN["reset password"],
            "password2": GIVEN["reset password"]}  # fmt: skip
    await session.call("GET", f"actionLink?action=password_reset&id={link[1]}", by={})
    await session.call("POST", "actionLink?action=password_reset", by={}, data=form)
    again = await session.login(email, GIVEN["reset password"])
    own = {"Authorization": f"Bearer {again['access_token']}"}

    image = await session.call("GET", "totp?reset=true", by=own)
    uri = re.search(r"otpauth://[^<]+", image.text)[0].replace("&amp;", "&")
    session.secrets["app secret"] = pyotp.parse_uri(uri).secret
    await session.call("POST", "sms?validateNumber=true", by=own, json={"to": PHONE})
    code = re.search(r"\d{6}", (await texts.message()).fields["text"])[0]
    session.secrets["text code"] = code
    proof = f"sms?completeValidation=true&validationCode={code}"
    assert (await session.call("POST", proof, by=own, json={"to": PHONE})).status_code == 200
    info = {"mfa": {"enabled": True, "method": "sms"}, "mobiles": [{"number": PHONE}]}
    path = f"user/{user['id']}"
    await session.call("PUT", path, by=own, json={"userTypeProprietaryInfo": info})
    challenge = await session.login(email, GIVEN["reset password"])
    session.secrets["sign-in code"] = re.search(r"\d{6}", (await texts.message()).fields["text"])[0]
    answer = {"uuid": challenge["uuid"], "answer": session.secrets["sign-in code"]}
    await session.call("POST", "oauth2?completeMFAChallenge=true", by={}, json=answer)
    value = GIVEN["system secret"]
    await session.call("PUT", f"systemSecret/google.maps.apikey?value={value}", json={})


async def devices(session: Session) -> None:
    """Configurations, scripts, terminals, streams; and a device that answers with an error."""
    gateway = session.gateway
    pki.device(gateway.pki, [SERIAL])
    device = SimulatedDevice(
        SERIAL, gateway.pki, "127.0.0.1", gateway.device_port, password=GIVEN["device password"]
    )
    await device.connect(deadline=WAIT)
    try:
        await device.wait_for_configure(WAIT)
        await gateway.wait_device(SERIAL, configurationState="in_step")
        ssid = {"name": "net", "encryption": {"proto": "psk2", "key": GIVEN["psk"]},
                "radius": {"authentication": {"host": "192.0.2.1", "port": 1812,
                                              "secret": GIVEN["radius secret"]}}}  # fmt: skip
        wanted = {"interfaces": [{"name": "up", "role": "upstream", "ssids": [ssid]}]}
        assert (await gateway.configure(SERIAL, wanted)).status_code == 200
        await gateway.configure(SERIAL, json.dumps(wanted)[:-1])  # no JSON
        await gateway.configure(SERIAL, {"radios": GIVEN["psk"]})  # against the schema
        for kind in ("shell", GIVEN["script"]):
            body = {"serialNumber": SERIAL, "type": kind, "when": 0,
                    "script": base64.b64encode(GIVEN["script"].encode()).decode()}  # fmt: skip
            await session.call("POST", f"device/{SERIAL}/script", service="api", json=body)
        terminal = await session.call("GET", f"device/{SERIAL}/rtty", service="api")
        session.secrets["terminal token"] = terminal.json()["token"]
        session.secrets["terminal id"] = terminal.json()["connectionId"]
        body = {"serialNumber": SERIAL, "interval": 5, "types": ["state"]}
        stream = await session.call("POST", f"device/{SERIAL}/telemetry", service="api", json=body)
        session.secrets["stream id"] = stream.json()["uuid"]
        device.send_text(b'{"jsonrpc":"2.0","method":"connect","params":"%s"}'
                         % GIVEN["device password"].encode())  # fmt: skip
        port = gateway.ready["api"].rpartition(":")[2]
        url = f"wss://127.0.0.1:{port}/api/v1/ws"
        for token in (await gateway.sign_in(), GIVEN["made-up token"]):
            session.secrets["token of the socket"] = await gateway.sign_in()
            async with connect(url, ssl=gateway._tls, open_timeout=WAIT) as socket:
                await socket.send(f"token:{token}")
                await socket.recv()
        # What the last calls left is stored and announced before it is looked at.
        device.send_log("the end")
        async with asyncio.timeout(DEADLINE):
            while not (await gateway.get(f"device/{SERIAL}/logs"))["values"]:
                await asyncio.sleep(0.05)  # REST has no event to await
    finally:
        await device.end_terminals()
        device.stop()


async def test_after_a_session_of_calls(start_gateway, pki_dir, tmp_path):
    events = tmp_path / "events.jsonl"
    with MailServer(pki_dir) as mails:
        async with Provider(pki_dir) as texts:
            gateway = await start_gateway(
                **mails.settings, **texts.settings,
                **{"sms.token": GIVEN["provider token"], "log.level": "debug",
                   "bus.file": str(events), "rtty.enabled": "true", "rtty.host": "127.0.0.1",
                   "rtty.port": 0, "rtty.viewer_port": 0},
            )  # fmt: skip
            session = Session(gateway)
            await accounts(session, mails, texts)
            await devices(session)
            audit = json.dumps(await gateway.get("audit?limit=1000", service="security"))
            scrape = await gateway.scrape()
            keys = {file.name: file.read_text().strip()
                    for file in (gateway.folder / "data").glob("*.key")}  # fmt: skip
            assert await gateway.stop() == 0
    assert len(session.secrets) > 25
    written = {"log": gateway.log(), "audit": audit, "metrics": scrape,
               "events": told_to_integrators(events.read_text())}  # fmt: skip
    assert all(written.values())
    assert "somebody@example.org" in written["log"]  # who it was is told, with what is not
    found = [
        f"{name} in the {place}"
        for name, secret in (session.secrets | keys).items()
        for place, text in written.items()
        if secret in text and not (place == "events" and name in OF_DEVICES)
    ]
    assert not found, "\n".join(found)
