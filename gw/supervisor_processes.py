"""One role process and its keeper: start by exec, watch, restart, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

import gw
from gw.core.bootstrap import BOOTSTRAP_VARIABLE, Bootstrap, RingEnds
from gw.core.settings import Mail, Provisioning, Security, Settings, Signatures, Store
from gw.ops import logs, metrics
from gw.supervisor_sockets import ListenError

ADMIN_PASSWORD_VARIABLE: Final = "GW_ADMIN_PASSWORD"  # noqa: S105 - the name, not the password
EXIT_CONFIGURATION: Final = 78
"""Exit code (EX_CONFIG) of a role that cannot work with the settings it was given."""
_LONG_LIFE_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_STARTS: Final = metrics.index("gw_process_starts_total")

log = logs.get("supervisor")


class StartError(Exception):
    """The gateway cannot start; the text says why and what to do."""


class ConfigurationError(StartError):
    """It cannot start with these settings: to try again without a change is of no use."""


def role_command(role: str) -> list[str]:
    """Return the command of a role. -P: a folder `gw` in the working directory is not ours."""
    return [sys.executable, "-P", "-m", f"gw.{role}"]


def role_environment(environment: Mapping[str, str], *, with_password: bool) -> dict[str, str]:
    """Return the environment of a role, without settings and secrets that it has no use for."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in (ADMIN_PASSWORD_VARIABLE, BOOTSTRAP_VARIABLE)
        and not (name.startswith("GW_") and "__" in name)
    }
    if with_password and ADMIN_PASSWORD_VARIABLE in environment:
        kept[ADMIN_PASSWORD_VARIABLE] = environment[ADMIN_PASSWORD_VARIABLE]
    # The very code that the supervisor runs, also when the package is not installed.
    home = str(Path(gw.__file__).resolve().parent.parent)
    path = [home, *(p for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p and p != home)]
    kept["PYTHONPATH"] = os.pathsep.join(path)
    return kept


