"""The process tree of one node: makes what the roles share, starts, watches and stops them.

What is shared (queues, counters, listening sockets) is made here and inherited by exec, so it
outlives each role. Starting: coordinator, workers, and the API and the sidecars once the
coordinator is ready (its schema is in place). Stopping is the other way round, in three stages:
workers close their sessions and flush, the API and the sidecars end, the coordinator empties the
queues and commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from gw.core.bootstrap import RingEnds
from gw.core.listeners import FIRST
from gw.core.settings import Settings
from gw.ops import log_levels, logs, metrics
from gw.ops.metrics_exporter import CounterCollector, MetricsEndpoint
from gw.ops.metrics_queues import QueueProbe, QueueState
from gw.supervisor_files import Pids, Ready, ReadyFile, lock_data_directory
from gw.supervisor_processes import Child, StartError, role_command, role_environment
from gw.supervisor_sidecars import enabled_sidecars, with_ports
from gw.supervisor_sockets import (
    DeviceSockets,
    ListenError,
    explain,
    open_http,
    port_of,
    public_host,
)

_HTTP: Final = ("api", "security", "files", "private_api", "private_security")
_HTTP_WITHOUT_SECURITY: Final = ("api", "files", "private_api")
# A second signal so soon comes from the same key or command: `timeout` and some terminals send
# it to the process and to its group.
_SAME_SIGNAL_SECONDS: Final = 1.0
# A slot whose worker waits this long for its next start is taken out of the spread.
_SLOT_OUT_SECONDS: Final = 1.0

log = logs.get("supervisor")

Commands: TypeAlias = Mapping[str, Sequence[str]]
"""Command of each role, by name; for tests."""


def run(
    settings: Settings,
    ready_file: Path | None = None,
    *,
    on_ready: Callable[[Ready], None] | None = None,
    commands: Commands | None = None,
) -> int:
    """Run the gateway until it is told to end; returns the exit code.

    `on_ready` is called once, when every role serves. `commands` replaces the roles in tests.
    Raises StartError if it cannot start. Call it in the main thread.
    """
    return asyncio.run(Supervisor(settings, ready_file, on_ready, commands or {}).run())


def worker_count(settings: Settings) -> int:
    """Return the number of worker processes: as set, else one per core that may be used."""
    return settings.workers.count or max(1, len(os.sched_getaffinity(0)))


class Supervisor:
    """One run of the process tree."""

    def __init__(
        self,
        settings: Settings,
        ready_file: Path | None,
        on_ready: Callable[[Ready], None] | None,
        commands: Commands,
    ) -> None:
        self._settings = settings
        self._ready_file = ReadyFile(ready_file) if ready_file is not None else None
        self._on_ready = on_ready
        self._commands = commands
        self._children: dict[str, Child] = {}
        self._devices = DeviceSockets(settings.devices, worker_count(settings))
        self._sidecars = enabled_sidecars(settings)
        external = settings.security.external
        self._http = _HTTP_WITHOUT_SECURITY if external else _HTTP
        self._single: dict[str, socket.socket] = {}
        """Listening sockets of which there is one each, by name."""
        self._probes: list[QueueProbe] = []
        self._resources = contextlib.ExitStack()
        self._told_at: float | None = None
        self._fault: StartError | None = None
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._plain_ports: dict[str, int] = {}

    async def run(self) -> int:
        """Start, watch, stop."""
        with self._resources:
            _raise_descriptor_limit()
            if self._ready_file is not None:
                self._ready_file.prepare()
            lock = await lock_data_directory(
                Path(self._settings.run.data), self._settings.run.drain_seconds
            )
            self._resources.callback(os.close, lock)
            self._open_sockets()
            self._make_children(lock)
            self._start_metrics()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._on_stop_signal, number)
            loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
            return await self._supervise()

    # -- making what is shared

    def _open_sockets(self) -> None:
        settings = self._settings
        self._resources.callback(self._close_sockets)
        try:
            self._devices.open()
            for name in self._http:
                section = getattr(settings, name)
                self._single[name] = open_http(name, section.host, section.port)
            for sidecar in self._sidecars:
                section = getattr(settings, sidecar.role)
                for name, key, _ in sidecar.ports:
                    self._single[name] = open_http(
                        sidecar.role, section.host, getattr(section, key), setting=key
                    )
        except ListenError as exc:
            raise StartError(str(exc)) from None

    def _close_sockets(self) -> None:
        self._devices.close()
        for opened in self._single.values():
            opened.close()

    def _make_children(self, lock: int) -> None:
        workers = worker_count(self._settings)
        rings = [self._make_rings(f"worker-{slot}") for slot in range(workers)]
        own_rings = {
            name: self._make_rings(name)
            for name in ("api", *(one.role for one in self._sidecars if one.rings))
        }
        names = ["supervisor", "coordinator", "api", *(f"worker-{n}" for n in range(workers)),
                 *(one.role for one in self._sidecars)]  # fmt: skip
        settings = with_ports(
            self._settings,
            self._sidecars,
            {name: port_of(opened) for name, opened in self._single.items()},
        )
        counters = metrics.create(len(names))
        log_levels.follow(counters, "supervisor")
        self._resources.callback(os.close, counters)
        own = metrics.CounterPage(counters, names.index("supervisor"))
        self._resources.callback(own.close)
        own.add(metrics.index("gw_process_starts_total"))
        slots = metrics.AllSlots(counters)
        self._resources.callback(slots.close)
        self._collector = CounterCollector(
            slots,
            names,
            queues=self._queue_states,
            pids=self._live_pids,
            listeners=[one.name for one in self._devices.listeners],
        )

        def child(role: str, slot: int, ends: list[RingEnds], names_of: list[str]) -> None:
            made = Child(
                role,
                slot,
                command=self._commands.get(role) or role_command(role),
                settings=settings,
                environment=role_environment(os.environ, with_password=role == "coordinator"),
                rings=ends,
                counters_memfd=counters,
                counters_slot=names.index(f"worker-{slot}" if role == "worker" else role),
                counters_names=names,
                sockets=lambda: self._sockets_of(slot, names_of),
                also_pass=[lock],
                on_change=self._on_child_ready,
                on_pause=self._on_child_pause,
            )
            self._children[made.name] = made
            self._resources.callback(made.close)

        child("coordinator", 0, [*rings, *own_rings.values()], [])
        for slot in range(workers):
            child("worker", slot, [rings[slot]], ["devices"])
        child("api", 0, [own_rings["api"]], list(self._http))
        for one in self._sidecars:
            ends = [own_rings[one.role]] if one.rings else []
            child(one.role, 0, ends, [port.name for port in one.ports])

    def _make_rings(self, name: str) -> RingEnds:
        try:
            from gw._native import ring
        except ImportError:
            raise StartError("the native helpers are not built: run `make build`") from None
        made: list[int] = []
        for direction in ("up", "down"):
            memfd = ring.create(self._settings.workers.ring_bytes)
            self._resources.callback(os.close, memfd)
            wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._resources.callback(os.close, wake)
            probe = QueueProbe(name, direction, memfd)
            self._resources.callback(probe.close)
            self._probes.append(probe)
            made += [memfd, wake]
        return RingEnds(name, *made)

    def _sockets_of(self, slot: int, names: Sequence[str]) -> dict[str, int]:
        """Descriptors for a process that is about to start."""
        if "devices" not in names:
            return {name: self._single[name].fileno() for name in names}
        return self._devices.descriptors(slot)

    def _start_metrics(self) -> None:
        """Begin to answer Prometheus and the load balancers."""
        collectors: dict[str, CounterCollector | None] = {"metrics": self._collector}
        if not self._settings.security.external:
            collectors["security_check"] = None
        for name, collector in collectors.items():
            section = getattr(self._settings, name)
            try:
                endpoint = MetricsEndpoint(section.host, section.port, collector, self._stop.is_set)
            except OSError as exc:
                raise StartError(explain(name, section.host, section.port, exc)) from None
            self._resources.callback(endpoint.close)
            self._plain_ports[name] = endpoint.port

    def _queue_states(self) -> list[QueueState]:
        return [probe.read() for probe in self._probes]

    def _live_pids(self) -> dict[str, int]:
        pids = {name: child.pid for name, child in list(self._children.items())}
        live = {name: pid for name, pid in pids.items() if pid is not None}
        return {"supervisor": os.getpid(), **live}

    # -- running

    async def _supervise(self) -> int:
        keepers = {
            name: asyncio.create_task(child.keep(), name=name)
            for name, child in self._children.items()
            if child.role in ("coordinator", "worker")
        }
        starting = asyncio.create_task(self._start_readers(keepers))
        stopping = asyncio.create_task(_happened(self._stop))
        try:
            await self._until_told_or_failed(starting, stopping, keepers)
        finally:
            for task in (starting, stopping):
                task.cancel()
            self._stop.set()
            if self._ready_file is not None:
                self._ready_file.remove()
            clean = await self._drain(keepers)
        if self._fault is not None:
            raise self._fault
        return 0 if clean else 1

    async def _start_readers(self, keepers: dict[str, asyncio.Task[None]]) -> None:
        """Start what reads the store, once the coordinator has brought its schema up to date."""
        await self._children["coordinator"].ready.wait()
        for name in ("api", *(one.role for one in self._sidecars)):
            keepers[name] = asyncio.create_task(self._children[name].keep(), name=name)

    async def _until_told_or_failed(
        self,
        starting: asyncio.Task[None],
        stopping: asyncio.Task[None],
        keepers: dict[str, asyncio.Task[None]],
    ) -> None:
        """Return when it is time to stop. Keepers end by themselves only with a fault."""
        while not stopping.done():
            # `starting` adds keepers, which then must be waited for too.
            awaited: set[asyncio.Task[None]] = {stopping, *keepers.values()}
            if not starting.done():
                awaited.add(starting)
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            for task in keepers.values():
                if not task.done():
                    continue
                try:
                    task.result()
                except StartError as exc:
                    self._fault = exc
                    return

    def _on_child_ready(self, child: Child) -> None:
        if self._stop.is_set() or not all(c.ready.is_set() for c in self._children.values()):
            return
        ready = self._describe()
        if self._ready_file is not None:
            try:
                self._ready_file.write(ready)
            except StartError as exc:
                self._fault = exc
                self._stop.set()
                return
        if self._on_ready is not None:
            self._on_ready(ready)
            self._on_ready = None
            log.info("the gateway serves", devices=ready.devices, api=ready.api)

    def _on_child_pause(self, child: Child, seconds: float) -> None:
        """Take the slot of a worker that keeps dying out, so that others get its connections."""
        others = [c for c in self._children.values() if c.role == "worker" and c is not child]
        if child.role != "worker" or seconds < _SLOT_OUT_SECONDS:
            return
        if any(c.ready.is_set() for c in others) and self._devices.take_out(child.slot):
            log.warning("slot taken out until its worker starts again", role=child.name)

    def _describe(self) -> Ready:
        settings = self._settings
        urls = {
            name: f"https://{public_host(getattr(settings, name).host)}"
            f":{port_of(self._single[name])}"
            for name in self._http
        }
        for one in self._sidecars:
            host = public_host(getattr(settings, one.role).host) if one.ports else ""
            for name, _, scheme in one.ports:
                urls[name] = f"{scheme}{host}:{port_of(self._single[name])}"
        for name, port in self._plain_ports.items():
            urls[name] = f"http://{public_host(getattr(settings, name).host)}:{port}"
        urls.setdefault("security", settings.security.external_url)
        pids = {name: child.pid or 0 for name, child in self._children.items()}
        addresses = self._devices.addresses()
        return Ready(
            devices=addresses.pop(FIRST),
            device_listeners=addresses or msgspec.UNSET,
            pids=Pids(
                supervisor=os.getpid(),
                coordinator=pids["coordinator"],
                api=pids["api"],
                workers=[pids[f"worker-{slot}"] for slot in range(self._devices.slots)],
                **{one.role: pids[one.role] for one in self._sidecars},
            ),
            **urls,
        )

    # -- stopping

    def _on_stop_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
            log.info("stopping", signal=number.name)
            self._stop.set()
        elif now - self._told_at >= _SAME_SIGNAL_SECONDS and not self._kill.is_set():
            log.warning("stopping at once", signal=number.name)
            self._kill.set()

    def _on_reload_signal(self) -> None:
        for child in self._children.values():
            # Before it is ready it may not handle the signal yet, and reads new files anyway.
            if child.ready.is_set():
                child.send(signal.SIGHUP)

    async def _drain(self, keepers: dict[str, asyncio.Task[None]]) -> bool:
        """Stop stage by stage; True if all roles ended well, by themselves and in time."""
        # A connection must not wait in the backlog of a gateway that goes away.
        self._close_sockets()
        sidecars = [one.role for one in self._sidecars]
        for stage in (["worker"], ["api", *sidecars], ["coordinator"]):
            children = [c for c in self._children.values() if c.role in stage]
            tasks = [keepers[c.name] for c in children if c.name in keepers]
            for child in children:
                child.stop()
            await self._wait(tasks, self._settings.run.drain_seconds)
            if not all(task.done() for task in tasks):
                for child in children:
                    if child.pid is not None:
                        self._tell_of_kill(child)
                        child.kill()
                await asyncio.wait(tasks)
            # A failed start has been told of already; here it must only not be lost as a task.
            await asyncio.gather(*tasks, return_exceptions=True)
        return not any(child.failed for child in self._children.values())

    def _tell_of_kill(self, child: Child) -> None:
        if self._kill.is_set():
            log.warning("process is killed, as told by a second signal", role=child.name)
        else:
            log.error("process did not end in time, and is killed", role=child.name)

    async def _wait(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        """Wait for the tasks, for the time given, or until there is a second signal."""
        if not tasks:
            return
        killing = asyncio.create_task(_happened(self._kill), name="kill")
        ending = asyncio.create_task(_all_done(tasks), name="end")
        try:
            await asyncio.wait(
                {killing, ending}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            killing.cancel()
            ending.cancel()


async def _happened(event: asyncio.Event) -> None:
    await event.wait()


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    # Not gather: to cancel this must not cancel the keepers.
    await asyncio.wait(tasks)


def _raise_descriptor_limit() -> None:
    """Let every process have as many descriptors as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
