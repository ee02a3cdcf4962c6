"""`gw device`: devices of a running gateway, over its REST API."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from gw.client import Client

_EPILOG = """\
\b
Examples:
  export GW_URL=https://gateway.example.org:16002 GW_API_KEY=...
  gw device list
  gw device show 02a0c9000001
  gw device configure 02a0c9000001 lobby.json
"""


@click.group(epilog=_EPILOG)
def device() -> None:
    """List, show and configure devices of a running gateway."""


def _connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its client; what goes wrong is told in one line."""

    @click.option("--url", envvar="GW_URL", default="https://localhost:16002", show_default=True,
                  show_envvar=True, help="The API listener.")  # fmt: skip
    @click.option("--security-url", envvar="GW_SECURITY_URL", default="", show_envvar=True,
                  help="The security listener, unless it is port 16001 there.")  # fmt: skip
    @click.option("--ca", envvar="GW_CA", show_envvar=True,
                  type=click.Path(exists=True, dir_okay=False, path_type=Path),
                  help="PEM file of the authority of the gateway's certificate.")  # fmt: skip
    @click.option("--user", envvar="GW_USER", default="", show_envvar=True,
                  help="E-mail address; its password is GW_PASSWORD, or asked for. "
                  "Without it, the API key is GW_API_KEY.")  # fmt: skip
    @functools.wraps(command)
    def run(*, url: str, security_url: str, ca: Path | None, user: str, **more: Any) -> None:
        from gw.client import Client, ClientError

        try:
            with Client(url, security_url=security_url, ca=ca, **_identity(user)) as client:
                try:
                    command(client=client, **more)
                finally:
                    if user:
                        client.sign_out()
        except (ClientError, ValueError, OSError) as error:
            raise click.ClickException(str(error)) from None

    return run


def _identity(user: str) -> dict[str, str]:
    """Return who calls; secrets come from the environment or the terminal, never from arguments."""
    import os

    if user:
        password = os.environ.get("GW_PASSWORD") or click.prompt("Password", hide_input=True)
        return {"user": user, "password": password}
    if key := os.environ.get("GW_API_KEY"):
        return {"api_key": key}
    raise click.UsageError("say who you are: --user, or GW_API_KEY in the environment")


@device.command("list")
@_connected
@click.option("--platform", type=click.Choice(["ap", "switch"]), default=None)
def list_devices(client: Client, platform: str | None) -> None:
    """List all devices: serial number, connection, configuration, model, firmware."""
    for one in client.all_devices_with_status(platform=platform or ""):
        state = "connected" if one.connection.connected else "away"
        found = one.device
        click.echo(
            f"{found.serial_number}  {state:<9}  {found.configuration_state:<9}  "
            f"{found.compatible or '-'}  {found.firmware or '-'}"
        )


@device.command()
@_connected
@click.argument("serial")
def show(client: Client, serial: str) -> None:
    """Show a device with its configuration, as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(client.device(serial))))


@device.command()
@_connected
@click.argument("serial")
@click.argument("file", type=click.File("rb"))
@click.option("--force", is_flag=True, help="Send it even if it is unchanged or was refused.")
@click.option("--check", is_flag=True, help="Send nothing: tell what is wrong with it.")
def configure(client: Client, serial: str, file: Any, force: bool, check: bool) -> None:
    """Configure a device with a JSON file (- is the standard input), and wait for its answer.

    Ends with 0 if it was applied or waits for the device, else with 1.
    """
    text = file.read()
    if check:
        found = client.validate_configuration(serial, text)
        for problem in (*found.errors, *found.warnings):
            click.echo(f"{problem.path}: {problem.description}")
        if found.error or found.errors:
            raise click.ClickException(f"not valid: {found.error or len(found.errors)}")
        click.echo("valid" if found.would_change else "valid, and nothing would change")
        return
    done = client.configure(serial, text, force=force)
    click.echo(f"{done.uuid}  {done.status}  {done.error_text}".rstrip())
    if done.status == "pending":
        return
    if done.status != "completed" or done.error_code > 1:
        raise click.ClickException(f"the device did not apply it (error {done.error_code})")
