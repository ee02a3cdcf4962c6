"""The metrics endpoint: a thread of the supervisor that reads the shared counters.

`/metrics` answers Prometheus; `/` is the load balancer's check (200, or 503 while draining). The
security service's check is a second endpoint, without `/metrics`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

import gw
from gw.core.listeners import FIRST
from gw.ops import logs, metrics, metrics_table
from gw.ops.metrics_queues import QueueState

_PER_PROCESS: Final = frozenset({"gw_process_starts_total"})
"""Families that are told apart by process; all others are summed."""
_NANOSECONDS: Final = 1e9
_REQUEST_SECONDS: Final = 10.0
_MAX_REQUESTS: Final = 32
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

log = logs.get("metrics")


class CounterCollector(Collector):
    """Families of the table, summed over all processes, and what the kernel and queues say."""

    def __init__(
        self,
        slots: metrics.AllSlots,
        names: Sequence[str],
        *,
        queues: Callable[[], Iterable[QueueState]] = tuple,
        pids: Callable[[], dict[str, int]] = dict,
        listeners: Sequence[str] = (FIRST,),
    ) -> None:
        """`names` are those of the slots; `pids` of the processes that live now, by name;
        `listeners` of the device listeners, by place: places without a name are not shown."""
        self._slots = slots
        self._names = names
        self._queues = queues
        self._pids = pids
        self._listeners = dict.fromkeys(metrics_table.LISTENERS)
        self._listeners |= dict(zip(metrics_table.LISTENERS, listeners, strict=False))

    def collect(self) -> Iterable[Metric]:
        """Yield every family. Called by the endpoint's threads."""
        for metric in metrics_table.TABLE:
            yield self._family(metric)
        yield from self._queue_families()
        yield from self._process_families()
        build = GaugeMetricFamily("gw_build_info", "Version that runs.", labels=["version"])
        build.add_metric([gw.__version__], 1)
        yield build

    def _family(self, metric: metrics_table.Metric) -> Metric:
        labels = [name for name, _ in metric.labels]
        if metric.kind == "histogram":
            return self._histogram(metric, labels)
        per_process = metric.name in _PER_PROCESS
        if per_process:
            labels = ["process", *labels]
        family: CounterMetricFamily | GaugeMetricFamily
        if metric.kind == "counter":
            family = CounterMetricFamily(metric.name, metric.help, labels=labels)
        else:
            family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
        for values in metrics.label_sets(metric):
            at = metrics.index(metric.name, *values)
            if per_process:
                for slot, name in enumerate(self._names):
                    family.add_metric([name, *values], self._slots.value(slot, at))
                continue
            shown = self._shown(labels, values)
            if shown is not None:
                family.add_metric(shown, self._slots.total(at))
        return family

    def _shown(self, labels: Sequence[str], values: Sequence[str]) -> list[str] | None:
        """Return label values as they are shown: listeners by name; None: there is no such one."""
        shown: list[str] = []
        for label, value in zip(labels, values, strict=True):
            name = self._listeners.get(value, value) if label == "listener" else value
            if name is None:
                return None
            shown.append(name)
        return shown

    def _histogram(self, metric: metrics_table.Metric, labels: list[str]) -> Metric:
        family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for values in metrics.label_sets(metric):
            at = metrics.index(metric.name, *values)
            size = len(metric.buckets)
            buckets: list[tuple[str, float]] = []
            below = 0
            for place, bound in enumerate(metric.buckets):
                below += self._slots.total(at + place)
                buckets.append((str(float(bound)), below))
            # An observation may be under way: its bucket is written before its count.
            count = max(below, self._slots.total(at + size + 1))
            buckets.append(("+Inf", count))
            seconds = self._slots.total(at + size) / _NANOSECONDS
            family.add_metric(values, buckets, seconds)
        return family

    def _queue_families(self) -> Iterable[Metric]:
        labels = ["queue", "direction"]
        depth = GaugeMetricFamily(
            "gw_queue_depth_bytes", "Bytes in a queue that are not settled yet.", labels=labels
        )
        size = GaugeMetricFamily("gw_queue_capacity_bytes", "Size of a queue.", labels=labels)
        full = CounterMetricFamily(
            "gw_queue_full_total", "Records that a queue had no room for.", labels=labels
        )
        wakeups = CounterMetricFamily(
            "gw_queue_wakeups_total", "Times that a queue woke its reader.", labels=labels
        )
        oldest = GaugeMetricFamily(
            "gw_queue_oldest_seconds", "Age of the oldest record of a queue.", labels=labels
        )
        for state in self._queues():
            where = [state.queue, state.direction]
            depth.add_metric(where, state.depth_bytes)
            size.add_metric(where, state.capacity)
            full.add_metric(where, state.refused)
            wakeups.add_metric(where, state.wakeups)
            oldest.add_metric(where, state.oldest_seconds)
        return depth, size, full, wakeups, oldest

    def _process_families(self) -> Iterable[Metric]:
        labels = ["process"]
        memory = GaugeMetricFamily(
            "gw_process_resident_bytes", "Resident memory of a process.", labels=labels
        )
        files = GaugeMetricFamily(
            "gw_process_open_descriptors", "Open descriptors of a process.", labels=labels
        )
        cpu = CounterMetricFamily(
            "gw_process_cpu_seconds_total", "Processor time of a process.", labels=labels
        )
        for name, pid in self._pids().items():
            try:
                with open(f"/proc/{pid}/stat", "rb") as stat:
                    # The name in parentheses may hold anything; fields are counted behind it.
                    fields = stat.read().rpartition(b")")[2].split()
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue  # it ended meanwhile
            memory.add_metric([name], int(fields[21]) * _PAGE)
            files.add_metric([name], descriptors)
            cpu.add_metric([name], (int(fields[11]) + int(fields[12])) / _TICKS)
        return memory, files, cpu


class _Server(ThreadingHTTPServer):
    """Bounded in threads: the endpoint must not be what takes the supervisor down."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self,
        family: socket.AddressFamily,
        address: tuple[str, int],
        registry: CollectorRegistry | None,
        draining: Callable[[], bool],
    ) -> None:
        self.address_family = family
        self.registry = registry
        self.draining = draining
        self._room = threading.BoundedSemaphore(_MAX_REQUESTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's, which asks the name service for the host's full name.
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_SECONDS
    server_version = "gw"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics" and self.server.registry is not None:
            encode, kind = choose_encoder(self.headers.get("Accept") or "")
            self._answer(200, kind, encode(self.server.registry))
        elif path != "/":
            text = b"not found: try /metrics\n" if self.server.registry else b"not found\n"
            self._answer(404, "text/plain; charset=utf-8", text)
        elif self.server.draining():
            self._answer(503, "text/html; charset=utf-8", b"<html>draining</html>\n")
        else:
            self._answer(200, "text/html; charset=utf-8", b"<html>up</html>\n")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is not news."""


class MetricsEndpoint:
    """The HTTP server and its thread. Binding errors are raised here, as OSError.

    Without a collector it answers the load balancer's check only.
    """

    def __init__(
        self,
        host: str,
        port: int,
        collector: Collector | None,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        registry = None
        if collector is not None:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(collector)
        family, address = _resolve(host, port)
        self._server = _Server(family, address, registry, draining)
        self.port: int = self._server.server_address[1]
        """The port that is listened on, also if 0 was asked for."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = sorted(found, key=lambda f: f[0] != socket.AF_INET)[0]
    return family, (str(address[0]), int(address[1]))
