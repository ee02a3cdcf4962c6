import asyncio
import json
import os
import time
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from argon2 import PasswordHasher

from gw._native import config_hash, ring
from gw.api.app import gateway_app, security_app
from gw.api.authentication import Authentication
from gw.api.context import Context
from gw.api.coordinator_client import CoordinatorClient
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.parts import SecurityParts
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.settings import Settings
from gw.files.kept import KeptFiles
from gw.protocol.configuration import without_uuid
from gw.security.passwords import Passwords
from gw.security.sealing import Sealer
from gw.store import interface, rows, security_ops
from gw.store.sqlite import SqliteReader, SqliteStore

PASSWORD = "Right-Horse-7"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
AP = "24f5a207a130"
SWITCH = "24f5a207a131"


def row_of(kind, values):
    return msgspec.convert(values, kind)


class FakeCoordinator:
    """Answers on real rings as the coordinator does, with as little as the API can notice."""

    def __init__(self, ends, store):
        self.ends = ends
        self.store = store
        self.statuses = {}
        self.seen = []
        self.silent = False
        self.configure_outcome = {"status": "completed"}
        self.arrived = asyncio.Event()
        self.attach()

    def attach(self):
        self.up = ring.Consumer(self.ends.up_memfd, self.ends.up_wake)
        self.down = ring.Producer(self.ends.down_memfd, self.ends.down_wake)
        self.tasks = set()
        asyncio.get_running_loop().add_reader(self.ends.up_wake, self.receive)
        self.receive()

    def detach(self):
        asyncio.get_running_loop().remove_reader(self.ends.up_wake)
        self.up.close()
        self.down.close()

    def hello(self, generation=2):
        head = records.encode(records.Hello(records.RECORD_VERSION, generation))
        assert self.down.push(records.Kind.HELLO, 0, 0, time.time_ns(), head, b"")

    def receive(self):
        while True:
            found = self.up.read()
            for record in found:
                request = records.decode(records.Request, record.head)
                self.seen.append(request)
                self.arrived.set()
                if not self.silent:
                    task = asyncio.get_running_loop().create_task(self.answer(request, record.body))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
            if found:
                self.up.commit(found[-1].position)
            elif self.up.arm():
                return

    async def answer(self, request, body):
        error, detail, result = 0, "", {}
        try:
            result = await self.do(request.operation, request.arguments, body) or {}
        except RefusedError as refused:
            error, detail = refused.args
        self.respond(request.id, error, detail, result)

    def respond(self, id, error=0, detail="", result=None, body=b""):
        response = records.Response(records.RECORD_VERSION, id, error, detail, result or {})
        head = records.encode(response)
        assert self.down.push(records.Kind.RESPONSE, 0, 0, time.time_ns(), head, body)

    async def commit(self, *ops):
        await self.store.commit(interface.Batch(list(ops)))

    async def do(self, operation, given, body):
        found = getattr(self, operation.replace(".", "_"), None)
        if found is None:
            raise RefusedError(1062, operation)
        return await found(given, body)

    async def device_status(self, given, _):
        return {"statuses": {s: self.statuses[s] for s in given["serials"] if s in self.statuses}}

    async def fleet_sessions(self, given, _):
        found = ((s, self.statuses[s]) for s in given["serials"] if s in self.statuses)
        return {
            "sessions": {
                serial: (
                    status["lastContact"],
                    status["sanity"],
                    status["verifiedCertificate"],
                    status.get("lastState", 0),
                )
                for serial, status in found
            }
        }

    async def fleet_statistics(self, given, _):
        return {"connectedDevices": 2, "averageConnectionTime": 30, "connectingDevices": 1}

    def notes(self, given):
        return [n | {"created": 1000, "createdBy": given["by"]} for n in given["notes"]]

    async def device_create(self, given, body):
        if await self.store.device(given["serial"]):
            raise RefusedError(1021, given["serial"])
        row = rows.DeviceRow(
            serial_number=given["serial"],
            created=1000,
            configuration=without_uuid(body).decode(),
            config_uuid=1000,
            config_hash=config_hash(body),
            notes=json.dumps(self.notes(given)),
            **given["fields"],
        )
        await self.commit(interface.PutDevice(row))

    async def device_update(self, given, body):
        old = await self.store.device(given["serial"])
        values = dict(given["fields"])
        if given["notes"]:
            values["notes"] = json.dumps(json.loads(old.notes) + self.notes(given))
        if body:
            values |= {
                "configuration": without_uuid(body).decode(),
                "config_uuid": old.config_uuid + 1,
                "config_hash": config_hash(body),
            }
        await self.commit(interface.PatchDevice(given["serial"], values))

    async def device_delete(self, given, _):
        await self.commit(interface.DeleteDevice(given["serial"]))

    async def capabilities_delete(self, given, _):
        await self.commit(interface.DeleteCapabilities(given["serial"]))

    async def records_delete(self, given, _):
        await self.commit(interface.DeleteRecords(**given))

    async def command_configure(self, given, body):
        values = {
            "uuid": given["command"],
            "serial_number": given["serial"],
            "command": "configure",
            "submitted_by": given["by"],
            "submitted": 2000,
            "run_at": given["when"],
            "details": '{"configuration":' + body.decode() + "}",
        }
        if self.configure_outcome is None:
            raise RefusedError(1145, "UUID=1 Command=configure")
        await self.commit(interface.PutCommand(rows.CommandRow(**values | self.configure_outcome)))
        return {"status": self.configure_outcome["status"]}

    async def command_delete(self, given, _):
        await self.commit(interface.DeleteCommands(**given))

    async def default_configuration_put(self, given, body):
        row = row_of(rows.DefaultConfigurationRow, given["row"])
        row.configuration = body.decode()
        await self.commit(interface.PutDefaultConfiguration(row))

    async def default_configuration_delete(self, given, _):
        await self.commit(interface.DeleteDefaultConfiguration(given["name"]))

    async def default_firmware_put(self, given, _):
        row = row_of(rows.DefaultFirmwareRow, given["row"])
        await self.commit(interface.PutDefaultFirmware(row))

    async def default_firmware_delete(self, given, _):
        await self.commit(interface.DeleteDefaultFirmware(given["device_type"]))

    async def blacklist_put(self, given, _):
        await self.commit(interface.PutBlacklist(row_of(rows.BlacklistRow, given["row"])))

    async def blacklist_delete(self, given, _):
        await self.commit(interface.DeleteBlacklist(given["serial"]))

    async def user_put(self, given, _):
        await self.commit(interface.PutUser(row_of(rows.UserRow, given["row"])))

    async def user_delete(self, given, _):
        await self.commit(interface.DeleteUser(given["id"]))

    async def token_put(self, given, _):
        await self.commit(interface.PutToken(row_of(rows.TokenRow, given["row"])))

    async def token_delete(self, given, _):
        await self.commit(interface.DeleteTokens(**given))

    async def radius_put(self, given, body):
        await self.commit(interface.PutRadiusPools(rows.RadiusPoolsRow(document=body.decode())))

    async def radius_delete(self, given, _):
        await self.commit(interface.DeleteRadiusPools())

    async def radius_sessions(self, given, _):
        return {"items": [], "more": False}

    async def radius_serials(self, given, _):
        return {"items": [AP], "more": False}

    async def radius_disconnect(self, given, _):
        return {"ended": 1}

    async def token_removed(self, given, _):
        pass

    async def subscriber_put(self, given, _):
        await self.commit(security_ops.PutSubscriber(row_of(rows.UserRow, given["row"])))

    async def subscriber_delete(self, given, _):
        await self.commit(security_ops.DeleteSubscriber(given["id"]))

    async def api_key_put(self, given, _):
        await self.commit(security_ops.PutApiKey(row_of(rows.ApiKeyRow, given["row"])))

    async def api_key_used(self, given, _):
        await self.commit(security_ops.SetApiKeyUse(**given))

    async def api_key_delete(self, given, _):
        await self.commit(security_ops.DeleteApiKey(**given))

    async def link_put(self, given, _):
        await self.commit(security_ops.PutActionLink(row_of(rows.ActionLinkRow, given["row"])))

    async def link_delete(self, given, _):
        await self.commit(security_ops.DeleteActionLinks(**given))

    async def avatar_put(self, given, body):
        await self.commit(security_ops.PutAvatar(rows.AvatarRow(image=body, **given)))

    async def avatar_delete(self, given, _):
        await self.commit(security_ops.DeleteAvatar(**given))

    async def secret_put(self, given, _):
        await self.commit(security_ops.PutSecret(rows.SecretRow(**given)))

    async def secret_delete(self, given, _):
        await self.commit(security_ops.DeleteSecret(**given))


