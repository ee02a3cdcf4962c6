"""The country of a device by its address: what is known is told at once, the rest is asked for.

Source: southbound.md 6.6, off the connect path as it demands. Answers are remembered; questions are
bounded in number, in time and in repetitions, and a provider that fails is left alone for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gw.coordinator.country_providers import CountryError, FileProvider, Provider
from gw.coordinator.operations import Arguments, Operation
from gw.core.networks import Address, read_address, site_of
from gw.core.settings import IpToCountry
from gw.ops import logs, metrics

log = logs.get("countries")

_LOOKUPS: Final = metrics.indexes("gw_country_lookups_total")
_SECONDS: Final = metrics.index("gw_country_lookup_seconds")
_WAITING: Final = metrics.index("gw_country_lookups_waiting")
_REMEMBERED: Final = metrics.index("gw_country_remembered")


class Countries:
    """An area (see gw.coordinator.operations), and what the coordinator itself asks."""

    def __init__(
        self,
        settings: IpToCountry,
        default: str,
        provider: Provider | None,
        counters: metrics.CounterPage,
    ) -> None:
        """`default` is the country of addresses of which nothing is known; may be empty."""
        self._settings = settings
        self._default = default
        self._provider = provider
        self._counters = counters
        self._slots = asyncio.Semaphore(settings.max_lookups)
        self._known: dict[str, tuple[str, float]] = {}
        """Countries by address or network, and until when they hold, monotonic."""
        self._tasks: dict[str, asyncio.Task[str | None]] = {}
        self._failed_until = 0.0

    @property
    def enabled(self) -> bool:
        """True if there is a provider."""
        return self._provider is not None

    def now(self, text: str) -> str | None:
        """Return the country of an address (with or without port), if that is known by now.

        The default one for addresses that are not public, and for those of which the provider
        knows nothing. None: it has to be asked for.
        """
        address = read_address(text)
        if self._provider is None or address is None or not address.is_global:
            return self._default
        if self._provider.immediate:
            found = self._provider.country_now(address)
            self._counters.add(_LOOKUPS["found" if found else "unknown"])
            return found or self._default
        country, until = self._known.get(site_of(address), ("", 0.0))
        if time.monotonic() >= until:
            return None
        self._counters.add(_LOOKUPS["remembered"])
        return country or self._default

    async def look_up(self, text: str) -> str:
        """Return the country, waiting at most `wait_seconds`; the default one after that."""
        country = self.now(text)
        if country is not None:
            return country
        task = self._ask(text)
        if task is not None:
            # Shielded: others may wait for the same, and the answer is worth having later.
            await asyncio.wait((task,), timeout=self._settings.wait_seconds)
            if task.done() and not task.cancelled():
                return task.result() or self._default
        return self._default

    def find(self, text: str, found: Callable[[str], None]) -> None:
        """Ask for a country in the background; `found` is called only if it is found out."""
        task = self._ask(text)
        if task is None:
            return

        def done(ended: asyncio.Task[str | None]) -> None:
            if not ended.cancelled() and ended.result():
                found(ended.result() or "")

        task.add_done_callback(done)

    async def follow(self, seconds: float, asked: asyncio.Event) -> None:
        """Look at the database file for ever, every so many seconds and when `asked` is set."""
        while isinstance(self._provider, FileProvider):
            try:
                async with asyncio.timeout(seconds):
                    await asked.wait()
            except TimeoutError:
                pass
            told = asked.is_set()
            asked.clear()
            await self._provider.reload(asked=told)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """End the questions under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._provider is not None:
            await self._provider.close()

    # -- the area

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {"countries.look_up": self._look_up}

    async def _look_up(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        addresses: list[str] = arguments["addresses"]
        found = await asyncio.gather(*(self.look_up(one) for one in addresses))
        return {"countries": list(found)}

    # -- asking

    def _ask(self, text: str) -> asyncio.Task[str | None] | None:
        """Return the question about an address; None: it cannot be asked now."""
        address = read_address(text)
        if address is None or self._provider is None or time.monotonic() < self._failed_until:
            return None
        key = site_of(address)
        task = self._tasks.get(key)
        if task is not None:
            return task
        if len(self._tasks) >= self._settings.max_waiting:
            self._counters.add(_LOOKUPS["overload"])
            return None
        task = asyncio.get_running_loop().create_task(self._question(address, key))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._forget(key))
        self._counters.set(_WAITING, len(self._tasks))
        return task

    def _forget(self, key: str) -> None:
        self._tasks.pop(key, None)
        self._counters.set(_WAITING, len(self._tasks))

    async def _question(self, address: Address, key: str) -> str | None:
        """Ask until there is an answer, which is remembered; None: there is none."""
        async with self._slots:
            for attempt in range(self._settings.attempts):
                if attempt:
                    await asyncio.sleep(self._settings.retry_seconds)
                if time.monotonic() < self._failed_until:
                    return None  # somebody else has found out meanwhile that nobody answers
                began = time.monotonic()
                try:
                    country = await self._attempt(address)
                except CountryError as error:
                    self._counters.observe(_SECONDS, time.monotonic() - began)
                    last = attempt + 1 == self._settings.attempts
                    if last or not error.again:
                        self._fail(str(error))
                        return None
                    continue
                self._counters.observe(_SECONDS, time.monotonic() - began)
                self._counters.add(_LOOKUPS["found" if country else "unknown"])
                self._remember(key, country)
                return country
        return None

    async def _attempt(self, address: Address) -> str:
        assert self._provider is not None
        seconds = self._settings.seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._provider.country(address)
        except TimeoutError:
            raise CountryError(f"no answer within {seconds:g} s") from None

    def _fail(self, reason: str) -> None:
        self._counters.add(_LOOKUPS["failed"])
        now = time.monotonic()
        if now >= self._failed_until:
            log.error("the country of an address cannot be found out", reason=reason,
                      paused_seconds=self._settings.failure_seconds)  # fmt: skip
        self._failed_until = now + self._settings.failure_seconds

    def _remember(self, key: str, country: str) -> None:
        self._known.pop(key, None)
        while len(self._known) >= self._settings.cache_entries:
            del self._known[next(iter(self._known))]
        self._known[key] = (country, time.monotonic() + self._settings.cache_seconds)
        self._counters.set(_REMEMBERED, len(self._known))
