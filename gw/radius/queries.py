"""What the API asks the proxy: lists of sessions, and the end of some (northbound.md 4.9)."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from gw.core import records
from gw.ops import logs
from gw.radius.accounting import Session, Sessions
from gw.radius.coa import Changes
from gw.radius.packet import Attr, Code, Packet
from gw.radius.queues import Queues

log = logs.get("radius")

_PAGE_BYTES: Final = 40_000
"""Of one answer, whose head has 64 KiB at most."""
_PAGE_SERIALS: Final = 2000
_MAX_DISCONNECTS: Final = 200
"""Sessions that one request may end."""


class Queries:
    """Answers requests; one that asks a device is answered when the device did."""

    def __init__(self, sessions: Sessions, changes: Changes, queues: Queues) -> None:
        self._sessions = sessions
        self._changes = changes
        self._queues = queues

    def serve(self, request: records.Request) -> None:
        """Carry out a request."""
        arguments = request.arguments
        match request.operation:
            case "sessions":
                self._respond(request.id, self._list(arguments))
            case "serials":
                self._respond(request.id, self._serials(arguments))
            case "disconnect":
                self._disconnect(request.id, arguments)
            case _:
                self._refuse(request.id, 1050, f"unknown operation {request.operation}")

    def _respond(self, id: int, result: dict[str, Any]) -> None:
        if not self._queues.respond(id, result, 0, ""):
            log.error("an answer found the queue full")

    def _refuse(self, id: int, number: int, detail: str) -> None:
        self._queues.respond(id, {}, number, detail)

    def _found(self, arguments: dict[str, Any]) -> Any:
        return self._sessions.find(
            serial=arguments.get("serial", ""),
            user_name=arguments.get("user_name", ""),
            mac=arguments.get("mac", ""),
            after=tuple(arguments.get("after", ("", ""))),
        )

    def _list(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return sessions behind the one that `after` names, as many as fit an answer."""
        offset, limit = arguments.get("offset", 0), arguments.get("limit", 1000)
        items: list[dict[str, Any]] = []
        size = 0
        for session in self._found(arguments):
            if offset > 0:
                offset -= 1
                continue
            if len(items) >= limit:
                break
            item = document(session)
            size += len(msgspec.msgpack.encode(item))
            if size > _PAGE_BYTES:
                return {"items": items, "more": True}
            item_key = [session.serial, session.key]
            items.append({"key": item_key, "session": item})
        return {"items": items, "more": False}

    def _serials(self, arguments: dict[str, Any]) -> dict[str, Any]:
        after = arguments.get("after", "")
        found = [one for one in self._sessions.serials() if one > after]
        return {"items": found[:_PAGE_SERIALS], "more": len(found) > _PAGE_SERIALS}

    def _disconnect(self, id: int, arguments: dict[str, Any]) -> None:
        """End the sessions that fit; the answer says how many devices did so."""
        wanted = {
            name: arguments[name]
            for name in ("session_id", "multi_session_id")
            if name in arguments
        }
        user = arguments.get("user_name", "")
        chosen = [
            session
            for session in self._found({**arguments, "user_name": ""})
            if all(getattr(session, name) == value for name, value in wanted.items())
            and (not user or session.user_name == user)
        ]
        if not chosen:
            self._refuse(id, 1137, "there is no such session")
        elif len(chosen) > _MAX_DISCONNECTS:
            self._refuse(id, 1137, f"more than {_MAX_DISCONNECTS} sessions fit")
        else:
            Disconnects(id, self).start(chosen, self._changes)

    def finished(self, id: int, ended: int, failures: list[str]) -> None:
        """All devices answered, or did not in time."""
        if failures:
            self._refuse(id, 1137, f"{ended} ended, {len(failures)} not: {failures[0]}")
        else:
            self._respond(id, {"ended": ended})


class Disconnects:
    """One request of an operator for the end of some sessions."""

    def __init__(self, id: int, queries: Queries) -> None:
        self._id = id
        self._queries = queries
        self._open = 0
        self._ended = 0
        self._failures: list[str] = []

    def start(self, sessions: list[Session], changes: Changes) -> None:
        """Ask all the devices."""
        self._open = len(sessions)
        now = time.monotonic()
        for session in sessions:
            reason = changes.disconnect(session, self._done, now)
            if reason:
                self._close(reason.replace("_", " "))

    def _done(self, answer: Packet | str) -> None:
        if isinstance(answer, str):
            self._close(answer)
        elif answer.code == Code.DISCONNECT_ACK:
            self._ended += 1
            self._close("")
        else:
            self._close(f"the device refused it, error cause {answer.number(Attr.ERROR_CAUSE)}")

    def _close(self, failure: str) -> None:
        if failure:
            self._failures.append(failure)
        self._open -= 1
        if self._open == 0:
            self._queries.finished(self._id, self._ended, self._failures)


def document(session: Session) -> dict[str, Any]:
    """Return a session as REST shows it; the secret stays here."""
    return {
        "started": session.started,
        "lastTransaction": session.last_transaction,
        "destination": session.destination,
        "serialNumber": session.serial,
        "userName": session.user_name,
        "accountingSessionId": session.session_id,
        "accountingMultiSessionId": session.multi_session_id,
        "inputPackets": session.input_packets,
        "outputPackets": session.output_packets,
        "inputOctets": session.input_octets,
        "outputOctets": session.output_octets,
        "inputGigaWords": session.input_gigawords,
        "outputGigaWords": session.output_gigawords,
        "sessionTime": session.session_time,
        "callingStationId": session.calling_station_id,
        "chargeableUserIdentity": session.chargeable_user_identity,
        "interface": session.interface,
        "secret": "",
        "nasId": session.nas_id,
        "calledStationId": session.called_station_id,
    }
