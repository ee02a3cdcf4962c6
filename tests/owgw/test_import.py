"""What owgw and owsec keep is taken over: from both databases, into both, again and again."""

import json

import pytest
from click.testing import CliRunner
from every_table import all_rows
from owgw_database import (
    GATEWAY,
    SECURITY,
    device,
    in_postgres,
    in_sqlite,
    salted,
    unsalted,
    user,
)

from gw.cli.main import main
from gw.core.settings import Run, Security, Settings, Store
from gw.owgw import source as sources
from gw.owgw.importing import Counts
from gw.owgw.run import import_from
from gw.security.passwords import Passwords
from gw.security.sealing import Sealer
from gw.security.tokens import token_hash
from gw.store.errors import StoreError
from gw.store.open import open_store
from gw.store.sealed import sealed_store
from gw.store.snapshot import snapshot_of
from gw.store.sqlite import SqliteStore

A, B, C = "02a0a9000051", "02a0a9000052", "02a0a9000053"
KEY = "f" * 64
PASSWORD = "Right-Horse-7!"


def gateway_rows():
    pending = json.dumps({"uuid": 1_700_000_009, "interfaces": [], "unit": {"name": "new"}})
    return {
        "Devices": [
            device(A),
            device(B.upper(), DeviceType="SWITCH", restrictedDevice=True,
                   restrictionDetails='{"upgrade": true}', subscriber="s-1", simulated=True),
            device(C, pendingConfiguration=pending, pendingUUID=1_700_000_009),
        ],
        "Capabilities": [
            {"SerialNumber": A, "Capabilities": '{"compatible":"maker_ap"}', "FirstUpdate": 3,
             "LastUpdate": 4},
        ],
        "DefaultConfigs": [
            {"Name": "Lobby", "Configuration": '{"uuid":1,"interfaces":[]}', "Models": '["*"]',
             "Description": "d", "Created": 3, "LastModified": 4, "Platform": "AP"},
        ],
        "DefaultFirmwares": [
            {"deviceType": "Maker_AP", "uri": "https://x/fw", "revision": "r 1",
             "Description": "d", "Created": 3, "imageCreationDate": 2, "LastModified": 4},
        ],
        "BlackList": [{"SerialNumber": A, "Reason": "stolen", "Created": 3, "Author": "op@x"}],
        "Scripts": [
            {"id": "s-1", "name": "support", "content": "ls", "type": "shell", "created": 3,
             "restricted": '["admin"]', "deferred": True, "timeout": 60},
        ],
        "Statistics": [{"SerialNumber": A, "UUID": 1, "Data": "{}", "Recorded": 5}],
    }  # fmt: skip


def security_rows():
    admin = user("u-1", "admin@x", salted(PASSWORD, "admin@x", "salt1"))
    first = user("u-2", "TIP@x", unsalted(PASSWORD, "tip@x"), userRole="root",
                 changePassword=True)  # fmt: skip
    broken = user("u-3", "broken@x", "bcrypt$whatever", lastPasswords="")
    mfa = user(
        "u-4", "mfa@x", salted(PASSWORD, "mfa@x", "s"), suspended=True,
        userTypeProprietaryInfo=json.dumps({
            "mobiles": [], "mfa": {"enabled": True, "method": "authenticator"},
            "authenticatorSecret": "JBSWY3DPEHPK3PXP",
        }),
    )  # fmt: skip
    key = {
        "id": "k-1", "userUuid": "u-1", "name": "Robot", "description": "d", "apiKey": KEY,
        "salt": "x", "created": 3, "expiresOn": 4_000_000_000, "lastUse": 9,
        "rights": '[{"service":"*","access":"read"}]',
    }  # fmt: skip
    return {
        "Users": [admin, first, broken, mfa],
        "Subscribers": [user("s-1", "sub@x", "", userRole="subscriber")],
        "ApiKeys": [key],
    }


@pytest.fixture(params=["sqlite", "postgres"])
def make(request, tmp_path):
    """Makes the two databases of owgw and owsec, of either kind; returns their URLs."""
    if request.param == "sqlite":
        return lambda gateway, security: (
            in_sqlite(tmp_path / "devices.db", GATEWAY, gateway),
            in_sqlite(tmp_path / "users.db", SECURITY, security),
        )
    server = request.getfixturevalue("postgres_server")
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        names = [thread.submit(asyncio.run, server.make_database()).result() for _ in range(2)]
    return lambda gateway, security: (
        in_postgres(server.url(names[0]), GATEWAY, gateway),
        in_postgres(server.url(names[1]), SECURITY, security),
    )


