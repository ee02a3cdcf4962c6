"""What `gw doctor` says of a PostgreSQL database."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from gw.core.settings import Settings, Store
from gw.ops.health_postgres import postgres_findings
from gw.store.postgres import PostgresStore


def found(url, **more):
    """Findings, as `gw doctor` makes them: without a loop."""
    settings = Settings(store=Store(url=url, connect_seconds=5.0, **more))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: list(postgres_findings(settings))).result()


@pytest.fixture
async def name(postgres_server):
    made = await postgres_server.make_database()
    yield made
    await postgres_server.drop_database(made)


async def test_a_new_database_and_a_migrated_one_are_good(postgres_server, name):
    url = postgres_server.url(name)
    *rest, last = found(url)
    assert (last.state, "will be made" in last.text) == ("good", True)
    # The server of the tests: without fsync.
    assert [one.state for one in rest] == ["warning"]
    async with PostgresStore(Store(url=url)) as store:
        await store.migrate()
    last = found(url)[-1]
    assert last.state == "good"
    assert "will be made" not in last.text
    assert "p@ss" not in str(msgspec.json.encode(found(url)))


async def test_faults_name_what_to_do(postgres_server, name):
    url = postgres_server.url(name)
    (one,) = found(url.replace("p%40ss", "wrong"))
    assert (one.state, "password" in one.text, "pg_hba" in one.remedy) == ("fault", True, True)
    (one,) = found(postgres_server.url("nosuch"))
    assert (one.state, "createdb" in one.remedy) == ("fault", True)
    (one,) = found(url.replace(str(postgres_server.port), "1"))
    assert (one.state, "start the server" in one.remedy) == ("fault", True)
    (one,) = found("postgresql://u:secret@h")
    assert (one.state, "names no database" in one.text) == ("fault", True)
    assert "secret" not in one.text


async def test_a_newer_database_and_another_programs_are_faults(postgres_server, name):
    url = postgres_server.url(name)
    await postgres_server.run("CREATE TABLE theirs (x int)", name)
    assert found(url)[-1].state == "fault"
    await postgres_server.run("DROP TABLE theirs", name)
    async with PostgresStore(Store(url=url)) as store:
        await store.migrate()
    await postgres_server.run("INSERT INTO schema_versions VALUES (99, 'x', 'x', 0)", name)
    last = found(url)[-1]
    assert (last.state, "version 99" in last.text) == ("fault", True)


async def test_a_role_without_rights_and_too_few_connections(postgres_server, name):
    url = postgres_server.url(name)
    await postgres_server.run("CREATE ROLE weak LOGIN PASSWORD 'x'", name)
    try:
        last = found(url.replace("gw:p%40ss%2Fw%3Ard", "weak:x"))[-1]
        assert (last.state, "OWNER" in last.remedy) == ("fault", True)
    finally:
        await postgres_server.run("DROP ROLE weak", name)
    assert any("connections" in one.text for one in found(url, read_connections=500))
