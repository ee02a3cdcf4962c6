"""The keeper over a real store: each story ends with the store and the shadow telling the same."""

import asyncio
import json

import pytest

from gw._native import config_hash
from gw.bus.envelopes import Envelope
from gw.bus.null import NullBus
from gw.coordinator import commands as states
from gw.coordinator import keeper
from gw.coordinator.announcer import Announcer
from gw.coordinator.commands import Commands
from gw.coordinator.keeper import Keeper
from gw.coordinator.presence import DeviceSession, Presence
from gw.coordinator.shadow import Shadow, Shadows, from_device
from gw.coordinator.streams import Streams
from gw.coordinator.work import Committer
from gw.core import settings
from gw.core.ids import MAX_CONFIG_UUID
from gw.core.records import RECORD_VERSION, Answer, Connect, PeerCertificate, SendRpc, Unanswered
from gw.ops import metrics
from gw.protocol import configuration as rules
from gw.protocol.configuration import Report, Source
from gw.store.interface import Batch, PutCapabilities, PutDevice
from gw.store.rows import CommandRow, DeviceRow
from gw.store.sqlite import SqliteStore

SERIAL = "0a1b2c3d4e5f"
OLD, NEW, NEWER = b'{"name":"old"}', b'{"name":"new","tx":1.50}', b'{"name":"newer"}'
STORED_UUID = 100


class Sent:
    """One order that the fake links took."""

    def __init__(self, session: int, order: SendRpc, params: bytes) -> None:
        self.session, self.order = session, order
        self.command, self.method, self.compress = order.command, order.method, order.compress
        self.params = json.loads(params)
        self.text = params

    @property
    def uuid(self) -> int:
        return self.params["uuid"]

    @property
    def unanswered(self) -> Unanswered:
        """As the worker tells it to a new coordinator."""
        return Unanswered(self.command, self.order.uuid, self.order.hash, 60_000)