@pytest.fixture(params=["sqlite", "postgres"])
async def target(request, tmp_path):
    url, server, name = "", None, ""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        name = await server.make_database()
        url = server.url(name)
    yield Settings(run=Run(data=str(tmp_path / "data")), store=Store(url=url))
    if server is not None:
        await server.drop_database(name)


class Importing:
    """One run, and what it told."""

    def __init__(self, settings):
        self.settings = settings
        self.told = []

    async def __call__(self, make_urls, gateway, security, **more):
        devices, users = make_urls(gateway, security)
        self.told = []
        return await import_from(
            self.settings,
            devices=devices,
            security=users,
            tell=lambda *said: self.told.append(said),
            **more,
        )


def opened(settings):
    """Return the store as the gateway opens it."""
    with open(f"{settings.run.data}/sealing.key") as file:
        sealer = Sealer(file.read().strip())
    return sealed_store(open_store(settings.store, settings.run.data), sealer)


async def test_everything_is_taken_and_a_second_run_changes_nothing(make, target):
    run = Importing(target)
    counts = await run(make, gateway_rows(), security_rows())
    assert counts == {
        "devices": Counts(added=3), "capabilities": Counts(added=1),
        "default configurations": Counts(added=1), "default firmwares": Counts(added=1),
        "blacklist": Counts(added=1), "scripts": Counts(added=1), "users": Counts(added=4),
        "subscribers": Counts(added=1), "API keys": Counts(added=1),
    }  # fmt: skip
    store = opened(target)
    one = await store.device(A)
    assert (one.config_uuid, one.device_type, one.venue, one.entity, one.locale) == (
        1_700_000_000, "ap", "venue-1", "e-1", "DE",
    )  # fmt: skip
    assert json.loads(one.configuration) == {"interfaces": [{"name": "up", "role": "upstream"}]}
    assert json.loads(one.notes) == [{"created": 5, "createdBy": "op@x", "note": "on the roof"}]
    assert one.device_password == "openwifi"
    switch = await store.device(B)
    assert (switch.device_type, switch.restricted_device, switch.subscriber, switch.simulated) == (
        "switch", True, "s-1", True,
    )  # fmt: skip
    waiting = await store.device(C)
    assert (waiting.config_uuid, waiting.pending_uuid) == (1_700_000_000, 1_700_000_009)
    assert json.loads(waiting.pending_configuration)["unit"] == {"name": "new"}
    (past,) = await store.configurations(A)
    assert (past.author, past.through, past.uuid) == ("*import", "import", 1_700_000_000)
    assert (await store.capabilities(A)).last_update == 4
    default = await store.default_configuration("lobby")
    assert (default.model_ids, default.platform) == ('["*"]', "ap")
    assert (await store.default_firmware("maker_ap")).revision == "r 1"
    assert (await store.blacklisted(A)).reason == "stolen"
    script = await store.script("s-1")
    assert (script.restricted, script.deferred, script.timeout) == ('["admin"]', True, 60)
    key = await store.api_key(token_hash(KEY))
    assert (key.user_id, key.name, key.expires_on) == ("u-1", "robot", 4_000_000_000)
    assert json.loads(key.rights) == {"acls": [{"service": "*", "access": "read"}]}
    assert (await store.subscriber_by_email("sub@x")).change_password
    await store.close()
    before = await all_rows(snapshot_of(target.store, target.run.data))
    again = await run(make, gateway_rows(), security_rows())
    assert {name: one.same for name, one in again.items()} == {
        name: one.added for name, one in counts.items()
    }
    assert all((one.added, one.changed, one.differing, one.refused) == (0, 0, 0, 0)
               for one in again.values())  # fmt: skip
    assert run.told == []
    assert await all_rows(snapshot_of(target.store, target.run.data)) == before


@pytest.fixture
def local(tmp_path):
    return Settings(run=Run(data=str(tmp_path / "data")))


@pytest.fixture
def sqlite(tmp_path):
    return lambda gateway, security: (
        in_sqlite(tmp_path / "devices.db", GATEWAY, gateway),
        in_sqlite(tmp_path / "users.db", SECURITY, security),
    )