class RefusedError(Exception):
    pass


@pytest.fixture
def settings(tmp_path):
    made = Settings()
    made.run.data = str(tmp_path)
    made.security.login_attempts_per_minute = 40
    made.rtty.enabled = True
    made.security.login_attempts_per_user = 1000
    return made


@pytest.fixture
async def store(tmp_path):
    made = SqliteStore(tmp_path / "gw.db")
    await made.migrate()
    await made.commit(interface.Batch([interface.PutUser(user) for user in users()]))
    yield made
    await made.close()


def users():
    for name, role in (("root", "root"), ("csr", "csr"), ("new", "admin")):
        yield rows.UserRow(
            id=f"id-{name}",
            email=f"{name}@localhost",
            name=name.title(),
            role=role,
            password=HASHER.hash(PASSWORD),
            change_password=name == "new",
        )


@pytest.fixture
async def reader(store, tmp_path):
    made = SqliteReader(tmp_path / "gw.db")
    yield made
    await made.close()


@pytest.fixture
def ring_ends():
    wakes = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
    memfds = [ring.create(1 << 20) for _ in range(2)]
    yield RingEnds("api", memfds[0], wakes[0], memfds[1], wakes[1])
    for fd in (*memfds, *wakes):
        os.close(fd)


@pytest.fixture
async def coordinator(ring_ends, store):
    fake = FakeCoordinator(ring_ends, store)
    yield fake
    if fake.tasks:
        await asyncio.wait(fake.tasks)
    fake.detach()


