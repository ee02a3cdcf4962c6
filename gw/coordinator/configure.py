"""The operator's `configure`: checked, written, sent, and waited for."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import msgspec

from gw._native import config_hash
from gw.coordinator import commands as states
from gw.coordinator.commands import Commands
from gw.coordinator.executor import Executor
from gw.coordinator.keeper import Keeper
from gw.coordinator.presence import Presence
from gw.coordinator.shadow import Shadow
from gw.coordinator.work import Committer
from gw.core.errors import ApiError
from gw.protocol import configuration as rules
from gw.protocol.configuration import Cause
from gw.protocol.messages import capabilities
from gw.store.interface import Store
from gw.store.rows import CommandRow


class Configure:
    """Runs `configure` commands of operators."""

    def __init__(
        self,
        store: Store,
        work: Committer,
        keeper: Keeper,
        commands: Commands,
        executor: Executor,
        presence: Presence,
        answer_seconds: float,
    ) -> None:
        self._answer_seconds = answer_seconds
        self._store = store
        self._work = work
        self._keeper = keeper
        self._commands = commands
        self._executor = executor
        self._presence = presence

    async def check_size(self, shadow: Shadow, document: bytes) -> None:
        """Refuse what the device's receive buffer cannot take, rather than lose it.

        Raises ApiError 1008 naming size and limit. A device that was never seen is not judged.
        """
        if len(document) < rules.ACCESS_POINT_FRAME - 512 or not shadow.row.device_type:
            return
        kept = await self._store.capabilities(shadow.serial)
        if kept is None:
            return
        compress = capabilities(kept.capabilities.encode()).compress_cmd
        limit = rules.frame_limit(shadow.row.device_type)
        size = len(document) + 256
        if compress:
            size = len(rules.compressed_frame(document))
        if size > limit:
            how = "compressed" if compress else "and it takes no compressed commands"
            raise ApiError(
                1008, f"the configuration needs a frame of {size} bytes, {how}; "
                f"the device receives {limit} at most"
            )  # fmt: skip

    async def run(self, shadow: Shadow, arguments: dict[str, Any], body: bytes) -> str:
        """Carry out one command and return its status once it is settled, or left pending.

        Repeating it with the same command UUID joins the first. Raises ApiError and ConfigError.
        """
        uuid, now = arguments["command"], int(time.time())
        known = await self._store.command(uuid)
        if known is not None:
            one = self._commands.get(uuid)
            away = self._presence.of(shadow.serial) is None or bool(shadow.barred)
            if one is None or (one.unsent and (away or one.run_at > now)):
                return await self._executor.ended(uuid)
            return await self._wait(uuid)
        document = rules.without_uuid(body)
        content = config_hash(document)
        await self.check_size(shadow, document)
        when = max(0, arguments.get("when", 0))
        if when <= now:
            self._busy(shadow)
        row = CommandRow(
            uuid=uuid,
            serial_number=shadow.serial,
            command="configure",
            status=states.PENDING,
            submitted_by=arguments.get("by", ""),
            submitted=now,
        )
        self._supersede_scheduled(shadow)
        if when > now:
            return await self._schedule(shadow, row, document, when)
        facts = shadow.facts()
        force = bool(arguments.get("force"))
        equal = bool(facts.target_uuid) and content == facts.target_hash
        asked = shadow.row.rejected_hash == content or bool(shadow.row.hold)
        if equal and not force and not asked:
            return await self._unchanged(shadow, row)
        if shadow.row.quarantined:
            shadow.set(self._work, quarantined=False)
        shadow.strict = bool(arguments.get("strict"))
        self._commands.create(row)
        self._change(shadow, document, content, row, "operator" if equal else "write")
        if self._presence.of(shadow.serial) is None or shadow.barred:
            await self._work.durable()
            return states.PENDING
        return await self._wait(uuid)

    def _change(
        self, shadow: Shadow, document: bytes, content: str, row: CommandRow, cause: Cause
    ) -> None:
        """Hand a change to the keeper. Raises OverflowError, with the command ended."""
        try:
            self._keeper.change(shadow, document, content, row, cause)
        except OverflowError as error:
            self._commands.finish(row.uuid, states.FAILED, error_text=str(error))
            raise
        uuid = shadow.row.pending_uuid
        self._commands.note(row.uuid, details=_details(shadow, uuid, 0, document))

    async def _schedule(self, shadow: Shadow, row: CommandRow, document: bytes, when: int) -> str:
        """Keep a change for its time; until then the configuration stays what it is."""
        row.run_at = when
        row.details = _details(shadow, 0, when, document)
        self._commands.create(row)
        self._executor.schedule(row.uuid, when)
        await self._work.durable()
        return row.status

    def _supersede_scheduled(self, shadow: Shadow) -> None:
        """Of changes for later only the newest counts, and one for now overtakes it."""
        for one in self._commands.of_device(shadow.serial):
            scheduled = one.run_at > 0 and one.uuid != shadow.row.pending_command
            if one.name == "configure" and not one.system and scheduled:
                self._executor.cancel(one.uuid, "superseded by a newer command")

    async def due(self, shadow: Shadow, row: CommandRow) -> None:
        """The time of a scheduled change has come: it is a change like any other from now on."""
        if shadow.row.pending_command == row.uuid:
            return  # it came before a restart; the device's report settles it
        details = msgspec.json.decode(row.details, type=dict[str, msgspec.Raw])
        document = rules.without_uuid(bytes(details["config"]))
        content = config_hash(document)
        facts = shadow.facts()
        if facts.target_uuid and content == facts.target_hash:
            self._commands.finish(
                row.uuid, states.COMPLETED, error_text="unchanged; nothing was sent"
            )
            return
        if shadow.row.quarantined:
            shadow.set(self._work, quarantined=False)
        with contextlib.suppress(OverflowError):
            self._change(shadow, document, content, row, "write")

    def _busy(self, shadow: Shadow) -> None:
        """One operator's command at a time per device; repairs of the gateway do not count."""
        running = self._executor.running(shadow.serial)
        if running is not None:
            raise ApiError(1145, f"UUID={running.uuid} Command={running.name}")
        flight = shadow.in_flight
        if flight is not None and not flight.system:
            raise ApiError(1145, f"UUID={flight.command} Command=configure")

    async def _unchanged(self, shadow: Shadow, row: CommandRow) -> str:
        """An equal configuration changes nothing and sends nothing."""
        pending = shadow.row.pending_command
        text = f"unchanged; under way as {pending}" if pending else "unchanged; nothing was sent"
        now = int(time.time())
        row.status, row.executed, row.completed, row.error_text = states.COMPLETED, now, now, text
        result = {
            "serial": shadow.serial,
            "uuid": shadow.facts().target_uuid,
            "status": {"error": 0, "text": text},
        }
        row.results = msgspec.json.encode(result).decode()
        self._commands.create(row)
        await self._work.durable()
        return row.status

    async def _wait(self, uuid: str) -> str:
        # After that the change stays pending, and the device's next report settles it.
        return await self._commands.settled(uuid, self._answer_seconds) or states.PENDING


def _details(shadow: Shadow, uuid: int, when: int, document: bytes) -> str:
    """Return what a change asks of the device, as the command keeps it."""
    config = rules.with_uuid(document, uuid) if uuid else document
    members = (shadow.serial.encode(), uuid, when, config)
    return (b'{"serial":"%s","uuid":%d,"when":%d,"config":%s}' % members).decode()