async def test_passwords_work_and_nothing_fast_is_kept(local, sqlite):
    run = Importing(local)
    await run(sqlite, gateway_rows(), security_rows())
    store = opened(local)
    passwords = Passwords(Security())
    for email in ("admin@x", "tip@x", "mfa@x"):
        row = await store.user_by_email(email)
        assert await passwords.verify(row.password, PASSWORD)
        assert not await passwords.verify(row.password, PASSWORD + "x")
        assert passwords.needs_rehash(row.password)
    assert (await store.user_by_email("tip@x")).change_password
    assert (await store.user_by_email("mfa@x")).suspended
    broken = await store.user_by_email("broken@x")
    assert (broken.password, broken.change_password) == ("", True)
    assert [key for kind, key, what in run.told if "no usable password" in what] == [
        "broken@x",
        "sub@x",
    ]
    await store.close()
    passwords.close()
    kept = json.dumps(await all_rows(snapshot_of(local.store, local.run.data)), default=str)
    for row in security_rows()["Users"]:
        assert row["currentPassword"].rpartition("|")[2] not in kept
    for secret in (KEY, "JBSWY3DPEHPK3PXP", "openwifi"):
        assert secret not in kept


async def test_what_cannot_be_taken_is_said_row_by_row(local, sqlite):
    gateway = {
        "Devices": [
            device(A),
            device("nonsense"),
            device(B, Configuration="{"),
            device(C, UUID=2**40),
            device("02a0a9000054", Notes='"x"'),
            device("02:A0:A9:00:00:51"),
        ],
        "DefaultConfigs": [
            {"Name": "none", "Configuration": ""},
            {"Name": "models", "Configuration": "{}", "Models": "x"},
        ],
        "DefaultFirmwares": [{"deviceType": "a", "uri": "", "revision": "r"}],
        "BlackList": [{"SerialNumber": "", "Reason": "r"}],
        "Scripts": [{"id": "s", "name": "n", "content": ""}],
        "Capabilities": [{"SerialNumber": A, "Capabilities": "no"}],
    }
    ok = user("u-1", "ok@x", salted("a", "ok@x", "s"))
    key = {"id": "k", "userUuid": "u-1", "name": "n", "apiKey": KEY, "expiresOn": 4_000_000_000}
    security = {
        "Users": [ok, ok | {"id": "2", "email": "no mail"}, ok | {"id": "3", "userRole": "king"}],
        "ApiKeys": [
            key | {"id": "old", "expiresOn": 5},
            key | {"id": "short", "apiKey": "x"},
            key | {"id": "rights", "rights": '[{"service":"*","access":"everything"}]'},
            key | {"id": "nobody", "userUuid": "u-9"},
            key,
        ],
    }
    run = Importing(local)
    counts = await run(sqlite, gateway, security)
    assert (counts["devices"].added, counts["devices"].refused) == (1, 5)
    assert (counts["users"].added, counts["users"].refused) == (1, 2)
    assert (counts["API keys"].added, counts["API keys"].refused) == (1, 4)
    said = [f"{kind} {key}: {what}" for kind, key, what in run.told]
    for expected in (
        "devices nonsense: serialnumber: a serial number has 12",
        f"devices {B}: configuration: is no JSON object",
        f"devices {C}: uuid: 1099511627776 is above",
        "devices 02a0a9000054: notes: is no JSON array",
        "devices 02:A0:A9:00:00:51: is in the source twice",
        "default configurations none: configuration: is empty",
        "default configurations models: models: is no JSON array",
        "default firmwares a: uri: is empty",
        "blacklist ?: serialnumber",
        "scripts n: content: is empty",
        f"capabilities {A}: capabilities: is no JSON object",
        "users no mail: email: is none",
        "users ok@x: userrole: 'king' is none of root",
        "API keys n: expireson: is over",
        "API keys n: apikey: has 16",
        "API keys n: rights: access is one of",
        "API keys n: useruuid: there is no such user",
    ):
        assert any(one.startswith(expected) for one in said), (expected, said)
    assert len(said) == 17
    assert KEY not in str(said)


async def test_what_differs_is_left_alone_or_updated(local, sqlite):
    run = Importing(local)
    await run(sqlite, gateway_rows(), security_rows())
    gateway, security = gateway_rows(), security_rows()
    gateway["Devices"][0]["Configuration"] = '{"uuid":5,"interfaces":[],"unit":{"name":"x"}}'
    gateway["Devices"][1]["Venue"] = "venue-2"
    security["Users"][0] |= {
        "userRole": "csr",
        "currentPassword": salted("Other-1!", "admin@x", "t"),
    }
    counts = await run(sqlite, gateway, security)
    assert (counts["devices"].same, counts["devices"].differing) == (1, 2)
    assert counts["users"].differing == 1
    assert len(run.told) == 3
    store = opened(local)
    assert (await store.device(B)).venue == "venue-1"
    counts = await run(sqlite, gateway, security, update=True)
    assert (counts["devices"].same, counts["devices"].changed) == (1, 2)
    changed = await store.device(A)
    assert json.loads(changed.configuration)["unit"] == {"name": "x"}
    # Devices may have seen the former id with another content: a higher one is given.
    assert changed.config_uuid > 1_700_000_000
    assert [row.through for row in await store.configurations(A)] == ["import", "import"]
    assert (await store.device(B)).venue == "venue-2"
    admin = await store.user_by_email("admin@x")
    passwords = Passwords(Security())
    assert admin.role == "csr"
    assert await passwords.verify(admin.password, PASSWORD)
    passwords.close()
    await store.close()
    counts = await run(sqlite, gateway, security, update=True)
    assert all(one.changed == 0 for one in counts.values())


