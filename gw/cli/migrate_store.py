"""`gw migrate-store`: from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gw.cli.progress import Progress
from gw.cli.settings_options import load, settings_options
from gw.core.settings_loader import is_postgres_url

if TYPE_CHECKING:
    from gw.core.settings import Settings

_EPILOG = """\
\b
Example; the URL is in the environment, since command lines are seen by others:
  export GW_STORE__URL='postgresql://gw:PASSWORD@db.example.org/gw?sslmode=verify-full'
  gw migrate-store --data /var/lib/gw
  gw run --data /var/lib/gw --pki /etc/gw/pki
"""


@click.command("migrate-store", epilog=_EPILOG)
@settings_options
@click.option(
    "--from",
    "source",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The SQLite database; gw.db in the data directory, unless named.",
)
def migrate_store(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    source: Path | None,
) -> None:
    """Copy everything that a gateway keeps in SQLite into the PostgreSQL that store.url names.

    All is copied, or nothing. The gateway must not run. The SQLite file stays as it is.
    """
    settings, _ = load(data, pki, config, overrides)
    if not is_postgres_url(settings.store.url):
        raise click.UsageError("store.url has to name the PostgreSQL database to copy into")
    if source is None and not settings.run.data:
        raise click.UsageError("name the data directory (--data DIR) or the file (--from FILE)")
    file = source or Path(settings.run.data) / "gw.db"
    if not file.is_file():
        raise click.ClickException(f"{file} does not exist: see --data and --from")
    for folder in {file.parent, Path(settings.run.data or file.parent)}:
        refuse_running(folder)
    copied = asyncio.run(_copy(settings, file))
    for table, rows in copied.items():
        if rows:
            click.echo(f"  {rows:>12,}  {table}")
    click.echo(f"  {sum(copied.values()):>12,}  rows copied from {file}, and counted")


def refuse_running(folder: Path) -> None:
    """End the command if a gateway runs on a data directory."""
    from gw.supervisor_files import running_pid

    pid = running_pid(folder)
    if pid is not None:
        raise click.ClickException(f"a gateway runs on {folder} (pid {pid}): stop it first")


async def _copy(settings: Settings, file: Path) -> dict[str, int]:
    from gw.store.errors import StoreError
    from gw.store.sqlite_to_postgres import copy_store

    try:
        with Progress() as progress:
            return await copy_store(file, settings.store, progress)
    except StoreError as exc:
        raise click.ClickException(str(exc)) from None
