import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from gw.core import settings
from gw.store.postgres import PostgresStore
from gw.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """A migrated database that others are copied from: that is faster than migrating each."""

    async def make():
        name = await postgres_server.make_database()
        store = PostgresStore(settings.Store(url=postgres_server.url(name)))
        try:
            await store.migrate()
        finally:
            await store.close()
        return name

    # In a thread, since the first to ask may have a loop of its own running.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


@contextlib.asynccontextmanager
async def copied(server, template):
    name = await server.make_database(template)
    yield settings.Store(url=server.url(name))
    await server.drop_database(name)


@pytest.fixture
async def database(postgres_server, postgres_template):
    """A migrated and empty database of PostgreSQL: its settings."""
    async with copied(postgres_server, postgres_template) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request, tmp_path):
    """Every store that there is, migrated and empty."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "sqlite":
            made = SqliteStore(tmp_path / "gw.db")
            await made.migrate()
        else:
            server = request.getfixturevalue("postgres_server")
            template = request.getfixturevalue("postgres_template")
            made = PostgresStore(await stack.enter_async_context(copied(server, template)))
        stack.push_async_callback(made.close)
        yield made
