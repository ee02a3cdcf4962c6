"""Asks the outside provisioning service for the configuration of unknown devices.

Source: southbound.md 4.5. Whoever asks never waits longer than `provisioning.seconds` beyond the
lookups before it, and a service that fails is left alone for a while.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final, Literal, NamedTuple

import httpx
import msgspec

from gw._native import ConfigError, config_hash
from gw.core.settings import Provisioning as ProvisioningSettings
from gw.ops import logs, metrics
from gw.protocol import configuration as rules
from gw.validation.document import decode
from gw.validation.refusals import crashers

log = logs.get("provisioning")

MAX_ANSWER_BYTES: Final = 4_194_304
"""Longest answer that is read."""
_MAX_REMEMBERED: Final = 100_000
_NO_CONFIGURATION: Final = "none"
_LOOKUPS: Final = metrics.indexes("gw_provisioning_lookups_total")
_SECONDS: Final = metrics.index("gw_provisioning_lookup_seconds")

Result = Literal["found", "none", "unknown", "unusable", "failed"]


class Found(NamedTuple):
    """What the service says of a device."""

    result: Result
    """`none`: it knows the device, and has no configuration for it; `unusable`: a broken one."""
    document: bytes = b""
    """Configuration without a top-level uuid, if it was found."""


class _Inventory(msgspec.Struct):
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Inventory).decode


def client_of(settings: ProvisioningSettings) -> httpx.AsyncClient:
    """Return the client that is kept for the service. Raises ValueError if `ca` is unusable."""
    try:
        verify = ssl.create_default_context(cafile=settings.ca or None)
    except OSError as error:
        raise ValueError(f"provisioning.ca: {settings.ca}: {error.strerror or error}") from None
    headers = {"Accept": "application/json"}
    if settings.bearer_token:
        headers["Authorization"] = f"Bearer {settings.bearer_token}"
    if settings.api_key:
        headers["X-API-KEY"] = settings.api_key
    if settings.internal_name:
        headers["X-INTERNAL-NAME"] = settings.internal_name
    return httpx.AsyncClient(
        headers=headers,
        verify=verify,
        timeout=settings.seconds,
        limits=httpx.Limits(max_connections=settings.max_lookups),
        follow_redirects=False,
        trust_env=False,
    )


class Provisioning:
    """The service, as the coordinator knows it."""

    def __init__(
        self,
        settings: ProvisioningSettings,
        client: httpx.AsyncClient,
        counters: metrics.CounterPage,
    ) -> None:
        self._settings = settings
        self._client = client
        self._counters = counters
        self._slots = asyncio.Semaphore(settings.max_lookups)
        self._without: dict[str, tuple[Found, float]] = {}
        """Devices without a configuration, and until when that holds, monotonic."""
        self._failed_until = 0.0

    async def look_up(self, serial: str) -> Found:
        """Return what the service says of a device; never raises for what it does."""
        async with self._slots:
            remembered = self._remembered(serial)
            if remembered is not None:
                self._counters.add(_LOOKUPS["remembered"])
                return remembered
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._settings.seconds):
                    found = await self._ask(serial)
            except TimeoutError:
                found = self._failed(serial, f"no answer within {self._settings.seconds:g} s")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                found = self._failed(serial, f"{type(error).__name__}: {error}")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                found = self._failed(serial, f"not the answer of an inventory: {error}")
            except (ConfigError, RecursionError) as error:
                # The service works; what it has for this device does not.
                log.error("a provisioned configuration is unusable", serial=serial,
                          detail=str(error))  # fmt: skip
                found = Found("unusable")
            self._counters.observe(_SECONDS, time.monotonic() - began)
        self._counters.add(_LOOKUPS[found.result])
        if found.result not in ("found", "failed"):
            self._remember(serial, found)
        return found

    async def _ask(self, serial: str) -> Found:
        url = f"{self._settings.url.rstrip('/')}/api/v1/inventory/{serial}"
        async with self._client.stream("GET", url, params={"config": "true"}) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return Found("unknown")
            if answer.status_code != httpx.codes.OK:
                return self._failed(serial, f"the service answers {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise ConfigError(f"the answer is above {MAX_ANSWER_BYTES} bytes")
        return _read(bytes(body))

    def _failed(self, serial: str, reason: str) -> Found:
        if time.monotonic() >= self._failed_until:
            log.error("provisioning failed", serial=serial, reason=reason)
        self._failed_until = time.monotonic() + self._settings.failure_seconds
        return Found("failed")

    def _remembered(self, serial: str) -> Found | None:
        now = time.monotonic()
        if now < self._failed_until:
            return Found("failed")
        found, until = self._without.get(serial, (None, 0.0))
        return found if now < until else None

    def _remember(self, serial: str, found: Found) -> None:
        self._without.pop(serial, None)
        while len(self._without) >= _MAX_REMEMBERED:
            del self._without[next(iter(self._without))]
        self._without[serial] = (found, time.monotonic() + self._settings.unknown_seconds)


def _read(body: bytes) -> Found:
    """Read an answer: `config` is an object, its text, or `none`.

    Raises ConfigError if it is neither, or would crash an agent; msgspec.DecodeError if the
    answer is no object.
    """
    raw = _decode(body).config
    if isinstance(raw, msgspec.UnsetType):
        return Found("none")
    text = bytes(raw)
    if text.startswith(b'"'):
        text = msgspec.json.decode(text, type=str).strip().encode()
    if text in (b"null", b"", b"{}", _NO_CONFIGURATION.encode()):
        return Found("none")
    if not text.startswith(b"{"):
        raise ConfigError("`config` is neither an object nor its text")
    try:
        document = rules.without_uuid(text)
    except msgspec.DecodeError as error:
        raise ConfigError(str(error)) from None
    config_hash(document)
    for fatal in crashers(decode(document)):
        raise ConfigError(f"{fatal.path} {fatal.description}")
    return Found("found", document)
