"""A store whose secrets are encrypted at rest: configurations, passwords of devices, commands.

Of commands: what was asked, and what the device answered, for a script may print whatever it likes.

It stands before any other store: what is written is sealed on its way in, what is read is opened
on its way out. What was stored before stays readable; it is sealed when it is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from gw.security.sealing import Sealer, SealError, is_sealed
from gw.store import interface, rows
from gw.store.errors import StoreError
from gw.store.interface import Batch, Op, Reader, Store

R = TypeVar("R", bound=msgspec.Struct)

_PURPOSE: Final = "configuration"
"""One for all: the database itself copies what is pending to what is stored, and to the past."""

SEALED: Final[dict[type[msgspec.Struct], tuple[str, ...]]] = {
    rows.DeviceRow: (
        "configuration",
        "pending_configuration",
        "device_password",
        "rejections",
    ),
    rows.ShadowRow: ("device_password",),
    rows.DefaultConfigurationRow: ("configuration",),
    rows.ConfigurationRow: ("configuration",),
    rows.CommandRow: ("details", "results", "late_answer", "error_text"),
    rows.RadiusPoolsRow: ("document",),
}
"""The columns with secrets."""

_PATCHED: Final = frozenset(
    name for kind in (rows.DeviceRow, rows.CommandRow) for name in SEALED[kind]
)
_EMPTY: Final = ("", "{}", "[]")


class _Sealing:
    def __init__(self, inner: Any, sealer: Sealer) -> None:
        self._inner = inner
        self._sealer = sealer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _open_text(self, text: str) -> str:
        if not is_sealed(text):
            return text
        try:
            return self._sealer.open(text, _PURPOSE)
        except SealError as error:
            raise StoreError(str(error)) from error

    def _opened(self, row: R | None) -> R | None:
        for name in SEALED[type(row)] if row is not None else ():
            setattr(row, name, self._open_text(getattr(row, name)))
        return row

    def _all_opened(self, found: list[R]) -> list[R]:
        for row in found:
            self._opened(row)
        return found

    async def device(self, serial: str) -> rows.DeviceRow | None:
        return self._opened(await self._inner.device(serial))

    async def shadows(self, serials: list[str]) -> dict[str, rows.ShadowRow]:
        found: dict[str, rows.ShadowRow] = await self._inner.shadows(serials)
        self._all_opened(list(found.values()))
        return found

    async def devices(self, **asked: Any) -> list[rows.DeviceRow]:
        return self._all_opened(await self._inner.devices(**asked))

    async def default_configurations(self, **asked: Any) -> list[rows.DefaultConfigurationRow]:
        return self._all_opened(await self._inner.default_configurations(**asked))

    async def default_configuration(self, name: str) -> rows.DefaultConfigurationRow | None:
        return self._opened(await self._inner.default_configuration(name))

    async def configurations(self, serial: str, **asked: Any) -> list[rows.ConfigurationRow]:
        return self._all_opened(await self._inner.configurations(serial, **asked))

    async def commands(self, serial: str, **asked: Any) -> list[rows.CommandRow]:
        return self._all_opened(await self._inner.commands(serial, **asked))

    async def command(self, uuid: str) -> rows.CommandRow | None:
        return self._opened(await self._inner.command(uuid))

    async def unfinished_commands(self, command: str = "") -> list[rows.CommandRow]:
        return self._all_opened(await self._inner.unfinished_commands(command))

    async def radius_pools(self) -> rows.RadiusPoolsRow | None:
        return self._opened(await self._inner.radius_pools())

    async def commit(self, batch: Batch) -> None:
        """Seal what is secret, and write."""
        await self._inner.commit(Batch([self._sealed(op) for op in batch.ops], batch.positions))

    def _seal_text(self, text: str) -> str:
        return text if text in _EMPTY else self._sealer.seal(text, _PURPOSE)

    def _sealed(self, op: Op) -> Op:
        seal = _SEALERS.get(type(op))
        return op if seal is None else seal(op, self._seal_text)


def _sealed_row(op: Any, seal: Callable[[str], str]) -> Op:
    names = SEALED[type(op.row)]
    row = msgspec.structs.replace(op.row, **{name: seal(getattr(op.row, name)) for name in names})
    return cast(Op, type(op)(row))


def _sealed_values(op: Any, seal: Callable[[str], str]) -> Op:
    values: Mapping[str, Any] = op.values
    if _PATCHED.isdisjoint(values):
        return cast(Op, op)
    changed = {name: seal(value) if name in _PATCHED else value for name, value in values.items()}
    return cast(Op, msgspec.structs.replace(op, values=changed))


_SEALERS: Final[dict[type[Op], Callable[[Any, Callable[[str], str]], Op]]] = {
    interface.PutDevice: _sealed_row,
    interface.PutDefaultConfiguration: _sealed_row,
    interface.PutCommand: _sealed_row,
    interface.PutRadiusPools: _sealed_row,
    interface.PatchDevice: _sealed_values,
    interface.PatchCommand: _sealed_values,
}


def sealed_store(store: Store, sealer: Sealer) -> Store:
    """Return a store that seals secrets on their way into `store`."""
    return cast(Store, _Sealing(store, sealer))


def sealed_reader(reader: Reader, sealer: Sealer) -> Reader:
    """Return a reader that opens what `sealed_store` sealed."""
    return cast(Reader, _Sealing(reader, sealer))
