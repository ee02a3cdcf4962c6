"""/systemEndpoints: where the other services are (security.md 7)."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.sisters import OWSEC


class Endpoint(msgspec.Struct, rename="camel"):
    """One service."""

    type: str
    id: int
    vendor: str
    uri: str
    """Public URL, without a trailing slash."""
    authentication_type: str


class EndpointsAnswer(msgspec.Struct):
    """All services but the security service, which the UI knows already."""

    endpoints: list[Endpoint]


@get(
    "/systemEndpoints",
    **documented("List the services", tag="System", answer=EndpointsAnswer),
)
async def list_endpoints(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer where the gateway is, and the services that announce themselves on the bus."""
    own = context.public_url(request)
    services = [Endpoint("owgw", 1, "OpenWiFi", own, "internal_v1")]
    if context.sisters is not None:
        services += [
            Endpoint(one.type, one.id, "OpenWiFi", one.public, "internal_v1")
            for one in await context.sisters.list()
            if one.type != OWSEC and one.public != own
        ]
    return document(EndpointsAnswer(services))
