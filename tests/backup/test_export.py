"""Lines of JSON out of either database: which rows, which columns, and no secrets."""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from gw.backup.export import KINDS, Wanted, export
from gw.cli.export import _KINDS
from gw.cli.main import main
from gw.cli.progress import line, size_text
from gw.core.settings import Run, Settings, Store
from gw.security.sealing import Sealer, sealing_key
from gw.store import interface as ops
from gw.store import rows
from gw.store.interface import Batch
from gw.store.open import open_store
from gw.store.sealed import sealed_store

A, B = "02a0a9000041", "02a0a9000042"
PSK = "a-pre-shared-key"


def written():
    configuration = json.dumps({"ssids": [{"name": "x", "key": PSK}]})
    device = rows.DeviceRow(
        serial_number=A, configuration=configuration, device_password=PSK, model="m"
    )
    user = rows.UserRow(
        id="1",
        email="a@x",
        password="argon2-hash",
        document='{"userTypeProprietaryInfo":{"authenticatorSecret":"totp-secret","mobiles":[]}}',
    )
    return [
        ops.PutDevice(device),
        ops.PutDevice(rows.DeviceRow(serial_number=B)),
        ops.RecordConfiguration(A, 5, "h", 100, "a", "device", 9),
        *(ops.InsertStatistics(A, 1, at, b'{"n":\n %d}' % at) for at in (100, 200, 300)),
        ops.InsertStatistics(B, 1, 200, b"no json \xff"),
        ops.InsertLog(A, 1, 1, 0, 100, "line", b"{}"),
        ops.InsertLog(A, 1, 1, 1, 100, "crash", b"{}"),
        ops.PutCommand(
            rows.CommandRow(
                uuid="u", serial_number=A, command="ping", status="completed",
                details=json.dumps({"password": PSK}),
                results=json.dumps({"key": PSK}),
            )
        ),
        ops.PutCommand(
            rows.CommandRow(
                uuid="s", serial_number=A, command="script", status="failed", error_code=1,
                error_text=PSK, results=json.dumps({"status": {"result": PSK}}),
                late_answer=json.dumps({"status": {"resultText": PSK}}),
            )
        ),
        ops.PutUser(user),
        ops.PutBlacklist(rows.BlacklistRow(serial_number=B, reason="r")),
    ]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
async def kept(request, tmp_path):
    """Settings of a store with some rows, sealed as the gateway does it."""
    url, server, name = "", None, ""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        name = await server.make_database()
        url = server.url(name)
    settings = Settings(run=Run(data=str(tmp_path)), store=Store(url=url))
    store = sealed_store(
        open_store(settings.store, str(tmp_path)), Sealer(sealing_key("", str(tmp_path)))
    )
    await store.migrate()
    await store.commit(Batch(written()))
    await store.close()
    yield settings
    if server is not None:
        await server.drop_database(name)


async def lines(settings, *kinds, **wanted):
    out = []
    counts = await export(settings, list(kinds or KINDS), Wanted(**wanted), out.append)
    text = b"".join(out)
    assert text.count(b"\n") == sum(counts.values())
    return [json.loads(one) for one in text.splitlines()]


async def test_everything_is_one_object_a_line(kept):
    found = await lines(kept)
    assert {one["kind"] for one in found} == {
        "devices", "configurations", "statistics", "logs", "crashlogs", "commands", "users",
        "blacklist",
    }  # fmt: skip
    (first, _) = [one for one in found if one["kind"] == "devices"]
    assert (first["serial_number"], first["model"], first["notes"]) == (A, "m", [])
    assert [one["data"] for one in found if one["kind"] == "statistics"] == [
        {"n": 100}, {"n": 200}, {"n": 300}, "no json \ufffd",
    ]  # fmt: skip
    assert [one["log"] for one in found if one["kind"] == "crashlogs"] == ["crash"]


async def test_secrets_are_hidden_unless_they_are_asked_for(kept):
    text = json.dumps(await lines(kept))
    for secret in (PSK, "argon2-hash", "totp-secret", "s1:"):
        assert secret not in text
    shown = await lines(kept, "devices", "configurations", "commands", secrets=True)
    assert shown[0]["device_password"] == PSK
    assert shown[0]["configuration"]["ssids"][0]["key"] == PSK
    answers = [one["results"] for one in shown if one["kind"] == "commands"]
    assert answers == [{"key": PSK}, {"status": {"result": PSK}}]
    hidden = await lines(kept, "devices")
    assert hidden[0]["device_password"] == "********"
    assert hidden[0]["configuration"] == {"ssids": [{"name": "x", "key": "********"}]}
    assert hidden[1]["configuration"] is None


