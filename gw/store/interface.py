"""The store as the rest of the program sees it.

Writing is done by the coordinator only, in batches: one batch is one transaction, and carries
the queue positions up to which it holds everything. Reading is done by the coordinator and, on
read-only connections, by the API. Long, because it is the one list of what may be asked.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from gw.core.retention import Kind
from gw.store import rows

CountedTable = Literal["blacklist", "default_configurations", "default_firmwares"]


class PositionConflictError(Exception):
    """A queue position was not what the batch expected: another coordinator committed it."""


class Op(msgspec.Struct):
    """Base of the writes of a batch. They take effect in the order given."""


class InsertStatistics(Op):
    """Add one `state` report."""

    serial: str
    uuid: int
    recorded: int
    data: bytes


class InsertHealthCheck(Op):
    """Add one health check."""

    serial: str
    uuid: int
    sanity: int
    recorded: int
    data: bytes


class InsertLog(Op):
    """Add one log line."""

    serial: str
    uuid: int
    severity: int
    log_type: int
    recorded: int
    log: str
    data: bytes


class InsertEvent(Op):
    """Add one device event."""

    serial: str
    recorded: int
    type: str
    data: bytes


class PutDevice(Op):
    """Insert a device, or replace all of its columns."""

    row: rows.DeviceRow


class PatchDevice(Op):
    """Set some columns of a device; names are those of DeviceRow. Absent device: no effect."""

    serial: str
    values: dict[str, Any]


class DeleteDevice(Op):
    """Delete a device and its statistics, health checks, logs, events, capabilities, commands."""

    serial: str


class AdoptPending(Op):
    """Make a device's pending configuration its stored one, if the pending one is still `uuid`."""

    serial: str
    uuid: int
    now: int


class RecordConfiguration(Op):
    """Keep the configuration that a device has stored now, and the `keep` newest of it in all."""

    serial: str
    uuid: int
    hash: str
    recorded: int
    author: str
    through: str
    keep: int


class PutCapabilities(Op):
    """Insert or update; the first update is kept."""

    serial: str
    capabilities: str
    now: int


class DeleteCapabilities(Op):
    """Forget a device's capabilities."""

    serial: str


class PutCommand(Op):
    """Insert a command, or replace all of its columns."""

    row: rows.CommandRow


class PatchCommand(Op):
    """Set some columns of a command; names are those of CommandRow.

    A command has one final status: with a `status` among the values, one that has its final
    status already stays as it is, whole.
    """

    uuid: str
    values: dict[str, Any]


class PutRequestResult(Op):
    """The message that a `request` asked for has come: it is the command's result.

    Only for a command `request` of that device; its status stays, so it keeps its one final one,
    and `completed` moves only if that is `completed`.
    """

    uuid: str
    serial: str
    results: str
    now: int


class PutUpgradeStatus(Op):
    """How a device's newest `upgrade` goes on after its answer: kept as the late answer.

    `status` is JSON text. The command's own status stays, so it keeps its one final one.
    """

    serial: str
    status: str


class DeleteCommands(Op):
    """Delete one command (`uuid`), or those of `serial` submitted from `start` to `end`."""

    uuid: str = ""
    serial: str = ""
    start: int = 0
    end: int = 0


class DeleteRecords(Op):
    """Delete telemetry of a device recorded from `start` to `end` (0: open)."""

    kind: Literal["statistics", "healthchecks", "logs"]
    serial: str
    start: int = 0
    end: int = 0
    log_type: int | None = None


class PutDefaultConfiguration(Op):
    """Insert or replace."""

    row: rows.DefaultConfigurationRow


class DeleteDefaultConfiguration(Op):
    """Delete by name."""

    name: str


class PutFilePart(Op):
    """Add a part of the file of a command; the parts count from 0."""

    uuid: str
    part: int
    created: int
    content: bytes


class DeleteFile(Op):
    """Delete the file of a command, all of its parts."""

    uuid: str


class PutScript(Op):
    """Insert or replace."""

    row: rows.ScriptRow


class DeleteScript(Op):
    """Delete by id."""

    id: str


class PutDefaultFirmware(Op):
    """Insert or replace."""

    row: rows.DefaultFirmwareRow


class DeleteDefaultFirmware(Op):
    """Delete by device type."""

    device_type: str


class PutBlacklist(Op):
    """Insert or replace."""

    row: rows.BlacklistRow


class DeleteBlacklist(Op):
    """Allow a device again."""

    serial: str


class PutTelemetrySubscription(Op):
    """Insert or replace."""

    row: rows.TelemetrySubscriptionRow


class DeleteTelemetrySubscription(Op):
    """Delete."""

    uuid: str


class PutRadiusPools(Op):
    """Insert or replace."""

    row: rows.RadiusPoolsRow


class DeleteRadiusPools(Op):
    """Delete the configuration of the RADIUS proxy."""

    name: str = "pools"


