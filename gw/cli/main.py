"""The command `gw`. Commands are imported when they are called, so that `gw --help` is quick."""

from __future__ import annotations

import difflib
import importlib
from typing import Final, NamedTuple

import click

import gw


class _Entry(NamedTuple):
    module: str
    name: str
    help: str


_COMMANDS: Final = {
    "run": _Entry("gw.cli.run", "run", "Run the gateway."),
    "doctor": _Entry("gw.cli.doctor", "doctor", "Find what is wrong, and say what to do."),
    "config": _Entry("gw.cli.config", "config", "Show the settings and where they come from."),
    "pki": _Entry("gw.cli.pki", "pki", "Make and revoke certificates."),
    "backup": _Entry("gw.cli.backup", "backup", "Write a backup, also while the gateway runs."),
    "restore": _Entry("gw.cli.backup", "restore", "Put a backup back."),
    "export": _Entry("gw.cli.export", "export", "Write what is kept as lines of JSON."),
    "migrate-store": _Entry(
        "gw.cli.migrate_store", "migrate_store", "Copy a SQLite store into PostgreSQL."
    ),
    "import-owgw": _Entry(
        "gw.cli.import_owgw", "import_owgw", "Take over devices and users of owgw and owsec."
    ),
    "user": _Entry("gw.cli.user", "user", "Repair user accounts."),
    "device": _Entry("gw.cli.device", "device", "List, show and configure devices."),
    "simulate": _Entry("gw.cli.simulate", "simulate", "Run simulated devices against a gateway."),
    "dev": _Entry("gw.cli.dev", "dev", "Run a gateway with simulated devices, to try it out."),
}

_EPILOG: Final = """\
\b
Try it:
  gw dev

\b
Set it up:
  gw pki init --dir /etc/gw/pki --host gateway.example.org
  gw pki device --dir /etc/gw/pki 02a0c9000001
  gw doctor --data /var/lib/gw --pki /etc/gw/pki
  gw run --data /var/lib/gw --pki /etc/gw/pki

\b
Devices that nobody has added are refused. With --set devices.unknown=create every device
that has a certificate of the PKI is let in and added.

\b
Settings come from a TOML file (--config), from GW_SECTION__KEY in the environment,
and from --set section.key=value; the later beats the earlier.
"""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, 1, 0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table: click would import every command to read its help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(gw.__version__, prog_name="gw", message="%(prog)s %(version)s")
def main() -> None:
    """A gateway for fleets of OpenWrt and OpenLAN devices that speak uCentral."""
