"""Entry of the radius process; started by the supervisor if `radius.enabled`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, Final

import uvloop

from gw._native.ring import RingError
from gw.core.bootstrap import Bootstrap, announce_ready, load
from gw.ops import log_levels, logs, metrics
from gw.radius.queues import Queues
from gw.radius.service import Service
from gw.radius.udp import SocketError

EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h: starting again would not help."""


async def serve(bootstrap: Bootstrap) -> None:
    """Serve until SIGTERM."""
    counters = metrics.CounterPage(bootstrap.counters_memfd, bootstrap.counters_slot)
    queues = Queues(bootstrap.rings[0])
    service = Service(bootstrap.settings.radius, counters, queues, bootstrap.generation)
    service.start()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    announce_ready(bootstrap)
    waiting = asyncio.create_task(stopping.wait())
    parts: list[asyncio.Future[Any]] = [waiting, queues.failed]
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        queues.failed.result()  # raises what ended it; the supervisor starts a successor
    await service.stop()


def main() -> int:
    """Run the proxy; returns the exit status."""
    bootstrap = load()
    settings = bootstrap.settings.log
    logs.configure(format=settings.format, level=settings.level, role="radius")
    log_levels.follow(bootstrap.counters_memfd, "radius")
    log = logs.get("radius")
    try:
        uvloop.run(serve(bootstrap))
    except SocketError as error:
        log.error("the RADIUS proxy cannot start", detail=str(error))
        return EXIT_CONFIGURATION
    except RingError as error:
        log.error("the queues cannot be used", detail=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