async def test_without_the_key_what_is_sealed_is_left_out(kept, tmp_path):
    (tmp_path / "sealing.key").unlink()
    found = await lines(kept, "devices", "commands")
    assert (found[0]["configuration"], found[0]["device_password"]) == (None, None)
    assert (found[2]["details"], found[2]["results"]) == (None, None)


async def test_rows_are_chosen_by_device_and_time(kept):
    found = await lines(kept, serial=A, start=150, end=300)
    assert [(one["kind"], one["recorded"]) for one in found] == [
        ("statistics", 200),
        ("statistics", 300),
    ]
    assert {one["serial_number"] for one in await lines(kept, serial=B)} == {B}
    assert await lines(kept, "statistics", serial=A, end=99) == []


async def test_all_is_of_one_moment(kept):
    """What is written while an export is under way is not in it."""
    out = []
    done = []

    async def change():
        store = open_store(kept.store, kept.run.data)
        await store.commit(Batch([ops.InsertEvent(A, 500, "late", b"{}"), ops.DeleteDevice(B)]))
        await store.close()

    def progress(part, count, total):
        if not done:
            with ThreadPoolExecutor(1) as thread:
                done.append(thread.submit(asyncio.run, change()).result())

    await export(kept, ["devices", "statistics", "events"], Wanted(), out.append, progress)
    assert done
    found = [json.loads(one) for one in b"".join(out).splitlines()]
    assert [one["serial_number"] for one in found if one["kind"] == "devices"] == [A, B]
    assert [one for one in found if one["kind"] == "events"] == []
    assert [one["type"] for one in await lines(kept, "events")] == ["late"]


def test_the_kinds_of_the_command_are_those_that_there_are():
    assert tuple(KINDS) == _KINDS


def gw(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def small(tmp_path):
    async def fill():
        store = open_store(Store(), str(tmp_path))
        await store.migrate()
        await store.commit(Batch(written()))
        await store.close()

    asyncio.run(fill())
    return tmp_path


def test_the_command(small, tmp_path):
    shown = gw("export", "--data", small, "statistics", "--serial", "02:A0:A9:00:00:41")
    assert shown.exit_code == 0, shown.output
    assert [json.loads(one)["recorded"] for one in shown.stdout.splitlines()] == [100, 200, 300]
    out = tmp_path / "out.ndjson"
    made = gw("export", "--data", small, "-o", out, "--from", "1970-01-01T00:02:30", "--to", "250")
    assert made.exit_code == 0, made.output
    assert [json.loads(one)["recorded"] for one in out.read_text().splitlines()] == [200, 200]
    assert out.stat().st_mode & 0o777 == 0o600
    for words, said in (
        (["--from", "yesterday"], "is no date"),
        (["--serial", "xyz"], "--serial: a serial number has"),
        (["users", "--from", "5"], "users has no device or time"),
        (["nonsense"], "nonsense"),
    ):
        wrong = gw("export", "--data", small, *words)
        assert wrong.exit_code == 2
        assert said in wrong.output
    absent = gw("export", "--data", small / "nowhere")
    assert absent.exit_code == 1
    assert "does not exist" in absent.output
    secrets = gw("export", "--data", small, "devices", "--secrets")
    assert "no sealing key" in secrets.output


def test_a_reader_that_has_enough_is_no_fault(small):
    command = f"{sys.executable} -m gw export --data {small} | head -c 10"
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stdout == '{"kind":"d'
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_line_of_progress():
    assert line("users", 1500, 0).split() == ["users", "1,500"]
    assert line("users", 50, 200).split()[1:4] == ["######..................", "25", "%"]
    assert line("users", 300, 200).split() == ["users", "300"]
    assert [size_text(n) for n in (5, 1500, 2_500_000, 7 * 10**15)] == [
        "5 B", "1.5 KB", "2.5 MB", "7000.0 TB",
    ]  # fmt: skip
