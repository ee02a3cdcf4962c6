"""Who looks at what: gives each item of the coordinator's streams to the viewers it is for.

The coordinator is told what anybody is interested in, at each change and while anybody is; see
gw.coordinator.streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from gw.api.coordinator_client import CoordinatorClient
from gw.api.live.viewer import NORMAL, Viewer
from gw.core import records
from gw.core.errors import ApiError
from gw.core.ids import serial_from_int
from gw.core.records import Stream
from gw.core.settings import Streams as StreamSettings
from gw.ops import log_notice, logs, metrics

_log = structlog.get_logger("gw.api.live")

RENEW_SECONDS: Final = 10.0
"""A third of the time for which the coordinator remembers an interest."""
_RETRY_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 5.0
_SENT: Final = metrics.indexes("gw_stream_items_total")
_LEFT_OUT: Final = metrics.indexes("gw_stream_left_out_total")
_SOCKETS: Final = metrics.indexes("gw_stream_sockets")
_REFUSALS: Final = metrics.indexes("gw_stream_refusals_total")


class Hub:
    """All viewers of the api process."""

    def __init__(
        self,
        coordinator: CoordinatorClient,
        generation: int,
        settings: StreamSettings,
        page: metrics.CounterPage,
    ) -> None:
        self.settings = settings
        self._coordinator = coordinator
        self._generation = generation
        self._page = page
        self._notices: set[Viewer] = set()
        self._logs: set[Viewer] = set()
        """Viewers of log lines: of this process, and of the coordinator if they are in
        `_notices` as well."""
        self._number = 0
        self._telemetry: dict[str, dict[str, set[Viewer]]] = {}
        """Viewers by serial number and subscription."""
        self._tails: dict[str, set[Viewer]] = {}
        self._sockets = 0
        self._by_kind: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        """Sockets that have not shown who they are, by client address."""
        self._version = 1
        self._told = 0
        """The version of the interest that the coordinator knows; at first that of a predecessor,
        whose viewers are gone."""
        self._changed = asyncio.Event()
        self._settled = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        coordinator.on_item = self._item
        coordinator.on_hello = self._change

    def start(self) -> None:
        """Begin; to be called on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- sockets

    def enter(self, stream: str) -> bool:
        """Count a new socket; False if there are as many as there may be."""
        if self._sockets >= self.settings.max_sockets:
            return False
        self._sockets += 1
        self._by_kind[stream] += 1
        self._page.set(_SOCKETS[stream], self._by_kind[stream])
        return True

    def leave(self, stream: str) -> None:
        """Undo `enter`."""
        self._sockets -= 1
        self._by_kind[stream] -= 1
        self._page.set(_SOCKETS[stream], self._by_kind[stream])

    def enter_address(self, address: str) -> bool:
        """Count a socket that has yet to show who it is; False if there are too many."""
        if self._unknown[address] >= self.settings.max_unauthenticated:
            return False
        self._unknown[address] += 1
        return True

    def leave_address(self, address: str) -> None:
        """Undo `enter_address`."""
        self._unknown[address] -= 1
        if not self._unknown[address]:
            del self._unknown[address]

    def enter_user(self, user: str) -> bool:
        """Count a socket of a user; False if there are as many as there may be."""
        if self._by_user[user] >= self.settings.max_sockets_per_user:
            return False
        self._by_user[user] += 1
        return True

    def leave_user(self, user: str) -> None:
        """Undo `enter_user`."""
        self._by_user[user] -= 1
        if not self._by_user[user]:
            del self._by_user[user]

    def refused(self, reason: str) -> None:
        """Count a socket that was refused or ended by us."""
        self._page.add(_REFUSALS[reason])

    def viewer(self, stream: str, *, lossy: bool = False) -> Viewer:
        """Return a viewer whose items are counted."""
        sent, left_out = _SENT[stream], _LEFT_OUT[stream]
        return Viewer(
            self.settings,
            lossy=lossy,
            sent=lambda number: self._page.add(sent, number),
            left_out=lambda number: self._page.add(left_out, number),
        )

    # -- viewers

    def add_notices(self, viewer: Viewer) -> None:
        """A viewer wants notifications."""
        self._notices.add(viewer)
        self._change()

    def remove_notices(self, viewer: Viewer) -> None:
        """Undo `add_notices`."""
        self._notices.discard(viewer)
        self._change()

    def add_logs(self, viewer: Viewer) -> None:
        """A viewer wants the log lines of this process."""
        self._logs.add(viewer)
        logs.listen(self._line)
        self._change()

    def remove_logs(self, viewer: Viewer) -> None:
        """Undo `add_logs`."""
        self._logs.discard(viewer)
        if not self._logs:
            logs.listen(None)
        self._change()

    def _line(self, line: Mapping[str, Any]) -> None:
        self._number += 1
        notification = {
            "notification_id": self._number,
            "type_id": log_notice.LOG,
            "content": log_notice.content(line),
        }
        text = msgspec.json.encode({"notification": notification}).decode()
        for viewer in self._logs:
            if log_notice.LOG not in viewer.muted:
                viewer.put(text)

    def add_telemetry(self, viewer: Viewer, serial: str, subscription: str) -> None:
        """A viewer of a telemetry subscription is here."""
        viewers = self._telemetry.setdefault(serial, {}).setdefault(subscription, set())
        viewers.add(viewer)
        self._change()

    def remove_telemetry(self, viewer: Viewer, serial: str, subscription: str) -> None:
        """Undo `add_telemetry`."""
        of_device = self._telemetry.get(serial, {})
        viewers = of_device.get(subscription, set())
        viewers.discard(viewer)
        if not viewers:
            of_device.pop(subscription, None)
        if not of_device:
            self._telemetry.pop(serial, None)
        self._change()

    def add_tail(self, viewer: Viewer, serial: str) -> bool:
        """A viewer wants the messages of a device; False if too many devices are looked at."""
        if serial not in self._tails and len(self._tails) >= self.settings.max_tails:
            return False
        self._tails.setdefault(serial, set()).add(viewer)
        self._change()
        return True

    def remove_tail(self, viewer: Viewer, serial: str) -> None:
        """Undo `add_tail`."""
        viewers = self._tails.get(serial, set())
        viewers.discard(viewer)
        if not viewers:
            self._tails.pop(serial, None)
        self._change()

    # -- what the coordinator is told

    def _change(self) -> None:
        self._version += 1
        self._changed.set()

    async def settled(self) -> None:
        """Wait until the coordinator knows of every viewer; not for long."""
        version = self._version
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS), self._settled:
                await self._settled.wait_for(lambda: self._told >= version)

    def _interest(self) -> dict[str, Any]:
        return {
            "generation": self._generation,
            "notices": bool(self._notices),
            "logs": bool(self._notices & self._logs),
            "telemetry": [one for uuids in self._telemetry.values() for one in uuids],
            "tails": list(self._tails),
        }

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            version = self._version
            if version != self._told or self._notices or self._telemetry or self._tails:
                try:
                    await self._coordinator.request("stream.interest", self._interest())
                except ApiError as error:
                    _log.warning("the coordinator was not told of viewers", detail=error.extra)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                async with self._settled:
                    self._told = version
                    self._settled.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._changed.wait()

    # -- items

    def _item(self, serial: int, head: bytes, body: bytes) -> None:
        try:
            item = records.decode(records.StreamItem, head)
        except msgspec.DecodeError as error:
            _log.error("unreadable item of a stream", error=str(error))
            return
        match item.stream:
            case Stream.NOTICE:
                text = body.decode()
                viewers = self._notices
                if item.type_id == log_notice.LOG:
                    viewers = self._notices & self._logs
                for viewer in viewers:
                    if item.type_id not in viewer.muted:
                        viewer.put(text)
            case Stream.TELEMETRY:
                text = body.decode()
                for several in self._telemetry.get(serial_from_int(serial), {}).values():
                    for viewer in several:
                        viewer.put(text)
            case Stream.TELEMETRY_END:
                of_device = self._telemetry.get(serial_from_int(serial), {})
                for viewer in of_device.get(item.uuid, ()):
                    viewer.end(NORMAL)
            case Stream.TAIL:
                text = body.decode()
                for viewer in self._tails.get(serial_from_int(serial), ()):
                    viewer.put(text)
