"""Health of servers that a web page tells: `monitorMethod` https.

The page of `methodParameters[0]` is asked for each server, with its address in place of `{ip}`
and its name in place of `{name}`; an answer with status 2xx means that the server is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import Final
from urllib.parse import quote, urlsplit

from gw.core.settings import Radius
from gw.ops import logs
from gw.radius.outlets import Tally
from gw.radius.pools import Pools, Server

log = logs.get("radius")

_MAX_LINE: Final = 1024


class Monitors:
    """One task per server that is monitored in this way."""

    def __init__(self, settings: Radius, pools: Pools, tally: Tally) -> None:
        self._settings = settings
        self._pools = pools
        self._tally = tally
        self._tasks: list[asyncio.Task[None]] = []

    def apply(self) -> None:
        """Watch the servers of the pools as they are now."""
        self.stop()
        loop = asyncio.get_running_loop()
        for pool in self._pools:
            for choice in pool.choices.values():
                entry = choice.entry
                if not entry.monitor or entry.monitor_method != "https":
                    continue
                for server in choice.servers:
                    url = entry.method_parameters[0]
                    self._tasks.append(loop.create_task(self._watch(server, url)))

    def stop(self) -> None:
        """Watch none."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _watch(self, server: Server, template: str) -> None:
        url = template.replace("{ip}", server.entry.ip).replace("{name}", quote(server.name))
        context = ssl.create_default_context()
        while True:
            reason = ""
            try:
                async with asyncio.timeout(self._settings.answer_seconds):
                    status = await get_status(url, context)
                reason = "" if 200 <= status < 300 else f"status {status}"
            except (OSError, ssl.SSLError, TimeoutError, ValueError, EOFError) as error:
                reason = str(error) or type(error).__name__
            self._judge(server, reason)
            await asyncio.sleep(self._settings.probe_seconds)

    def _judge(self, server: Server, reason: str) -> None:
        health = server.endpoint.health
        self._tally.probed(not reason)
        if not reason:
            if health.answered():
                self._tally.server_changed(server.endpoint, up=True)
        elif health.unanswered(time.monotonic()):
            log.warning("monitor of a RADIUS server", server=server.name, detail=reason)
            self._tally.server_changed(server.endpoint, up=False)


async def get_status(url: str, context: ssl.SSLContext) -> int:
    """Ask for an https page and return the status. Raises OSError, ValueError or EOFError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reader, writer = await asyncio.open_connection(
        host, parts.port or 443, ssl=context, limit=_MAX_LINE
    )
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii"))
        line = await reader.readline()
        version, _, rest = line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ValueError("the answer is not HTTP")
        return int(rest[:3])
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
