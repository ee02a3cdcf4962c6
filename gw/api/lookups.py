"""/ouis, /iptocountry and /regulatory: small lookups for UIs (northbound.md 4.9)."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api import query
from gw.api.context import Context
from gw.api.coordinator_client import DEFAULT_SECONDS
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Success, document, success
from gw.api.regulatory_file import Country
from gw.core.errors import ApiError
from gw.core.networks import read_address

_TAG: Final = "Lookups"


class VendorsQuery(query.Query):
    """Parameters of /ouis."""

    mac_list: list[str] = msgspec.field(default_factory=list)
    """MAC addresses, separated by commas."""


class TagValue(msgspec.Struct):
    """A MAC address and its vendor."""

    tag: str
    value: str
    """Empty: not known."""


class VendorsAnswer(msgspec.Struct, rename="camel"):
    """Vendors, in the order asked for."""

    tag_list: list[TagValue]


class CountriesQuery(query.Query):
    """Parameters of /iptocountry."""

    iplist: list[str] = msgspec.field(default_factory=list)
    """IP addresses, separated by commas."""


class CountriesAnswer(msgspec.Struct, rename="camel"):
    """Countries, in the order asked for."""

    enabled: bool
    """false: there is no provider, and all are the default country."""
    country_codes: list[str]


class RegulatoryQuery(query.Query):
    """Parameters of /regulatory."""

    countries: list[str] = msgspec.field(default_factory=list)
    """Two-letter codes, separated by commas."""
    reload: bool = False
    """Read `api.regulatory_file` again."""


class RegulatoryAnswer(msgspec.Struct):
    """What the countries allow; those not in the file are left out."""

    countries: list[Country]


@get("/ouis", **documented("Vendors of MAC addresses", tag=_TAG, answer=VendorsAnswer,
                           query=VendorsQuery))  # fmt: skip
async def read_vendors(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer the vendor of each address, by the list of `api.oui_file`."""
    asked = query.read(request.scope, VendorsQuery)
    macs = query.chosen(asked.mac_list, context.max_page)
    return document(VendorsAnswer([TagValue(mac, context.vendors.of(mac)) for mac in macs]))


@get("/iptocountry", **documented("Countries of IP addresses", tag=_TAG, answer=CountriesAnswer,
                                  query=CountriesQuery))  # fmt: skip
async def read_countries(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer the country of each; the default one for private addresses and those not known."""
    asked = query.read(request.scope, CountriesQuery)
    if not asked.iplist:
        raise ApiError(1018, "iplist is needed")
    addresses = query.chosen(asked.iplist, context.max_page)
    for one in addresses:
        if read_address(one) is None:
            raise ApiError(1018, f"iplist: {one[:50]!r} is not an IP address")
    settings = context.settings
    if not settings.iptocountry.provider:
        return document(CountriesAnswer(False, [settings.devices.default_country] * len(addresses)))
    seconds = settings.iptocountry.wait_seconds + DEFAULT_SECONDS
    found = await context.coordinator.request(
        "countries.look_up", {"addresses": addresses}, timeout=seconds
    )
    return document(CountriesAnswer(True, found.result["countries"]))


@get(
    "/regulatory",
    **documented(
        "What countries allow radios to do",
        tag=_TAG,
        answer=Combined("anyOf", (RegulatoryAnswer, Success)),
        query=RegulatoryQuery,
    ),
)
async def read_regulatory(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer the ranges of some countries, by the database of `api.regulatory_file`."""
    asked = query.read(request.scope, RegulatoryQuery)
    if asked.reload:
        await context.regulatory.reload()
        return success(request.method, "reloaded")
    if not asked.countries:
        raise ApiError(1018, "countries is needed")
    known = await context.regulatory.countries()
    wanted = [one.upper() for one in query.chosen(asked.countries, context.max_page)]
    return document(RegulatoryAnswer([known[one] for one in wanted if one in known]))
