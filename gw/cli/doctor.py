"""`gw doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from gw.cli.settings_options import settings_options
from gw.core import settings_loader

_MARKS: Final = {"good": ("ok", "green"), "warning": ("mind", "yellow"), "fault": ("FAULT", "red")}

_EPILOG = """\
\b
Examples:
  gw doctor --data /var/lib/gw --pki /etc/gw/pki
  gw doctor --config /etc/gw/gw.toml --json
"""


@click.command(epilog=_EPILOG)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Look at everything that `gw run` with the same settings depends on.

    Ends with 0 if all is well, else with 1. A gateway may run meanwhile.
    """
    from gw.ops.health import refusal, report

    try:
        settings, _ = settings_loader.load(
            file=config, data=data, pki=pki, pki_is_made=False, overrides=overrides
        )
    except settings_loader.SettingsError as exc:
        found = refusal(exc.faults)
    else:
        found = report(settings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
        sys.exit(0 if found.healthy else 1)
    topic = ""
    for finding in found.findings:
        mark, colour = _MARKS[finding.state]
        shown = "" if finding.topic == topic else finding.topic
        topic = finding.topic
        click.echo(f"  {click.style(f'{mark:<5}', fg=colour)}  {shown:<12} {finding.text}")
        if finding.remedy:
            click.echo(f"  {'':<5}  {'':<12} {click.style('->', fg=colour)} {finding.remedy}")
    faults = sum(f.state == "fault" for f in found.findings)
    click.echo()
    click.echo("  All is well." if found.healthy else f"  {faults} fault(s): see FAULT above.")
    sys.exit(0 if found.healthy else 1)
