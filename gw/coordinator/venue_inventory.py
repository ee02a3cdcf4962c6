"""Venues as an outside provisioning service knows them (southbound.md 2.14).

Two requests: the inventory of a device names its venue, the inventory of the venue its devices.
Both answers are remembered for a while; a service that fails is left alone for a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, Final, TypeVar

import httpx
import msgspec

from gw.core.ids import normalize_serial
from gw.core.settings import Provisioning
from gw.ops import logs

log = logs.get("venues")

_REMEMBER_SECONDS: Final = 600.0
_MAX_REMEMBERED: Final = 10_000
_MAX_ANSWER_BYTES: Final = 4_194_304


class _Device(msgspec.Struct):
    venue: str = ""


class _Devices(msgspec.Struct, rename="camel"):
    serial_numbers: list[str] = []


_T = TypeVar("_T")


class VenueInventory:
    """Asks the service whose settings are `provisioning`."""

    def __init__(self, settings: Provisioning, client: httpx.AsyncClient) -> None:
        """`client` carries the credentials; see gw.coordinator.provisioning.client_of."""
        self._base = settings.url.rstrip("/") + "/api/v1/inventory"
        self._failure_seconds = settings.failure_seconds
        self._client = client
        self._failed_until = 0.0
        self._venues: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._devices: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def devices_beside(self, serial: str) -> list[str]:
        """Return the serial numbers of a device's venue; empty if it has none, or on failure."""
        venue = _recall(self._venues, serial)
        if venue is None:
            found = await self._get(f"{self._base}/{serial}", {}, _Device)
            if found is None:
                return []
            venue = found.venue
            _remember(self._venues, serial, venue)
        if not venue:
            return []
        devices = _recall(self._devices, venue)
        if devices is None:
            query = {"serialOnly": "true", "venue": venue}
            listed = await self._get(self._base, query, _Devices)
            if listed is None:
                return []
            devices = [one for one in map(_serial, listed.serial_numbers) if one]
            _remember(self._devices, venue, devices)
        return devices

    async def _get(self, url: str, query: dict[str, str], kind: type[_T]) -> _T | None:
        if time.monotonic() < self._failed_until:
            return None
        try:
            async with self._client.stream("GET", url, params=query) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return kind()
                answer.raise_for_status()
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _MAX_ANSWER_BYTES:
                        raise httpx.DecodingError(f"the answer is above {_MAX_ANSWER_BYTES} bytes")
            return msgspec.json.decode(body, type=kind)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
            log.error("the venue is not known", reason=f"{type(error).__name__}: {error}")
            self._failed_until = time.monotonic() + self._failure_seconds
            return None


def _serial(text: str) -> str:
    try:
        return normalize_serial(text)
    except ValueError:
        return ""


def _recall(known: OrderedDict[str, tuple[float, _T]], key: str) -> _T | None:
    until, value = known.get(key, (0.0, None))
    return value if time.monotonic() < until else None


def _remember(known: OrderedDict[str, tuple[float, Any]], key: str, value: object) -> None:
    known.pop(key, None)
    known[key] = (time.monotonic() + _REMEMBER_SECONDS, value)
    if len(known) > _MAX_REMEMBERED:
        known.popitem(last=False)
