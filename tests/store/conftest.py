import pytest

from gw.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite"])
async def store(request, tmp_path):
    """Every store that there is, migrated and empty."""
    made = SqliteStore(tmp_path / "gw.db")
    await made.migrate()
    yield made
    await made.close()