class Links:
    """Takes the orders to workers; full on demand."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.full = False

    def send_rpc(self, session: int, serial: str, order: SendRpc, params: bytes) -> bool:
        assert serial == SERIAL
        if not self.full:
            self.sent.append(Sent(session, order, params))
        return not self.full


class Node:
    """A coordinator without queues, and one device."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.links, self.presence = Links(), Presence()
        counters = metrics.CounterPage.private()
        self.work = Committer(store, settings.Store(batch_milliseconds=0.0), counters)
        self.commands = Commands(self.work, counters)
        self.keeper = Keeper(
            self.work, store, self.links, self.presence, self.commands,
            settings.Configuration(resend_limit=5, resend_at_once=5), counters,
            Announcer(
                self.work, store, NullBus(), Envelope(1, "https://localhost:17002"),
                Streams(self.work, self.links, counters),
            ),
        )  # fmt: skip
        self.shadow: Shadow
        self.session: DeviceSession
        self.sessions = 0
        self.told: list[tuple[str, str]] = []
        self.task = asyncio.create_task(self.work.run())

    async def start(self, **row: object) -> None:
        device = DeviceRow(
            serial_number=SERIAL, device_type="ap", configuration=OLD.decode(),
            config_uuid=STORED_UUID, config_hash=config_hash(OLD),
        )  # fmt: skip
        for name, value in row.items():
            setattr(device, name, value)
        await self.store.commit(Batch([PutDevice(device)]))
        self.shadow = from_device(device)

    async def load(self) -> None:
        """Know the device as a new coordinator does."""
        self.shadow = await Shadows(self.store).get(SERIAL)
        await self.commands.load(self.store)

    async def quiet(self) -> None:
        """Wait until everything is durable and handed to the links; the store is the shadow."""
        for _ in range(3):  # what was overtaken before its delivery is written and sent anew
            await asyncio.wait_for(self.work.durable(), 60)
            await asyncio.wait_for(self.keeper._delivery.drained(), 60)
        found = await self.store.shadows([SERIAL])
        assert found[SERIAL] == self.shadow.row

    # -- the device

    def attach(self, uuid: int) -> None:
        self.sessions += 1
        certificate = PeerCertificate(SERIAL, "CA", 0, 0, "", "VERIFIED")
        connect = Connect(
            version=RECORD_VERSION, address="192.0.2.1:1", certificate=certificate, uuid=uuid,
            config_hash="", connected_at=0, connected_ns=self.sessions, completion_ms=0.0,
        )  # fmt: skip
        self.session = DeviceSession(self.sessions, SERIAL, connect)
        self.presence.register(self.session)
        self.shadow.session = self.session.id

    async def connect(self, uuid: int, content: str = "") -> None:
        self.keeper.session_changed(self.shadow)
        self.attach(uuid)
        await self.report(uuid, content, Source.CONNECT)

    async def resume(self, uuid: int, *unanswered: Unanswered) -> None:
        """Find the device's session as a new coordinator does, told by its worker."""
        self.attach(uuid)
        self.keeper.resume(self.shadow, self.session, list(unanswered))
        await self.report(uuid)

    async def disconnect(self) -> None:
        self.presence.remove(SERIAL, self.session.id)
        self.shadow.session = 0
        self.keeper.session_changed(self.shadow)
        await self.quiet()

    async def report(self, uuid: int, content: str = "", source: Source = Source.STATE) -> None:
        self.keeper.report(self.shadow, self.session, Report(uuid, content, source))
        await self.quiet()

    async def answer(self, sent: Sent, **result: object) -> None:
        """The device answers what it was sent: by default that it applied it."""
        result = {"serial": SERIAL, "uuid": sent.uuid, "status": {"error": 0}} | result
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
        await self.answer_bytes(sent, body)

    async def answer_bytes(self, sent: Sent, body: bytes) -> None:
        head = Answer(
            version=RECORD_VERSION, command=sent.command, method="configure", rpc_id=1,
            elapsed_ms=5.0, uuid=sent.uuid, hash=sent.params["config_hash"],
        )  # fmt: skip
        self.keeper.answered(self.shadow, self.session, head, body)
        await self.quiet()

    async def refuse(self, sent: Sent, uuid: int = STORED_UUID) -> None:
        status = {"error": 2, "text": "no such port", "rejected": ["port 9"]}
        await self.answer(sent, uuid=uuid, status=status)

    # -- the operator

    async def change(self, document: bytes, command: str) -> None:
        row = CommandRow(uuid=command, serial_number=SERIAL, command="configure", status="pending")
        self.commands.create(row)
        self.commands.wait(command, lambda status: self.told.append((command, status)))
        self.keeper.change(self.shadow, document, config_hash(document), row)
        await self.quiet()

    async def put(self, document: bytes) -> bool:
        changed = self.keeper.replace(self.shadow, document, config_hash(document), "me")
        await self.quiet()
        return changed

    # -- what is to be seen

    @property
    def sent(self) -> list[Sent]:
        return self.links.sent

    async def row(self) -> DeviceRow:
        return await self.store.device(SERIAL)

    async def status(self, command: str) -> str:
        return (await self.store.command(command)).status

    async def check_stored(self, document: bytes, **expected: object) -> None:
        """The stored configuration is `document`, nothing is pending, nothing under way."""
        row = await self.row()
        assert (row.configuration, row.config_hash) == (document.decode(), config_hash(document))
        assert (row.pending_uuid, row.pending_hash, row.pending_configuration) == (0, "", "")
        assert row.pending_command == ""
        assert self.shadow.in_flight is None
        assert {name: getattr(row, name) for name in expected} == expected

    async def stop(self) -> None:
        await self.keeper.close()
        self.work.stop()
        await asyncio.wait_for(self.task, 60)


@pytest.fixture
async def store(tmp_path):
    made = SqliteStore(tmp_path / "gw.db", synchronous="normal")
    await made.migrate()
    yield made
    await made.close()


@pytest.fixture
async def node(store):
    made = Node(store)
    await made.start()
    yield made
    await made.stop()


# -- repairs


async def test_device_in_step_is_sent_nothing(node):
    await node.connect(STORED_UUID)
    await node.report(STORED_UUID)
    assert node.sent == []
    await node.check_stored(OLD, applied_uuid=STORED_UUID, sends=0, hold="")


