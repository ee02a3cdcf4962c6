"""Keeps devices on their stored configuration: acts on what `gw.protocol.configuration` decides.

Facts are changed in the shadow and the store together; a send follows once they are durable.
Long, because reports, answers, writes and time move the same few columns: their order is to be
read in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from gw.coordinator import commands as states
from gw.coordinator.announcer import Announcer
from gw.coordinator.commands import Commands
from gw.coordinator.delivery import Delivery
from gw.coordinator.links import Links
from gw.coordinator.presence import DeviceSession, Presence
from gw.coordinator.shadow import InFlight, Shadow
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.ids import MAX_CONFIG_UUID
from gw.core.records import RECORD_VERSION
from gw.core.settings import Configuration
from gw.ops import logs, metrics
from gw.protocol import configuration as rules
from gw.protocol import jsonrpc
from gw.protocol.configuration import (
    Adopt,
    Cause,
    Hold,
    InStep,
    Probe,
    Report,
    ResendPolicy,
    Result,
    Send,
    Source,
    Verdict,
)
from gw.store.interface import AdoptPending, RecordConfiguration, Store
from gw.store.rows import CommandRow

log = logs.get("configuration")

_PUSHES: Final = metrics.indexes("gw_config_pushes_total")
_REJECTIONS: Final = metrics.index("gw_config_rejections_total")
_SUBSTITUTIONS: Final = metrics.index("gw_config_substitutions_total")
_CONFIRMATIONS: Final = metrics.index("gw_config_confirmations_total")
_UNANSWERED: Final = metrics.index("gw_config_unanswered_total")

_NO_REJECTION: Final = {
    "rejected_uuid": 0, "rejected_hash": "", "rejected_at": 0, "rejected_text": "",
    "rejections": "[]",
}  # fmt: skip
_NO_PENDING: Final = {
    "pending_configuration": "", "pending_uuid": 0, "pending_hash": "", "pending_command": "",
}  # fmt: skip
_REPORTED: Final = "confirmed by the device's report"
_PROBE_SECONDS: Final = 60
_SETTLED: Final = {"sends": 0, "last_sent": 0, "hold": ""}


class Keeper:
    """The configuration of every device of this node."""

    def __init__(
        self,
        work: Committer,
        store: Store,
        links: Links,
        presence: Presence,
        commands: Commands,
        settings: Configuration,
        counters: metrics.CounterPage,
        announcer: Announcer,
    ) -> None:
        self._announcer = announcer
        self._work = work
        self._links = links
        self._presence = presence
        self._commands = commands
        self._answer_seconds = settings.answer_seconds
        self._counters = counters
        self._history = settings.history
        self._policy = ResendPolicy(
            settings.resend_at_once,
            settings.resend_seconds,
            settings.resend_max_seconds,
            settings.resend_limit,
        )
        self.held: Callable[[Shadow], object] = lambda shadow: None
        """Called when a change was not sent because the device is barred; set by the handlers."""
        self._flights: dict[str, Shadow] = {}
        self._probes: dict[str, tuple[Shadow, float]] = {}
        """Devices that are asked for their active configuration, and until when."""
        self._delivery = Delivery(store, links, settings.answer_seconds, self._undelivered)

    # -- what devices say

    def report(self, shadow: Shadow, session: DeviceSession, report: Report) -> None:
        """A device told which configuration it has."""
        row = shadow.row
        session.uuid = report.uuid or session.uuid
        if (
            report.uuid == row.config_uuid == row.applied_uuid
            and report.hash in ("", row.applied_hash)
            and row.applied_hash in ("", row.config_hash)
            and not (row.pending_uuid or row.sends or row.hold or row.rejected_hash)
        ):
            return
        action = rules.decide(report, shadow.facts(), self._policy, time.time())
        proves = report.source is not Source.STATE or row.device_type != "switch" or report.hash
        if report.uuid and proves:
            self._applied(shadow, report.uuid, report.hash)
        match action:
            case InStep():
                flight = shadow.in_flight
                if flight is not None and flight.system and flight.uuid == report.uuid:
                    # It runs what it was sent; the answer may never come.
                    self._landed(shadow)
                    self._commands.finish(flight.command, states.COMPLETED, error_text=_REPORTED)
                if shadow.in_flight is None:
                    self._in_step(shadow)
            case Adopt():
                self._adopt(shadow, _REPORTED)
            case Send(uuid, cause):
                self._send(shadow, session, uuid, cause)
            case Hold(reason):
                if reason != row.hold:
                    log.info("not sent", serial=shadow.serial, reason=reason, reported=report.uuid)
                shadow.set(self._work, hold=reason)
            case Probe():
                self._probe(shadow, session)

    def _applied(self, shadow: Shadow, uuid: int, content: str) -> None:
        row = shadow.row
        if row.applied_uuid != uuid or (content and row.applied_hash != content):
            shadow.set(
                self._work, applied_uuid=uuid, applied_hash=content, applied_at=int(time.time())
            )

    def _in_step(self, shadow: Shadow) -> None:
        shadow.set(self._work, **_SETTLED)
        if shadow.row.rejected_hash and shadow.row.rejected_hash == shadow.row.config_hash:
            shadow.set(self._work, **_NO_REJECTION)

    def _adopt(
        self, shadow: Shadow, text: str, results: str | None = None, *, by: str = ""
    ) -> None:
        """The pending configuration is the stored one from now on; `by`: who wanted it."""
        row = shadow.row
        now = int(time.time())
        command = row.pending_command
        self._work.write(AdoptPending(shadow.serial, row.pending_uuid, now))
        self._announcer.configuration_adopted(shadow.serial)
        row.config_uuid, row.config_hash = row.pending_uuid, row.pending_hash
        row.pending_uuid, row.pending_hash, row.pending_command = 0, "", ""
        row.last_configuration_change = now
        shadow.set(self._work, **_SETTLED)
        self._counters.add(_CONFIRMATIONS)
        if shadow.in_flight is not None and shadow.in_flight.uuid == row.config_uuid:
            self._landed(shadow)
        one = self._commands.get(command)
        by = by or (one.by if one is not None else states.SYSTEM)
        self.record(shadow, by, "configure")
        if command:
            self._commands.finish(command, states.COMPLETED, error_text=text, results=results)

    def record(self, shadow: Shadow, by: str, through: str) -> None:
        """Keep the stored configuration among those that the device was to have."""
        row = shadow.row
        if row.config_hash:
            op = RecordConfiguration(
                shadow.serial,
                row.config_uuid,
                row.config_hash,
                int(time.time()),
                by,
                through,
                self._history,
            )
            self._work.write(op, 4096)

    # -- sending

    def push(self, shadow: Shadow, cause: Cause) -> bool:
        """Send the target now if the device is here and nothing is under way."""
        session = self._presence.of(shadow.serial)
        if shadow.barred:
            self.held(shadow)
            shadow.set(self._work, hold=shadow.barred)
            return False
        if session is None or shadow.in_flight is not None or not shadow.facts().target_uuid:
            return False
        self._send(shadow, session, shadow.facts().target_uuid, cause)
        return True

    def _send(self, shadow: Shadow, session: DeviceSession, uuid: int, cause: Cause) -> None:
        row = shadow.row
        now = int(time.time())
        pending = bool(row.pending_uuid)
        command = row.pending_command if pending else ""
        changes = {"pending_uuid": uuid} if pending else {"config_uuid": uuid}
        shadow.set(self._work, **changes, sends=row.sends + 1, last_sent=now, hold="")
        shadow.given = max(shadow.given, uuid)
        content = shadow.facts().target_hash
        system = not command
        if system:
            command = states.new_uuid()
            details = msgspec.json.encode(
                {"serial": shadow.serial, "uuid": uuid, "when": 0, "cause": cause}
            )
            self._commands.create(
                CommandRow(
                    uuid=command,
                    serial_number=shadow.serial,
                    command="configure",
                    status=states.EXECUTING,
                    submitted_by=states.SYSTEM,
                    submitted=now,
                    executed=now,
                    last_try=now,
                    details=details.decode(),
                )
            )
        else:
            self._commands.sent(command)
        flight = InFlight(
            command, uuid, content, session.id, time.monotonic() + self._answer_seconds, system
        )
        shadow.in_flight = flight
        self._flights[shadow.serial] = shadow
        self._counters.add(_PUSHES[cause])
        log.info("configuration sent", serial=shadow.serial, uuid=uuid, cause=cause)
        self._announcer.configuration_sent(shadow.serial, session.uuid, uuid)
        self._work.then(lambda: self._delivery.put(shadow, flight))

    def _undelivered(self, shadow: Shadow, flight: InFlight, reason: str) -> None:
        """A push never reached the worker: it counts as no send, and the next report decides."""
        shadow.set(self._work, sends=max(0, shadow.row.sends - 1), last_sent=0)
        self._lost(shadow, flight, reason)
        if flight.uuid != shadow.facts().target_uuid:
            self.push(shadow, "write")

    def _probe(self, shadow: Shadow, session: DeviceSession) -> None:
        """Ask a switch by `ping`, whose answer names the configuration that is active."""
        if shadow.probe:
            return
        shadow.probe = command = states.new_uuid()
        self._probes[shadow.serial] = (shadow, time.monotonic() + _PROBE_SECONDS)
        order = records.SendRpc(RECORD_VERSION, command, "ping", _PROBE_SECONDS * 1000, False)
        params = b'{"serial":"%s"}' % shadow.serial.encode()

        def ask() -> None:
            if not self._links.send_rpc(session.id, shadow.serial, order, params):
                self.unsent(shadow, command, "the queue to the worker is full")

        self._work.then(ask)

    def _probe_ended(self, shadow: Shadow) -> None:
        shadow.probe = ""
        self._probes.pop(shadow.serial, None)

    # -- answers

    def answered(
        self, shadow: Shadow, session: DeviceSession | None, answer: records.Answer, message: bytes
    ) -> None:
        """A device answered a `configure`. Late answers count if nothing has overtaken them."""
        flight = shadow.in_flight
        row = shadow.row
        uuid, content = answer.uuid, answer.hash
        if flight is not None and (flight.command, flight.uuid) == (answer.command, uuid):
            system = flight.system
            self._landed(shadow)
        elif flight is None and uuid == shadow.facts().target_uuid:
            system = False  # one of the gateway's own has ended when its time was up
        else:
            log.info("late answer, not applied", serial=shadow.serial, command=answer.command)
            told = jsonrpc.read_answer(message).text
            self._commands.note(answer.command, late_answer=told, answered=int(time.time()))
            return
        if not system and answer.command != row.pending_command:
            # A newer change has ended the command; what the device did counts nevertheless.
            ended, answer = answer.command, msgspec.structs.replace(answer, command="")
            self._commands.note(ended, results=jsonrpc.read_answer(message).text)
        result = rules.read_result(message)
        results = jsonrpc.read_answer(message).text
        if result is None:
            log.warning("unreadable answer to configure", serial=shadow.serial)
            self._fail(shadow, answer, system, results)
            return
        if result.uuid > 0 and session is not None:
            session.uuid = result.uuid
        verdict = rules.settle(result, uuid)
        overtaken = shadow.facts().target_uuid != uuid
        if verdict is Verdict.REFUSED:
            self._refused(shadow, answer, result, results, uuid, content)
        else:
            self._accepted(shadow, answer, result, results, uuid, verdict)
        if overtaken:
            self.push(shadow, "write")  # the operator wrote meanwhile

    def _accepted(
        self,
        shadow: Shadow,
        answer: records.Answer,
        result: Result,
        results: str,
        uuid: int,
        verdict: Verdict,
    ) -> None:
        row = shadow.row
        applied = result.uuid if result.uuid > 0 else uuid
        self._applied(shadow, applied, result.hash)
        is_target = uuid == shadow.facts().target_uuid
        sends, last_sent = row.sends, row.last_sent
        if row.pending_uuid == uuid:
            command, row.pending_command = row.pending_command, ""  # finished below, not there
            one = self._commands.get(command)
            self._adopt(shadow, "", by=one.by if one is not None else "")
        else:
            command = answer.command
            self._counters.add(_CONFIRMATIONS)
        if verdict is Verdict.SUBSTITUTED and is_target:
            self._counters.add(_SUBSTITUTIONS)
            log.warning("applied with substitutions", serial=shadow.serial, uuid=uuid,
                        detail=result.text)  # fmt: skip
            shadow.set(self._work, **_rejection(result, uuid, ""))
        elif is_target:
            shadow.set(self._work, **_NO_REJECTION)
        in_step = applied == uuid and (
            result.hash in ("", shadow.row.config_hash) or verdict is Verdict.SUBSTITUTED
        )
        if is_target and in_step and result.hash:
            shadow.set(self._work, **_SETTLED)
        else:  # a device may say yes and go back: the sends count until a report confirms them
            shadow.set(self._work, sends=sends, last_sent=last_sent)
        self._finish(shadow, command, result, results, answer.elapsed_ms)

    def _refused(
        self,
        shadow: Shadow,
        answer: records.Answer,
        result: Result,
        results: str,
        uuid: int,
        content: str,
    ) -> None:
        row = shadow.row
        self._counters.add(_REJECTIONS)
        log.warning("configuration refused", serial=shadow.serial, uuid=uuid, detail=result.text)
        if result.uuid > 0 and result.uuid != uuid:
            self._applied(shadow, result.uuid, result.hash)
        shadow.set(self._work, **_rejection(result, uuid, content), **_SETTLED)
        if row.pending_uuid == uuid:
            shadow.set(self._work, **_NO_PENDING, last_configuration_change=int(time.time()))
        elif row.config_uuid == uuid:
            shadow.set(self._work, hold=rules.HOLD_REJECTED)
        self._finish(shadow, answer.command, result, results, answer.elapsed_ms)

    def _finish(
        self, shadow: Shadow, command: str, result: Result, results: str, elapsed: float
    ) -> None:
        if not command:
            return
        strict, shadow.strict = shadow.strict, False
        failed = strict and result.error != 0
        self._commands.finish(
            command,
            states.FAILED if failed else states.COMPLETED,
            error_code=result.error,
            error_text=result.text,
            results=results,
            execution_ms=elapsed,
        )

    def _fail(self, shadow: Shadow, answer: records.Answer, system: bool, results: str) -> None:
        """The answer proves nothing: an operator's change stays pending for the next report."""
        text = "the answer has no status"
        if system:
            self._commands.finish(answer.command, states.FAILED, error_text=text, results=results)
        elif answer.command:
            self._commands.postponed(answer.command, text)
            self._commands.tell(answer.command, states.PENDING)

    def probed(self, shadow: Shadow, session: DeviceSession, message: bytes) -> None:
        """A device answered our `ping`: its result names the active configuration."""
        self._probe_ended(shadow)
        uuid, content = rules.read_active(message)
        if uuid:
            self.report(shadow, session, Report(uuid, content, Source.RESULT))

    def unsent(self, shadow: Shadow, command: str, reason: str) -> None:
        """A `configure` or probe did not reach the device, or its answer is not awaited.

        The next report decides anew.
        """
        if shadow.probe == command:
            self._probe_ended(shadow)
        flight = shadow.in_flight
        if flight is None or flight.command != command:
            return
        self._lost(shadow, flight, reason)

    def _lost(self, shadow: Shadow, flight: InFlight, reason: str) -> None:
        self._landed(shadow)
        if flight.system:
            self._commands.finish(flight.command, states.FAILED, error_text=reason)
        elif flight.command == shadow.row.pending_command:
            self._commands.postponed(flight.command, reason)

    def _landed(self, shadow: Shadow) -> None:
        shadow.in_flight = None
        self._flights.pop(shadow.serial, None)

    # -- sessions and time

    def session_changed(self, shadow: Shadow) -> None:
        """The device's session ended or was replaced: nothing on it will be answered.

        An operator who waits goes on waiting: the device may be restarting its network, and its
        next connect then settles the change.
        """
        self._probe_ended(shadow)
        if shadow.in_flight is not None:
            self._lost(shadow, shadow.in_flight, "the connection was lost before an answer came")

    def resume(
        self, shadow: Shadow, session: DeviceSession, unanswered: list[records.Unanswered]
    ) -> None:
        """A new coordinator found a session whose `configure` may still be answered."""
        target = shadow.facts().target_uuid
        for one in unanswered:
            if one.method != "configure" or one.left_ms <= 0:
                continue
            if one.uuid == target and shadow.in_flight is None:
                shadow.in_flight = InFlight(
                    one.command,
                    one.uuid,
                    one.hash,
                    session.id,
                    time.monotonic() + one.left_ms / 1000,
                    one.command != shadow.row.pending_command,
                )
                self._flights[shadow.serial] = shadow

    def flying(self, command: str) -> bool:
        """Tell whether a command may still be answered."""
        flights = (shadow.in_flight for shadow in self._flights.values())
        return any(flight is not None and flight.command == command for flight in flights)

    def expire(self) -> None:
        """Give up waiting for answers that are overdue; the next report settles the change."""
        now = time.monotonic()
        for shadow in list(self._flights.values()):
            flight = shadow.in_flight
            if flight is None or now < flight.deadline:
                continue
            self._counters.add(_UNANSWERED)  # Quirk: no-answer.
            log.warning("configuration not answered", serial=shadow.serial, uuid=flight.uuid)
            text = f"no answer within {self._answer_seconds:g} s"
            self._lost(shadow, flight, text)
            if not flight.system:
                self._commands.tell(flight.command, states.PENDING)
        for shadow, deadline in list(self._probes.values()):
            if now >= deadline:
                self._probe_ended(shadow)

    def forget(self, shadow: Shadow) -> None:
        """The device is deleted: nothing about it is waited for."""
        self._flights.pop(shadow.serial, None)
        self._probes.pop(shadow.serial, None)
        shadow.in_flight = None
        if shadow.row.pending_command:
            self._commands.tell(shadow.row.pending_command, states.EXPIRED)

    async def delivered(self) -> None:
        """Wait until no push is on its way to a worker."""
        await self._delivery.drained()

    async def close(self) -> None:
        """End deliveries under way."""
        await self._delivery.close()

    # -- what operators write

    def change(
        self,
        shadow: Shadow,
        document: bytes,
        content: str,
        command: CommandRow,
        cause: Cause = "write",
    ) -> None:
        """Make a configuration the device's pending change, and send it if the device is here.

        Raises OverflowError if no configuration id is left above the one the device reports.
        """
        row = shadow.row
        uuid = self._new_uuid(shadow)
        self._supersede(shadow, command.uuid)
        shadow.set(
            self._work,
            pending_configuration=document.decode(),
            pending_uuid=uuid,
            pending_hash=content,
            pending_command=command.uuid,
            **_NO_REJECTION,
            **_SETTLED,
        )
        log.info("change written", serial=row.serial_number, uuid=uuid, by=command.submitted_by)
        self.push(shadow, cause)

    def replace(self, shadow: Shadow, document: bytes, content: str, by: str) -> bool:
        """Make a configuration the device's stored one. False if it already is the target."""
        facts = shadow.facts()
        if content == facts.target_hash and facts.target_uuid:
            return False
        uuid = self._new_uuid(shadow)
        self._supersede(shadow, "")
        shadow.set(
            self._work,
            configuration=document.decode(),
            config_uuid=uuid,
            config_hash=content,
            last_configuration_change=int(time.time()),
            **_NO_PENDING,
            **_NO_REJECTION,
            **_SETTLED,
        )
        self.record(shadow, by, "device")
        self.push(shadow, "write")
        return True

    def cancel(self, shadow: Shadow) -> None:
        """An operator deletes the command of a change under way: the stored one stays."""
        command = shadow.row.pending_command
        shadow.set(self._work, **_NO_PENDING, **_SETTLED)
        self._commands.tell(command, states.EXPIRED)
        if shadow.in_flight is not None and shadow.in_flight.command == command:
            self._landed(shadow)

    def _new_uuid(self, shadow: Shadow) -> int:
        """Return an id above all that the device may know. Raises OverflowError if none is left."""
        row = shadow.row
        session = self._presence.of(shadow.serial)
        reported = session.uuid if session is not None else row.applied_uuid
        used = (row.config_uuid, row.pending_uuid, row.rejected_uuid, row.applied_uuid, reported,
                shadow.given)  # fmt: skip
        return rules.next_uuid(time.time(), *(one for one in used if one <= MAX_CONFIG_UUID))

    def _supersede(self, shadow: Shadow, command: str) -> None:
        old = shadow.row.pending_command
        if old and old != command:
            self._commands.finish(old, states.EXPIRED, error_text="superseded by a newer change")


def _rejection(result: Result, uuid: int, content: str) -> dict[str, object]:
    return {
        "rejected_uuid": uuid,
        "rejected_hash": content,
        "rejected_at": int(time.time()),
        "rejected_text": result.text,
        "rejections": msgspec.json.encode(result.rejections).decode(),
    }
