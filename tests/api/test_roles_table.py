"""Every operation of both API documents, for every role and for none: who is let in.

An operation that is not in RESTRICTED is for everybody who is signed in. A new route with a check
of roles fails here until it has its row.
"""

import json
import time

import pytest

from gw.api.app import gateway_app, security_app
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.parts import SecurityParts
from gw.protocol.commands import COMMANDS
from gw.security.passwords import Passwords
from gw.security.roles import Role
from gw.security.sealing import Sealer
from gw.security.tokens import token_hash
from gw.store import interface, rows
from gw.store import security_ops as security

from .conftest import AP, HASHER, http

KEY = "k" * 32
INTERNAL = "internal"
EVERYBODY = {*(role.value for role in Role), INTERNAL}
ADMINISTRATORS = {"root", "admin"}
READERS = {"root", "admin", "partner", INTERNAL}
TARGET = "id-target"
"""A user of the role noc, on whom the operations on users are tried."""
MAKERS_OF_NOC = {"root", "partner", "admin", "system", "noc"}
MAKERS_OF_SUBSCRIBERS = {"root", "partner", "admin", "system"}

API, SECURITY = "api", "security"
RESTRICTED = {
    (API, "DELETE", "/device/{serialNumber}"): ADMINISTRATORS,
    (API, "DELETE", "/devices"): ADMINISTRATORS,
    (API, "POST", "/device/{serialNumber}/package"): ADMINISTRATORS,
    (API, "DELETE", "/device/{serialNumber}/package"): ADMINISTRATORS,
    (API, "POST", "/script/{scriptId}"): {"root"},
    (API, "PUT", "/script/{scriptId}"): {"root"},
    (API, "DELETE", "/script/{scriptId}"): {"root"},
    (API, "PUT", "/radiusProxyConfig"): {*ADMINISTRATORS, INTERNAL},
    (API, "DELETE", "/radiusProxyConfig"): {*ADMINISTRATORS, INTERNAL},
    **{
        (service, method, "/systemConfiguration"): ADMINISTRATORS if method == "GET" else {"root"}
        for service in (API, SECURITY)
        for method in ("GET", "PUT", "DELETE")
    },
    (SECURITY, "GET", "/users"): READERS,
    (SECURITY, "GET", "/user/{id}"): READERS,
    (SECURITY, "POST", "/user/{id}"): MAKERS_OF_NOC,
    (SECURITY, "PUT", "/user/{id}"): MAKERS_OF_NOC,
    (SECURITY, "DELETE", "/user/{id}"): MAKERS_OF_NOC,
    (SECURITY, "GET", "/apiKey/{uuid}"): {"root"},
    (SECURITY, "POST", "/apiKey/{uuid}"): {"root"},
    (SECURITY, "PUT", "/apiKey/{uuid}"): {"root"},
    (SECURITY, "DELETE", "/apiKey/{uuid}"): {"root"},
    (SECURITY, "DELETE", "/avatar/{id}"): {"root"},
    (SECURITY, "GET", "/audit"): ADMINISTRATORS,
    (SECURITY, "POST", "/email"): {"root", "admin", "partner"},
    (SECURITY, "POST", "/sms"): {"root", "admin", "partner"},  # to any number; proving is for all
    (SECURITY, "GET", "/systemSecret/{secret}"): {"root", INTERNAL},
    (SECURITY, "PUT", "/systemSecret/{secret}"): {"root"},
    (SECURITY, "DELETE", "/systemSecret/{secret}"): {"root"},
    # The target is a subscriber here: whom a role may make is what counts.
    (SECURITY, "GET", "/subusers"): READERS,
    (SECURITY, "GET", "/subuser/{id}"): READERS,
    (SECURITY, "POST", "/subuser/{id}"): MAKERS_OF_SUBSCRIBERS,
    (SECURITY, "PUT", "/subuser/{id}"): MAKERS_OF_SUBSCRIBERS,
    (SECURITY, "DELETE", "/subuser/{id}"): MAKERS_OF_SUBSCRIBERS,
    (SECURITY, "DELETE", "/subavatar/{id}"): {"root"},
    (SECURITY, "GET", "/subtotp"): EVERYBODY - {INTERNAL},
    (SECURITY, "POST", "/subavatar/{id}"): EVERYBODY - {INTERNAL},
    # These are about the caller's own account, which a sister service has not.
    (SECURITY, "GET", "/totp"): EVERYBODY - {INTERNAL},
    (SECURITY, "POST", "/avatar/{id}"): EVERYBODY - {INTERNAL},
}
"""Who may; the rest is refused with error 7."""

VALUES = {"serialNumber": AP, "id": TARGET, "uuid": TARGET, "command": "reboot"}
BODIES = {
    ("POST", "/user/{id}"): {
        "email": "made@x.org", "userRole": "noc", "currentPassword": "Right-Horse-7",
    },
    ("POST", "/subuser/{id}"): {
        "email": "sub@x.org", "userRole": "subscriber", "currentPassword": "Right-Horse-7",
    },
    ("POST", "/apiKey/{uuid}"): {"name": "made", "expiresOn": int(time.time()) + 1000},
}  # fmt: skip


@pytest.fixture
async def listeners(apps, store, settings):
    """Clients of both services, public and private, without credentials."""
    passwords = Passwords(settings.security, HASHER)
    parts = SecurityParts(
        apps.context, apps.authentication, passwords, Sealer(KEY), Mailer(settings.mail)
    )
    made = {
        (API, False): apps.api,
        (API, True): gateway_app(apps.context, apps.authentication, internal_key=KEY),
        (SECURITY, False): apps.security,
        (SECURITY, True): security_app(apps.context, apps.authentication, parts, internal_key=KEY),
    }
    clients = {place: http(app, "https://gw.example:16002") for place, app in made.items()}
    await store.commit(interface.Batch([*people(), *things()]))
    yield clients
    for client in clients.values():
        await client.aclose()
    passwords.close()


