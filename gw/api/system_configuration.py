"""/systemConfiguration: settings, read only (northbound.md 4.12).

The original tells any user any value, passwords too; here only root and admin may ask, and
secrets stay hidden.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency

from gw.api import query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.core.errors import ApiError
from gw.core.settings import SECRETS, Settings
from gw.security.roles import Operation, Role

_TAG: Final = "System"
_HIDDEN: Final = "(hidden)"
_SECRET: Final = re.compile(r"(password|secret|token|api_key|private_key|sealing_key)$")
_URL_PASSWORD: Final = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")


class EntriesQuery(query.Query):
    """Parameters of GET."""

    entries: list[str] = msgspec.field(default_factory=list)
    """Names of settings, such as `api.port`, separated by commas."""


class Parameter(msgspec.Struct, rename="camel"):
    """A setting."""

    parameter_name: str
    parameter_value: str
    """As in the configuration file; secrets are hidden."""


@get(
    "/systemConfiguration",
    **documented("Read settings", tag=_TAG, answer=list[Parameter], query=EntriesQuery),
)
async def read_settings(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer some settings; unknown names are left out. Root and admin only."""
    caller.require(Operation.READ_SETTINGS)
    asked = query.read(request.scope, EntriesQuery)
    if not asked.entries:
        raise ApiError(1018, "entries is needed")
    known = settings_of(context.settings)
    names = query.chosen(asked.entries, context.max_page)
    return document([Parameter(name, known[name]) for name in names if name in known])


@put("/systemConfiguration", **documented("Settings are changed in their file", tag=_TAG))
async def refuse_settings(caller: NamedDependency[Caller]) -> Answer:
    """Refuse with 1062: settings come from file, environment and command line."""
    raise _refusal(caller)


@delete("/systemConfiguration", **documented("Settings are reset in their file", tag=_TAG))
async def refuse_settings_reset(caller: NamedDependency[Caller]) -> Answer:
    """Refuse with 1062, as PUT."""
    raise _refusal(caller)


def _refusal(caller: Caller) -> ApiError:
    return ApiError(1062) if caller.role == Role.ROOT else ApiError(7)


def settings_of(settings: Settings) -> dict[str, str]:
    """Return all settings as text by `section.name`, without their secrets."""
    found = {}
    for section in settings.__struct_fields__:
        for name in getattr(settings, section).__struct_fields__:
            value = getattr(getattr(settings, section), name)
            full = f"{section}.{name}"
            if isinstance(value, bool):
                text = "true" if value else "false"
            elif isinstance(value, str | int | float):
                text = _URL_PASSWORD.sub(rf"\1{_HIDDEN}@", str(value))
            elif isinstance(value, list) and all(isinstance(one, str) for one in value):
                text = ",".join(value)
            else:
                continue  # tables: vendors' keys are among them
            secret = full in SECRETS or _SECRET.search(name) is not None
            found[full] = _HIDDEN if secret and text else text
    return found