async def test_drift_is_put_right(node):
    await node.connect(50)
    [sent] = node.sent
    assert (sent.method, sent.session, sent.compress) == ("configure", node.session.id, False)
    assert sent.params == {
        "serial": SERIAL, "uuid": STORED_UUID, "when": 0, "config_hash": config_hash(OLD),
        "config": {"uuid": STORED_UUID, "name": "old"},
    }  # fmt: skip
    command = await node.store.command(sent.command)
    assert (command.status, command.submitted_by) == (states.EXECUTING, states.SYSTEM)
    assert json.loads(command.details)["cause"] == "connect"
    await node.report(50)
    assert len(node.sent) == 1  # the answer is to come
    await node.answer(sent)
    await node.check_stored(OLD, applied_uuid=STORED_UUID, hold="", rejected_uuid=0)
    assert await node.status(sent.command) == states.COMPLETED
    await node.report(STORED_UUID)
    assert len(node.sent) == 1
    await node.check_stored(OLD, sends=0)


async def test_configuration_goes_compressed_to_agents_that_can(node):
    await node.store.commit(Batch([PutCapabilities(SERIAL, '{"compress_cmd":true}', 1)]))
    await node.connect(50)
    assert [one.compress for one in node.sent] == [True]


async def test_device_ahead_gets_a_higher_id(node):
    ahead = 2_000_000_000
    await node.connect(ahead)
    [sent] = node.sent
    assert sent.uuid == ahead + 1
    await node.answer(sent)
    await node.check_stored(OLD, config_uuid=ahead + 1, applied_uuid=ahead + 1)


async def test_no_id_left_is_a_reason(node):
    await node.connect(MAX_CONFIG_UUID)
    assert node.sent == []
    await node.check_stored(OLD, config_uuid=STORED_UUID, hold=rules.HOLD_IDS)


async def test_device_that_refuses_the_stored_configuration_is_sent_it_once(node):
    await node.connect(50)
    [sent] = node.sent
    await node.refuse(sent, uuid=50)
    for uuid in (50, 60, 50):
        await node.report(uuid)
    await node.connect(50)
    assert len(node.sent) == 1
    await node.check_stored(
        OLD, hold=rules.HOLD_REJECTED, rejected_uuid=STORED_UUID, rejected_hash=config_hash(OLD),
        rejected_text="no such port", rejections='[{"reason":"port 9"}]', applied_uuid=50,
    )  # fmt: skip
    assert (await node.store.command(sent.command)).error_code == 2
    # Other content is another matter.
    assert await node.put(NEW)
    await node.answer(node.sent[1])
    await node.check_stored(NEW, hold="", rejected_uuid=0, rejected_text="", rejections="[]")


async def test_switch_that_refused_is_not_believed_its_state(node):
    node.shadow.set(node.work, device_type="switch")
    await node.connect(50)
    await node.refuse(node.sent[0], uuid=STORED_UUID)  # it names what it refused
    for _ in range(3):
        await node.report(STORED_UUID, source=Source.STATE)
        await node.report(50, source=Source.HEALTHCHECK)
    assert len(node.sent) == 1
    await node.check_stored(OLD, hold=rules.HOLD_REJECTED, rejected_uuid=STORED_UUID)


async def test_operator_sends_again_what_was_refused(node):
    await node.connect(50)
    await node.refuse(node.sent[0], uuid=50)
    await node.change(OLD, "c1")
    again = node.sent[1]
    assert again.uuid > STORED_UUID
    await node.answer(again)
    await node.check_stored(OLD, config_uuid=again.uuid, hold="", rejected_hash="")


async def test_device_that_never_answers_gets_a_bounded_number_of_new_ids(node):
    await node.connect(50)
    for _ in range(10):
        if node.shadow.in_flight is not None:
            node.shadow.in_flight.deadline = 0.0
        node.keeper.expire()
        await node.report(50)
    ids = [one.uuid for one in node.sent]
    assert len(ids) == 5
    assert ids == sorted(set(ids))
    await node.check_stored(OLD, hold=rules.HOLD_LIMIT, sends=5)
    assert {await node.status(one.command) for one in node.sent} == {states.FAILED}


