"""The rtty process: `python -m gw.rtty`, started by the supervisor if `rtty.enabled` is set."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Final

import uvloop

from gw.core.bootstrap import Bootstrap, announce_ready, load
from gw.ops import log_levels, logs, metrics
from gw.rtty.server import TerminalServer
from gw.security.sealing import Sealer, sealing_key
from gw.store.errors import StoreError
from gw.store.open import open_reader
from gw.store.sealed import sealed_reader

EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h: starting again would not help."""

log = logs.get("rtty")


async def serve(bootstrap: Bootstrap) -> None:
    """Serve devices and browsers until SIGTERM."""
    settings = bootstrap.settings
    sealer = Sealer(sealing_key(settings.security.sealing_key, settings.run.data))
    reader = sealed_reader(open_reader(settings.store, settings.run.data), sealer)
    server = TerminalServer(
        settings,
        reader,
        metrics.CounterPage(bootstrap.counters_memfd, bootstrap.counters_slot),
        socket.socket(fileno=bootstrap.sockets["rtty"]),
        socket.socket(fileno=bootstrap.sockets["rtty_viewer"]),
    )
    server.start()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, server.contexts.reload)
    announce_ready(bootstrap)
    log.info("ready", generation=bootstrap.generation)
    await server.run(stopping)
    await reader.close()


def main() -> int:
    """Run the process; returns the exit status."""
    bootstrap = load()
    settings = bootstrap.settings.log
    logs.configure(format=settings.format, level=settings.level, role="rtty")
    log_levels.follow(bootstrap.counters_memfd, "rtty")
    try:
        uvloop.run(serve(bootstrap))
    except (OSError, ValueError) as error:
        log.error("the remote terminal cannot start", detail=str(error))
        return EXIT_CONFIGURATION
    except StoreError as error:
        log.error("the store cannot be used", detail=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
