"""/radiusProxyConfig: the pools of the RADIUS proxy (northbound.md 4.9; southbound.md 6.1)."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import delete, get, put
from litestar.di import NamedDependency

from gw.api import body
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.core.errors import ApiError
from gw.radius import configuration
from gw.radius.configuration import PoolsDocument, PoolsError
from gw.security.roles import Operation, may

_TAG: Final = "RADIUS"


@get(
    "/radiusProxyConfig",
    **documented(
        "Read the RADIUS pools",
        tag=_TAG,
        answer=PoolsDocument,
        details="Secrets and private keys are empty unless the role may change them.",
    ),
)
async def read_radius_pools(
    context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Answer the pools; none if none were configured."""
    row = await context.reader.radius_pools()
    found = configuration.read(row.document.encode()) if row is not None else PoolsDocument()
    if not _may_change(caller):
        found = configuration.without_secrets(found)
    return document(found)


@put(
    "/radiusProxyConfig",
    **documented(
        "Replace the RADIUS pools",
        tag=_TAG,
        answer=PoolsDocument,
        body=PoolsDocument,
        details="They are used at once; requests under way go on. Needs `radius.enabled`.",
    ),
)
async def replace_radius_pools(
    request: AnyRequest, context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Replace all pools; the answer has the addresses that were given to them."""
    _require(caller)
    try:
        new = configuration.complete(await body.read(request, PoolsDocument))
    except PoolsError as error:
        raise ApiError(error.number, str(error)) from None
    await context.coordinator.request("radius.put", {}, msgspec.json.encode(new))
    return document(new)


@delete("/radiusProxyConfig", **documented("Delete the RADIUS pools", tag=_TAG))
async def delete_radius_pools(
    context: NamedDependency[Context], caller: NamedDependency[Caller]
) -> Answer:
    """Delete all pools: what devices send is dropped from now on."""
    _require(caller)
    await context.coordinator.request("radius.delete", {})
    return empty()


def _may_change(caller: Caller) -> bool:
    return caller.internal or may(caller.role, Operation.RADIUS_POOLS)


def _require(caller: Caller) -> None:
    if not _may_change(caller):
        raise ApiError(7)