async def test_device_that_says_yes_and_goes_back_gets_a_bounded_number(node):
    await node.connect(50)
    for _ in range(20):
        if node.shadow.in_flight is not None:
            await node.answer(node.sent[-1])
        await node.report(50)
    assert len(node.sent) == 5
    await node.check_stored(OLD, hold=rules.HOLD_LIMIT)


async def test_answer_that_names_the_content_counts_as_confirmed(node):
    await node.connect(50)
    for drifts in range(1, 8):
        assert len(node.sent) == drifts
        await node.answer(node.sent[-1], config_hash=config_hash(OLD))
        await node.check_stored(OLD, sends=0, applied_hash=config_hash(OLD))
        await node.report(50)


# -- changes


async def test_change_is_sent_at_once_and_adopted_by_the_answer(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    row = await node.row()
    assert (row.configuration, row.config_uuid) == (OLD.decode(), STORED_UUID)
    assert (row.pending_configuration, row.pending_uuid) == (NEW.decode(), sent.uuid)
    assert (sent.command, await node.status("c1")) == ("c1", states.EXECUTING)
    assert b'"tx":1.50' in sent.text  # numbers keep their spelling
    assert node.told == []
    await node.answer(sent)
    await node.check_stored(NEW, config_uuid=sent.uuid, applied_uuid=sent.uuid, hold="")
    command = await node.store.command("c1")
    assert (command.status, command.error_code, command.execution_ms) == ("completed", 0, 5.0)
    assert json.loads(command.results)["uuid"] == sent.uuid
    assert node.told == [("c1", states.COMPLETED)]


@pytest.mark.parametrize(("strict", "status"), [(False, "completed"), (True, "failed")])
async def test_change_that_is_refused_is_rolled_back(node, strict, status):
    await node.connect(STORED_UUID)
    node.shadow.strict = strict
    await node.change(NEW, "c1")
    [sent] = node.sent
    await node.refuse(sent)
    await node.check_stored(
        OLD, config_uuid=STORED_UUID, applied_uuid=STORED_UUID, rejected_uuid=sent.uuid,
        rejected_hash=config_hash(NEW), rejected_text="no such port",
    )  # fmt: skip
    command = await node.store.command("c1")
    assert (command.status, command.error_code, command.error_text) == (status, 2, "no such port")
    assert node.told == [("c1", status)]
    await node.report(STORED_UUID)
    await node.report(sent.uuid)  # a switch names what it refused
    assert len(node.sent) == 1


@pytest.mark.parametrize("error", [0, 1])
async def test_change_that_is_applied_with_substitutions(node, error):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    rejected = [{"parameter": {"tx": 1.5}, "reason": "limit", "substitution": {"tx": 1}}]
    status = {"error": error, "text": "some", "rejected": rejected}
    other = "f" * 32
    await node.answer(sent, config_hash=other, status=status)
    await node.check_stored(
        NEW, config_uuid=sent.uuid, applied_hash=other, rejected_uuid=sent.uuid, rejected_hash=""
    )
    assert json.loads((await node.row()).rejections) == rejected
    await node.report(sent.uuid, other)
    assert len(node.sent) == 1
    await node.check_stored(NEW, sends=0, hold="")


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{"uuid":7}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"status":{"error":"odd"}}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"status":{"error":0,"text":1e999}}}',
    ],
)
async def test_answer_that_says_nothing_leaves_the_change_to_the_next_report(node, answer):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    await node.answer_bytes(sent, answer)
    assert (await node.row()).pending_uuid == sent.uuid
    assert (node.told, await node.status("c1")) == ([("c1", "pending")], states.PENDING)
    await node.report(sent.uuid)
    await node.check_stored(NEW, config_uuid=sent.uuid)
    assert await node.status("c1") == states.COMPLETED


async def test_json_rpc_error_is_a_refusal(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"bad"}}'
    await node.answer_bytes(node.sent[0], error)
    await node.check_stored(OLD, rejected_text="bad")
    command = await node.store.command("c1")
    assert json.loads(command.results) == {"error": {"code": -1, "message": "bad"}}


