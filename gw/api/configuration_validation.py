"""Validation of configurations for the routes that store them (northbound.md 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from gw._native import ConfigError
from gw.core.errors import ApiError
from gw.ops import logs
from gw.validation.changes import Changes
from gw.validation.examination import Device, Examination, examine
from gw.validation.problems import Problem
from gw.validation.schemas import Schemas

_log = logs.get("gw.api")

_AT_ONCE: Final = 16_384
"""Bytes that are looked at on the event loop: a millisecond, and 50 ms if all of it is wrong."""
_MOST: Final = 50

CountValidation = Callable[[str], None]
"""Counts `valid`, `invalid` or `failed`."""


def uncounted(result: str) -> None:
    """Count nothing."""


class Validity(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Answer to `validateOnly`: owgw's `valid` and `error`, and more."""

    valid: bool | msgspec.UnsetType = msgspec.UNSET
    error: str = ""
    """`errors` as text, or why the document is no configuration at all."""
    errors: list[Problem] = msgspec.field(default_factory=list)
    """Why it would be refused."""
    errors_omitted: int = 0
    """Further errors that are not listed; at least."""
    warnings: list[Problem] = msgspec.field(default_factory=list)
    """What the device cannot do of it, by its own capabilities."""
    unchecked: str = ""
    """Why the schema could not judge; it counts as valid unless `strict`."""
    schema: str = ""
    """`$id` or title of the schema, or its file."""
    configuration_hash: str = ""
    """Content hash: equal ones mean the same to the gateway."""
    would_change: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether it differs from the stored one."""
    changes: Changes | msgspec.UnsetType = msgspec.UNSET
    """Paths that differ from the stored configuration."""


class ConfigurationValidation:
    """The schemas in use, and what the routes ask of them. One per process."""

    def __init__(
        self,
        schemas: Schemas | None = None,
        most: int = _MOST,
        count: CountValidation = uncounted,
    ) -> None:
        """Name `most` problems of a configuration at most."""
        self._schemas = schemas or Schemas()
        self._most = most
        self._count = count
        self._large = asyncio.Lock()

    def reload(self) -> None:
        """Read the schema files again; one that is wrong is logged, and the old one stays."""
        for fault in self._schemas.reload():
            _log.error("schema file refused, the old one stays", reason=fault)

    def published(self, device_type: str) -> bytes:
        """Return the schema in use for a type of device, with `$defs` as UIs read it, as JSON."""
        schema = self._schemas.of(device_type)
        if isinstance(schema.definitions, dict) and schema.definitions:
            return schema.text
        # An older draft says `definitions`; without any there is still a member to look at.
        document = msgspec.json.decode(schema.text)
        return msgspec.json.encode(document | {"$defs": document.get("definitions", {})})

    async def accept(self, text: bytes, device: Device, *, strict: bool = False) -> Examination:
        """Return what there is to say about a configuration that may be stored.

        Raises ApiError 1008 with the list of problems if it may not. With `strict` also if the
        schema could not judge it.
        """
        try:
            found = await self._examine(text, msgspec.structs.replace(device, stored=None))
        except ConfigError as error:
            self._count("invalid")
            raise ApiError(1008, str(error)) from None
        if found.problems:
            self._count("invalid")
            raise ApiError(1008, _listed(found))
        if found.failure:
            self._count("failed")
            _log.error("the schema could not judge a configuration", reason=found.failure)
            if strict:
                raise ApiError(1008, "the schema could not judge it")
        else:
            self._count("valid")
        return found

    async def dry_run(
        self, text: bytes | None, device: Device, *, strict: bool = False, stored_hash: str = ""
    ) -> Validity:
        """Tell what `accept` would, and what would change. Raises ApiError 1097 without text."""
        if text is None:
            raise ApiError(1097)
        try:
            found = await self._examine(text, device)
        except ConfigError as error:
            return Validity(valid=False, error=str(error))
        unchecked = "the schema could not judge it" if found.failure else ""
        valid = not found.problems and not (unchecked and strict)
        return Validity(
            valid=valid,
            error="" if valid else _listed(found) if found.problems else unchecked,
            errors=found.problems,
            errors_omitted=found.omitted,
            warnings=found.warnings,
            unchecked=unchecked,
            schema=found.schema,
            configuration_hash=found.hash,
            would_change=msgspec.UNSET if device.stored is None else found.hash != stored_hash,
            changes=msgspec.UNSET if found.changes is None else found.changes,
        )

    async def _examine(self, text: bytes, device: Device) -> Examination:
        if self._schemas.changed():
            self.reload()
        schema = self._schemas.of(device.type)
        if len(text) + len(device.stored or b"") + len(device.capabilities) <= _AT_ONCE:
            return examine(text, device, schema, self._most)
        # The lock bounds what many large ones take from the other requests.
        async with self._large:
            return await asyncio.to_thread(examine, text, device, schema, self._most)


def _listed(found: Examination) -> str:
    """Return problems as owgw does: a JSON array of objects with `context` and `description`."""
    problems = list(found.problems)
    if found.omitted:
        problems.append(Problem([], f"and at least {found.omitted} more", ""))
    return msgspec.json.encode(problems).decode()