class PutUser(Op):
    """Insert or replace."""

    row: rows.UserRow


class DeleteUser(Op):
    """Delete a user and the user's tokens."""

    id: str


class PutToken(Op):
    """Insert or replace."""

    row: rows.TokenRow


class DeleteTokens(Op):
    """Delete one token by the hash of its access token, or all of a user."""

    access_hash: str = ""
    user_id: str = ""


class DeleteExpired(Op):
    """One bounded step of retention: the oldest of a kind, of those older than `before`.

    What was done is told by the fields that `commit` sets.
    """

    kind: Kind
    before: int
    limit: int = 1000
    """Rows; of files: parts of about 1 MB."""
    whole_before: int | None = None
    """Partitions (PostgreSQL) go whole if all in them is older than this: what else is in them
    may be kept longer. None: as `before`."""
    removed: int = 0
    """Rows that went; of whole partitions about so many."""
    bytes: int = 0
    """Of their bodies."""
    seconds: float = 0.0
    """That it took."""
    lag: int = 0
    """By how much the oldest that is left is too old, in seconds, as far as it is known."""
    more: bool = False
    """Another step is due at once."""


class RingPosition(msgspec.Struct):
    """Where a queue stood before a batch and stands after it."""

    ring: str
    incarnation: int
    before: int
    after: int


class Batch(msgspec.Struct):
    """One transaction."""

    ops: list[Op] = msgspec.field(default_factory=list)
    positions: list[RingPosition] = msgspec.field(default_factory=list)


