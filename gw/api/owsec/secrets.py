"""/systemSecret: keys of other people's services that the UI uses (security.md 8).

They are sealed in the database (gw.security.sealing).
"""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.core.errors import ApiError
from gw.security.roles import Operation
from gw.security.sealing import Sealer, SealError

_TAG = "System"
_MAX_VALUE: Final = 4096
KNOWN: Final = {
    "google.maps.apikey": "Google Maps, for the map of a device",
    "iptocountry.ipinfo.token": "ipinfo.io, for the country of an address",
    "iptocountry.ipdata.apikey": "ipdata.co, for the country of an address",
    "iptocountry.ip2location.apikey": "ip2location.com, for the country of an address",
}


class SecretQuery(query.Query):
    """Parameters of GET."""

    all: bool = False
    """All secrets; the name of the path is not looked at."""
    dictionary: bool = False
    """The names that mean something; the name of the path is not looked at."""


class ValueQuery(query.Query):
    """Parameters of PUT."""

    value: str = ""


class Secret(msgspec.Struct):
    """One secret."""

    key: str
    value: str


class SecretsAnswer(msgspec.Struct):
    """All secrets."""

    secrets: list[Secret]


class KnownKey(msgspec.Struct):
    """A name, and what it is for."""

    key: str
    description: str


class DictionaryAnswer(msgspec.Struct, rename="camel"):
    """All names."""

    known_keys: list[KnownKey]


@get(
    "/systemSecret/{secret:str}",
    **documented(
        "Read secrets of the system",
        tag=_TAG,
        answer=Combined("anyOf", (Secret, SecretsAnswer, DictionaryAnswer)),
        query=SecretQuery,
        details="Root, and sister services.",
    ),
)
async def read_secret(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    sealer: NamedDependency[Sealer],
    secret: FromPath[str],
) -> Answer:
    """Answer one secret, all, or the names."""
    if not caller.internal:
        caller.require(Operation.READ_SECRETS)
    asked = query.read(request.scope, SecretQuery)
    if asked.dictionary:
        known = [KnownKey(name, text) for name, text in KNOWN.items()]
        return document(DictionaryAnswer(known))
    found = []
    for row in await context.reader.secrets():
        try:
            found.append(Secret(row.name, sealer.open(row.value, row.name)))
        except SealError:
            found.append(Secret(row.name, ""))
    if asked.all:
        return document(SecretsAnswer(found))
    one = next((one for one in found if one.key == secret), None)
    if one is None:
        raise ApiError(404)
    return document(one)


@put(
    "/systemSecret/{secret:str}",
    **documented("Set a secret of the system", tag=_TAG, answer=Secret, query=ValueQuery),
)
async def set_secret(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    sealer: NamedDependency[Sealer],
    secret: FromPath[str],
) -> Answer:
    """Set one of the known secrets. Root only."""
    caller.require(Operation.EDIT_SECRETS)
    value = query.read(request.scope, ValueQuery).value
    if secret not in KNOWN:
        raise ApiError(1018, f"the names are {', '.join(KNOWN)}")
    if not 0 < len(value) <= _MAX_VALUE:
        raise ApiError(1018, f"value: 1 to {_MAX_VALUE} characters")
    try:
        sealed = sealer.seal(value, secret)
    except UnicodeEncodeError:
        raise ApiError(1018, "value: is not text") from None
    await context.coordinator.request("secret.put", {"name": secret, "value": sealed})
    return document(Secret(secret, value))


@delete("/systemSecret/{secret:str}", **documented("Remove a secret of the system", tag=_TAG))
async def delete_secret(
    context: NamedDependency[Context], caller: NamedDependency[Caller], secret: FromPath[str]
) -> Answer:
    """Remove a secret. Root only."""
    caller.require(Operation.EDIT_SECRETS)
    if all(row.name != secret for row in await context.reader.secrets()):
        raise ApiError(404)
    await context.coordinator.request("secret.delete", {"name": secret})
    return empty()
