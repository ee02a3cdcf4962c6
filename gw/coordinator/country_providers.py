"""Who tells the country of an IP address: a database file, or a service by HTTPS.

Source: southbound.md 6.6. A provider answers one question at a time and remembers nothing;
`gw.coordinator.countries` bounds, repeats and remembers.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any, Final, Protocol

import httpx
import maxminddb
import msgspec

from gw.core.networks import Address
from gw.core.settings import IpToCountry
from gw.core.watched_files import Signature, WatchedFiles
from gw.ops import logs, metrics

log = logs.get("countries")

MAX_ANSWER_BYTES: Final = 65_536
"""Longest answer of a service that is read."""
_CODE: Final = re.compile(r"[A-Z]{2}")
_LOADS: Final = metrics.indexes("gw_country_database_loads_total")


class CountryError(Exception):
    """The provider could not be asked; the text says why, and holds no secret."""

    def __init__(self, text: str, *, again: bool = True) -> None:
        super().__init__(text)
        self.again = again
        """The same question may be answered the next time."""


class Provider(Protocol):
    """What answers."""

    immediate: bool
    """It answers at once: `country_now` may be called."""

    def country_now(self, address: Address) -> str:
        """Return the country of a public address, two capital letters; empty: not known."""

    async def country(self, address: Address) -> str:
        """The same by asking. Raises CountryError."""

    async def close(self) -> None:
        """Give up what is open."""


class FileProvider:
    """A file in the format of MaxMind (`.mmdb`), of whichever publisher."""

    immediate = True

    def __init__(self, path: str, counters: metrics.CounterPage) -> None:
        """Raises ValueError if the file cannot be used."""
        self._path = path
        self._counters = counters
        self._files = WatchedFiles([path])
        self._refused: Signature | None = None
        self._database = _open(path)

    def country_now(self, address: Address) -> str:
        """Look into the file, which is in memory."""
        try:
            return _country_of(self._database.get(address))
        except (maxminddb.InvalidDatabaseError, ValueError, LookupError):
            return ""  # damaged in this place, or of IPv4 only

    async def country(self, address: Address) -> str:
        """The same."""
        return self.country_now(address)

    async def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    async def reload(self, *, asked: bool) -> bool:
        """Read the file again if it has changed, or if `asked`; True: there is a new one.

        One that cannot be used leaves the former in use; that is told once, or if `asked`.
        """
        signature = self._files.signature()
        if not asked and (not self._files.changed() or signature == self._refused):
            return False
        try:
            database = await asyncio.to_thread(_open, self._path)
        except ValueError as error:
            self._refused = signature
            self._counters.add(_LOADS["failure"])
            log.error("the former database of countries stays", detail=str(error))
            return False
        self._refused = None
        self._files.take(signature)
        former, self._database = self._database, database
        former.close()
        self._counters.add(_LOADS["success"])
        log.info("database of countries read", kind=database.metadata().database_type,
                 built=database.metadata().build_epoch)  # fmt: skip
        return True


class HttpProvider:
    """A service that is asked per address: ipinfo, ipdata, or ip2location."""

    immediate = False

    def __init__(self, settings: IpToCountry) -> None:
        """Raises ValueError if `ca` cannot be used."""
        self._name = settings.provider
        self._token = settings.token
        base, self._path, self._field = _SERVICES[settings.provider]
        self._base = (settings.url or base).rstrip("/")
        self._client = _client(settings)

    def country_now(self, address: Address) -> str:
        """It does not answer at once."""
        raise NotImplementedError

    async def country(self, address: Address) -> str:
        """Ask the service."""
        url = self._base + self._path.format(address)
        parameters: dict[str, str] = {}
        headers: dict[str, str] = {}
        if self._name == "ipinfo":
            headers["Authorization"] = f"Bearer {self._token}"
        elif self._name == "ipdata":
            parameters["api-key"] = self._token
        else:
            parameters |= {"key": self._token, "ip": str(address)}
        try:
            return await self._ask(url, parameters, headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text may name the URL, and with it the token.
            raise CountryError(f"{self._name}: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, url: str, parameters: dict[str, str], headers: dict[str, str]) -> str:
        async with self._client.stream("GET", url, params=parameters, headers=headers) as answer:
            status = answer.status_code
            if status in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND):
                return ""  # what services say of addresses that they have nothing about
            if status != httpx.codes.OK:
                again = status >= httpx.codes.INTERNAL_SERVER_ERROR
                raise CountryError(f"{self._name} answers {status}", again=again)
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    text = f"{self._name}: its answer is above {MAX_ANSWER_BYTES} bytes"
                    raise CountryError(text, again=False)
        try:
            found = msgspec.json.decode(body, type=dict[str, Any]).get(self._field)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise CountryError(f"{self._name}: its answer is no JSON object") from None
        return _code(found)


_SERVICES: Final = {
    "ipinfo": ("https://ipinfo.io", "/{}", "country"),
    "ipdata": ("https://api.ipdata.co", "/{}", "country_code"),
    "ip2location": ("https://api.ip2location.io", "/", "country_code"),
}
"""Per service: its URL, path of an address, and the member that holds the country."""


def open_provider(settings: IpToCountry, counters: metrics.CounterPage) -> Provider | None:
    """Return the provider that is set; None: there is none.

    Raises ValueError if a file of the settings cannot be used.
    """
    if not settings.provider:
        return None
    if settings.provider == "file":
        return FileProvider(settings.file, counters)
    return HttpProvider(settings)


def _client(settings: IpToCountry) -> httpx.AsyncClient:
    try:
        verify = ssl.create_default_context(cafile=settings.ca or None)
    except OSError as error:
        raise ValueError(f"iptocountry.ca: {settings.ca}: {error.strerror or error}") from None
    return httpx.AsyncClient(
        headers={"Accept": "application/json"},
        verify=verify,
        timeout=settings.seconds,
        limits=httpx.Limits(max_connections=settings.max_lookups),
        follow_redirects=False,
        trust_env=False,
    )


def _open(path: str) -> maxminddb.Reader:
    """Read a database whole: a mapped one that is written in place would end this process."""
    try:
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except OSError as error:
        raise ValueError(f"iptocountry.file: {path}: {error.strerror or error}") from None
    except (maxminddb.InvalidDatabaseError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"iptocountry.file: {path} is no MaxMind database: {error}") from None


def _country_of(record: Any) -> str:
    """Return the country of a record: publishers nest it differently."""
    if not isinstance(record, dict):
        return ""
    for member in ("country", "country_code", "registered_country"):
        found = record.get(member)
        code = _code(found.get("iso_code") if isinstance(found, dict) else found)
        if code:
            return code
    return ""


def _code(found: Any) -> str:
    text = found.upper() if isinstance(found, str) else ""
    return text if _CODE.fullmatch(text) else ""