@pytest.fixture
async def client(ring_ends):
    made = CoordinatorClient(ring_ends, 1)
    made.start()
    yield made
    made.close()


@pytest.fixture
async def apps(settings, reader, coordinator, client):
    """Both applications, and what is behind them."""
    passwords = Passwords(settings.security, HASHER)
    logins = []
    authentication = Authentication(reader)
    kept = KeptFiles(settings.files, settings.run.data, reader, client, 86_400)
    context = Context(
        settings=settings, reader=reader, coordinator=client, kept_files=kept, api_port=16002
    )
    sealer = Sealer("k" * 32)
    mailer = Mailer(settings.mail)
    parts = SecurityParts(context, authentication, passwords, sealer, mailer, logins.append)
    yield SimpleNamespace(
        mailer=mailer,
        api=gateway_app(context, authentication),
        security=security_app(context, authentication, parts),
        logins=logins,
        authentication=authentication,
        context=context,
    )
    passwords.close()


def http(app, base):
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 5))
    return httpx.AsyncClient(transport=transport, base_url=base + "/api/v1")


@pytest.fixture
async def security(apps):
    """The security listener, not signed in."""
    async with http(apps.security, "https://gw.example:16001") as made:
        yield made


@pytest.fixture
async def sign_in(security):
    async def do(user="root", password=PASSWORD, **more):
        body = {"userId": f"{user}@localhost", "password": password, **more}
        return await security.post("/oauth2", json=body)

    return do


@pytest.fixture
async def token(sign_in):
    return (await sign_in()).json()["access_token"]


@pytest.fixture
async def api(apps, token):
    """The api listener, signed in as root."""
    async with http(apps.api, "https://gw.example:16002") as made:
        made.headers["authorization"] = f"Bearer {token}"
        yield made


@pytest.fixture
async def as_csr(sign_in):
    token = (await sign_in("csr")).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


CONFIGURATION = '{"b": 1.50, "a":[1e3, 10000000000000000001], "s":"\\u00e9"}'


@pytest.fixture
async def devices(store):
    """An access point in step, and a switch that refused what it was sent."""
    await store.commit(
        interface.Batch(
            [
                interface.PutDevice(
                    rows.DeviceRow(
                        serial_number=AP,
                        device_type="ap",
                        compatible="edgecore_eap101",
                        firmware="1.2",
                        venue="v1",
                        configuration=CONFIGURATION,
                        config_uuid=5,
                        config_hash=config_hash(CONFIGURATION.encode()),
                        applied_uuid=5,
                        applied_at=50,
                        created=7,
                    )
                ),
                interface.PutDevice(
                    rows.DeviceRow(
                        serial_number=SWITCH,
                        device_type="switch",
                        configuration='{"x":1}',
                        config_uuid=9,
                        config_hash="h9",
                        applied_uuid=8,
                        applied_at=50,
                        rejected_uuid=9,
                        rejected_hash="h9",
                        rejected_text="refused",
                        rejections='[{"parameter":"x","reason":"no","substitution":null}]',
                    )
                ),
            ]
        )
    )


@pytest.fixture
def status():
    """A session as the coordinator tells it."""
    return {
        "ipAddress": "192.0.2.9:1",
        "connected": True,
        "UUID": 5,
        "sanity": 100,
        "lastContact": 99,
        "verifiedCertificate": "VERIFIED",
        "configuration": {"appliedUUID": 5, "configurationState": "in_step"},
    }
