"""What a coordinator makes of the commands that its predecessor had sent."""

import asyncio
import json
import time

import pytest

from gw.coordinator.commands import Commands
from gw.coordinator.configure import Configure
from gw.coordinator.executor import Executor
from gw.coordinator.presence import Presence
from gw.coordinator.shadow import Shadows, from_device
from gw.coordinator.work import Committer
from gw.core import settings
from gw.core.records import RECORD_VERSION, Answer, Unanswered
from gw.ops import metrics
from gw.protocol.lifecycle import State
from gw.store.interface import Batch, PutCommand, PutDevice
from gw.store.rows import CommandRow, DeviceRow
from gw.store.sqlite import SqliteStore

SERIAL, UUID, SESSION = "0a1b2c3d4e5f", "5f0c2c1e-7d39-4c0b-9a53-2f4f4b7a9d10", 7


class Links:
    """Takes no orders: here nothing may be sent."""

    def send_rpc(self, *order: object) -> bool:
        raise AssertionError(order)


class Successor:
    """A coordinator that finds one command of its predecessor."""

    def __init__(self, store: SqliteStore, row: CommandRow) -> None:
        self.store, self.row = store, row
        counters = metrics.CounterPage.private()
        self.work = Committer(store, settings.Store(batch_milliseconds=0.0), counters)
        self.commands = Commands(self.work, counters)
        self.executor = Executor(
            self.work, store, Links(), Presence(), Shadows(store), self.commands, None,
            settings.Settings(),
        )  # fmt: skip

    async def start(self) -> None:
        device = DeviceRow(serial_number=SERIAL)
        await self.store.commit(Batch([PutDevice(device), PutCommand(self.row)]))
        await self.commands.load(self.store)
        self.executor.load()

    @property
    def state(self) -> State | None:
        found = self.commands.get(UUID)
        return found.state if found is not None else None

    def left(self) -> float:
        """How long until the command ends by itself, seconds."""
        return self.commands.get(UUID).deadline - time.monotonic()


@pytest.fixture
async def succeed(tmp_path):
    store = SqliteStore(tmp_path / "gw.db")
    await store.migrate()
    tasks = []

    async def make(name: str, state: State, age: int = 0, **values: object) -> Successor:
        now = int(time.time())
        row = CommandRow(
            uuid=UUID, serial_number=SERIAL, command=name, status=state, submitted_by="root",
            submitted=now - age, executed=now - age, **{"attempts": 1} | values,
        )  # fmt: skip
        made = Successor(store, row)
        await made.start()
        tasks.append(asyncio.create_task(made.work.run()))
        return made

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()


@pytest.mark.parametrize("left", [20_000, 0, -60_000])
async def test_what_reached_its_device_is_not_sent_again(succeed, left):
    """Also if the time for its answer was over before a new coordinator was there."""
    new = await succeed("reboot", State.EXECUTING, age=100)
    new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", left, "reboot")])
    assert new.state is State.EXECUTING
    assert (new.executor.running(SERIAL) is not None) == (left > 0)


async def test_a_device_is_not_kept_for_an_upgrade_that_takes_hours(succeed):
    new = await succeed("upgrade", State.EXECUTING)
    new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", 14_000_000, "upgrade")])
    running = new.executor.running(SERIAL)
    assert running.until - time.monotonic() <= 30
    assert new.left() > 3600


async def test_long_scripts_keep_their_time(succeed):
    new = await succeed("script", State.EXECUTING)
    new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", 3_000_000, "script")])
    assert new.left() > 2000


@pytest.mark.parametrize("left", [1000, -1000])
async def test_a_script_that_is_to_answer_again_keeps_its_time(succeed, left):
    new = await succeed("script", State.EXECUTED, age=300, deferred=True)
    new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", left, "script")])
    new.executor.session_ended(SERIAL, 0)
    assert new.state is State.EXECUTED
    assert new.left() > 500


async def test_a_scheduled_change_that_is_under_way_is_not_carried_out_again(succeed):
    """It was due before the restart: what the device reports settles it, not that it is equal."""
    new = await succeed("configure", State.PENDING, run_at=int(time.time()) - 10)
    device = DeviceRow(serial_number=SERIAL, pending_uuid=9, pending_hash="x", pending_command=UUID)
    configure = Configure(new.store, new.work, None, new.commands, new.executor, Presence(), 1.0)
    await configure.due(from_device(device), new.row)
    assert new.state is State.PENDING


@pytest.mark.parametrize("wait", [0, 3600])
@pytest.mark.parametrize("name", ["upgrade", "configure"])
async def test_a_repeated_call_is_answered_as_the_first_one_was(succeed, name, wait):
    """The API asks a new coordinator again: what waits for its time or its device is pending."""
    when = int(time.time()) + wait if wait else 0
    new = await succeed(name, State.PENDING, attempts=0, run_at=when)
    shadow = from_device(DeviceRow(serial_number=SERIAL))
    arguments = {"command": UUID, "name": name, "when": when, "seconds": 3600.0}
    configure = Configure(new.store, new.work, None, new.commands, new.executor, Presence(), 3600.0)
    run = configure.run if name == "configure" else new.executor.run
    async with asyncio.timeout(60):
        assert await run(shadow, arguments, b"{}") == "pending"
    assert new.state is State.PENDING


