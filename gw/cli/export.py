"""`gw export`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from gw.cli.progress import Progress
from gw.cli.settings_options import load, settings_options

_KINDS: Final = (
    "devices", "configurations", "capabilities", "statistics", "healthchecks", "logs", "crashlogs",
    "rebootlogs", "events", "commands", "scripts", "default-configurations", "default-firmwares",
    "blacklist", "users", "subscribers", "audit",
)  # fmt: skip
"""As in gw.backup.export, which is not imported for a --help; a test compares them."""

_EPILOG = f"""\
Kinds: {", ".join(_KINDS)}.

\b
Examples:
  gw export --data /var/lib/gw devices > devices.ndjson
  gw export --data /var/lib/gw statistics --serial aabbccddeeff --from 2026-11-01 | jq .data.unit
  gw export --data /var/lib/gw --output all.ndjson
"""


class _Time(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return Unix seconds for them, or for a date of ISO 8601, which is UTC by itself."""
        if isinstance(value, int):
            return value
        if value.isdecimal() and len(value) <= 12:
            return int(value)
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date such as 2026-11-24 or 2026-11-24T18:00", param, ctx)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


@click.command("export", epilog=_EPILOG)
@settings_options
@click.option("--serial", metavar="SERIAL", default="", help="Only what belongs to this device.")
@click.option("--from", "start", type=_Time(), default=0, metavar="TIME", help="Only what is of "
              "this time (ISO 8601, UTC, or Unix seconds) or later.")  # fmt: skip
@click.option("--to", "end", type=_Time(), default=0, metavar="TIME", help="... or earlier.")
@click.option("--secrets", is_flag=True, help="Show passwords and keys in configurations and "
              "params, which are ******** otherwise.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write there, instead of to standard output; readable by its owner "
              "only.")  # fmt: skip
@click.argument("kinds", nargs=-1, type=click.Choice(_KINDS), metavar="[KIND]...")
def export(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    serial: str,
    start: int,
    end: int,
    secrets: bool,
    output: Path | None,
    kinds: tuple[str, ...],
) -> None:
    """Write what the gateway keeps as lines of JSON: everything, or some KINDs of it.

    All is of one moment; the gateway may run. With --serial, --from or --to, kinds without a device
    or a time are left out. Passwords of users, tokens and keys are never in it.
    """
    settings, _ = load(data, pki, config, overrides)
    from gw.backup import export as exporting
    from gw.cli.backup import need_data, run
    from gw.core.ids import normalize_serial

    need_data(settings.run.data)
    if serial:
        try:
            serial = normalize_serial(serial, separators=True)
        except ValueError as exc:
            raise click.UsageError(f"--serial: {exc}") from None
    wanted = exporting.Wanted(serial, start, end, secrets)
    for kind in kinds:
        if not wanted.applies_to(exporting.KINDS[kind]):
            raise click.UsageError(f"{kind} has no device or time to be chosen by")
    with Progress() as progress, _opened(output) as out:
        try:
            names = list(kinds or _KINDS)
            counts = run(exporting.export(settings, names, wanted, out.write, progress))
            out.flush()
        except BrokenPipeError:
            # Whoever read has had enough; nothing more goes there, at the exit neither.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
    for kind, count in counts.items():
        if count:
            click.echo(f"  {count:>12,}  {kind}", err=True)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    part = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as exc:
        raise click.ClickException(f"{part}: {exc.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
