"""The operator's `configure`: checked, written, sent, and waited for."""

from __future__ import annotations

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
            if known.status in states.FINAL:
                return known.status
            return await self._wait(uuid)
        if arguments.get("when", 0) > now:
            raise ApiError(1018, "when: a configuration for later is not supported yet; send 0")
        document = rules.without_uuid(body)
        content = config_hash(document)
        await self.check_size(shadow, document)
        self._busy(shadow)
        row = CommandRow(
            uuid=uuid,
            serial_number=shadow.serial,
            command="configure",
            status=states.PENDING,
            submitted_by=arguments.get("by", ""),
            submitted=now,
        )
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
        try:
            self._keeper.change(shadow, document, content, row, "operator" if equal else "write")
        except OverflowError as error:
            self._commands.finish(uuid, states.FAILED, error_text=str(error))
            raise
        details = (
            b'{"serial":"%s","uuid":%d,"when":0,"config":%s}'
            % (
                shadow.serial.encode(),
                shadow.row.pending_uuid,
                rules.with_uuid(document, shadow.row.pending_uuid),
            )
        ).decode()
        self._commands.note(uuid, details=details)
        if self._presence.of(shadow.serial) is None:
            await self._work.durable()
            return states.PENDING
        return await self._wait(uuid)

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
