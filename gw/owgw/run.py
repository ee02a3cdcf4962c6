"""One import into the store that the settings name."""

from __future__ import annotations

from pathlib import Path

from gw.backup.make import key_of
from gw.core.settings import Settings
from gw.owgw.importing import Counts, Import, Progress, Tell
from gw.security.sealing import Sealer, sealing_key
from gw.store.errors import MigrationError
from gw.store.interface import Store
from gw.store.open import may_exist, open_store
from gw.store.sealed import sealed_store


async def import_from(
    settings: Settings,
    *,
    devices: str = "",
    security: str = "",
    update: bool = False,
    dry_run: bool = False,
    tell: Tell = lambda kind, key, what: None,
    progress: Progress = lambda part, done, total: None,
) -> dict[str, Counts]:
    """Take what owgw's database (`devices`) and owsec's (`security`) hold; URLs, empty for none.

    The gateway must not run. The schema is made if need be; with `dry_run` nothing is. Returns what
    became of the rows by kind. Raises StoreError; rows before the fault are in then, and another
    run takes the rest.
    """
    data = settings.run.data
    if not dry_run:
        make_directory(data)
    key = key_of(settings) if dry_run else sealing_key(settings.security.sealing_key, data)
    sealer = Sealer(key) if key else None
    store = open_store(settings.store, data)
    try:
        target: Store | None = store if sealer is None else sealed_store(store, sealer)
        if dry_run:
            target = target if await _is_ready(settings, store) else None
        else:
            await store.migrate()
        one = Import(
            target, settings, sealer, dry_run=dry_run, update=update, tell=tell, progress=progress
        )
        try:
            if devices:
                await one.gateway(devices)
            if security:
                await one.security(security)
        finally:
            one.close()
        return one.counts
    finally:
        await store.close()


def make_directory(data: str) -> None:
    """Make the data directory, for its owner only, unless it is there."""
    Path(data).mkdir(mode=0o700, parents=True, exist_ok=True)


async def _is_ready(settings: Settings, store: Store) -> bool:
    """Tell whether there is a store to compare with."""
    if not may_exist(settings.store, settings.run.data):
        return False
    try:
        await store.positions()
    except MigrationError as error:
        if error.retriable:
            return False  # it is new, or it waits to be brought up to date
        raise
    return True
