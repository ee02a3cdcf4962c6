"""Entry of a worker process; started by the supervisor."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from typing import Any

import uvloop
from picows import WSCloseCode

from gw._native.ring import Consumer, Producer, RingError
from gw.core import records
from gw.core.bootstrap import Bootstrap, announce_ready, load
from gw.core.records import RECORD_VERSION, Kind
from gw.ops import log_levels, logs, metrics
from gw.worker.context import WorkerContext
from gw.worker.downlink import Downlink
from gw.worker.listener import DeviceListener
from gw.worker.reload import CertificateReload
from gw.worker.sweep import sweep
from gw.worker.uplink import Uplink

EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: starting again would not help."""


async def serve(bootstrap: Bootstrap) -> None:
    """Serve devices until SIGTERM, then close all sessions and flush."""
    log = logs.get("worker")
    settings = bootstrap.settings
    ends = bootstrap.rings[0]
    counters = metrics.CounterPage(bootstrap.counters_memfd, bootstrap.counters_slot)
    uplink = Uplink(
        Producer(ends.up_memfd, ends.up_wake),
        counters,
        reserve=settings.workers.ring_reserve_bytes,
    )
    context = WorkerContext(settings, counters, uplink, bootstrap.slot, bootstrap.generation)
    downlink = Downlink(context, Consumer(ends.down_memfd, ends.down_wake), ends.down_wake)
    listeners = [
        DeviceListener(
            context, socket.socket(fileno=bootstrap.sockets[state.settings.socket_name]), state
        )
        for state in context.listeners
    ]

    started = records.encode(
        records.WorkerStarted(RECORD_VERSION, bootstrap.slot, bootstrap.generation)
    )
    uplink.publish(Kind.WORKER_STARTED, 0, 0, time.monotonic_ns(), started, b"")
    downlink.start()
    for listener in listeners:
        listener.start()
    sweeper = asyncio.create_task(sweep(context))
    reloads = [CertificateReload(context, listener) for listener in listeners]
    watching = [asyncio.create_task(one.run()) for one in reloads]

    def reload() -> None:
        for one in reloads:
            one.ask()

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, reload)
    announce_ready(bootstrap)
    waiting = asyncio.create_task(stopping.wait())
    parts: list[asyncio.Future[Any]] = [waiting, sweeper, *watching, context.failed]
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        for part in parts[1:]:
            if part.done():
                part.result()  # raises what ended it; the supervisor starts a new worker
    log.info("draining", sessions=len(context.sessions))
    for task in (sweeper, *watching):
        task.cancel()
    for listener in listeners:
        await listener.stop()
    downlink.stop()
    await drain(context, settings.run.drain_seconds / 2)


async def drain(context: WorkerContext, seconds: float) -> None:
    """Close every session and publish what is left, for `seconds` at most."""
    for session in list(context.sessions.values()):
        session.end(WSCloseCode.SERVICE_RESTART, "drain", "the gateway is restarting")
    deadline = time.monotonic() + seconds
    while (context.sessions or not context.uplink.drained) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        if time.monotonic() > deadline - seconds / 2:
            for session in list(context.sessions.values()):
                if session.transport is not None:
                    session.transport.disconnect(False)


def main() -> int:
    """Run the worker; returns the exit status."""
    bootstrap = load()
    settings = bootstrap.settings.log
    logs.configure(format=settings.format, level=settings.level, role="worker", slot=bootstrap.slot)
    log_levels.follow(bootstrap.counters_memfd, "worker")
    try:
        uvloop.run(serve(bootstrap))
    except (OSError, ValueError) as error:
        logs.get("worker").error("the worker cannot start", detail=str(error))
        return EXIT_CONFIGURATION
    except RingError as error:
        logs.get("worker").error("the queues cannot be used", detail=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
