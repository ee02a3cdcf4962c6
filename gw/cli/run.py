"""`gw run`: the gateway, with all its processes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gw.cli.settings_options import CannotRun, load, settings_options
from gw.core.settings_loader import unset_for_run

if TYPE_CHECKING:
    from gw.core.settings import Settings
    from gw.supervisor_files import Ready

_EPILOG = """\
\b
Examples:
  gw run --data /var/lib/gw --pki /etc/gw/pki
  gw run --config /etc/gw/gw.toml --set log.format=json
  gw run --data d --pki p --set devices.port=0 --ready-file ready.json

\b
Signals:
  TERM, INT   end in order: sessions, then the API, then the database;
              once more, a second later or after that: at once
  HUP         read certificates, revocation lists and schema files again

\b
Exit status:
  0           it was told to end, and did so in order
  78          it cannot run with these settings (see `gw doctor`)
  1           anything else

\b
The first start makes the administrator (security.administrator): with the password
in GW_ADMIN_PASSWORD, else with a generated one that is printed once.

\b
Devices that are not in the database are refused (devices.unknown).
"""


@click.command(epilog=_EPILOG)
@settings_options
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write addresses and pids to it, as JSON, once every process serves, and again when "
    "a pid changes.",
)
def run(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    ready_file: Path | None,
) -> None:
    """Run the gateway until it is told to end."""
    settings, _ = load(data, pki, config, overrides, problem=CannotRun)
    from gw.ops.health_bus import bus_faults
    from gw.ops.health_schemas import schema_faults

    faults = unset_for_run(settings) + bus_faults(settings) + schema_faults(settings)
    if faults:
        raise CannotRun("The gateway cannot run like this:", faults)
    from gw import supervisor
    from gw.ops import logs
    from gw.supervisor_processes import ConfigurationError, StartError

    logs.configure(format=settings.log.format, level=settings.log.level, role="supervisor")
    try:
        code = supervisor.run(settings, ready_file, on_ready=lambda r: _announce(settings, r))
    except ConfigurationError as exc:
        raise CannotRun(str(exc)) from None
    except StartError as exc:
        raise click.ClickException(str(exc)) from None
    sys.exit(code)


def _announce(settings: Settings, ready: Ready) -> None:
    # For the reader of a terminal; what runs it by program reads the ready file.
    with contextlib.suppress(OSError):
        click.echo(addresses(settings, ready))


def addresses(settings: Settings, ready: Ready) -> str:
    """Return the block of addresses that is printed once the gateway serves."""
    workers = len(ready.pids.workers)
    terminal = []
    if isinstance(ready.rtty_viewer, str):
        terminal = [("Terminal", f"{ready.rtty_viewer}/connect/", f"devices: {ready.rtty}")]
    further: list[tuple[str, str, str]] = []
    if isinstance(ready.device_listeners, dict):
        further = [
            ("", f"wss://{address}", f"listener {name}")
            for name, address in ready.device_listeners.items()
        ]
    rows = [
        ("Devices", f"wss://{ready.devices}", f"{workers} worker{'s' if workers > 1 else ''}"),
        *further,
        ("Console", f"{ready.api}/", f"sign in as {settings.security.administrator}"),
        ("API", f"{ready.api}/api/v1", f"described at {ready.api}/docs"),
        ("Security", f"{ready.security}/api/v1", "POST /oauth2 for a token"),
        ("Files", f"{ready.files}/v1/upload", ""),
        *terminal,
        ("Metrics", f"{ready.metrics}/metrics", "plain HTTP"),
        ("Data", settings.run.data, ""),
    ]
    width = max(len(where) for _, where, _ in rows)
    lines = [
        f"    {click.style(f'{name:<9}', bold=True)} {where:<{width}}  {note}".rstrip()
        for name, where, note in rows
    ]
    title = click.style("gw serves.", fg="green", bold=True)
    return "\n".join(["", f"  {title} Ctrl-C ends it.", "", *lines, ""])