def people():
    """A user per role, signed in with the name of the role as token."""
    for role in Role:
        yield interface.PutUser(
            rows.UserRow(id=f"id-of-{role}", email=f"{role}@x.org", role=role.value)
        )
        yield interface.PutToken(
            rows.TokenRow(
                access_hash=token_hash(role.value),
                refresh_hash=f"r-{role}",
                user_id=f"id-of-{role}",
                created=1,
                expires=1 << 40,
                refresh_expires=1 << 40,
            )
        )


def things():
    """What operations are tried on; put back before each."""
    yield interface.PutDevice(rows.DeviceRow(serial_number=AP, device_type="ap"))
    yield interface.PutUser(rows.UserRow(id=TARGET, email="target@x.org", role="noc"))
    yield security.PutSubscriber(rows.UserRow(id=TARGET, email="target@x.org", role="subscriber"))
    yield security.PutAvatar(
        rows.AvatarRow(user_id=TARGET, media_type="image/png", image=b"x", modified=1)
    )


def headers_of(role):
    if role == INTERNAL:
        return {"x-internal-name": "https://owprov:16005", "x-api-key": KEY}
    return {"authorization": f"Bearer {role}"}


async def operations(listeners, service, *, private=False):
    """Yield (method, path below the base, whether it is public) of a document."""
    client = listeners[service, private]
    document = (await client.get("https://gw.example:16002/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path.removeprefix("/api/v1"), operation.get("security") == []


async def ask(client, method, path, headers):
    target = path
    for name, value in VALUES.items():
        target = target.replace("{" + name + "}", value)
    if method == "POST" and path in ("/user/{id}", "/subuser/{id}"):
        target = path.replace("{id}", "0")
    target = target.replace("{", "").replace("}", "")
    more = {}
    if method in ("POST", "PUT"):
        body = BODIES.get((method, path), {})
        more = {"content": json.dumps(body)}
        headers = headers | {"content-type": "application/json"}
    return await client.request(method, target, headers=headers, **more)


def is_refused(answer, number):
    if answer.status_code == 403:
        return answer.json()["ErrorCode"] == number
    # Scripts are refused with 400, as owgw does.
    return answer.status_code == 400 and answer.json()["ErrorDescription"].startswith(f"{number}: ")


@pytest.mark.parametrize("service", [API, SECURITY])
async def test_nobody_gets_in_without_a_token_that_is_valid(listeners, service, coordinator):
    looked_at = 0
    async for method, path, public in operations(listeners, service):
        if public:
            continue
        looked_at += 1
        for headers in ({}, headers_of("nonsense"), {"x-api-key": "nonsense"},
                        headers_of(INTERNAL)):  # fmt: skip
            answer = await ask(listeners[service, False], method, path, headers)
            assert is_refused(answer, 8), (method, path, headers, answer.text)
    assert looked_at > 20
    assert coordinator.seen == []


@pytest.mark.parametrize("role", sorted(EVERYBODY))
@pytest.mark.parametrize("service", [API, SECURITY])
async def test_each_role_may_do_what_the_table_says(listeners, service, role, store):
    private = role == INTERNAL
    wrong = []
    async for method, path, public in operations(listeners, service, private=private):
        if public:
            continue
        if method != "GET":
            await store.commit(interface.Batch(list(things())))
        answer = await ask(listeners[service, private], method, path, headers_of(role))
        allowed = role in RESTRICTED.get((service, method, path), EVERYBODY)
        if is_refused(answer, 7) is allowed:
            wrong.append((method, path, answer.status_code, answer.text[:120]))
    assert wrong == []


@pytest.mark.parametrize("service", [API, SECURITY])
async def test_the_table_has_no_rows_for_what_is_not_there(listeners, service):
    known = {(service, method, path) async for method, path, _ in operations(listeners, service)}
    assert {row for row in RESTRICTED if row[0] == service} <= known


@pytest.mark.parametrize("role", sorted(role.value for role in Role))
async def test_commands_of_administrators(listeners, role):
    for name, rules in COMMANDS.items():
        headers = headers_of(role) | {"content-type": "application/json"}
        answer = await listeners[API, False].post(
            f"/device/{AP}/{name}", headers=headers, content="{}"
        )
        allowed = role in ADMINISTRATORS if rules.administrator or name == "package" else True
        if name == "script":
            allowed = True  # which script it is decides: see test_scripts
        assert name == "script" or is_refused(answer, 7) is not allowed, (name, answer.text)


async def test_oneself(listeners, store):
    """What is refused with others is allowed with oneself."""
    client, csr = listeners[SECURITY, False], headers_of("csr")
    assert (await client.get("/apiKey/id-of-csr", headers=csr)).status_code == 200
    own = rows.AvatarRow(user_id="id-of-csr", media_type="image/png", image=b"x", modified=1)
    await store.commit(interface.Batch([security.PutAvatar(own)]))
    assert (await client.delete("/avatar/id-of-csr", headers=csr)).status_code == 200
    # Everybody but root may go; root would leave nobody who can make users.
    assert (await client.delete("/user/id-of-csr", headers=csr)).status_code == 200
    assert is_refused(await client.delete("/user/id-of-root", headers=headers_of("root")), 7)
