"""`gw import-owgw`: from owgw and owsec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gw.cli.backup import need_data, run
from gw.cli.migrate_store import refuse_running
from gw.cli.progress import Progress
from gw.cli.settings_options import load, settings_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from gw.core.settings import Settings
    from gw.owgw.importing import Counts

_EPILOG = """\
\b
Taken:     devices with configuration, notes, venue and so on; capabilities; default configurations and
           firmwares; blacklist; scripts; users and subscribers with their passwords; API keys
Not taken: statistics, logs, commands, uploads, sessions; see docs/moving-from-owgw.md

\b
URL is the file of a SQLite database, or postgresql://user@host/database. A password is better in
PGPASSFILE than here, where others see it.

\b
Examples:
  gw import-owgw --data /var/lib/gw --devices /owgw-data/persist/devices.db --dry-run
  gw import-owgw --data /var/lib/gw --devices postgresql://owgw@db/owgw --security postgresql://owsec@db/owsec
"""  # noqa: E501


@click.command("import-owgw", epilog=_EPILOG)
@settings_options
@click.option("--devices", metavar="URL", default="", help="Database of owgw.")
@click.option("--security", metavar="URL", default="", help="Database of owsec.")
@click.option("--update", is_flag=True, help="Overwrite what is here already and differs; "
              "passwords stay.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def import_owgw(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    devices: str,
    security: str,
    update: bool,
    dry_run: bool,
) -> None:
    """Take over from owgw (and owsec): what is new is added; the rest is said row by row.

    It may be run again: what is here already is not doubled, and stays if it differs. The gateway
    must not run; the first time, do it before its first start.
    """
    settings, _ = load(data, pki, config, overrides)
    need_data(settings.run.data)
    if not devices and not security:
        raise click.UsageError("name a database: --devices URL, --security URL, or both")
    if not dry_run:
        refuse_running(Path(settings.run.data))
    with Progress() as progress:

        def tell(kind: str, key: str, what: str) -> None:
            progress.clear()
            click.echo(f"{kind}: {key}: {what}")

        counts = run(_import(settings, devices, security, update, dry_run, tell, progress))
    _show(counts)
    if dry_run:
        click.echo("Nothing was changed: --dry-run.")


async def _import(
    settings: Settings,
    devices: str,
    security: str,
    update: bool,
    dry_run: bool,
    tell: Callable[[str, str, str], None],
    progress: Progress,
) -> dict[str, Counts]:
    from gw.owgw.run import import_from

    return await import_from(
        settings,
        devices=devices,
        security=security,
        update=update,
        dry_run=dry_run,
        tell=tell,
        progress=progress,
    )


def _show(counts: dict[str, Counts]) -> None:
    names = ("added", "changed", "same", "differing", "refused")
    click.echo(f"{'':<24}" + "".join(f"{name:>11}" for name in names))
    for kind, found in counts.items():
        values = (getattr(found, name) for name in names)
        click.echo(f"{kind:<24}" + "".join(f"{value:>11,}" for value in values))