class Reader(Protocol):
    """Queries. Lists are in the order that northbound.md 2.5 names."""

    async def device(self, serial: str) -> rows.DeviceRow | None:
        """One device."""

    async def shadows(self, serials: list[str]) -> dict[str, rows.ShadowRow]:
        """The coordinator's part of some devices; unknown ones are left out."""

    async def devices(
        self,
        *,
        offset: int = 0,
        limit: int = 100,
        platform: str = "",
        select: list[str] | None = None,
        order_by: list[tuple[str, bool]] | None = None,
        unprovisioned: bool = False,
        after: str = "",
    ) -> list[rows.DeviceRow]:
        """A page of devices; `order_by` is a list of (column of DeviceRow, descending).

        Without it, by serial number. `select` replaces `offset` and `limit`. There is no order by
        the configurations: StoreError.
        """

    async def count_devices(self, platform: str = "") -> int:
        """Number of devices."""

    async def count_entries(self, table: CountedTable) -> int:
        """Number of rows of a small table."""

    async def serial_numbers(self, prefix: str = "", suffix: str = "", limit: int = 0) -> list[str]:
        """Serial numbers, ascending; `limit` 0: all."""

    async def configurations(
        self, serial: str, *, id: int = 0, offset: int = 0, limit: int = 100
    ) -> list[rows.ConfigurationRow]:
        """What a device was to have, newest first; `id`: that one alone."""

    async def fleet(self, *, after: str = "", limit: int = 1000) -> list[rows.FleetRow]:
        """Some facts of devices, by serial number, those behind `after`."""

    async def find_devices(
        self, wanted: rows.FleetSearch, *, after: str = "", limit: int = 100
    ) -> list[rows.FleetDeviceRow]:
        """Devices of a search, by serial number, those behind `after`."""

    async def count_found(self, wanted: rows.FleetSearch, *, most: int) -> int:
        """Number of devices of a search, counted up to `most`."""

    async def count_by(self, column: str) -> dict[str, int]:
        """Number of devices by configuration_state, firmware, compatible or device_type."""

    async def count_certificates(self, before: int) -> int:
        """Number of devices whose certificate ends before a time."""

    async def newest_states(self, serials: list[str]) -> dict[str, bytes]:
        """Newest state document of some devices; those without any are left out."""

    async def capabilities(self, serial: str) -> rows.CapabilitiesRow | None:
        """Capabilities of one device."""

    async def statistics(
        self,
        serial: str,
        *,
        start: int = 0,
        end: int = 0,
        offset: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[rows.StatisticsRow]:
        """State reports, by `recorded` (ties: in order of arrival).

        `newest` turns the order round; bounds and `offset` apply nevertheless.
        """

    async def count_statistics(self, serial: str, *, start: int = 0, end: int = 0) -> int:
        """Number of state reports."""

    async def healthchecks(
        self,
        serial: str,
        *,
        start: int = 0,
        end: int = 0,
        offset: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[rows.HealthCheckRow]:
        """Health checks, as `statistics`."""

    async def logs(
        self,
        serial: str,
        *,
        log_type: int = 0,
        start: int = 0,
        end: int = 0,
        offset: int = 0,
        limit: int = 100,
    ) -> list[rows.LogRow]:
        """Log lines, newest first."""

    async def commands(
        self,
        serial: str,
        *,
        start: int = 0,
        end: int = 0,
        offset: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[rows.CommandRow]:
        """Commands by `submitted`."""

    async def events(
        self,
        serial: str,
        *,
        start: int = 0,
        end: int = 0,
        offset: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[rows.EventRow]:
        """Events, as `statistics`."""

    async def count_commands(self) -> dict[str, int]:
        """Number of commands that are kept, by name."""

    async def command(self, uuid: str) -> rows.CommandRow | None:
        """One command."""

    async def unfinished_commands(self, command: str = "") -> list[rows.CommandRow]:
        """Commands (of one name) that have no final result, oldest first."""

    async def file(self, uuid: str) -> bytes | None:
        """The file of a command; None if the database has none."""

    async def has_file(self, uuid: str) -> bool:
        """Tell whether the database has the file of a command."""

    async def commands_with_files(self, serial: str, *, start: int = 0, end: int = 0) -> list[str]:
        """UUIDs of a device's commands that have a file, in the database or elsewhere."""

    async def scripts(self, *, offset: int = 0, limit: int = 100) -> list[rows.ScriptRow]:
        """By name."""

    async def script(self, id: str) -> rows.ScriptRow | None:
        """One, by its id, else the first of that name."""

    async def default_configurations(
        self, *, offset: int = 0, limit: int = 100
    ) -> list[rows.DefaultConfigurationRow]:
        """By name."""

    async def default_configuration(self, name: str) -> rows.DefaultConfigurationRow | None:
        """One."""

    async def default_firmwares(
        self, *, offset: int = 0, limit: int = 100
    ) -> list[rows.DefaultFirmwareRow]:
        """By device type."""

    async def default_firmware(self, device_type: str) -> rows.DefaultFirmwareRow | None:
        """One."""

    async def blacklist(self, *, offset: int = 0, limit: int = 100) -> list[rows.BlacklistRow]:
        """By serial number."""

    async def blacklisted(self, serial: str) -> rows.BlacklistRow | None:
        """One."""

    async def telemetry_subscriptions(self) -> list[rows.TelemetrySubscriptionRow]:
        """All of them."""

    async def devices_of_venue(self, venue: str, limit: int = 10_000) -> list[str]:
        """Serial numbers of the devices of a venue, ascending."""

    async def radius_pools(self) -> rows.RadiusPoolsRow | None:
        """The configuration of the RADIUS proxy, if there is one."""

    async def user_by_email(self, email: str) -> rows.UserRow | None:
        """One user, by lower-case e-mail."""

    async def user(self, id: str) -> rows.UserRow | None:
        """One user."""

    async def users(self, *, offset: int = 0, limit: int = 100) -> list[rows.UserRow]:
        """By e-mail."""

    async def token(self, access_hash: str) -> rows.TokenRow | None:
        """One token."""

    async def token_by_refresh(self, refresh_hash: str) -> rows.TokenRow | None:
        """One token, by its refresh token."""

    async def subscriber(self, id: str) -> rows.UserRow | None:
        """One subscriber."""

    async def subscriber_by_email(self, email: str) -> rows.UserRow | None:
        """One subscriber, by lower-case e-mail."""

    async def subscribers(self, *, offset: int = 0, limit: int = 100) -> list[rows.UserRow]:
        """By e-mail."""

    async def tokens_of(self, user_id: str) -> list[rows.TokenRow]:
        """Sessions of a user, oldest first."""

    async def api_keys(self, user_id: str) -> list[rows.ApiKeyRow]:
        """API keys of a user, by name."""

    async def api_key(self, key_hash: str) -> rows.ApiKeyRow | None:
        """One API key, by the hash of the key."""

    async def action_link(self, link_hash: str) -> rows.ActionLinkRow | None:
        """One mailed link, by the hash of its id."""

    async def avatar(self, user_id: str) -> rows.AvatarRow | None:
        """Picture of a user."""

    async def secrets(self) -> list[rows.SecretRow]:
        """All secrets of the system, by name."""

    async def audit(
        self,
        *,
        before: int = 0,
        limit: int = 100,
        author: str = "",
        target: str = "",
        start: int = 0,
        end: int = 0,
    ) -> list[rows.AuditRow]:
        """Entries, newest first; `before`: only those with a lower id. Bounds are inclusive."""

    async def positions(self) -> dict[str, tuple[int, int]]:
        """Committed position of every ring: name to (incarnation, position)."""

    async def close(self) -> None:
        """Give the connections back."""


class Store(Reader, Protocol):
    """The coordinator's store: reads and writes."""

    async def migrate(self) -> None:
        """Bring the schema up to date. Raises MigrationError if the database is of a newer gw."""

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction; on return it is durable.

        Raises PositionConflictError, and writes nothing, if a position is not `before`
        (a ring without a row, or of another incarnation, counts as being at `before`). Raises
        BatchError, and writes nothing, if an operation can never be done; StoreError otherwise.
        """
