"""`gw user` on PostgreSQL, beside a gateway or without one."""

import re

import pytest
from click.testing import CliRunner

from gw.cli.main import main
from gw.core.settings import Security, Store
from gw.security.passwords import Passwords
from gw.store.interface import Batch, PutUser
from gw.store.postgres import PostgresStore
from gw.store.rows import UserRow


@pytest.fixture
async def url(postgres_server):
    name = await postgres_server.make_database()
    async with PostgresStore(Store(url=postgres_server.url(name))) as store:
        await store.migrate()
        await store.commit(Batch([PutUser(UserRow(id="1", email="admin@localhost"))]))
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


def reset(monkeypatch, url):
    monkeypatch.setenv("GW_STORE__URL", url)
    return CliRunner().invoke(main, ["user", "reset-password"])


@pytest.fixture
def printed(url, monkeypatch):
    result = reset(monkeypatch, url)
    assert result.exit_code == 0, result.output
    return re.search(r"admin@localhost: (\S+)", result.output)[1]


async def test_a_password_is_reset(printed, url):
    async with PostgresStore(Store(url=url)) as store:
        row = await store.user_by_email("admin@localhost")
    assert row.change_password
    passwords = Passwords(Security())
    try:
        assert await passwords.verify(row.password, printed)
    finally:
        passwords.close()


def test_a_database_that_is_away_is_said_without_its_password(monkeypatch):
    result = reset(monkeypatch, "postgresql://gw:secret@127.0.0.1:1/gw")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.output
    assert "secret" not in result.output
    assert "Traceback" not in result.output
