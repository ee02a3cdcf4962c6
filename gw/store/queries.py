"""Queries in SQL that every database understands; the readers say how they are run.

Parameters are `?`. Of lists of values SQLite's `json_each(?)` makes rows; see `dialect` for what
becomes of both elsewhere.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, Final, TypeVar

from gw.store import rows
from gw.store.errors import StoreError
from gw.store.fleet_queries import FleetQueries
from gw.store.interface import CountedTable
from gw.store.security_queries import SecurityQueries
from gw.store.tables import (
    BLACKLIST,
    CAPABILITIES,
    COMMAND,
    CONFIGURATION,
    DEFAULT_CONFIGURATION,
    DEFAULT_FIRMWARE,
    DEVICE,
    DEVICES,
    DOCUMENTS,
    EVENT,
    FLEET,
    HEALTHCHECK,
    LOG,
    RADIUS_POOLS,
    SCRIPT,
    SHADOW,
    STATISTICS,
    TELEMETRY_SUBSCRIPTION,
    TOKEN,
    UNFINISHED,
    USER,
    Shape,
    between,
)

# S608 below: what is put into statements are column lists made from the rows and conditions of
# this module; values are always bound.
# ruff: noqa: S608

R = TypeVar("R", bound=rows.Row)

NO_LIMIT: Final = 2**63 - 1

DEVICE_COLUMNS: Final = ", ".join(
    f"coalesce(t.{column}, '')" if column in DOCUMENTS else f"d.{column}"
    for column in DEVICE.columns
)
DEVICE_BY_SERIAL: Final = (
    f"SELECT {DEVICE_COLUMNS} FROM devices AS d "
    "LEFT JOIN device_documents AS t USING (serial_number) WHERE d.serial_number = ?"
)


class Queries(FleetQueries, SecurityQueries):
    """What a `Reader` has, over one way to run a SELECT."""

    @abstractmethod
    async def _cells(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""

    @abstractmethod
    async def _all(self, shape: Shape[R], sql: str, *values: Any) -> list[R]:
        """Return the rows of a SELECT of the columns of `shape`."""

    @abstractmethod
    async def _chosen_devices(self, sql: str, *values: Any) -> list[rows.DeviceRow]:
        """Return the devices whose serial numbers `sql` selects, in its order, as of one moment.

        Choosing the page apart from reading it lets an index do it, and a sort carry keys instead
        of configurations. (A page with a row gone in between would look like the last.)
        """

    async def _one(self, shape: Shape[R], table: str, key: str, value: str) -> R | None:
        sql = f"SELECT {shape.select()} FROM {table} WHERE {key} = ?"
        found = await self._all(shape, sql, value)
        return found[0] if found else None

    async def device(self, serial: str) -> rows.DeviceRow | None:
        """One device."""
        found = await self._all(DEVICE, DEVICE_BY_SERIAL, serial)
        return found[0] if found else None

    async def shadows(self, serials: list[str]) -> dict[str, rows.ShadowRow]:
        """The coordinator's part of some devices; unknown ones are left out."""
        sql = (
            f"SELECT {SHADOW.select()} FROM devices "
            "WHERE serial_number IN (SELECT value FROM json_each(?))"
        )
        found = await self._all(SHADOW, sql, json.dumps(serials))
        return {row.serial_number: row for row in found}

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
        """A page of devices (behind `after`); `select` replaces `offset` and `limit`."""
        conditions = ["true"]
        values: list[Any] = []
        which: Hashable = ("devices", platform, unprovisioned, after)
        if platform:
            conditions.append("device_type = ?")
            values.append(platform)
        if unprovisioned:
            conditions.append("entity = '' AND venue = ''")
        if after:
            conditions.append("serial_number > ?")
            values.append(after)
        if select is not None:
            conditions.append("serial_number IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(select))
            offset, limit = 0, NO_LIMIT
        far = offset
        if not order_by:
            place, offset = self._pages.start(which, offset)
            if place is not None:
                conditions.append("serial_number > ?")
                values += place
        for column, _ in order_by or ():
            if column not in DEVICES.columns:
                raise StoreError(f"devices have no order by {column}")
        keys = [*(order_by or ()), ("serial_number", False)]
        order = ", ".join(f"{column}{' DESC' if down else ''}" for column, down in keys)
        sql = (
            f"SELECT serial_number FROM devices WHERE {' AND '.join(conditions)} "
            f"ORDER BY {order} LIMIT ? OFFSET ?"
        )
        found = await self._chosen_devices(sql, *values, limit, offset)
        if found and len(found) == limit and not order_by:
            self._pages.note(which, far + limit, (found[-1].serial_number,))
        return found

    async def count_devices(self, platform: str = "") -> int:
        """Number of devices."""
        if platform:
            return await self._count("devices WHERE device_type = ?", platform)
        return await self._count("devices")

    async def count_entries(self, table: CountedTable) -> int:
        """Number of rows of a small table."""
        return await self._count(table)

    async def _count(self, tables: str, *values: Any) -> int:
        return int((await self._cells(f"SELECT count(*) FROM {tables}", *values))[0][0])

    async def serial_numbers(self, prefix: str = "", suffix: str = "", limit: int = 0) -> list[str]:
        """Serial numbers, ascending; `limit` 0: all."""
        conditions = ["true"]
        values: list[Any] = []
        if prefix:
            # Greater than whatever begins with the prefix: serial numbers are ASCII.
            conditions.append("serial_number >= ? AND serial_number < ?")
            values += [prefix, prefix + "\x7f"]
        if suffix:
            conditions.append("substr(serial_number, length(serial_number) - ? + 1) = ?")
            values += [len(suffix), suffix]
        sql = (
            f"SELECT serial_number FROM devices WHERE {' AND '.join(conditions)} "
            "ORDER BY serial_number LIMIT ?"
        )
        return [cells[0] for cells in await self._cells(sql, *values, limit or NO_LIMIT)]

    async def configurations(
        self, serial: str, *, id: int = 0, offset: int = 0, limit: int = 100
    ) -> list[rows.ConfigurationRow]:
        """What a device was to have, newest first; `id`: that one alone."""
        columns = CONFIGURATION.select()
        if id:
            sql = f"SELECT {columns} FROM configurations WHERE serial_number = ? AND id = ?"
            return await self._all(CONFIGURATION, sql, serial, id)
        return await self._page(
            CONFIGURATION,
            "configurations",
            ("id",),
            offset,
            limit,
            where="serial_number = ?",
            values=(serial,),
            descending=True,
        )

    async def fleet(self, *, after: str = "", limit: int = 1000) -> list[rows.FleetRow]:
        """Some facts of devices, by serial number, those behind `after`."""
        sql = (
            f"SELECT {FLEET.select()} FROM devices WHERE serial_number > ? "
            "ORDER BY serial_number LIMIT ?"
        )
        return await self._all(FLEET, sql, after, limit)

    async def newest_states(self, serials: list[str]) -> dict[str, bytes]:
        """Newest state document of some devices; those without any are left out."""
        sql = (
            "SELECT d.serial_number, (SELECT s.data FROM statistics AS s "
            "WHERE s.serial_number = d.serial_number ORDER BY s.recorded DESC, s.id DESC LIMIT 1) "
            "FROM devices AS d "
            "WHERE d.serial_number IN (SELECT value FROM json_each(?))"
        )
        found = await self._cells(sql, json.dumps(serials))
        return {serial: bytes(data) for serial, data in found if data is not None}

    async def capabilities(self, serial: str) -> rows.CapabilitiesRow | None:
        """Capabilities of one device."""
        return await self._one(CAPABILITIES, "capabilities", "serial_number", serial)

    async def _records(
        self,
        shape: Shape[R],
        table: str,
        serial: str,
        *,
        time: str = "recorded",
        start: int,
        end: int,
        offset: int,
        limit: int,
        newest: bool,
    ) -> list[R]:
        return await self._page(
            shape,
            table,
            (time, "id"),
            offset,
            limit,
            where="serial_number = ?",
            values=(serial,),
            start=start,
            end=end,
            descending=newest,
        )

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
        """State reports, by `recorded` (ties: in order of arrival)."""
        return await self._records(
            STATISTICS,
            "statistics",
            serial,
            start=start,
            end=end,
            offset=offset,
            limit=limit,
            newest=newest,
        )

    async def count_statistics(self, serial: str, *, start: int = 0, end: int = 0) -> int:
        """Number of state reports."""
        bounds, values = between("recorded", start, end)
        return await self._count(f"statistics WHERE serial_number = ?{bounds}", serial, *values)

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
        return await self._records(
            HEALTHCHECK,
            "healthchecks",
            serial,
            start=start,
            end=end,
            offset=offset,
            limit=limit,
            newest=newest,
        )

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
        return await self._page(
            LOG,
            "device_logs",
            ("recorded", "id"),
            offset,
            limit,
            where="serial_number = ? AND log_type = ?",
            values=(serial, log_type),
            start=start,
            end=end,
            descending=True,
        )

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
        return await self._records(
            COMMAND,
            "commands",
            serial,
            time="submitted",
            start=start,
            end=end,
            offset=offset,
            limit=limit,
            newest=newest,
        )

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
        return await self._records(
            EVENT,
            "device_events",
            serial,
            start=start,
            end=end,
            offset=offset,
            limit=limit,
            newest=newest,
        )

    async def count_commands(self) -> dict[str, int]:
        """Number of commands that are kept, by name."""
        found = await self._cells("SELECT command, count(*) FROM commands GROUP BY command")
        return {name: int(count) for name, count in found}

    async def command(self, uuid: str) -> rows.CommandRow | None:
        """One command."""
        return await self._one(COMMAND, "commands", "uuid", uuid)

    async def unfinished_commands(self, command: str = "") -> list[rows.CommandRow]:
        """Commands (of one name) that have no final result, oldest first."""
        if not command:
            found = await self._all(
                COMMAND, f"SELECT {COMMAND.select()} FROM commands WHERE {UNFINISHED}"
            )
            return sorted(found, key=lambda row: row.submitted)
        sql = (
            f"SELECT {COMMAND.select()} FROM commands WHERE command = ? AND {UNFINISHED} "
            "ORDER BY submitted, id"
        )
        return await self._all(COMMAND, sql, command)

    async def file(self, uuid: str) -> bytes | None:
        """The file of a command; None if the database has none."""
        parts = await self._cells("SELECT content FROM files WHERE uuid = ? ORDER BY part", uuid)
        return b"".join(bytes(part[0]) for part in parts) if parts else None

    async def has_file(self, uuid: str) -> bool:
        """Tell whether the database has the file of a command."""
        return bool(await self._cells("SELECT part FROM files WHERE uuid = ? LIMIT 1", uuid))

    async def commands_with_files(self, serial: str, *, start: int = 0, end: int = 0) -> list[str]:
        """UUIDs of a device's commands that have a file, by `submitted`."""
        bounds, values = between("submitted", start, end)
        sql = f"SELECT uuid FROM commands WHERE serial_number = ? AND attach_date <> 0{bounds}"
        return [str(one) for (one,) in await self._cells(sql, serial, *values)]

    async def scripts(self, *, offset: int = 0, limit: int = 100) -> list[rows.ScriptRow]:
        """By name."""
        return await self._page(SCRIPT, "scripts", ("name", "id"), offset, limit)

    async def script(self, id: str) -> rows.ScriptRow | None:
        """One, by its id, else the first of that name."""
        found = await self._one(SCRIPT, "scripts", "id", id)
        if found is None:
            sql = f"SELECT {SCRIPT.select()} FROM scripts WHERE name = ? ORDER BY id LIMIT 1"
            named = await self._all(SCRIPT, sql, id)
            found = named[0] if named else None
        return found

    async def default_configurations(
        self, *, offset: int = 0, limit: int = 100
    ) -> list[rows.DefaultConfigurationRow]:
        """By name."""
        return await self._page(
            DEFAULT_CONFIGURATION, "default_configurations", ("name",), offset, limit
        )

    async def default_configuration(self, name: str) -> rows.DefaultConfigurationRow | None:
        """One."""
        return await self._one(DEFAULT_CONFIGURATION, "default_configurations", "name", name)

    async def default_firmwares(
        self, *, offset: int = 0, limit: int = 100
    ) -> list[rows.DefaultFirmwareRow]:
        """By device type."""
        return await self._page(
            DEFAULT_FIRMWARE, "default_firmwares", ("device_type",), offset, limit
        )

    async def default_firmware(self, device_type: str) -> rows.DefaultFirmwareRow | None:
        """One."""
        return await self._one(DEFAULT_FIRMWARE, "default_firmwares", "device_type", device_type)

    async def blacklist(self, *, offset: int = 0, limit: int = 100) -> list[rows.BlacklistRow]:
        """By serial number."""
        return await self._page(BLACKLIST, "blacklist", ("serial_number",), offset, limit)

    async def blacklisted(self, serial: str) -> rows.BlacklistRow | None:
        """One."""
        return await self._one(BLACKLIST, "blacklist", "serial_number", serial)

    async def telemetry_subscriptions(self) -> list[rows.TelemetrySubscriptionRow]:
        """All of them."""
        columns = TELEMETRY_SUBSCRIPTION.select()
        sql = f"SELECT {columns} FROM telemetry_subscriptions ORDER BY until, uuid"
        return await self._all(TELEMETRY_SUBSCRIPTION, sql)

    async def devices_of_venue(self, venue: str, limit: int = 10_000) -> list[str]:
        """Serial numbers of the devices of a venue, ascending."""
        sql = (
            "SELECT serial_number FROM devices WHERE venue = ? AND venue <> '' "
            "ORDER BY serial_number LIMIT ?"
        )
        return [cells[0] for cells in await self._cells(sql, venue, limit)]

    async def radius_pools(self) -> rows.RadiusPoolsRow | None:
        """The configuration of the RADIUS proxy, if there is one."""
        return await self._one(RADIUS_POOLS, "radius_pools", "name", "pools")

    async def user_by_email(self, email: str) -> rows.UserRow | None:
        """One user, by lower-case e-mail."""
        return await self._one(USER, "users", "email", email)

    async def user(self, id: str) -> rows.UserRow | None:
        """One user."""
        return await self._one(USER, "users", "id", id)

    async def users(self, *, offset: int = 0, limit: int = 100) -> list[rows.UserRow]:
        """By e-mail."""
        return await self._page(USER, "users", ("email",), offset, limit)

    async def token(self, access_hash: str) -> rows.TokenRow | None:
        """One token."""
        return await self._one(TOKEN, "tokens", "access_hash", access_hash)

    async def token_by_refresh(self, refresh_hash: str) -> rows.TokenRow | None:
        """One token, by its refresh token."""
        return await self._one(TOKEN, "tokens", "refresh_hash", refresh_hash)

    async def positions(self) -> dict[str, tuple[int, int]]:
        """Committed position of every ring: name to (incarnation, position)."""
        found = await self._cells("SELECT ring, incarnation, position FROM ring_positions")
        return {ring: (incarnation, position) for ring, incarnation, position in found}
