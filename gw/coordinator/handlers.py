"""One handler per kind of record that a worker sends."""

from __future__ import annotations

from typing import Any, Final

from gw._native.ring import Record
from gw.coordinator import onboarding
from gw.coordinator.admission import Admission, Arrival, Decision
from gw.coordinator.announcer import Announcer
from gw.coordinator.commands import SYSTEM
from gw.coordinator.countries import Countries
from gw.coordinator.executor import Executor
from gw.coordinator.firmware import Firmwares
from gw.coordinator.keeper import Keeper
from gw.coordinator.links import Links
from gw.coordinator.messages import Messages, received_at
from gw.coordinator.presence import DeviceSession, Presence
from gw.coordinator.radius import Radius
from gw.coordinator.shadow import Shadow, Shadows
from gw.coordinator.streams import Streams
from gw.coordinator.telemetry import Telemetry
from gw.coordinator.venues import Venues
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.ids import serial_from_int
from gw.core.records import Kind
from gw.core.settings import Settings
from gw.ops import logs, metrics
from gw.protocol import messages as wire
from gw.protocol.configuration import Report, Source
from gw.store.rows import BlacklistRow, DefaultConfigurationRow

log = logs.get("devices")

_CONNECTED: Final = metrics.index("gw_devices_connected")
_POLICY_VIOLATION: Final = 1008
_INTERNAL_ERROR: Final = 1011
_LEFT_OVER: Final = frozenset((Kind.MESSAGE, Kind.ANSWER, Kind.DISCONNECT))
"""Kinds that say something when their session is long over; and CONNECT."""