def spawn(
    command: Sequence[str],
    bootstrap: Bootstrap,
    *,
    environment: Mapping[str, str],
    also_pass: Iterable[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a role process by exec; it inherits the descriptors that `bootstrap` names.

    Call it from the main thread: the process ends with the thread that started it.
    """
    memfd = os.memfd_create("gw-bootstrap", os.MFD_CLOEXEC)
    try:
        os.write(memfd, msgspec.json.encode(bootstrap))
        passed = {memfd, bootstrap.counters_memfd, bootstrap.ready_fd, *also_pass}
        passed.update(bootstrap.sockets.values())
        for ring in bootstrap.rings:
            passed.update((ring.up_memfd, ring.up_wake, ring.down_memfd, ring.down_wake))
        return subprocess.Popen(  # noqa: S603 - our own command
            list(command),
            pass_fds=sorted(passed),
            env={**environment, BOOTSTRAP_VARIABLE: str(memfd)},
            stdin=subprocess.DEVNULL,
            # Ctrl-C is for the supervisor, which stops the roles in their order.
            process_group=0,
        )
    finally:
        os.close(memfd)


class RestartPauses:
    """How long to wait before each restart of a process that does not live long."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._short_lives = 0

    def after(self, lived: float) -> float:
        """Return the pause after a process that lived so many seconds: 0, 0.1, 0.2, 0.4, ..."""
        if lived >= _LONG_LIFE_SECONDS:
            self._short_lives = 0
        pause = 0.0
        if self._short_lives:
            # The exponent is bounded, or a week of crashes would overflow it.
            doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._short_lives - 1, 30)
            pause = min(doubled, self._longest)
        self._short_lives += 1
        return pause


class Child:
    """A slot of the process tree: the process that fills it now, and its successors.

    `keep` runs until `stop` was called and the process is gone. A dead process is always reaped
    before its successor starts, since both write to the same queues and counters.
    """

    def __init__(
        self,
        role: str,
        slot: int,
        *,
        command: Sequence[str],
        settings: Settings,
        environment: Mapping[str, str],
        rings: Sequence[RingEnds],
        counters_memfd: int,
        counters_slot: int,
        counters_names: Sequence[str] = (),
        sockets: Callable[[], dict[str, int]],
        also_pass: Iterable[int] = (),
        on_change: Callable[[Child], None] = lambda child: None,
        on_pause: Callable[[Child, float], None] = lambda child, seconds: None,
    ) -> None:
        """`sockets` is asked at each start; `on_change` is told when the process got ready."""
        self.role = role
        self.slot = slot
        self.name = f"worker-{slot}" if role == "worker" else role
        self.generation = 0
        self.ready = asyncio.Event()
        self.failed = False
        """It was killed, or ended with an error, after it had been told to stop."""
        self._command = command
        # Secrets go only where they are needed: a worker or the RADIUS proxy has no business
        # with the database or users, and outside services are the coordinator's.
        if role != "coordinator":
            settings = msgspec.structs.replace(
                settings, provisioning=Provisioning(), signatures=Signatures()
            )
        if role != "api":
            settings = msgspec.structs.replace(settings, mail=Mail())
        if role not in ("api", "coordinator", "rtty"):
            security = msgspec.structs.replace(
                settings.security, internal_key="", sealing_key="", external_key=""
            )
            settings = msgspec.structs.replace(settings, security=security)
        if role in ("worker", "radius"):
            settings = msgspec.structs.replace(settings, store=Store(), security=Security())
        self._settings = settings
        self._environment = environment
        self._rings = list(rings)
        self._counters_memfd = counters_memfd
        self._counters = metrics.CounterPage(counters_memfd, counters_slot)
        self._counters_names = counters_names
        self._sockets = sockets
        self._also_pass = list(also_pass)
        self._on_change = on_change
        self._on_pause = on_pause
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()
        self._gave_up = False
        self._killed = False
        self._pauses = RestartPauses(settings.run.restart_seconds)

    @property
    def pid(self) -> int | None:
        """Pid of the live process."""
        process = self._process  # read once: the metrics thread asks too
        return process.pid if process is not None else None

    async def keep(self) -> None:
        """Run the slot. Raises StartError if its first process ends before it was ever ready."""
        while not self._stopping.is_set():
            started = time.monotonic()
            code, was_ready = await self._live()
            lived = time.monotonic() - started
            if self._stopping.is_set():
                self._judge_end(code)
                return
            if not was_ready and self.generation == 1:
                raise self._explain(code)
            pause = self._pauses.after(lived)
            log.error(
                "process ended",
                role=self.name,
                generation=self.generation,
                why=describe_exit(code),
                lived_seconds=round(lived, 3),
                restart_in_seconds=pause,
            )
            if pause:
                self._on_pause(self, pause)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)

    def stop(self) -> None:
        """Ask the process to end, and do not start another."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """End the process now."""
        self._killed = self._killed or self._process is not None
        self.failed = self.failed or self._killed
        self._stopping.set()
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one (not reaped yet, so the pid is its)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def close(self) -> None:
        """Let go of the counters."""
        self._counters.close()

    async def _live(self) -> tuple[int | None, bool]:
        """Start one process and see it to its end: exit code, and whether it was ever ready.

        The code is None if it could not be started.
        """
        loop = asyncio.get_running_loop()
        try:
            process, pidfd, ready_pipe = self._start()
        except (OSError, ListenError) as exc:
            # Out of processes, memory or descriptors, or the port is gone: a reason to wait, not
            # to stop all.
            log.error("process cannot be started", role=self.name, why=str(exc))
            return None, False
        exited = asyncio.Event()
        loop.add_reader(pidfd, exited.set)
        loop.add_reader(ready_pipe, self._read_ready, ready_pipe)
        timer = loop.call_later(self._settings.run.start_seconds, self._give_up)
        try:
            await exited.wait()
        finally:
            timer.cancel()
            loop.remove_reader(ready_pipe)
            loop.remove_reader(pidfd)
            os.close(pidfd)
            if not exited.is_set():  # cancelled: nothing of ours is left behind
                process.kill()
            code = process.wait()
            self._process = None
            # It may have said so just before it ended.
            was_ready = self.ready.is_set() or _has_said_ready(ready_pipe)
            self.ready.clear()
            os.close(ready_pipe)
            self._counters.zero_gauges()
        return code, was_ready

    def _start(self) -> tuple[subprocess.Popen[bytes], int, int]:
        """Start a process: itself, its pidfd, and the pipe on which it says that it is ready."""
        self.generation += 1
        sockets = self._sockets()
        with contextlib.ExitStack() as undo:
            ready_read, ready_write = os.pipe()
            undo.callback(os.close, ready_read)
            try:
                os.set_blocking(ready_read, False)
                bootstrap = Bootstrap(
                    role=self.role,
                    slot=self.slot,
                    generation=self.generation,
                    parent=os.getpid(),
                    settings=self._settings,
                    rings=self._rings,
                    counters_memfd=self._counters_memfd,
                    counters_slot=self._counters.slot,
                    counters_names=list(self._counters_names),
                    ready_fd=ready_write,
                    sockets=sockets,
                )
                self._counters.zero_gauges()
                self._counters.add(_STARTS)
                process = spawn(
                    self._command,
                    bootstrap,
                    environment=self._environment,
                    also_pass=self._also_pass,
                )
            finally:
                os.close(ready_write)
            undo.callback(process.wait)
            undo.callback(process.kill)
            pidfd = os.pidfd_open(process.pid)
            undo.pop_all()
        self._process = process
        log.debug("process started", role=self.name, pid=process.pid, generation=self.generation)
        return process, pidfd, ready_read

    def _read_ready(self, pipe: int) -> None:
        if _has_said_ready(pipe):
            self.ready.set()
            log.info("process ready", role=self.name, pid=self.pid, generation=self.generation)
            self._on_change(self)
        asyncio.get_running_loop().remove_reader(pipe)

    def _give_up(self) -> None:
        if not self.ready.is_set():
            self._gave_up = True
            log.error(
                "process did not get ready",
                role=self.name,
                limit_seconds=self._settings.run.start_seconds,
            )
            self.send(signal.SIGKILL)

    def _judge_end(self, code: int | None) -> None:
        # SIGTERM may find a process that has not come to handle it yet.
        if code not in (None, 0, -signal.SIGTERM):
            self.failed = True
            if self._killed and code == -signal.SIGKILL:
                return  # told of by whoever killed it
            log.error("process did not end well", role=self.name, why=describe_exit(code))

    def _explain(self, code: int | None) -> StartError:
        if code == EXIT_CONFIGURATION:
            return ConfigurationError(
                f"{self.name} cannot work with its settings (see its message above)"
            )
        if code is None:
            return StartError(f"{self.name} cannot be started (see the message above)")
        if self._gave_up:
            limit = self._settings.run.start_seconds
            return StartError(
                f"{self.name} was not ready within {limit:g} seconds (run.start_seconds)"
            )
        return StartError(f"{self.name} ended before it was ready: {describe_exit(code)}")


def _has_said_ready(pipe: int) -> bool:
    try:
        return b"ready" in os.read(pipe, 4096)
    except BlockingIOError:
        return False


def describe_exit(code: int | None) -> str:
    """Say how a process ended, from its return code; None: it was never started."""
    if code is None:
        return "it could not be started"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
