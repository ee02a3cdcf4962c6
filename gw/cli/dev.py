"""`gw dev`: a gateway and simulated devices on this machine, for whoever wants to see it work."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from gw.cli.settings_options import load
from gw.core.settings import Settings

_LISTENERS: Final = ("devices", "api", "security", "files", "metrics")
_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.05
_PASSWORD_FILE: Final = "dev-password"  # noqa: S105 - a file name
_libc = ctypes.CDLL(None)

_EPILOG = """\
\b
Examples:
  gw dev
  gw dev --devices 500 --set log.level=warning
  gw dev --host 0.0.0.0        (reachable from other machines)
"""


@click.command(epilog=_EPILOG)
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/data"),
              show_default=True, help="Data directory.")  # fmt: skip
@click.option("--pki", type=click.Path(path_type=Path), default=Path("var/pki"),
              show_default=True, help="Directory of the certificates.")  # fmt: skip
@click.option("--devices", type=click.IntRange(0, 100_000), default=20, show_default=True,
              help="Simulated devices.")  # fmt: skip
@click.option("--host", default="localhost", show_default=True, help="Address to listen on.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE",
              help="One setting; may be repeated.")  # fmt: skip
def dev(*, data: Path, pki: Path, devices: int, host: str, overrides: tuple[str, ...]) -> None:
    """Run a gateway with simulated devices until Ctrl-C.

    Makes certificates when there are none, lets unknown devices in, listens on this machine
    only, and takes other ports where the usual ones are in use.
    """
    from gw.security.pki import PkiError, init

    try:
        init(pki, [] if host in ("localhost", "0.0.0.0", "::") else [host])  # noqa: S104
    except (PkiError, OSError) as exc:
        raise click.ClickException(str(exc)) from None
    chosen = [f"{section}.host={host}" for section in _LISTENERS]
    chosen += ["devices.unknown=create", *overrides]
    settings, _ = load(data, pki, None, tuple(chosen))
    for section in _LISTENERS:
        listener = getattr(settings, section)
        if listener.port != 0 and not _is_free(section, listener.host, listener.port):
            click.echo(f"  Port {listener.port} is in use: {section} takes a free one.")
            chosen.append(f"{section}.port=0")
    password = _password(settings)
    arguments = ["--data", str(data), "--pki", str(pki)]
    for text in chosen:
        arguments += ["--set", text]
    sys.exit(asyncio.run(_Stage(settings, arguments, password, pki, devices).run()))


class _Stage:
    """The gateway and its simulator, as child processes."""

    def __init__(
        self, settings: Settings, arguments: list[str], password: str, pki: Path, devices: int
    ) -> None:
        self._settings = settings
        self._arguments = arguments
        self._password = password
        self._pki = pki
        self._devices = devices
        self._stop = asyncio.Event()
        self._gateway: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop)
        with _ready_path() as ready_file:
            environment = dict(os.environ)
            if self._password:
                environment["GW_ADMIN_PASSWORD"] = self._password
            gateway = self._gateway = await _start(
                ["run", *self._arguments, "--ready-file", str(ready_file)],
                stdout=asyncio.subprocess.DEVNULL,  # its addresses are told below
                env=environment,
            )
            ready = await self._ready(gateway, ready_file)
        if ready is None:
            gateway.terminate()
            return await gateway.wait()
        simulator = await self._simulate(ready) if self._devices else None
        click.echo(self._welcome(ready))
        ending = asyncio.create_task(gateway.wait())
        told = asyncio.create_task(self._stop.wait())
        awaited: set[asyncio.Task[Any]] = {ending, told}
        if simulator is not None:
            awaited.add(asyncio.create_task(simulator.wait(), name="simulator"))
        done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if not done & {ending, told}:
            click.echo("  The simulated devices have ended; the gateway goes on.", err=True)
            await asyncio.wait({ending, told}, return_when=asyncio.FIRST_COMPLETED)
        for process in (simulator, gateway):
            if process is not None and process.returncode is None:
                process.terminate()
                await process.wait()
        told.cancel()
        return await ending

    def _on_stop(self) -> None:
        if self._stop.is_set() and self._gateway is not None:
            # The second Ctrl-C is for the gateway too: it then ends at once.
            with contextlib.suppress(ProcessLookupError):
                self._gateway.terminate()
        self._stop.set()

    async def _ready(
        self, gateway: asyncio.subprocess.Process, ready_file: Path
    ) -> dict[str, Any] | None:
        """Wait for the gateway; None if it ended, or was told to."""
        while gateway.returncode is None and not self._stop.is_set():
            ready = _read_ready(ready_file)
            if ready is not None:
                return ready
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _POLL_SECONDS)
        return None

    async def _simulate(self, ready: dict[str, Any]) -> asyncio.subprocess.Process:
        host, _, port = ready["devices"].rpartition(":")
        where = ["--host", host.strip("[]"), "--port", port, "--pki", str(self._pki)]
        return await _start(
            ["simulate", "--devices", str(self._devices), *where],
            stdout=asyncio.subprocess.DEVNULL,
        )

    def _welcome(self, ready: dict[str, Any]) -> str:
        user = self._settings.security.administrator
        password = self._password or "as you have set it (lost: `gw user reset-password`)"
        bold, pki, data = click.style, self._pki, self._settings.run.data
        known = self._password or "PASSWORD"
        return f"""
  {bold("gw runs", fg="green", bold=True)} with {self._devices} simulated devices. Ctrl-C ends it.

    {bold("Console", bold=True)}   {ready["api"]}/
    {bold("User", bold=True)}      {user}
    {bold("Password", bold=True)}  {password}
    {bold("API", bold=True)}       {ready["api"]}/docs
    {bold("Metrics", bold=True)}   {ready["metrics"]}/metrics

  A browser does not know the authority of these certificates: {pki}/root.pem

  Try:
    TOKEN=$(curl -s --cacert {pki}/ca.pem {ready["security"]}/api/v1/oauth2 \\
      -H 'Content-Type: application/json' -d '{json.dumps({"userId": user, "password": known})}' |
      python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])')
    curl -s --cacert {pki}/ca.pem -H "Authorization: Bearer $TOKEN" \\
      '{ready["api"]}/api/v1/devices?deviceWithStatus=true&limit=2'
    gw doctor --data {data} --pki {pki}
"""


async def _start(arguments: list[str], **how: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gw",
        *arguments,
        # Ctrl-C is for this process, which ends the others in order.
        process_group=0,
        preexec_fn=_die_with_parent,
        **how,
    )


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


@contextlib.contextmanager
def _ready_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw-dev-") as folder:
        yield Path(folder) / "ready.json"


def _read_ready(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError):
        ready: dict[str, Any] = json.loads(file.read_bytes())
        return ready
    return None


def _is_free(section: str, host: str, port: int) -> bool:
    from gw.supervisor_sockets import ListenError, open_http

    try:
        open_http(section, host, port).close()
    except ListenError:
        return False
    return True


def _password(settings: Settings) -> str:
    """Return the administrator's password, made at the first start; empty if it is not known."""
    from gw.security.passwords import PasswordRules
    from gw.store.open import sqlite_path

    given = os.environ.get("GW_ADMIN_PASSWORD", "")
    file = Path(settings.run.data) / _PASSWORD_FILE
    if sqlite_path(settings.store.url, settings.run.data).exists():
        try:
            return file.read_text("utf-8").strip()
        except OSError:
            return ""
    password = given or PasswordRules(settings.security).generate()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text(password + "\n", "utf-8")
    return password
