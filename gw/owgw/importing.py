"""Taking rows of owgw and owsec into the store: what is new, or with `update` also what differs.

Bounded: some rows at a time are read, compared with what is there, and committed. What could not be
taken is told row by row.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar, cast

import msgspec

from gw.core.settings import Settings
from gw.owgw import gateway_rows, security_rows
from gw.owgw.cells import RowError, text
from gw.owgw.security_rows import User
from gw.owgw.source import Raw, Source, source_of
from gw.security.passwords import Passwords
from gw.security.sealing import Sealer
from gw.security.totp import secret_purpose
from gw.store import interface as ops
from gw.store import rows
from gw.store import security_ops as security
from gw.store.errors import StoreError
from gw.store.interface import Batch, Op, Store

Progress = Callable[[str, int, int], None]
Tell = Callable[[str, str, str], None]
"""Told a kind, the key of a row, and what became of it."""

AUTHOR: Final = "*import"
T = TypeVar("T")

_DEVICE_FIELDS: Final = (
    "config_hash", "pending_hash", "owner", "location", "venue", "entity", "subscriber",
    "fw_update_policy", "notes",
)  # fmt: skip
"""What makes a device another one: what operators write. The rest follows from its reports."""
_CONFIGURATION: Final = (
    "configuration", "config_uuid", "config_hash", "pending_configuration", "pending_uuid",
    "pending_hash",
)  # fmt: skip

_NOTHING_SENT: Final = {"pending_command": "", "sends": 0, "last_sent": 0, "hold": ""}
_USER_FIELDS: Final = ("email", "name", "role", "suspended")


class Counts(msgspec.Struct):
    """What became of the rows of a kind."""

    added: int = 0
    changed: int = 0
    """They were there, and are as in the source now."""
    same: int = 0
    """They were there."""
    differing: int = 0
    """They were there, differ, and were left alone."""
    refused: int = 0
    """They could not be taken."""


class Kind(msgspec.Struct, Generic[T]):
    """How the rows of one table are taken."""

    name: str
    table: str
    """In lower case."""
    make: Callable[[Raw], T]
    """Raises RowError."""
    key: Callable[[T], str]
    find: Callable[[T], Awaitable[Any]]
    """The one that is there already, or None."""
    same: Callable[[T, Any], bool]
    """Tells whether it is as it is to be."""
    put: Callable[[T, Any], Awaitable[list[Op]]]
    """What writes it, in the place of another if there is one (else None). Raises RowError."""


class _Empty:
    """A store with nothing in it, for a dry run before there is one."""

    def __getattr__(self, name: str) -> Any:
        async def nothing(*_: object) -> None:
            return None

        return nothing


class Import:
    """One run into a sealed store; None: there is none yet, and it is a dry run."""

    def __init__(
        self,
        store: Store | None,
        settings: Settings,
        sealer: Sealer | None,
        *,
        dry_run: bool,
        update: bool,
        tell: Tell,
        progress: Progress,
    ) -> None:
        self.counts: dict[str, Counts] = {}
        self._store: Store = store if store is not None else cast(Store, _Empty())
        self._settings = settings
        self._sealer = sealer
        self._dry_run = dry_run or store is None
        self._update = update
        self._tell = tell
        self._progress = progress
        self._passwords = Passwords(settings.security)
        self._now = int(time.time())

    def close(self) -> None:
        """End the threads that hash."""
        self._passwords.close()

    async def gateway(self, url: str) -> None:
        """Take what is in owgw's database. Raises StoreError."""
        async with source_of(url) as source:
            if "devices" not in source.tables:
                raise StoreError(f"{source.where} has no table Devices: it is none of owgw")
            for kind in self._gateway_kinds():
                await self._take(source, kind)

    async def security(self, url: str) -> None:
        """Take what is in owsec's database. Raises StoreError."""
        async with source_of(url) as source:
            if "users" not in source.tables:
                raise StoreError(f"{source.where} has no table Users: it is none of owsec")
            for kind in self._security_kinds():
                await self._take(source, kind)

    async def _take(self, source: Source, kind: Kind[Any]) -> None:
        counts = self.counts[kind.name] = Counts()
        if kind.table not in source.tables:
            return
        done = 0
        async for chunk in source.rows(kind.table):
            written: list[Op] = []
            keys: set[str] = set()
            for raw in chunk:
                try:
                    written += await self._one(kind, raw, keys, counts)
                except RowError as error:
                    counts.refused += 1
                    self._tell(kind.name, _name_of(raw), str(error))
            if written and not self._dry_run:
                await self._store.commit(Batch(written))
            done += len(chunk)
            self._progress(kind.name, done, 0)

    async def _one(self, kind: Kind[Any], raw: Raw, keys: set[str], counts: Counts) -> list[Op]:
        new = kind.make(raw)
        key = kind.key(new)
        if key in keys:
            raise RowError("is in the source twice")
        keys.add(key)
        old = await kind.find(new)
        if old is not None and kind.same(new, old):
            counts.same += 1
            return []
        if old is not None and not self._update:
            counts.differing += 1
            self._tell(kind.name, key, "is here already, and differs; left alone (see --update)")
            return []
        written = await kind.put(new, old)
        if old is None:
            counts.added += 1
        else:
            counts.changed += 1
        return written

    # -- owgw

    def _gateway_kinds(self) -> list[Kind[Any]]:
        find = self._store
        return [
            Kind(
                "devices", "devices", gateway_rows.device, _serial,
                lambda row: find.device(row.serial_number), _same(*_DEVICE_FIELDS),
                self._put_device,
            ),
            Kind(
                "capabilities", "capabilities", gateway_rows.capabilities, _serial,
                lambda row: find.capabilities(row.serial_number), _same("capabilities"),
                _put_capabilities,
            ),
            Kind(
                "default configurations", "defaultconfigs", gateway_rows.default_configuration,
                lambda row: row.name, lambda row: find.default_configuration(row.name),
                _same("configuration", "model_ids", "description", "platform"),
                _put(ops.PutDefaultConfiguration),
            ),
            Kind(
                "default firmwares", "defaultfirmwares", gateway_rows.default_firmware,
                lambda row: row.device_type, lambda row: find.default_firmware(row.device_type),
                _same("uri", "revision", "description"), _put(ops.PutDefaultFirmware),
            ),
            Kind(
                "blacklist", "blacklist", gateway_rows.blacklisted, _serial,
                lambda row: find.blacklisted(row.serial_number), _same("reason", "author"),
                _put(ops.PutBlacklist),
            ),
            Kind(
                "scripts", "scripts", gateway_rows.script, lambda row: row.id,
                lambda row: find.script(row.id), _same("name", "type", "content", "restricted"),
                _put(ops.PutScript),
            ),
        ]  # fmt: skip

    async def _put_device(self, row: rows.DeviceRow, old: rows.DeviceRow | None) -> list[Op]:
        if old is None:
            return [ops.PutDevice(row), *self._history(row, row.config_uuid)]
        values = {name: getattr(row, name) for name in _DEVICE_FIELDS}
        if (old.config_hash, old.pending_hash) == (row.config_hash, row.pending_hash):
            return [ops.PatchDevice(row.serial_number, values)]
        values |= {name: getattr(row, name) for name in _CONFIGURATION}
        values |= _NOTHING_SENT | self._newer_ids(row, old)
        patch = ops.PatchDevice(row.serial_number, values)
        if old.config_hash == row.config_hash:
            return [patch]
        return [patch, *self._history(row, values["config_uuid"])]

    def _history(self, row: rows.DeviceRow, uuid: int) -> list[Op]:
        if not row.config_hash:
            return []
        recorded = row.last_configuration_change or self._now
        keep = self._settings.configuration.history
        return [
            ops.RecordConfiguration(
                row.serial_number, uuid, row.config_hash, recorded, AUTHOR, "import", keep
            )
        ]

    def _newer_ids(self, row: rows.DeviceRow, old: rows.DeviceRow) -> dict[str, int]:
        """Return ids above those that the device may have seen here."""
        used = max(old.config_uuid, old.pending_uuid, old.applied_uuid, old.rejected_uuid)
        if row.config_uuid > used:
            return {}
        first = max(self._now, used + 1)
        return {
            "config_uuid": first if row.configuration else 0,
            "pending_uuid": first + 1 if row.pending_configuration else 0,
        }

    # -- owsec

    def _security_kinds(self) -> list[Kind[Any]]:
        find = self._store

        async def find_user(new: User) -> rows.UserRow | None:
            return await find.user_by_email(new.row.email) or await find.user(new.row.id)

        return [
            Kind(
                "users", "users", security_rows.user, lambda new: new.row.email, find_user,
                _same_user, self._user_putter("users", ops.PutUser),
            ),
            Kind(
                "subscribers", "subscribers", security_rows.user, lambda new: new.row.email,
                lambda new: find.subscriber_by_email(new.row.email), _same_user,
                self._user_putter("subscribers", security.PutSubscriber),
            ),
            Kind(
                "API keys", "apikeys", lambda raw: security_rows.api_key(raw, self._now),
                lambda row: row.id, lambda row: find.api_key(row.key_hash),
                _same("user_id", "name", "rights"), self._put_api_key,
            ),
        ]  # fmt: skip

    def _user_putter(
        self, kind: str, op: Callable[[rows.UserRow], Op]
    ) -> Callable[[User, rows.UserRow | None], Awaitable[list[Op]]]:
        async def put(new: User, old: rows.UserRow | None) -> list[Op]:
            if old is not None:
                # The password, and what else the user set here, stays.
                values = {name: getattr(new.row, name) for name in _USER_FIELDS}
                return [op(msgspec.structs.replace(old, **values))]
            for remark in new.remarks:
                self._tell(kind, new.row.email, remark)
            if not self._dry_run:
                await self._complete(new)
            return [op(new.row)]

        return put

    async def _complete(self, new: User) -> None:
        """Hash and seal what may not be kept as it came."""
        row = new.row
        if new.authenticator and self._sealer is not None:
            sealed = self._sealer.seal(new.authenticator, secret_purpose(row.id))
            new.document["userTypeProprietaryInfo"]["authenticatorSecret"] = sealed
        row.document = msgspec.json.encode(new.document).decode()
        history = self._settings.security.password_history
        hashed = [
            await self._passwords.hash_of_owsec(one, row.email)
            for one in (new.old[-history:] if history else [])
            if one != new.password
        ]
        row.old_passwords = msgspec.json.encode(hashed).decode()
        if new.password is not None:
            row.password = await self._passwords.hash_of_owsec(new.password, row.email)

    async def _put_api_key(self, row: rows.ApiKeyRow, old: object) -> list[Op]:
        if not row.id or not row.name:
            raise RowError("id or name: is empty")
        if not self._dry_run and await self._store.user(row.user_id) is None:
            raise RowError("useruuid: there is no such user here")
        return [security.PutApiKey(row)]


def _same(*names: str) -> Callable[[Any, Any], bool]:
    return lambda new, old: all(getattr(new, name) == getattr(old, name) for name in names)


def _same_user(new: User, old: rows.UserRow) -> bool:
    return _same(*_USER_FIELDS)(new.row, old)


def _put(op: Callable[[Any], Op]) -> Callable[[Any, Any], Awaitable[list[Op]]]:
    async def put(row: Any, old: object) -> list[Op]:
        return [op(row)]

    return put


def _serial(row: Any) -> str:
    return str(row.serial_number)


async def _put_capabilities(row: rows.CapabilitiesRow, old: object) -> list[Op]:
    return [ops.PutCapabilities(row.serial_number, row.capabilities, row.last_update)]


def _name_of(raw: Raw) -> str:
    """Return by what people know a row, be it broken."""
    for name in ("serialnumber", "email", "name", "devicetype", "id"):
        if found := text(raw, name).strip():
            return found[:80]
    return "?"
