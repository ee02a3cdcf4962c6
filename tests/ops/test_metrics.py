"""Counters in shared memory, and what the exporter makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gw._native import ring
from gw.ops import metrics, metrics_table
from gw.ops.metrics_exporter import CounterCollector, MetricsEndpoint
from gw.ops.metrics_queues import QueueProbe

CONNECTIONS = metrics.index("gw_connections", "0")
STATES = metrics.index("gw_device_messages_received_total", "state")
HANDSHAKES = metrics.index("gw_handshake_seconds")
BOUNDS = next(m for m in metrics_table.TABLE if m.name == "gw_handshake_seconds").buckets


@pytest.fixture
def memfd() -> Iterator[int]:
    fd = metrics.create(3)
    yield fd
    os.close(fd)


def test_every_index_is_its_own() -> None:
    seen: set[int] = set()
    for metric in metrics_table.TABLE:
        for values in metrics.label_sets(metric):
            at = metrics.index(metric.name, *values)
            words = set(range(at, at + metrics.width(metric)))
            assert not words & seen
            seen |= words
    assert seen == set(range(metrics.WORDS))


@pytest.mark.parametrize("key", [("gw_nothing",), ("gw_connections", "x"), ("gw_logins_total",)])
def test_unknown_names_and_labels_are_refused(key: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        metrics.index(*key)


def test_indexes_of_a_family() -> None:
    found = metrics.indexes("gw_device_messages_received_total")
    assert tuple(found) == metrics_table.DEVICE_METHODS
    assert found["state"] == STATES
    with pytest.raises(KeyError):
        metrics.indexes("gw_handshakes_in_flight")


def test_names_and_labels_are_ones_prometheus_takes() -> None:
    for metric in metrics_table.TABLE:
        assert metric.name.startswith("gw_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert "serial" not in dict(metric.labels)
        assert list(metric.buckets) == sorted(metric.buckets)
        assert bool(metric.buckets) == (metric.kind == "histogram")


def test_slots_are_apart_and_shared_between_processes(memfd: int) -> None:
    mine = metrics.CounterPage(memfd, 0)
    mine.add(STATES, 5)
    code = (
        "import sys; from gw.ops import metrics; page = metrics.CounterPage(int(sys.argv[1]), 2);"
        "page.add(int(sys.argv[2]), 7)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(memfd), str(STATES)],
        pass_fds=[memfd],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        check=True,
    )
    everyone = metrics.AllSlots(memfd)
    assert [everyone.value(slot, STATES) for slot in range(3)] == [5, 0, 7]
    assert everyone.total(STATES) == 12
    everyone.close()
    mine.close()


def test_a_slot_that_does_not_exist_is_refused(memfd: int) -> None:
    with pytest.raises(ValueError, match="no slot 3"):
        metrics.CounterPage(memfd, 3)


def test_gauges_are_forgotten_and_counters_go_on(memfd: int) -> None:
    page = metrics.CounterPage(memfd, 1)
    page.set(CONNECTIONS, 9)
    page.add(STATES)
    page.zero_gauges()
    assert (page.get(CONNECTIONS), page.get(STATES)) == (0, 1)
    page.close()


def test_a_gauge_never_goes_below_zero() -> None:
    page = metrics.CounterPage.private()
    page.add(CONNECTIONS, -1)
    assert page.get(CONNECTIONS) == 0
    page.set(CONNECTIONS, -5)
    assert page.get(CONNECTIONS) == 0
    page.close()


@given(st.lists(st.floats(-1, 100, allow_nan=False), max_size=30))
def test_a_histogram_counts_each_observation_once(values: list[float]) -> None:
    page = metrics.CounterPage.private()
    for value in values:
        page.observe(HANDSHAKES, value)
    buckets = [page.get(HANDSHAKES + place) for place in range(len(BOUNDS))]
    for place, bound in enumerate(BOUNDS):
        assert sum(buckets[: place + 1]) == sum(value <= bound for value in values)
    total = sum(int(max(value, 0.0) * 1e9) for value in values)
    assert page.get(HANDSHAKES + len(BOUNDS)) == total
    assert page.get(HANDSHAKES + len(BOUNDS) + 1) == len(values)
    page.close()


def fetch(url: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_endpoint_sums_slots_and_shows_queues(memfd: int) -> None:
    pages = [metrics.CounterPage(memfd, slot) for slot in range(3)]
    for page in pages:
        page.add(STATES)
        page.set(CONNECTIONS, 10)
        page.observe(HANDSHAKES, 0.02)
    pages[2].add(metrics.index("gw_process_starts_total"), 4)
    ring_fd = ring.create(65536)
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    producer = ring.Producer(ring_fd, wake)
    assert producer.push(1, 0, 0, 0, b"head", b"body")
    probe = QueueProbe("worker-0", "up", ring_fd)
    slots = metrics.AllSlots(memfd)
    draining = False
    collector = CounterCollector(
        slots,
        ["supervisor", "coordinator", "worker-0"],
        queues=lambda: [probe.read()],
        pids=lambda: {"worker-0": os.getpid(), "api": 2**22 + 1},
    )
    endpoint = MetricsEndpoint("127.0.0.1", 0, collector, lambda: draining)
    url = f"http://127.0.0.1:{endpoint.port}"
    try:
        status, kind, text = fetch(url + "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        samples = {
            (s.name, *sorted(s.labels.items())): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }
        assert samples["gw_device_messages_received_total", ("method", "state")] == 3
        assert samples["gw_connections", ("listener", "devices")] == 30
        assert samples["gw_handshake_seconds_bucket", ("le", "0.01")] == 0
        assert samples["gw_handshake_seconds_bucket", ("le", "0.05")] == 3
        assert samples["gw_handshake_seconds_bucket", ("le", "+Inf")] == 3
        assert samples["gw_handshake_seconds_count",] == 3
        assert samples["gw_handshake_seconds_sum",] == pytest.approx(0.06)
        assert samples["gw_process_starts_total", ("process", "worker-0")] == 4
        queue = (("direction", "up"), ("queue", "worker-0"))
        assert samples["gw_queue_depth_bytes", *queue] == producer.used > 0
        assert samples["gw_queue_capacity_bytes", *queue] == 65536
        assert samples["gw_process_resident_bytes", ("process", "worker-0")] > 1_000_000
        assert ("gw_process_resident_bytes", ("process", "api")) not in samples
        assert any(key[0] == "gw_build_info" for key in samples)

        assert fetch(url + "/")[:2] == (200, "text/html; charset=utf-8")
        assert fetch(url + "/other")[0] == 404
        draining = True
        assert fetch(url + "/")[0] == 503
        assert fetch(url + "/metrics")[0] == 200
    finally:
        endpoint.close()
        slots.close()
        for page in pages:
            page.close()
        probe.close()
        producer.close()
        os.close(ring_fd)
        os.close(wake)


def test_listeners_are_shown_by_their_names_and_only_those_there_are(memfd: int) -> None:
    page = metrics.CounterPage(memfd, 2)
    page.set(metrics.index("gw_connections", "1"), 7)
    slots = metrics.AllSlots(memfd)
    try:
        collector = CounterCollector(slots, ["a", "b", "c"], listeners=["devices", "lab"])
        families = {family.name: family for family in collector.collect()}
        shown = [(s.labels["listener"], s.value) for s in families["gw_connections"].samples]
        assert shown == [("devices", 0), ("lab", 7)]
        reloads = families["gw_certificate_reloads"].samples
        names = {s.labels["listener"] for s in reloads}
        assert names == {"devices", "lab", "api"}
    finally:
        slots.close()
        page.close()


def test_a_probe_agrees_with_the_ends_of_the_ring() -> None:
    memfd = ring.create(65536)
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    producer, consumer = ring.Producer(memfd, wake), ring.Consumer(memfd, wake)
    probe = QueueProbe("api", "down", memfd)
    generations = (producer.producer_generation, consumer.consumer_generation)
    assert consumer.arm()
    assert probe.read().oldest_seconds == 0.0
    received = time.monotonic_ns() - 5_000_000_000
    while producer.push(1, 2, 3, received, b"head", b"x" * 5000):
        state = probe.read()
        assert state.oldest_seconds >= 5.0
        assert (state.depth_bytes, state.refused) == (consumer.depth_bytes, 0)
    state = probe.read()
    assert (state.refused, state.wakeups, state.capacity) == (1, producer.wakeups, 65536)
    assert state.wakeups == 1
    consumer.skip_all()
    assert probe.read().depth_bytes == 0
    assert (producer.producer_generation, consumer.consumer_generation) == generations
    probe.close()
    producer.close()
    consumer.close()
    os.close(memfd)
    os.close(wake)


def test_a_probe_refuses_other_memory(memfd: int) -> None:
    with pytest.raises(ValueError, match="not a ring"):
        QueueProbe("worker-0", "up", memfd)
