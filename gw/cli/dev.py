"""`gw dev`: a gateway and simulated devices on this machine, for whoever wants to see it work."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shlex
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gw.cli.settings_options import load
from gw.core.settings import Settings

if TYPE_CHECKING:
    from gw.store.rows import UserRow

_LISTENERS: Final = (
    "devices", "api", "security", "private_api", "private_security", "files", "metrics",
    "security_check",
)  # fmt: skip
_PORTS: Final = (*((section, "port") for section in _LISTENERS),
                 ("rtty", "port"), ("rtty", "viewer_port"))  # fmt: skip
_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.05
# A second signal so soon comes from the same key: `timeout` sends it to process and group.
_SAME_SIGNAL_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 20.0
"""How long the devices may take until the greeting is shown all the same; 100 a second more."""
_CONNECTED: Final = "gw_devices_connected "
_PASSWORD_FILE: Final = "dev-password"  # noqa: S105 - a file name
_UNKNOWN: Final = "?"
"""Stands for the hash of a password that cannot be looked up."""
_libc = ctypes.CDLL(None)

_EPILOG = """\
\b
Examples:
  gw dev
  gw dev --devices 500 --set log.level=info
  gw dev --host 0.0.0.0        (reachable from other machines)
"""


@click.command(epilog=_EPILOG)
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/data"),
              show_default=True, metavar="DIR",
              help="Directory for the database and all else that is kept.")  # fmt: skip
@click.option("--pki", type=click.Path(path_type=Path), default=Path("var/pki"),
              show_default=True, metavar="DIR",
              help="Directory of the certificates, as `gw pki init` makes it.")  # fmt: skip
@click.option("--devices", type=click.IntRange(0, 50_000), default=20, show_default=True,
              metavar="N", help="Simulated devices.")  # fmt: skip
@click.option("--host", default="localhost", show_default=True, metavar="HOST",
              help="Address to listen on.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE",
              help="One setting; may be repeated.")  # fmt: skip
def dev(*, data: Path, pki: Path, devices: int, host: str, overrides: tuple[str, ...]) -> None:
    """Run a gateway with simulated devices until Ctrl-C.

    Makes certificates when there are none, lets in every device that has one, listens on this
    machine only, takes other ports where the usual ones are in use, and logs warnings only.
    """
    from gw.security.pki import PkiError, init

    try:
        init(pki, [] if host in ("localhost", "0.0.0.0", "::") else [host])  # noqa: S104
    except (PkiError, OSError) as exc:
        raise click.ClickException(str(exc)) from None
    chosen = [f"{section}.host={host}" for section in (*_LISTENERS, "rtty")]
    chosen += ["devices.unknown=create", "rtty.enabled=true"]
    if "GW_LOG__LEVEL" not in os.environ:
        chosen.append("log.level=warning")
    chosen += overrides
    settings, _ = load(data, pki, None, tuple(chosen))
    for section, key in _PORTS:
        listener = getattr(settings, section)
        port = getattr(listener, key)
        if port != 0 and not _is_free(section, listener.host, port):
            click.echo(f"  Port {port} is in use: {section} takes a free one.")
            chosen.append(f"{section}.{key}=0")
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
        self._told_at = 0.0
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
        ending = asyncio.create_task(gateway.wait())
        told = asyncio.create_task(self._stop.wait())
        awaited: set[asyncio.Task[Any]] = {ending, told}
        if simulator is not None:
            awaited.add(asyncio.create_task(simulator.wait(), name="simulator"))
        connected = await self._until_connected(ready, awaited)
        if not ending.done() and not told.done():
            click.echo(self._welcome(ready, connected))
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
        now = time.monotonic()
        if not self._stop.is_set():
            self._told_at = now
            self._stop.set()
        elif self._gateway is not None and now - self._told_at >= _SAME_SIGNAL_SECONDS:
            # The second Ctrl-C is for the gateway too: it then ends at once.
            with contextlib.suppress(ProcessLookupError):
                self._gateway.terminate()

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
            ["simulate", "--quiet", "--devices", str(self._devices), *where],
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def _until_connected(self, ready: dict[str, Any], awaited: set[asyncio.Task[Any]]) -> int:
        """Wait until the gateway counts all devices, something ends, or it takes too long."""
        deadline = time.monotonic() + _CONNECT_SECONDS + self._devices / 100
        connected = 0
        while connected < self._devices and time.monotonic() < deadline:
            done, _ = await asyncio.wait(awaited, timeout=_POLL_SECONDS,
                                         return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            if done:
                break
            connected = await asyncio.to_thread(_count_connected, ready["metrics"])
        return connected

    def _welcome(self, ready: dict[str, Any], connected: int) -> str:
        user, data, pki = self._settings.security.administrator, self._settings.run.data, self._pki
        gw = _binary()
        password = self._password or (
            f"the one that was set; lost: {gw} user reset-password --data {data}"
        )
        body = shlex.quote(json.dumps({"userId": user, "password": self._password or "PASSWORD"}))
        state = f"{connected} of {self._devices} devices connected"
        colour = "green" if connected >= self._devices else "yellow"

        def name(text: str) -> str:
            return click.style(f"{text:<8}", bold=True)

        return f"""
  {click.style("gw runs", fg="green", bold=True)}, {click.style(state, fg=colour)}. Ctrl-C ends it.

    {name("Console")}  {ready["api"]}/
    {name("User")}  {user}
    {name("Password")}  {password}
    {name("API")}  {ready["api"]}/docs
    {name("Metrics")}  {ready["metrics"]}/metrics

  A browser does not know the authority of these certificates: {pki}/root.pem

  Try:
    TOKEN=$(curl -sS --cacert {pki}/ca.pem {ready["security"]}/api/v1/oauth2 \\
      -H 'Content-Type: application/json' -d {body} |
      sed -n 's/.*"access_token": *"\\([^"]*\\)".*/\\1/p')
    curl -sS --cacert {pki}/ca.pem -H "Authorization: Bearer $TOKEN" \\
      '{ready["api"]}/api/v1/devices?deviceWithStatus=true&limit=2'
    {gw} doctor --data {data} --pki {pki.absolute()}
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


