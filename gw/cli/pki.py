"""`gw pki`: make the certificates of a gateway and its devices, and take them back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

_MANY = 50
"""From this many certificates on, a progress bar is worth its lines."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _directory_option(command: _Command) -> _Command:
    return click.option(
        "--dir",
        "directory",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory of the PKI, which `gw pki init` makes: authorities, server, devices.",
    )(command)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Show a fault of the PKI as one line instead of a traceback."""
    from gw.security.pki import PkiError

    try:
        yield
    except PkiError as exc:
        raise click.ClickException(str(exc)) from None
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or 'PKI'}: {exc.strerror or exc}") from None


class _InOrder(click.Group):
    """Lists commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


_EPILOG = """\
\b
In DIR there are then:
  server.pem, server.key       the gateway's certificate with its chain, and its key
  ca.pem                       the authorities: what devices and clients are to trust
  crl.pem                      the revocation lists
  devices/SERIAL.pem, .key     a device's certificate with its chain, and its key
  root.*, issuing.*            the authorities themselves; keep root.key elsewhere

\b
Examples:
  gw pki init --dir /etc/gw/pki --host gateway.example.org
  gw pki device --dir /etc/gw/pki 02a0c9000001
  gw pki revoke --dir /etc/gw/pki 02a0c9000001
"""

_INIT_EPILOG = """\
\b
Examples:
  gw pki init --dir var/pki
  gw pki init --dir /etc/gw/pki --host gateway.example.org --host 192.0.2.7

\b
The server certificate is always good for localhost, 127.0.0.1, ::1 and this machine's name.
Called again, it makes what is missing, issues a server certificate that lacks a name or ends
within 30 days, and replaces no key.
"""

_DEVICE_EPILOG = """\
\b
Examples:
  gw pki device --dir var/pki 02a0c9000001 02a0c9000002
  gw pki device --dir var/pki --prefix 02a0c9 --count 500
  gw pki device --dir var/pki 02a0c9000003 --expired      (to see it refused)

\b
Writes DIR/devices/SERIAL.pem and DIR/devices/SERIAL.key. The device needs both, and DIR/ca.pem.
"""

_REVOKE_EPILOG = """\
\b
Examples:
  gw pki revoke --dir var/pki 02a0c9000001

\b
A gateway that runs notices within devices.reload_seconds, and ends the device's session.
"""


@click.group(cls=_InOrder, epilog=_EPILOG)
def pki() -> None:
    """Make and revoke certificates: the gateway's authority, its server and its devices."""


@pki.command(epilog=_INIT_EPILOG, short_help="Make authorities, server certificate and empty CRL.")
@_directory_option
@click.option("--host", "hosts", multiple=True, metavar="NAME",
              help="Further name or address of the server; may be repeated.")  # fmt: skip
def init(directory: Path, hosts: tuple[str, ...]) -> None:
    """Make root, issuing CA, server certificate and empty CRL; repeatable."""
    from gw.security.pki import init as make

    with plain_errors():
        report = make(directory, hosts)
    if not report.changed:
        click.echo(f"Nothing to do: the PKI in {directory} is complete.")
    if report.created:
        click.echo(f"Made in {directory}: {', '.join(report.created)}")
    if report.renewed:
        click.echo(f"Issued again: {', '.join(report.renewed)}")
    click.echo(f"The server certificate is good for: {', '.join(report.hosts)}")


@pki.command(epilog=_DEVICE_EPILOG, short_help="Make certificates and keys of devices.")
@_directory_option
@click.argument("serials", nargs=-1, metavar="[SERIAL]...")
@click.option("--expired", is_flag=True, help="Make certificates that ended yesterday.")
@click.option("--count", type=click.IntRange(1, 1_000_000), metavar="N",
              help="Make this many, numbered.")  # fmt: skip
@click.option("--prefix", metavar="DIGITS",
              help="First hexadecimal digits of the numbered serials.")  # fmt: skip
def device(
    directory: Path,
    serials: tuple[str, ...],
    expired: bool,
    count: int | None,
    prefix: str | None,
) -> None:
    """Make certificates and keys of devices; those that are there and valid are kept."""
    from gw.security.pki import numbered_serials

    if (count is None) != (prefix is None):
        raise click.UsageError("--count and --prefix go together")
    with plain_errors():
        wanted = [*serials]
        if count is not None and prefix is not None:
            wanted += numbered_serials(prefix, count)
        if not wanted:
            raise click.UsageError("name a SERIAL, or --count and --prefix")
        report = issue_with_progress(directory, wanted, expired=expired)
    kind = "expired " if expired else ""
    if len(report.issued) + len(report.kept) <= _MANY:
        for serial in report.issued:
            click.echo(f"Made {kind}{directory / 'devices' / serial}.pem")
        for serial in report.kept:
            click.echo(f"Kept {kind}{directory / 'devices' / serial}.pem")
    else:
        click.echo(f"Made {len(report.issued)} and kept {len(report.kept)} {kind}certificates.")


@pki.command(epilog=_REVOKE_EPILOG, short_help="Put a device on the revocation list.")
@_directory_option
@click.argument("serial")
def revoke(directory: Path, serial: str) -> None:
    """Put every certificate of a device on the revocation list, DIR/crl.pem; repeatable."""
    from gw.security.pki import revoke as take_back

    with plain_errors():
        report = take_back(directory, serial)
    if report.added:
        click.echo(f"Revoked {report.added} certificate(s) of {report.serial}.")
    else:
        click.echo(f"Nothing to do: {report.serial} is revoked ({report.total} certificate(s)).")


def issue_with_progress(directory: Path, serials: list[str], *, expired: bool = False) -> Any:
    """Make device certificates, with a progress bar on stderr when there are many."""
    from gw.security.pki import device as make

    if len(serials) < _MANY:
        return make(directory, serials, expired=expired)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Making certificates", total=len(serials))

        def advance(done: int, _total: int) -> None:
            bar.update(task, completed=done)

        return make(directory, serials, expired=expired, progress=advance)
