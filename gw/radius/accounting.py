"""Accounting sessions of the devices, followed from their Accounting-Requests. Free of I/O.

southbound.md 6.1; octets and packets are kept apart, which owgw mixes up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

from gw.radius.packet import Attr, Attribute, Code, Packet, attribute, encode, parse
from gw.radius.routing import Route


class Status(IntEnum):
    """Acct-Status-Type (RFC 2866 5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


LOST_CARRIER: Final = 2
"""Acct-Terminate-Cause of a session whose device is gone."""


class Session(msgspec.Struct, kw_only=True):
    """One station's session."""

    serial: str
    key: str
    """Acct-Session-Id and Acct-Multi-Session-Id."""
    pool: str
    """Name of the pool that it is accounted in."""
    started: int
    last_transaction: int
    destination: str
    user_name: str = ""
    session_id: str = ""
    multi_session_id: str = ""
    calling_station_id: str = ""
    called_station_id: str = ""
    chargeable_user_identity: str = ""
    nas_id: str = ""
    interface: str = ""
    input_octets: int = 0
    output_octets: int = 0
    input_packets: int = 0
    output_packets: int = 0
    input_gigawords: int = 0
    output_gigawords: int = 0
    session_time: int = 0
    seen: float
    """Monotonic time of the last packet."""
    packet: bytes
    """The last Accounting-Request, for the Stop of a device that goes away."""
    secret: bytes
    """Shared with the device; never shown."""


Key = tuple[str, str]
"""Serial number, and key of a session."""


class Sessions:
    """All sessions, in the order of their last packet."""

    def __init__(self, limit: int, per_device: int) -> None:
        """Sessions that are kept, in all and of one device; further ones are not followed."""
        self._limit = limit
        self._per_device = per_device
        self._all: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._by_serial: dict[str, dict[str, Session]] = {}
        self.refused = 0
        """Sessions that found no room."""

    def __len__(self) -> int:
        return len(self._all)

    def note(
        self,
        packet: Packet,
        route: Route,
        pool: str,
        destination: str,
        secret: bytes,
        *,
        now: int,
        seen: float,
    ) -> Session | None:
        """Take note of a device's Accounting-Request; returns the session if it goes on.

        `now` is Unix time, `seen` monotonic, both in seconds.
        """
        status = packet.number(Attr.ACCT_STATUS_TYPE)
        serial = route.serial
        if status in (Status.ON, Status.OFF):
            self._forget_nas(serial, packet.text(Attr.NAS_IDENTIFIER))
            return None
        session_id = packet.text(Attr.ACCT_SESSION_ID)
        multi = packet.text(Attr.ACCT_MULTI_SESSION_ID)
        key = session_id + multi
        if status == Status.STOP:
            self.remove(serial, key)
            return None
        if not key:
            return None
        encoded = encode(packet)
        session = self._all.get((serial, key))
        if session is None:
            if status not in (Status.START, Status.INTERIM):
                return None
            if len(self._all) >= self._limit or self.count(serial) >= self._per_device:
                self.refused += 1
                return None
            session = Session(
                serial=serial, key=key, pool=pool, started=now, last_transaction=now,
                destination=destination, seen=seen, packet=encoded, secret=secret,
            )  # fmt: skip
            self._all[serial, key] = session
            self._by_serial.setdefault(serial, {})[key] = session
        else:
            self._all.move_to_end((serial, key))
        session.pool, session.destination, session.secret = pool, destination, secret
        session.interface = route.interface
        session.last_transaction, session.seen, session.packet = now, seen, encoded
        session.session_id, session.multi_session_id = session_id, multi
        _copy(packet, session)
        return session

    def of(self, serial: str) -> list[Session]:
        """Return the sessions of a device."""
        return list(self._by_serial.get(serial, {}).values())

    def count(self, serial: str) -> int:
        """Return the number of a device's sessions."""
        return len(self._by_serial.get(serial, ()))

    def serials(self) -> list[str]:
        """Return the devices that have sessions, ascending."""
        return sorted(self._by_serial)

    def find(
        self, *, serial: str = "", user_name: str = "", mac: str = "", after: Key = ("", "")
    ) -> Iterator[Session]:
        """Yield sessions in a stable order: of a device, a user, a station, or all.

        A user is found by a part of the name, whatever its case; a station by its address,
        whatever separates its digits. `after` is the key of the session to go on behind.
        """
        user, station = user_name.lower(), plain_mac(mac)
        serials = [serial] if serial else self.serials()
        for one in serials[bisect_left(serials, after[0]) :]:
            for key, session in sorted(self._by_serial.get(one, {}).items()):
                if (one, key) <= after:
                    continue
                if user and user not in session.user_name.lower():
                    continue
                # What has no digit at all is nobody's address.
                if mac and (not station or station not in plain_mac(session.calling_station_id)):
                    continue
                yield session

    def by_station(self, serial: str, packet: Packet) -> Session | None:
        """Return the session of a device that a CoA or Disconnect request names (RFC 5176 3)."""
        wanted = packet.text(Attr.ACCT_SESSION_ID)
        station = plain_mac(packet.text(Attr.CALLING_STATION_ID))
        for session in self._by_serial.get(serial, {}).values():
            if wanted and session.session_id == wanted:
                return session
            if not wanted and station and plain_mac(session.calling_station_id) == station:
                return session
        return None

    def owner(self, session_id: str) -> str | None:
        """Return the device of an Acct-Session-Id, if exactly one has it."""
        found = {one.serial for one in self._all.values() if one.session_id == session_id}
        return found.pop() if len(found) == 1 else None

    def remove(self, serial: str, key: str) -> Session | None:
        """Forget a session."""
        session = self._all.pop((serial, key), None)
        if session is not None:
            of_device = self._by_serial[serial]
            del of_device[key]
            if not of_device:
                del self._by_serial[serial]
        return session

    def remove_device(self, serial: str) -> list[Session]:
        """Forget the sessions of a device, and return them."""
        removed = self.of(serial)
        for session in removed:
            self.remove(serial, session.key)
        return removed

    def expire(self, before: float) -> list[Session]:
        """Forget the sessions without a packet since `before`, and return them."""
        expired: list[Session] = []
        while self._all:
            session = next(iter(self._all.values()))
            if session.seen >= before:
                break
            self.remove(session.serial, session.key)
            expired.append(session)
        return expired

    def _forget_nas(self, serial: str, nas_id: str) -> None:
        """The access point's own start or end closes all that it accounted (RFC 2866 4.1)."""
        for session in self.of(serial):
            if session.nas_id == nas_id:
                self.remove(serial, session.key)


def _copy(packet: Packet, session: Session) -> None:
    session.user_name = packet.text(Attr.USER_NAME) or session.user_name
    session.calling_station_id = (
        packet.text(Attr.CALLING_STATION_ID) or session.calling_station_id
    )  # fmt: skip
    session.called_station_id = packet.text(Attr.CALLED_STATION_ID) or session.called_station_id
    session.nas_id = packet.text(Attr.NAS_IDENTIFIER) or session.nas_id
    session.chargeable_user_identity = (
        packet.text(Attr.CHARGEABLE_USER_IDENTITY) or session.chargeable_user_identity
    )
    session.input_octets = packet.number(Attr.ACCT_INPUT_OCTETS)
    session.output_octets = packet.number(Attr.ACCT_OUTPUT_OCTETS)
    session.input_packets = packet.number(Attr.ACCT_INPUT_PACKETS)
    session.output_packets = packet.number(Attr.ACCT_OUTPUT_PACKETS)
    session.input_gigawords = packet.number(Attr.ACCT_INPUT_GIGAWORDS)
    session.output_gigawords = packet.number(Attr.ACCT_OUTPUT_GIGAWORDS)
    session.session_time = packet.number(Attr.ACCT_SESSION_TIME)


def plain_mac(text: str) -> str:
    """Return the digits of a station's address, lower-case; of `address:network`, the address."""
    return "".join(one for one in text.lower() if one in "0123456789abcdef")[:12]


def stop_of(session: Session, now: int) -> Packet:
    """Return the Stop for a session whose device is gone; it is yet to be signed."""
    packet = parse(session.packet)
    stop = Packet(
        Code.ACCOUNTING_REQUEST,
        (packet.identifier + 1) % 256,
        packet.authenticator,
        packet.attributes,
    )
    return stop.with_values(
        attribute(Attr.ACCT_STATUS_TYPE, Status.STOP),
        attribute(Attr.EVENT_TIMESTAMP, now),
        attribute(Attr.ACCT_TERMINATE_CAUSE, LOST_CARRIER),
    )


def disconnect_of(session: Session, identifier: int, state: Attribute) -> Packet:
    """Return the Disconnect-Request of an operator (RFC 5176 2.1); it is yet to be signed."""
    texts = (
        (Attr.CALLED_STATION_ID, session.called_station_id),
        (Attr.CALLING_STATION_ID, session.calling_station_id),
        (Attr.NAS_IDENTIFIER, session.nas_id),
        (Attr.ACCT_SESSION_ID, session.session_id),
        (Attr.ACCT_MULTI_SESSION_ID, session.multi_session_id),
    )
    attributes = [
        attribute(Attr.USER_NAME, session.user_name),
        Attribute(Attr.NAS_IP_ADDRESS, bytes((127, 0, 0, 1))),
        *(attribute(type, text) for type, text in texts if text),
        state,
    ]
    return Packet(Code.DISCONNECT_REQUEST, identifier, bytes(16), tuple(attributes))
