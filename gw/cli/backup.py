"""`gw backup` and `gw restore`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from gw.cli.migrate_store import refuse_running
from gw.cli.progress import Progress, size_text
from gw.cli.settings_options import load, settings_options

T = TypeVar("T")

_BACKUP_EPILOG = """\
\b
In it:  every table of the database as of one moment, uploads of devices, system.id
Not in: the PKI, settings, queues; and unless --keys is given, sealing.key, without which
        configurations and passwords in a backup cannot be read: keep it elsewhere

\b
Examples:
  gw backup --data /var/lib/gw /backup/gw-$(date +%F).zip
  gw backup --data /var/lib/gw --no-telemetry /backup/small.zip
"""

_RESTORE_EPILOG = """\
\b
The store need not be of the kind that the backup was made from: what comes from SQLite goes into
PostgreSQL as well (store.url), and the other way round.

\b
Examples:
  gw restore --data /var/lib/gw /backup/gw-2026-11-24.zip
  gw restore --check /backup/gw-2026-11-24.zip
"""


@click.command("backup", epilog=_BACKUP_EPILOG)
@settings_options
@click.option("--no-telemetry", is_flag=True, help="Leave out statistics, health checks, logs and "
              "events: most of the size.")  # fmt: skip
@click.option("--no-files", is_flag=True, help="Leave out uploads of devices.")
@click.option("--keys", is_flag=True, help="With sealing.key and internal.key: whoever has the "
              "backup then has all secrets.")  # fmt: skip
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    no_telemetry: bool,
    no_files: bool,
    keys: bool,
    file: Path,
) -> None:
    """Write a backup to FILE, also while the gateway runs.

    The file is there once it is whole; it is readable by its owner only.
    """
    settings, _ = load(data, pki, config, overrides)
    need_data(settings.run.data)
    if file.exists():
        raise click.ClickException(f"{file} exists already")
    from gw.backup.make import make_backup

    started = time.monotonic()
    with Progress() as progress:
        made = make_backup(
            settings,
            file,
            telemetry=not no_telemetry,
            files=not no_files,
            keys=keys,
            progress=progress,
        )
        manifest, size = run(made)
    _counts({name: table.rows for name, table in manifest.tables.items()})
    if manifest.files:
        click.echo(f"  {len(manifest.files):>12,}  files")
    click.echo(f"{file}: {size_text(size)}, {time.monotonic() - started:.1f} s")
    if manifest.left_out:
        click.echo(f"not in it: {', '.join(manifest.left_out)}")
    if manifest.seal and not keys:
        click.echo(
            "Its secrets are sealed: keep sealing.key of the data directory (or "
            "security.sealing_key) too, and elsewhere."
        )


@click.command("restore", epilog=_RESTORE_EPILOG)
@settings_options
@click.option("--replace", is_flag=True, help="Replace what is in the store. A SQLite file that "
              "is replaced stays beside it, as gw.db.replaced.")  # fmt: skip
@click.option("--check", is_flag=True, help="Only check the backup, and say what is in it.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def restore(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    replace: bool,
    check: bool,
    file: Path,
) -> None:
    """Put the backup FILE into the store and the data directory.

    All of it is read and checked first; a broken one changes nothing. The gateway must not run.
    """
    settings, _ = load(data, pki, config, overrides)
    if not check:
        need_data(settings.run.data)
        refuse_running(Path(settings.run.data))
    from gw.backup import restore as restoring

    with Progress() as progress:
        done = restoring.restore(
            settings, file, replace=replace, check_only=check, progress=progress
        )
        manifest = run(done)
    _counts({name: table.rows for name, table in manifest.tables.items()})
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(manifest.made))
    what = "is whole" if check else "is restored"
    click.echo(f"{file} {what}: of {made}, from {manifest.engine}, by gw {manifest.gw}")
    if manifest.left_out:
        click.echo(f"not in it: {', '.join(manifest.left_out)}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or end the command with what is wrong."""
    from gw.backup.archive import ArchiveError
    from gw.store.errors import StoreError

    try:
        return asyncio.run(work)
    except (ArchiveError, StoreError, ValueError) as exc:
        raise click.ClickException(str(exc)) from None
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise click.ClickException(f"{exc.filename}: {exc.strerror}") from None


def need_data(data: str) -> None:
    """End the command unless the data directory is named."""
    if not data:
        raise click.UsageError("name the data directory: --data DIR")


def _counts(rows: dict[str, int]) -> None:
    for table, count in rows.items():
        if count:
            click.echo(f"  {count:>12,}  {table}")
