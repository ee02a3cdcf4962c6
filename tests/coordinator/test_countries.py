"""Countries of addresses: the file, the services, and what is remembered, bounded and given up."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mmdb
import pytest

from gw.coordinator.countries import Countries
from gw.coordinator.country_providers import (
    CountryError,
    FileProvider,
    HttpProvider,
    open_provider,
)
from gw.core.networks import read_address
from gw.core.settings import IpToCountry
from gw.ops import metrics

WAIT = 60.0
ADDRESS, OTHER, SIX = "8.8.8.8:4711", "1.1.1.1", "[2600::1]:5"


@pytest.fixture
def counters() -> metrics.CounterPage:
    return metrics.CounterPage.private()


def counted(page: metrics.CounterPage, result: str) -> int:
    return page.get(metrics.index("gw_country_lookups_total", result))


class Asked:
    """A provider that is told what to answer, and when."""

    immediate = False

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.errors: list[CountryError] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.under_way = self.most = 0
        self.closed = False

    async def country(self, address: Any) -> str:
        self.asked.append(str(address))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.go_on.wait()
        finally:
            self.under_way -= 1
        if self.errors:
            raise self.errors.pop(0)
        return self.answers.get(str(address), "")

    def country_now(self, address: Any) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def make(
    counters: metrics.CounterPage,
) -> AsyncIterator[Callable[..., tuple[Countries, Asked]]]:
    made: list[Countries] = []

    def build(**settings: Any) -> tuple[Countries, Asked]:
        provider = Asked()
        provider.answers = {"8.8.8.8": "US", "1.1.1.1": "AU", "2600::1": "NL"}
        values = {"provider": "ipinfo", "retry_seconds": 0.0} | settings
        made.append(Countries(IpToCountry(**values), "DE", provider, counters))
        return made[-1], provider

    yield build
    for one in made:
        await one.close()


async def test_an_answer_is_remembered_and_told_at_once(make, counters):
    countries, provider = make()
    assert countries.now(ADDRESS) is None
    assert await countries.look_up(ADDRESS) == "US"
    assert countries.now("8.8.8.8") == countries.now("::ffff:8.8.8.8") == "US"
    assert await countries.look_up("8.8.8.8:1") == "US"
    assert await countries.look_up(SIX) == "NL"
    assert countries.now("2600::ffff") == "NL", "one question serves the /64"
    assert provider.asked == ["8.8.8.8", "2600::1"]
    assert counted(counters, "found") == 2
    assert counters.get(metrics.index("gw_country_remembered")) == 2


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "192.168.0.1:9", "127.0.0.1", "169.254.1.1", "100.64.0.1", "[fe80::1]:1",
     "[::1]:1", "fd00::1", "192.0.2.1", "", "nonsense"],
)  # fmt: skip
async def test_what_is_not_public_is_not_asked_for(make, address):
    countries, provider = make()
    assert countries.now(address) == "DE"
    assert await countries.look_up(address) == "DE"
    assert provider.asked == []


async def test_without_a_provider_all_is_the_default(counters):
    countries = Countries(IpToCountry(), "DE", None, counters)
    assert not countries.enabled
    assert countries.now(ADDRESS) == "DE"
    await countries.close()


async def test_unknown_is_an_answer_too(make, counters):
    countries, provider = make()
    assert await countries.look_up("9.9.9.9") == "DE"
    assert countries.now("9.9.9.9") == "DE"
    assert provider.asked == ["9.9.9.9"]
    found: list[str] = []
    countries.find("9.9.9.10", found.append)
    assert await countries.look_up("9.9.9.10") == "DE"
    assert found == [], "nobody is told of what is not known"
    assert counted(counters, "unknown") == 2


async def test_one_question_serves_all_who_wait(make):
    countries, provider = make()
    provider.go_on.clear()
    found: list[str] = []
    countries.find(ADDRESS, found.append)
    waiting = [asyncio.create_task(countries.look_up(ADDRESS)) for _ in range(5)]
    await asyncio.sleep(0)
    provider.go_on.set()
    assert await asyncio.gather(*waiting) == ["US"] * 5
    assert found == ["US"]
    assert provider.asked == ["8.8.8.8"]


async def test_questions_are_bounded(make, counters):
    countries, provider = make(max_lookups=2, max_waiting=5)
    provider.go_on.clear()
    waiting = [asyncio.create_task(countries.look_up(f"8.0.0.{n}")) for n in range(9)]
    while counted(counters, "overload") < 4 or provider.under_way < 2:
        await asyncio.sleep(0)
    assert counters.get(metrics.index("gw_country_lookups_waiting")) == 5
    provider.go_on.set()
    assert await asyncio.gather(*waiting) == ["DE"] * 9
    assert len(provider.asked) == 5
    assert provider.most == 2
    assert counters.get(metrics.index("gw_country_lookups_waiting")) == 0


async def test_the_memory_is_bounded_and_forgets_the_oldest(make):
    countries, _ = make(cache_entries=2)
    for address in ("8.8.8.8", "1.1.1.1", "9.9.9.9"):
        await countries.look_up(address)
    assert countries.now("8.8.8.8") is None
    assert countries.now("1.1.1.1") == "AU"


async def test_an_answer_holds_for_its_time(make):
    countries, provider = make(cache_seconds=0.001)
    assert await countries.look_up(ADDRESS) == "US"
    while countries.now(ADDRESS) is not None:
        await asyncio.sleep(0.001)  # a clock has no event
    assert await countries.look_up(ADDRESS) == "US"
    assert provider.asked == ["8.8.8.8"] * 2


async def test_a_failure_is_repeated_then_given_up_for_a_while(make, counters):
    countries, provider = make(attempts=3)
    provider.errors = [CountryError("away")] * 2
    assert await countries.look_up(ADDRESS) == "US", "the third attempt"
    provider.errors = [CountryError("away")] * 3
    found: list[str] = []
    countries.find(OTHER, found.append)
    assert await countries.look_up(OTHER) == "DE"
    assert await countries.look_up(OTHER) == "DE", "not asked while it is left alone"
    assert provider.asked == ["8.8.8.8"] * 3 + ["1.1.1.1"] * 3
    assert countries.now(OTHER) is None, "a failure is no answer"
    assert countries.now(ADDRESS) == "US"
    assert found == []
    assert counted(counters, "failed") == 1


async def test_a_refusal_is_not_repeated(make):
    countries, provider = make(attempts=3, failure_seconds=0.001)
    provider.errors = [CountryError("answers 403", again=False)]
    assert await countries.look_up(ADDRESS) == "DE"
    assert len(provider.asked) == 1
    async with asyncio.timeout(WAIT):
        while await countries.look_up(ADDRESS) != "US":  # left alone for its millisecond
            await asyncio.sleep(0.001)


async def test_a_silent_provider_keeps_nobody_for_long(make, counters):
    countries, provider = make(seconds=0.01, attempts=1)
    provider.go_on.clear()
    assert await countries.look_up(ADDRESS) == "DE"
    assert counted(counters, "failed") == 1

    waits, slow = make(wait_seconds=0.01)
    slow.go_on.clear()
    assert await waits.look_up(ADDRESS) == "DE"
    slow.go_on.set()
    async with asyncio.timeout(WAIT):
        while waits.now(ADDRESS) is None:
            await asyncio.sleep(0)
    assert waits.now(ADDRESS) == "US", "the answer is worth having later"


async def test_close_ends_what_is_under_way(make):
    countries, provider = make()
    provider.go_on.clear()
    waiting = asyncio.create_task(countries.look_up(ADDRESS))
    while not provider.asked:
        await asyncio.sleep(0)
    await countries.close()
    assert await waiting == "DE"
    assert provider.closed


# -- the file


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "countries.mmdb"
    mmdb.write(
        path,
        {
            "8.8.8.0/24": mmdb.country("US"),
            "81.0.0.0/8": {"country_code": "FR", "country": "France"},
            "82.0.0.0/8": {"country": "it"},
            "83.0.0.0/8": {"registered_country": {"iso_code": "SE"}},
            "84.0.0.0/8": {"country": {"iso_code": "X"}, "continent": {"code": "EU"}},
            "2600::/16": mmdb.country("NL"),
        },
    )
    return path


async def test_a_file_answers_at_once(database, counters):
    countries = Countries(
        IpToCountry(provider="file", file=str(database)), "DE",
        open_provider(IpToCountry(provider="file", file=str(database)), counters), counters,
    )  # fmt: skip
    for address, code in {
        ADDRESS: "US", "81.2.3.4": "FR", "82.1.1.1": "IT", "83.1.1.1": "SE", "84.1.1.1": "DE",
        SIX: "NL", "1.1.1.1": "DE", "10.0.0.1": "DE",
    }.items():  # fmt: skip
        assert countries.now(address) == code, address
        assert await countries.look_up(address) == code
    await countries.close()


async def test_a_file_is_read_again_when_it_changes(database, counters):
    provider = FileProvider(str(database), counters)
    address = read_address(ADDRESS)
    assert address is not None
    assert not await provider.reload(asked=False)
    mmdb.write(database, {"8.8.8.0/24": mmdb.country("CA")})
    assert provider.country_now(address) == "US"
    assert await provider.reload(asked=False)
    assert provider.country_now(address) == "CA"

    whole = database.read_bytes()
    database.write_bytes(whole[:-40])
    assert not await provider.reload(asked=False)
    assert not await provider.reload(asked=False)
    failure = metrics.index("gw_country_database_loads_total", "failure")
    assert counters.get(failure) == 1, "told once per content"
    assert not await provider.reload(asked=True)
    assert counters.get(failure) == 2
    assert provider.country_now(address) == "CA"
    database.write_bytes(whole)
    assert await provider.reload(asked=False)
    await provider.close()


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com\xe1"])
def test_a_file_that_cannot_be_used_is_named(content, tmp_path, counters):
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"iptocountry\.file: .*countries\.mmdb"):
        FileProvider(str(path), counters)


# -- the services


class Service:
    """What speaks HTTPS like one of them."""

    def __init__(self, pki_dir: Path) -> None:
        self._pki = pki_dir
        self.status, self.body = 200, b"{}"
        self.requests: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        """Path, query and headers."""

    async def __aenter__(self) -> Service:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "server.pem", self._pki / "server.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.url = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        target = urlsplit(head[0].split(" ")[1])
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.requests.append((target.path, parse_qs(target.query), headers))
        writer.write(
            b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (self.status, len(self.body), self.body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def service(pki_dir: Path) -> AsyncIterator[Service]:
    async with Service(pki_dir) as one:
        yield one


@pytest.fixture
async def ask(service: Service, pki_dir: Path) -> AsyncIterator[Callable[..., Any]]:
    made: list[HttpProvider] = []

    async def question(name: str = "ipinfo", address: str = "8.8.8.8") -> str:
        made.append(
            HttpProvider(
                IpToCountry(
                    provider=name,  # type: ignore[arg-type]
                    token="s3cret-token",
                    url=service.url + "/",
                    ca=str(pki_dir / "ca.pem"),
                    seconds=WAIT,
                )
            )
        )
        found = read_address(address)
        assert found is not None
        return await made[-1].country(found)

    yield question
    for one in made:
        await one.close()


@pytest.mark.parametrize(
    ("name", "path", "query", "answer"),
    [
        ("ipinfo", "/2600::1", {}, {"ip": "2600::1", "country": "NL"}),
        ("ipdata", "/2600::1", {"api-key": ["s3cret-token"]}, {"country_code": "NL"}),
        ("ip2location", "/", {"key": ["s3cret-token"], "ip": ["2600::1"]}, {"country_code": "NL"}),
    ],
)
async def test_each_service_is_asked_as_it_wants(service, ask, name, path, query, answer):
    service.body = json.dumps(answer).encode()
    assert await ask(name, "2600::1") == "NL"
    (request,) = service.requests
    assert request[:2] == (path, query)
    bearer = {"ipinfo": "bearer s3cret-token"}.get(name)
    assert request[2].get("authorization") == bearer


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(200, b'{"bogon":true}', ""), (200, b'{"country":"-"}', ""), (200, b'{"country":7}', ""),
     (404, b"no", ""), (400, b"{}", ""), (200, b'{"country":"de"}', "DE")],
)  # fmt: skip
async def test_what_a_service_does_not_know(service, ask, status, body, expected):
    service.status, service.body = status, body
    assert await ask() == expected


@pytest.mark.parametrize(
    ("status", "body", "expected", "again"),
    [(500, b"", "answers 500", True), (429, b"", "answers 429", False),
     (403, b'{"error":"s3cret-token"}', "answers 403", False), (302, b"", "answers 302", False),
     (200, b"<html>", "no JSON object", True), (200, b"[]", "no JSON object", True),
     (200, b'{"country":"' + b"x" * 70_000 + b'"}', "above 65536", False)],
)  # fmt: skip
async def test_what_a_service_gets_wrong(service, ask, status, body, expected, again):
    service.status, service.body = status, body
    with pytest.raises(CountryError, match=expected) as caught:
        await ask()
    assert caught.value.again is again
    assert "s3cret" not in str(caught.value)


async def test_a_service_that_is_away(service, ask):
    service._server.close()
    await service._server.wait_closed()
    for name in ("ipinfo", "ipdata", "ip2location"):
        with pytest.raises(CountryError) as caught:
            await ask(name)
        assert str(caught.value) == f"{name}: ConnectError"