LATER = "5f0c2c1e-7d39-4c0b-9a53-2f4f4b7a9d11"


def due_configure(new: Successor, *, details: str = '{"config":{}}') -> None:
    """A change whose time has come waits behind the other command."""
    now = int(time.time())
    row = CommandRow(
        uuid=LATER, serial_number=SERIAL, command="configure", status=State.PENDING,
        submitted_by="root", submitted=now, run_at=now - 1, details=details,
    )  # fmt: skip
    new.commands.create(row)
    new.executor.schedule(LATER, now - 1)


async def test_a_due_change_is_not_kept_by_what_waits_for_an_absent_device(succeed):
    new = await succeed("upgrade", State.PENDING, attempts=0)
    done = asyncio.get_running_loop().create_future()

    async def later(shadow, row):
        done.set_result((shadow.serial, row.uuid))

    due_configure(new)
    await new.work.durable()
    new.executor.waiting.configure_later = later
    new.executor.due()
    async with asyncio.timeout(60):
        assert await done == (SERIAL, LATER)
    assert new.state is State.PENDING


async def test_a_change_that_cannot_be_carried_out_ends(succeed):
    """Whatever goes wrong in it, it is not pending for ever."""
    new = await succeed("upgrade", State.PENDING, attempts=0)

    async def later(shadow, row):
        raise RuntimeError("no such thing")

    due_configure(new)
    await new.work.durable()
    new.executor.waiting.configure_later = later
    async with asyncio.timeout(60):
        ending = asyncio.ensure_future(new.commands.settled(LATER, 60))
        await asyncio.sleep(0)
        new.executor.due()
        assert await ending == "failed"
    row = await new.store.command(LATER)
    assert (row.status, bool(row.completed)) == ("failed", True)
    assert "its log says why" in row.error_text


async def test_a_store_that_hangs_is_asked_once_for_each_device(succeed, monkeypatch):
    new = await succeed("upgrade", State.PENDING, attempts=0)
    due_configure(new)
    await new.work.durable()
    carried_out, asked, answered = [], asyncio.Event(), asyncio.Event()
    ask, count = new.store.command, []

    async def hang(uuid):
        count.append(uuid)
        asked.set()
        await answered.wait()
        return await ask(uuid)

    async def later(shadow, row):
        carried_out.append(row.uuid)

    monkeypatch.setattr(new.store, "command", hang)
    new.executor.waiting.configure_later = later
    async with asyncio.timeout(60):
        new.executor.due()
        await asked.wait()
        tasks = len(asyncio.all_tasks())
        for _ in range(5):
            new.executor.due()
            new.executor.connected(SERIAL)
        assert (len(asyncio.all_tasks()), count) == (tasks, [LATER])
        answered.set()
        while not carried_out:
            await asyncio.sleep(0)
    assert carried_out == [LATER]


def say(coordinator: Successor, method: str, nth: int, **status: object) -> None:
    """The device answers."""
    message = json.dumps({"jsonrpc": "2.0", "id": 5, "result": {"status": status}})
    answer = Answer(RECORD_VERSION, UUID, method, 5, 1.0, 0, "", nth)
    coordinator.executor.answered(SERIAL, answer, message.encode())


@pytest.fixture
async def replace():
    """Start a coordinator on what another one has written."""
    tasks = []

    async def make(old: Successor) -> Successor:
        await old.work.durable()
        new = Successor(old.store, old.row)
        tasks.append(asyncio.create_task(new.work.run()))
        await new.commands.load(new.store)
        new.executor.load()
        return new

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("more", [None, 0])
async def test_what_an_upgrade_answered_outlives_the_coordinator(succeed, replace, more):
    """It may answer once more; one that dies while that is awaited has the first in its store."""
    old = await succeed("upgrade", State.EXECUTING)
    say(old, "upgrade", 1, error=2, text="bad image")
    new = await replace(old)
    new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", 14_000_000, "upgrade")])
    assert new.left() <= 3
    if more is None:
        new.commands.get(UUID).deadline = 0.0
        new.commands.expire()
    else:
        say(new, "upgrade", 2, error=more, text="")
    await new.work.durable()
    row = await new.store.command(UUID)
    ended = (row.status, row.error_code, row.error_text)
    assert ended == (("failed", 2, "bad image") if more is None else ("completed", 0, ""))


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_file_that_was_refused_before_the_answer_fails_the_command(
    succeed, replace, restarted
):
    new = await succeed("trace", State.EXECUTING, waiting_for_file=1, attach_type="pcap")
    new.executor.answers.file_rejected(UUID, "too large")
    assert new.state is State.EXECUTING
    if restarted:
        new = await replace(new)
        new.executor.resume(SERIAL, SESSION, [Unanswered(UUID, 0, "", 60_000, "trace")])
    say(new, "trace", 1, error=0, text="Success")
    await new.work.durable()
    row = await new.store.command(UUID)
    assert (row.status, row.error_code, row.error_text) == (
        "failed", 0, "File rejected: too large",
    )  # fmt: skip
    assert row.answered
    assert not row.waiting_for_file