async def test_a_dry_run_changes_nothing(local, sqlite, tmp_path):
    run = Importing(local)
    counts = await run(sqlite, gateway_rows(), security_rows(), dry_run=True)
    assert (counts["devices"].added, counts["users"].added) == (3, 4)
    assert not (tmp_path / "data").exists()
    await run(sqlite, {"Devices": [device(A)]}, {})
    before = await all_rows(snapshot_of(local.store, local.run.data))
    counts = await run(sqlite, gateway_rows(), security_rows(), dry_run=True, update=True)
    assert (counts["devices"].added, counts["devices"].same) == (2, 1)
    assert await all_rows(snapshot_of(local.store, local.run.data)) == before


async def test_older_layouts_lack_columns_and_tables(local, tmp_path):
    layout = {
        "Devices": "SerialNumber VARCHAR(30) PRIMARY KEY, Configuration TEXT, UUID BIGINT",
        "BlackList": GATEWAY["BlackList"],
    }
    rows = {"Devices": [{"SerialNumber": A, "Configuration": '{"a":1}', "UUID": 7}]}
    url = in_sqlite(tmp_path / "old.db", layout, rows)
    counts = await import_from(local, devices=url.removeprefix("sqlite:///"))
    assert counts["devices"].added == 1
    assert counts["scripts"] == Counts()


async def test_memory_is_bounded(local, sqlite, monkeypatch):
    """However many rows there are, few are read and written at a time."""
    sizes = []
    commit = SqliteStore.commit

    async def counted(self, batch):
        sizes.append(len(batch.ops))
        await commit(self, batch)

    monkeypatch.setattr(SqliteStore, "commit", counted)
    many = {"Devices": [device(f"{n:012x}") for n in range(1050)]}
    counts = await Importing(local)(sqlite, many, {})
    assert counts["devices"].added == 1050
    assert len(sizes) == 11
    assert max(sizes) <= 2 * sources.CHUNK


async def test_what_is_none_of_theirs_is_refused(local, tmp_path):
    url = in_sqlite(tmp_path / "other.db", {"t": "a TEXT"}, {})
    with pytest.raises(StoreError, match="no table Devices: it is none of owgw"):
        await import_from(local, devices=url)
    with pytest.raises(StoreError, match="no table Users: it is none of owsec"):
        await import_from(local, security=url)
    with pytest.raises(StoreError, match="does not exist"):
        await import_from(local, devices=str(tmp_path / "absent.db"))
    (tmp_path / "text.db").write_text("x" * 5000)
    with pytest.raises(StoreError, match="not a database"):
        await import_from(local, devices=str(tmp_path / "text.db"))


def test_the_command(sqlite, tmp_path):
    devices, users = sqlite(gateway_rows(), security_rows())

    def gw(*words):
        return CliRunner().invoke(main, ["import-owgw", *map(str, words)])

    data = tmp_path / "data"
    tried = gw("--data", data, "--devices", devices, "--security", users, "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "Nothing was changed" in tried.output
    assert not data.exists()
    done = gw("--data", data, "--devices", devices, "--security", users)
    assert done.exit_code == 0, done.output
    (line,) = [one for one in done.output.splitlines() if one.startswith("devices ")]
    assert line.split() == ["devices", "3", "0", "0", "0", "0"]
    assert "users: broken@x: no usable password" in done.output
    assert gw("--data", data).exit_code == 2
    absent = gw("--data", data, "--devices", tmp_path / "absent")
    assert absent.exit_code == 1
    assert "does not exist" in absent.output
    away = gw("--data", data, "--devices", "postgresql://o:secret@127.0.0.1:1/owgw")
    assert away.exit_code == 1
    assert "secret" not in away.output
    assert "Traceback" not in away.output