class Handlers:
    """Treats the records of all workers, in the order in which they come."""

    def __init__(
        self,
        settings: Settings,
        work: Committer,
        links: Links,
        presence: Presence,
        shadows: Shadows,
        keeper: Keeper,
        executor: Executor,
        announcer: Announcer,
        admission: Admission,
        streams: Streams,
        telemetry: Telemetry,
        venues: Venues | None,
        radius: Radius,
        firmwares: Firmwares,
        countries: Countries,
        counters: metrics.CounterPage,
        generation: int,
    ) -> None:
        self._settings = settings
        self._work = work
        self._links = links
        self._presence = presence
        self.shadows = shadows
        self._keeper = keeper
        self._executor = executor
        self.announcer = announcer
        self._streams = streams
        self.telemetry = telemetry
        self.radius = radius
        self._counters = counters
        self._generation = generation
        self.admission = admission
        self._firmwares = firmwares
        self._countries = countries
        keeper.held = firmwares.check
        firmwares.lifted = lambda shadow: keeper.push(shadow, "write")
        admission.decided = self._unknown
        self._messages = Messages(work, keeper, executor, announcer, telemetry, venues)
        self.defaults: dict[str, DefaultConfigurationRow] = {}
        self.blacklist: dict[str, BlacklistRow] = {}
        self._handlers: dict[int, Any] = {
            Kind.WORKER_STARTED: self._worker_started,
            Kind.CONNECT: self._connect,
            Kind.DISCONNECT: self._disconnect,
            Kind.MESSAGE: self._message,
            Kind.ANSWER: self._answer,
            Kind.SESSION_SNAPSHOT: self._snapshot,
            Kind.RPC_UNSENT: self._unsent,
            Kind.RPC_GIVEN_UP: self._given_up,
            Kind.DEVICE_PING: self._ping,
            Kind.RPC_SENT: self._sent,
            Kind.RADIUS: self._radius_packet,
        }

    def handle(self, record: Record) -> None:
        """Treat one record. The shadows of its device are in memory, if there is one."""
        if self._streams.tails:
            self._streams.received(record)
        handler = self._handlers.get(record.kind)
        if handler is None:
            log.error("unknown kind of record", kind=record.kind)
            return
        try:
            handler(record)
        except Exception:
            if record.kind == Kind.CONNECT:  # no half-made session: the device comes again
                serial = serial_from_int(record.serial)
                self._presence.remove(serial, record.session)
                self._links.close(record.session, serial, _INTERNAL_ERROR, "error")
            raise

    def handle_left_over(self, record: Record) -> None:
        """Treat a record of a gateway that ended before it could be stored.

        What it tells is kept; its session is over, and nothing is to be sent to it: sessions of
        this gateway may have the same number.
        """
        if serial_from_int(record.serial) in self.blacklist:
            return
        if record.kind == Kind.CONNECT:
            self._left_over_connect(record)
        elif record.kind in _LEFT_OVER:
            self._handlers[record.kind](record)

    def replay(self, record: Record) -> None:
        """Announce a record again: it is stored, but perhaps the bus has not got it."""
        serial = serial_from_int(record.serial)
        shadow = self.shadows.cached(serial)
        if shadow is None or serial in self.blacklist:
            return
        announcer = self.announcer
        match record.kind:
            case Kind.CONNECT:
                connect = records.decode(records.Connect, record.head)
                announcer.connected(record, connect, shadow.row.locale, received_at(record))
            case Kind.DISCONNECT:
                announcer.disconnected(serial, record.session, received_at(record), record)
            case Kind.MESSAGE if not shadow.row.quarantined:
                self._messages.replay(record, shadow)
            case Kind.ANSWER:
                announcer.answered(
                    record, records.decode(records.Answer, record.head).method, serial
                )

    # -- sessions

    def _worker_started(self, record: Record) -> None:
        head = records.decode(records.WorkerStarted, record.head)
        for session in self._presence.of_worker(head.slot, head.generation):
            self._ended(session, "the worker is gone")
        self.admission.worker_gone(head.slot, head.generation)
        # It may have missed ours; the answer to a needless one is short.
        self._links.hello_worker(head.slot, self._generation)

    def _connect(self, record: Record) -> None:
        head = records.decode(records.Connect, record.head)
        params = wire.decode("connect", record.body)
        assert isinstance(params, wire.ConnectParams)
        serial = serial_from_int(record.serial)
        arrival = Arrival(record, head, params)
        if serial in self.blacklist:
            self._refuse(arrival, f"blacklisted: {self.blacklist[serial].reason}")
        elif self.shadows.cached(serial) is not None:
            self._admit(arrival)
        else:
            self._unknown(arrival, self.admission.decide(arrival))

    def _unknown(self, arrival: Arrival, decision: Decision) -> None:
        """Treat a device that is not in the store, or was not when it was asked for."""
        if decision.action == "ask":
            return
        if arrival.serial in self.blacklist:
            self._refuse(arrival, f"blacklisted: {self.blacklist[arrival.serial].reason}")
        elif decision.action == "refuse" and self.shadows.cached(arrival.serial) is None:
            self._refuse(arrival, f"the device is not in the store, and {decision.reason}")
        else:
            self._admit(arrival, decision)

    def _refuse(self, arrival: Arrival, why: str) -> None:
        serial, session, head = arrival.serial, arrival.session, arrival.head
        log.warning("device refused", serial=serial, address=head.address, reason=why)
        entry, now = self.blacklist.get(serial), received_at(arrival.record)
        if entry is not None:
            brought = None if arrival.late else arrival.record
            self.announcer.blacklisted(head.address, entry, now, brought)
        else:
            self.announcer.not_provisioned(
                arrival.record, head, arrival.params, now, late=arrival.late
            )
        reason = "refused" if entry is None else "blacklisted"
        self._work.then(lambda: self._links.close(session, serial, _POLICY_VIOLATION, reason))

    def _admit(self, arrival: Arrival, decision: Decision | None = None) -> None:
        """Let a device in. `decision` says how to add it, if it is not in the store."""
        record, head, params, late = arrival
        serial = arrival.serial
        present = self._presence.of(serial)
        again = present is not None and present.id == record.session
        session = present if again else DeviceSession(record.session, serial, head)
        assert session is not None
        if not again and not self._take_over(session):
            return
        shadow = self.shadows.cached(serial)
        if shadow is None:
            assert decision is not None
            shadow = self._create(arrival, session, decision)
        self._attach(shadow, session)
        old_firmware = shadow.row.firmware
        onboarding.update(shadow, params, session, self._work)
        self._locate(shadow, session)
        now = received_at(record)
        self.announcer.connected(record, head, shadow.row.locale, now, late=late)
        if old_firmware not in ("", params.firmware):
            self.announcer.firmware_changed(record, serial, old_firmware, params.firmware, now)
        if not again:
            log.info("device connected", serial=serial, address=head.address,
                     firmware=params.firmware, uuid=params.uuid)  # fmt: skip
        self._firmwares.check(shadow)
        report = Report(head.uuid, head.config_hash, Source.CONNECT)
        self._keeper.report(shadow, session, report)
        self._executor.connected(serial)
        self.telemetry.connected(serial)

    def _create(self, arrival: Arrival, session: DeviceSession, decision: Decision) -> Shadow:
        """Add a device to the store."""
        shadow = onboarding.create(
            arrival.serial, arrival.params, session, self.defaults, work=self._work,
            quarantined=decision.action == "quarantine", provisioned=decision.document,
            country=self._countries.now(session.address) or self._settings.devices.default_country,
        )  # fmt: skip
        self.shadows.add(shadow)
        through = "onboarding" if decision.document is None else "provisioning"
        self._keeper.record(shadow, SYSTEM, through)
        return shadow

    def _locate(self, shadow: Shadow, session: DeviceSession) -> None:
        """Keep the country of the device's address, now or once it is known (southbound.md 6.6)."""
        if not self._countries.enabled:
            return
        country = self._countries.now(session.address)
        if country is None:
            self._countries.find(session.address, lambda found: self._located(session, found))
        elif country:
            shadow.set(self._work, locale=country)

    def _located(self, session: DeviceSession, country: str) -> None:
        shadow = self.shadows.cached(session.serial)
        if shadow is not None and self._presence.owner(session.serial, session.id) is not None:
            shadow.set(self._work, locale=country)

    def _left_over_connect(self, record: Record) -> None:
        head = records.decode(records.Connect, record.head)
        params = wire.decode("connect", record.body)
        assert isinstance(params, wire.ConnectParams)
        arrival = Arrival(record, head, params)
        session = DeviceSession(record.session, arrival.serial, head)
        shadow = self.shadows.cached(arrival.serial)
        if shadow is None:
            decision = self.admission.at_once(head)
            if decision.action == "refuse":
                return
            shadow = self._create(arrival, session, decision)
        onboarding.update(shadow, params, session, self._work)
        self.announcer.connected(record, head, shadow.row.locale, received_at(record))

    def _take_over(self, session: DeviceSession) -> bool:
        """Make a session the one that acts; close the older one. False: it is the older one."""
        old = self._presence.register(session)
        self._count()
        if old is None:
            return True
        self._work.then(
            lambda: self._links.close(old.id, old.serial, _POLICY_VIOLATION, "replaced")
        )
        return old is not session

    def _attach(self, shadow: Shadow, session: DeviceSession) -> None:
        if shadow.session != session.id:
            self._keeper.session_changed(shadow)
            self._executor.session_ended(shadow.serial, shadow.session)
            shadow.session = session.id

    def _disconnect(self, record: Record) -> None:
        head = records.decode(records.Disconnect, record.head)
        serial = serial_from_int(record.serial)
        self.admission.left(serial, record.session)
        session = self._presence.owner(serial, record.session)
        if session is None:
            # It ended while no coordinator was there, or was replaced.
            shadow = self.shadows.cached(serial)
            if shadow is not None and self._presence.of(serial) is None:
                shadow.set(self._work, last_recorded_contact=received_at(record))
                now = received_at(record)
                self.announcer.disconnected(serial, record.session, now, record)
                self._executor.session_ended(serial, record.session)
            return
        session.traffic(head.rx_bytes, head.tx_bytes, head.messages)
        session.last_contact = received_at(record)
        self._ended(session, head.reason, record)

    def _ended(self, session: DeviceSession, reason: str, record: Record | None = None) -> None:
        self._presence.remove(session.serial, session.id)
        self.announcer.disconnected(session.serial, session.id, session.last_contact, record)
        self._count()
        self.radius.device_gone(session.serial)
        log.info("device disconnected", serial=session.serial, reason=reason)
        shadow = self.shadows.cached(session.serial)
        if shadow is not None and shadow.session == session.id:
            shadow.session = 0
            self._keeper.session_changed(shadow)
            self._executor.session_ended(session.serial, session.id)
            shadow.set(self._work, last_recorded_contact=session.last_contact)

    def _count(self) -> None:
        self._counters.set(_CONNECTED, len(self._presence))

    def _snapshot(self, record: Record) -> None:
        """A live session, told to a coordinator that started anew."""
        head = records.decode(records.SessionSnapshot, record.head)
        serial = serial_from_int(record.serial)
        if self._presence.owner(serial, record.session) is not None:
            return
        shadow = self.shadows.cached(serial)
        if shadow is None or serial in self.blacklist:
            # It connected while no coordinator was there to refuse it, or was deleted meanwhile.
            self._links.close(record.session, serial, _POLICY_VIOLATION, "refused")
            return
        session = DeviceSession(record.session, serial, head.connect)
        session.firmware, session.reason = shadow.row.firmware, shadow.row.connect_reason
        session.traffic(head.rx_bytes, head.tx_bytes, head.messages)
        if not self._take_over(session):
            return
        self._executor.resume(serial, session.id, head.unanswered)
        self._attach(shadow, session)
        self._firmwares.check(shadow)
        self._keeper.resume(shadow, session, head.unanswered)
        self.telemetry.resumed(serial, session.id)
        if head.last_uuid >= 0:
            self._keeper.report(
                shadow, session, Report(head.last_uuid, head.last_hash, Source.STATE)
            )

    # -- messages and answers

    def _message(self, record: Record) -> None:
        serial = serial_from_int(record.serial)
        shadow = self.shadows.cached(serial)
        if shadow is None:
            self._stranger(serial, record)
            return
        if shadow.row.quarantined or self._shut_out(serial, record):
            return
        self._messages.handle(record, shadow, self._presence.owner(serial, record.session))

    def _stranger(self, serial: str, record: Record) -> None:
        """Show why an unknown device sends no `connect`: agents say so by a `log` (agents.md)."""
        head = records.decode(records.DeviceMessage, record.head)
        if head.method == "log":
            params = wire.decode("log", record.body)
            assert isinstance(params, wire.LogParams)
            log.warning("log of a device that is not in the store", serial=serial,
                        detail=params.log[:500])  # fmt: skip

    def _shut_out(self, serial: str, record: Record) -> bool:
        """A blacklisted device may say nothing, whether it said `connect` or not."""
        if serial not in self.blacklist:
            return False
        self._links.close(record.session, serial, _POLICY_VIOLATION, "blacklisted")
        return True

    def _answer(self, record: Record) -> None:
        head = records.decode(records.Answer, record.head)
        serial = serial_from_int(record.serial)
        shadow = self.shadows.cached(serial)
        if shadow is None or self._shut_out(serial, record):
            return
        session = self._presence.owner(serial, record.session)
        self.announcer.answered(record, head.method, serial)
        if head.method == "telemetry":
            self.telemetry.answered(serial, record.body)
            return
        if head.method == "configure":
            self._keeper.answered(shadow, session, head, record.body)
        elif head.command == shadow.probe:
            if session is not None:
                self._keeper.probed(shadow, session, record.body)
        else:
            self._executor.answered(serial, head, record.body)

    def _sent(self, record: Record) -> None:
        self._executor.sent(records.decode(records.RpcSent, record.head).command)

    def _radius_packet(self, record: Record) -> None:
        """Also before `connect`, but only of devices that are known and in use."""
        serial = serial_from_int(record.serial)
        shadow = self.shadows.cached(serial)
        if shadow is None or shadow.row.quarantined or self._shut_out(serial, record):
            return
        self.radius.from_device(record)

    def _unsent(self, record: Record) -> None:
        head = records.decode(records.RpcUnsent, record.head)
        shadow = self.shadows.cached(serial_from_int(record.serial))
        if shadow is not None:
            self._keeper.unsent(shadow, head.command, head.reason)
        self.telemetry.unsent(serial_from_int(record.serial), head.command)
        self._executor.unsent(serial_from_int(record.serial), head.command, head.reason)

    def _given_up(self, record: Record) -> None:
        head = records.decode(records.RpcGivenUp, record.head)
        shadow = self.shadows.cached(serial_from_int(record.serial))
        if shadow is not None:
            self._keeper.unsent(shadow, head.command, head.reason)
        self._executor.given_up(head.command, head.reason)

    def _ping(self, record: Record) -> None:
        head = records.decode(records.DevicePing, record.head)
        serial = serial_from_int(record.serial)
        session = self._presence.owner(serial, record.session)
        shadow = self.shadows.cached(serial)
        firmware = session.firmware if session is not None else ""
        compatible, locale = "", ""
        if shadow is not None:
            compatible, locale = shadow.row.compatible, shadow.row.locale
        if session is not None:
            session.last_contact = received_at(record)
        self.announcer.pinged(record, head, firmware, compatible, locale, received_at(record))
