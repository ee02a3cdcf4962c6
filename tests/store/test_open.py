from pathlib import Path
from urllib.parse import quote

import pytest
from postgres import PASSWORD

from gw.core.settings import Store
from gw.store.errors import StoreError
from gw.store.open import open_reader, open_store, sqlite_path
from gw.store.postgres import PostgresReader, PostgresStore
from gw.store.postgres_connection import address
from gw.store.sqlite import SqliteReader, SqliteStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/data/gw.db"),
        ("sqlite:///x.db", "/data/x.db"),
        ("sqlite:///sub/x.db", "/data/sub/x.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
    ],
)
def test_sqlite_urls(url, path):
    assert sqlite_path(url, "/data") == Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@h",
        "postgresql://u:secret[@h/db",
        "postgresql://u:secret@h:port/db",
        "postgresql://h/db?user=u&password=secret",
        "mysql://u:secret@h/db",
        "sqlite:///",
        "/x.db",
        "x",
    ],
)
def test_other_urls_are_refused_by_the_name_of_the_setting_and_without_the_password(url):
    for opened in (open_store, open_reader):
        with pytest.raises(StoreError, match=r"store\.url") as caught:
            opened(Store(url=url), "/data")
        assert "secret" not in str(caught.value)
        assert not caught.value.retriable


async def test_store_and_reader_share_the_file(tmp_path):
    settings = Store(synchronous="normal")
    store, reader = open_store(settings, str(tmp_path)), open_reader(settings, str(tmp_path))
    assert isinstance(store, SqliteStore)
    assert isinstance(reader, SqliteReader)
    assert not hasattr(reader, "commit")
    await store.migrate()
    assert await reader.users() == []
    await reader.close()
    await store.close()


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:secret@h/d", "PostgreSQL h/d"),
        ("postgres://u:secret@h:5433/d?sslmode=require", "PostgreSQL h:5433/d"),
        ("postgresql://u:secret@a:1,b:2/d?target_session_attrs=read-write", "PostgreSQL a:1,b:2/d"),
        ("postgresql:///d?host=/run/postgresql", "PostgreSQL local socket/d"),
        ("postgresql://u:secret@[::1]/d", "PostgreSQL [::1]/d"),
    ],
)
def test_postgres_urls(url, where):
    assert address(url).where == where
    assert "secret" not in repr(address(url))
    assert isinstance(open_store(Store(url=url), "/data"), PostgresStore)
    assert isinstance(open_reader(Store(url=url), "/data"), PostgresReader)


async def test_a_local_socket(postgres_server, database):
    name = database.url.partition("?")[0].rpartition("/")[2]
    url = (
        f"postgresql://gw:{quote(PASSWORD, safe='')}@/{name}"
        f"?host={postgres_server.folder}&port={postgres_server.port}"
    )
    async with PostgresReader(Store(url=url)) as reader:
        assert await reader.count_devices() == 0