async def test_late_answer_settles_the_change(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    node.shadow.in_flight.deadline = 0.0
    node.keeper.expire()
    await node.quiet()
    assert (node.told, await node.status("c1")) == ([("c1", "pending")], states.PENDING)
    assert (await node.row()).pending_uuid == sent.uuid
    await node.answer(sent)
    await node.check_stored(NEW, config_uuid=sent.uuid)
    assert await node.status("c1") == states.COMPLETED


async def test_answer_that_is_not_due_changes_nothing(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    await node.answer(node.sent[0])
    await node.put(NEWER)
    before = await node.row()
    await node.refuse(node.sent[0])
    assert await node.row() == before
    command = await node.store.command("c1")
    assert command.status == states.COMPLETED
    assert json.loads(command.late_answer)["status"]["error"] == 2
    assert json.loads(command.results)["status"]["error"] == 0
    await node.answer(node.sent[1])
    await node.check_stored(NEWER)


async def test_expire_leaves_what_is_not_overdue(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    flight = node.shadow.in_flight
    node.keeper.expire()
    assert node.shadow.in_flight is flight is not None


async def test_change_for_a_device_that_is_away_is_sent_when_it_comes(node):
    await node.change(NEW, "c1")
    assert node.sent == []
    assert await node.status("c1") == states.PENDING
    await node.connect(STORED_UUID)
    [sent] = node.sent
    assert (sent.command, sent.params["config"]["name"]) == ("c1", "new")
    await node.answer(sent)
    await node.check_stored(NEW, config_uuid=sent.uuid)


async def test_newer_change_supersedes_one_that_waits(node):
    await node.change(NEW, "c1")
    await node.change(NEWER, "c2")
    assert (await node.status("c1"), await node.status("c2")) == ("expired", "pending")
    assert node.told == [("c1", states.EXPIRED)]
    await node.connect(STORED_UUID)
    [sent] = node.sent
    await node.answer(sent)
    await node.check_stored(NEWER, config_uuid=sent.uuid)
    assert node.told == [("c1", states.EXPIRED), ("c2", states.COMPLETED)]


async def test_connection_lost_then_the_change_is_reported(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    await node.disconnect()
    assert node.told == []  # who waits goes on waiting
    assert await node.status("c1") == states.PENDING
    await node.connect(sent.uuid)
    await node.check_stored(NEW, config_uuid=sent.uuid, applied_uuid=sent.uuid)
    assert (len(node.sent), node.told) == (1, [("c1", states.COMPLETED)])


async def test_connection_lost_and_the_change_is_not_there(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    await node.disconnect()
    await node.connect(STORED_UUID)
    first, second = node.sent
    assert second.command == "c1"
    assert second.uuid > first.uuid  # an access point applies new ids only
    await node.answer(second)
    await node.check_stored(NEW, config_uuid=second.uuid)


async def test_unsent_change_is_sent_at_the_next_report(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    node.keeper.unsent(node.shadow, "c1", "the session is gone")
    await node.quiet()
    command = await node.store.command("c1")
    assert (command.status, command.error_text) == (states.PENDING, "the session is gone")
    await node.report(STORED_UUID)
    await node.answer(node.sent[1])
    await node.check_stored(NEW)


async def test_full_queue_counts_as_unsent(node):
    await node.connect(STORED_UUID)
    node.links.full = True
    await node.change(NEW, "c1")
    assert (await node.store.command("c1")).status == states.PENDING
    assert node.shadow.in_flight is None
    node.links.full = False
    await node.report(STORED_UUID)
    [sent] = node.sent
    await node.answer(sent)
    await node.check_stored(NEW, config_uuid=sent.uuid)


async def test_unsent_of_another_command_changes_nothing(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    flight = node.shadow.in_flight
    node.keeper.unsent(node.shadow, "c0", "late")
    await node.quiet()
    assert node.shadow.in_flight is flight


async def test_switch_is_asked_what_is_active(node):
    node.shadow.set(node.work, device_type="switch")
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    node.keeper.unsent(node.shadow, "c1", "lost")
    await node.report(sent.uuid)
    await node.report(sent.uuid)
    [ping] = node.sent[1:]  # asked once, not at each report
    assert ping.method == "ping"
    assert (await node.row()).pending_uuid == sent.uuid
    body = b'{"jsonrpc":"2.0","id":1,"result":{"uuid":%d}}' % sent.uuid
    node.keeper.probed(node.shadow, node.session, body)
    await node.quiet()
    await node.check_stored(NEW, config_uuid=sent.uuid, applied_uuid=sent.uuid)
    assert node.told == [("c1", states.COMPLETED)]


async def test_probe_that_finds_the_queue_full_is_asked_again(node):
    node.shadow.set(node.work, device_type="switch")
    await node.change(NEW, "c1")
    node.attach(STORED_UUID)
    node.links.full = True
    await node.report(node.shadow.row.pending_uuid)
    node.links.full = False
    await node.report(node.shadow.row.pending_uuid)
    assert [one.method for one in node.sent] == ["ping"]


@pytest.mark.parametrize("how", ["answered", "unsent", "session", "time"])
async def test_nothing_is_kept_of_a_probe_that_ended(node, monkeypatch, how):
    monkeypatch.setattr(keeper, "_PROBE_SECONDS", 0)
    node.shadow.set(node.work, device_type="switch")
    await node.change(NEW, "c1")
    node.attach(STORED_UUID)
    await node.report(node.shadow.row.pending_uuid)
    assert node.shadow.probe
    match how:
        case "answered":
            node.keeper.probed(node.shadow, node.session, b'{"result":{}}')
        case "unsent":
            node.keeper.unsent(node.shadow, node.shadow.probe, "lost")
        case "session":
            node.keeper.session_changed(node.shadow)
        case "time":
            node.keeper.expire()
    assert (node.shadow.probe, node.keeper._probes) == ("", {})


async def test_cancelled_change_is_gone(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    node.keeper.cancel(node.shadow)
    await node.quiet()
    await node.check_stored(OLD, config_uuid=STORED_UUID)
    assert node.told == [("c1", states.EXPIRED)]
    await node.answer(sent)
    await node.check_stored(OLD, config_uuid=STORED_UUID)
    # It was applied after all: the device is ahead, and gets the stored one.
    await node.report(sent.uuid)
    assert node.sent[1].params["config"]["name"] == "old"


async def test_an_id_names_one_content_also_if_it_was_cancelled(node):
    """An answer to what was cancelled within the same second is none to what came after it."""
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    node.keeper.cancel(node.shadow)
    node.commands.finish("c1", states.EXPIRED)
    await node.change(NEWER, "c2")
    first, second = node.sent
    assert second.uuid > first.uuid
    await node.refuse(first)
    assert (await node.row()).pending_uuid == second.uuid
    assert json.loads((await node.store.command("c1")).late_answer)["status"]["error"] == 2
    await node.answer(second)
    await node.check_stored(NEWER, config_uuid=second.uuid)


# -- writes of the stored configuration


async def test_put_is_sent_at_once(node):
    await node.connect(STORED_UUID)
    assert await node.put(NEW)
    [sent] = node.sent
    assert (await node.row()).configuration == NEW.decode()
    await node.answer(sent)
    await node.check_stored(NEW, config_uuid=sent.uuid, applied_uuid=sent.uuid)


@pytest.mark.parametrize("spelling", [OLD, b'{ "name" : "\\u006fld" }'])
async def test_put_of_equal_content_changes_nothing(node, spelling):
    await node.connect(STORED_UUID)
    before = await node.row()
    assert not await node.put(spelling)
    assert await node.row() == before
    assert node.sent == []


async def test_put_while_a_repair_is_under_way_is_sent_after_the_answer(node):
    await node.connect(50)
    [first] = node.sent
    assert await node.put(NEW)
    assert len(node.sent) == 1
    await node.answer(first)
    second = node.sent[1]
    assert (second.uuid > first.uuid, second.params["config"]["name"]) == (True, "new")
    await node.answer(second)
    await node.check_stored(NEW, config_uuid=second.uuid, applied_uuid=second.uuid)


async def test_put_while_a_repair_is_refused_is_sent_nevertheless(node):
    await node.connect(50)
    await node.put(NEW)
    await node.refuse(node.sent[0], uuid=50)
    second = node.sent[1]
    await node.answer(second)
    await node.check_stored(NEW, config_uuid=second.uuid, hold="", rejected_uuid=0)


async def test_put_before_delivery_sends_the_newest_only(node):
    """The document is read when it is sent; what was overtaken meanwhile stays here."""
    node.attach(STORED_UUID)
    node.keeper.push(node.shadow, "operator")
    node.keeper.replace(node.shadow, NEW, config_hash(NEW), "me")
    await node.quiet()
    assert [one.params["config"]["name"] for one in node.sent] == ["new"]
    await node.answer(node.sent[0])
    await node.check_stored(NEW)


async def test_change_ends_once_when_a_put_overtakes_it(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    await node.put(NEWER)
    assert await node.status("c1") == states.EXPIRED
    await node.answer(node.sent[0])
    assert await node.status("c1") == states.EXPIRED  # one final state
    await node.answer(node.sent[1])
    await node.check_stored(NEWER)
    assert node.told == [("c1", states.EXPIRED)]


async def test_superseded_change_stays_ended_when_its_answer_never_comes(node):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    await node.put(NEWER)
    node.shadow.in_flight.deadline = 0.0
    node.keeper.expire()
    await node.quiet()
    assert await node.status("c1") == states.EXPIRED


@pytest.fixture
async def restarted(node, store):
    """A function that makes the coordinator's successor."""
    made: list[Node] = []

    async def restart() -> Node:
        await node.quiet()
        successor = Node(store)
        made.append(successor)
        await successor.load()
        return successor

    yield restart
    for one in made:
        await one.stop()


async def test_answer_after_a_restart_is_applied_and_nothing_sent_twice(node, restarted):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    new = await restarted()
    await new.resume(STORED_UUID, sent.unanswered)
    assert new.sent == []
    await new.answer(sent)
    await new.check_stored(NEW, config_uuid=sent.uuid)
    assert await new.status("c1") == states.COMPLETED


async def test_repair_after_a_restart(node, restarted):
    await node.connect(50)
    [sent] = node.sent
    new = await restarted()
    await new.resume(50, sent.unanswered)
    assert new.sent == []
    await new.answer(sent)
    await new.check_stored(OLD, applied_uuid=STORED_UUID)
    assert await new.status(sent.command) == states.COMPLETED


async def test_change_that_a_device_reports_after_a_restart_is_adopted(node, restarted):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    [sent] = node.sent
    new = await restarted()
    await new.connect(sent.uuid)
    await new.check_stored(NEW, config_uuid=sent.uuid)
    assert (await new.status("c1"), new.sent) == (states.COMPLETED, [])


@pytest.mark.parametrize("unanswered", [[], [Unanswered("another", 70, "", 60_000)]])
async def test_change_that_was_never_sent_goes_out_after_a_restart(node, restarted, unanswered):
    await node.change(NEW, "c1")
    new = await restarted()
    await new.resume(STORED_UUID, *unanswered)
    [sent] = new.sent
    await new.answer(sent)
    await new.check_stored(NEW, config_uuid=sent.uuid)
    assert await new.status("c1") == states.COMPLETED


async def test_change_that_a_predecessor_sent_in_vain_counts_each_send(node, restarted):
    await node.connect(STORED_UUID)
    await node.change(NEW, "c1")
    new = await restarted()
    await new.resume(STORED_UUID)
    [sent] = new.sent
    row = await new.store.command("c1")
    assert (row.status, row.attempts) == (states.EXECUTING, 2)
    await new.answer(sent)
    assert await new.status("c1") == states.COMPLETED


async def test_change_is_durable_before_it_is_sent(node):
    """If the store refuses, the device hears nothing of it."""
    await node.connect(STORED_UUID)
    commit, gate = node.store.commit, asyncio.Event()

    async def slow(batch: Batch) -> None:
        await gate.wait()
        await commit(batch)

    node.store.commit = slow
    writing = asyncio.create_task(node.change(NEW, "c1"))
    for _ in range(50):
        await asyncio.sleep(0)
    assert node.sent == []
    gate.set()
    await asyncio.wait_for(writing, 60)
    assert [one.command for one in node.sent] == ["c1"]