def _count_connected(metrics: str) -> int:
    """Return the number of devices that the gateway counts as connected."""
    with contextlib.suppress(OSError, ValueError):
        with urllib.request.urlopen(f"{metrics}/metrics", timeout=5) as answer:  # noqa: S310
            text = answer.read().decode()
        for line in text.splitlines():
            if line.startswith(_CONNECTED):
                return int(float(line.removeprefix(_CONNECTED)))
    return 0


def _binary() -> str:
    """Return the command by which this program is called, from anywhere."""
    beside = Path(sys.executable).with_name("gw")
    return shlex.quote(str(beside)) if beside.exists() else f"{sys.executable} -m gw"


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

    given = os.environ.get("GW_ADMIN_PASSWORD", "")
    file = Path(settings.run.data) / _PASSWORD_FILE
    try:
        kept = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        kept = ""
    digest = asyncio.run(_administrator_digest(settings))
    if digest:
        # It may have been changed since, over REST or by `gw user reset-password`.
        right = asyncio.run(_first_right(settings, digest, [p for p in (kept, given) if p]))
        if kept and kept != right:
            file.unlink(missing_ok=True)
        return right
    password = given or kept or PasswordRules(settings.security).generate()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(0o600)
    file.write_text(password + "\n", "utf-8")
    return password


async def _administrator_digest(settings: Settings) -> str:
    """Return the hash of the administrator's password; empty if there is none yet."""
    from gw.store.errors import StoreError
    from gw.store.open import may_exist, open_reader

    try:
        if not may_exist(settings.store, settings.run.data):
            return ""
        reader = open_reader(settings.store, settings.run.data)
        try:
            user = await reader.user_by_email(settings.security.administrator.strip().lower())
            # Somebody else may have been the first user, under an earlier name.
            return _UNKNOWN if user is None and await reader.users(limit=1) else _digest(user)
        finally:
            await reader.close()
    except StoreError:
        return _UNKNOWN  # the gateway says what is wrong with it


def _digest(user: UserRow | None) -> str:
    return user.password if user is not None else ""


async def _first_right(settings: Settings, digest: str, candidates: list[str]) -> str:
    from gw.security.passwords import Passwords

    passwords = Passwords(settings.security)
    try:
        for candidate in candidates:
            if digest != _UNKNOWN and await passwords.verify(digest, candidate):
                return candidate
    finally:
        passwords.close()
    return ""
