"""Default firmwares, and devices whose firmware is below the minimum of their type.

Such a device is sent `upgrade` to the default firmware once per image, and is not configured until
it comes back with a firmware that is new enough. Operations: see gw.coordinator.operations.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec

from gw.coordinator import commands as states
from gw.coordinator.commands import Commands
from gw.coordinator.executor import Executor
from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.shadow import Shadow, Shadows
from gw.coordinator.work import Committer
from gw.core.errors import ApiError
from gw.ops import logs, metrics
from gw.protocol import restrictions
from gw.protocol.firmware import is_below
from gw.protocol.lifecycle import State
from gw.store import interface, rows
from gw.store.errors import StoreError

log = logs.get("firmware")

_NAMESPACE: Final = uuid.UUID("a2f1c9e4-7d0b-4c53-9f5e-3b8d60c1e7aa")
"""Of command UUIDs made from device and image: the same upgrade is the same command."""
_UPGRADES: Final = metrics.index("gw_firmware_upgrades_total")


class Firmwares:
    """The default firmwares by device type, and what follows from their minimum."""

    def __init__(
        self,
        work: Committer,
        shadows: Shadows,
        commands: Commands,
        executor: Executor,
        counters: metrics.CounterPage,
    ) -> None:
        self._work = work
        self._shadows = shadows
        self._commands = commands
        self._executor = executor
        self._counters = counters
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.rows: dict[str, rows.DefaultFirmwareRow] = {}
        self.lifted: Callable[[Shadow], object] = lambda shadow: None
        """Called when a device may be configured that was held; set by the handlers."""

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {
            "default_firmware.put": self._put,
            "default_firmware.delete": self._delete,
        }

    def check(self, shadow: Shadow) -> None:
        """Bar a device from being configured if its firmware is too old, and have it upgraded.

        Call it for a device that is connected, whenever its firmware is told.
        """
        shadow.barred = ""
        row = shadow.row
        default = self.rows.get(row.compatible)
        if default is None or not is_below(row.firmware, default.minimum_revision):
            self._withdraw(shadow)
            return
        shadow.barred = _barred(default, sent=row.firmware_image == default.uri)
        if row.quarantined or row.firmware_image == default.uri or shadow.serial in self._tasks:
            return
        busy = any(one.name == "upgrade" for one in self._commands.of_device(shadow.serial))
        if not busy:  # an operator's upgrade under way may do as well
            self._spawn(shadow.serial, self._upgrade(shadow, default))

    def _withdraw(self, shadow: Shadow) -> None:
        """An upgrade that still waits is needless: the device has got there by itself."""
        if not shadow.row.firmware_image:
            return
        command = self._commands.get(_command(shadow.serial, shadow.row.firmware_image))
        if command is not None and command.state is State.PENDING:
            self._executor.cancel(command.uuid, "the firmware is not below the minimum any more")

    async def close(self) -> None:
        """End the upgrades that are being prepared."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _upgrade(self, shadow: Shadow, default: rows.DefaultFirmwareRow) -> None:
        """Make the durable command; it is sent as soon as the device is free."""
        serial = shadow.serial
        if self._shadows.cached(serial) is not shadow:
            return  # deleted
        params = {"serial": serial, "uri": default.uri, "keep_redirector": 1, "when": 0}
        try:
            arguments = {
                "command": _command(serial, default.uri),
                "name": "upgrade",
                "by": states.SYSTEM,
                "when": int(time.time()) + 1,  # it waits until the device is free
            }
            await self._executor.run(shadow, arguments, msgspec.json.encode(params))
        except (ApiError, StoreError) as error:
            log.error("firmware not upgraded", serial=serial, detail=str(error))
            if isinstance(error, ApiError) and error.number == restrictions.SIGNATURE_NEEDED:
                shadow.barred = f"{_barred(default, sent=False)}: {error.extra}"
                shadow.set(self._work, hold=shadow.barred)
            return  # its next connect tries again
        log.info("firmware below the minimum of its type, upgrade follows", serial=serial,
                 firmware=shadow.row.firmware, minimum=default.minimum_revision,
                 revision=default.revision)  # fmt: skip
        self._counters.add(_UPGRADES)
        shadow.set(self._work, firmware_image=default.uri)
        if shadow.barred:
            shadow.barred = _barred(default, sent=True)
            shadow.set(self._work, hold=shadow.barred)

    def _spawn(self, serial: str, task: Coroutine[Any, Any, None]) -> None:
        running = asyncio.get_running_loop().create_task(task)
        self._tasks[serial] = running
        running.add_done_callback(lambda _: self._tasks.pop(serial, None))

    async def _put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.DefaultFirmwareRow)
        self.rows[row.device_type] = row
        self._work.write(interface.PutDefaultFirmware(row), 1024)
        await self._work.durable()
        self._look_again(row.device_type)
        return {}

    async def _delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        device_type = arguments["device_type"]
        self.rows.pop(device_type, None)
        self._work.write(interface.DeleteDefaultFirmware(device_type))
        await self._work.durable()
        self._look_again(device_type)
        return {}

    def _look_again(self, device_type: str) -> None:
        """The minimum of a type has changed: it counts for its connected devices as well."""
        for shadow in self._shadows.connected():
            if shadow.row.compatible != device_type:
                continue
            before = shadow.barred
            self.check(shadow)
            if before and not shadow.barred and shadow.row.hold == before:
                self.lifted(shadow)


def _command(serial: str, uri: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{serial} {uri}"))


def _barred(default: rows.DefaultFirmwareRow, *, sent: bool) -> str:
    text = f"the firmware is below {default.minimum_revision}, the minimum of its type"
    return f"{text}; an upgrade to {default.revision} was sent" if sent else text
