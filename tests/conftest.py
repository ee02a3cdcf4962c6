"""Fixtures shared by the suites that start the real program."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway import Gateway, make_pki
from kafka_broker import KafkaBroker
from postgres import Postgres


@pytest.fixture(scope="session")
def pki_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKI for the whole run."""
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def postgres_server(pki_dir: Path) -> Iterator[Postgres]:
    """A PostgreSQL for the whole run; each test makes databases of its own in it."""
    server = Postgres(pki=pki_dir)
    try:
        server.create()
        yield server
    finally:
        server.remove()


@pytest.fixture
def start_postgres(pki_dir: Path) -> Iterator[Callable[[], Postgres]]:
    """Start PostgreSQL servers that a test may kill; they are durable."""
    started: list[Postgres] = []

    def start() -> Postgres:
        started.append(Postgres(durable=True, pki=pki_dir))
        started[-1].create()
        return started[-1]

    yield start
    for server in started:
        server.remove()


@pytest.fixture(scope="session")
def kafka_broker(pki_dir: Path) -> Iterator[KafkaBroker]:
    """A Kafka broker for the whole run; each test has a prefix of topics of its own in it."""
    broker = KafkaBroker(pki_dir)
    try:
        broker.create()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def start_kafka(pki_dir: Path) -> Iterator[Callable[..., KafkaBroker]]:
    """Start Kafka brokers that a test may stop, kill or pause; only made if `running` is false."""
    started: list[KafkaBroker] = []

    def start(*, running: bool = True, **settings: Any) -> KafkaBroker:
        started.append(KafkaBroker(pki_dir, **settings))
        started[-1].create(running=running)
        return started[-1]

    yield start
    for broker in reversed(started):
        broker.remove()


@pytest.fixture
async def start_gateway(
    tmp_path: Path, pki_dir: Path
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Start gateways; each is stopped at the end and must then exit 0."""
    started: list[Gateway] = []

    async def start(**settings: object) -> Gateway:
        folder = tmp_path / f"gateway-{len(started)}"
        folder.mkdir()
        gateway = Gateway(folder, pki_dir, **settings)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in started:
        if gateway.process is not None:
            status = await gateway.stop()
            assert status == 0, f"gw run exited {status}:\n{gateway.log()[-4000:]}"


@pytest.fixture(scope="module")
def module_settings() -> dict[str, object]:
    """Settings of the module's gateway; modules may have their own."""
    return {}


@pytest.fixture(scope="module")
def module_gateway(
    tmp_path_factory: pytest.TempPathFactory, pki_dir: Path, module_settings: dict[str, object]
) -> Iterator[Gateway]:
    """A gateway for all tests of a module; see `shared_gateway`."""
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), pki_dir, **module_settings)
    asyncio.run(gateway.start())
    yield gateway
    if gateway.process is not None:
        status = asyncio.run(gateway.stop())
        assert status == 0, f"gw run exited {status}:\n{gateway.log()[-4000:]}"


@pytest.fixture
async def shared_gateway(module_gateway: Gateway) -> Gateway:
    """The module's gateway, with counters and log that begin with the test."""
    await module_gateway.mark()
    return module_gateway


@pytest.fixture
async def gateway(start_gateway: Callable[..., Awaitable[Gateway]]) -> Gateway:
    """A gateway with the settings of the tests."""
    return await start_gateway()
