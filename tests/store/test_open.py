from pathlib import Path

import pytest

from gw.core.settings import Store
from gw.store.errors import StoreError
from gw.store.open import open_reader, open_store, sqlite_path
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
