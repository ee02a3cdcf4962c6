"""The ring in one process: its rules one by one, then against a model."""

import array
import fcntl
import os
import select
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gw._native import ring

HEAD_AT, TAIL_AT = 64, 128  # of the words in the header page
CAPACITY = 16384


class Pair:
    """A ring with both ends attached, and its descriptors."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.memfd = ring.create(capacity)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.producer = ring.Producer(self.memfd, self.wake)
        self.consumer = ring.Consumer(self.memfd, self.wake)

    def push(self, body: bytes = b"body", *, reserve: int = 0, lazy: bool = False) -> bool:
        return self.producer.push(1, 2, 3, 4, b"head", body, reserve=reserve, lazy=lazy)

    def write(self, at: int, data: bytes) -> None:
        """Damage the memory at stream offset `at`."""
        for n, byte in enumerate(data):
            place = ring.HEADER_BYTES + (at + n) % self.consumer.capacity
            os.pwrite(self.memfd, bytes([byte]), place)

    def awake(self) -> bool:
        """Whether a sleeper on the eventfd would be woken now."""
        return bool(select.select([self.wake], [], [], 0)[0])

    def close(self) -> None:
        self.producer.close()
        self.consumer.close()
        os.close(self.memfd)
        os.close(self.wake)


@contextmanager
def opened(capacity: int = CAPACITY) -> Iterator[Pair]:
    pair = Pair(capacity)
    try:
        yield pair
    finally:
        pair.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with opened() as it:
        yield it


def taken(head: bytes, body: bytes) -> int:
    return (ring.RECORD_OVERHEAD + len(head) + len(body) + 7) // 8 * 8


def test_every_field_comes_back(pair: Pair) -> None:
    assert pair.producer.push(7, 2**64 - 1, 2**64 - 2, -(2**63), b"h", b"bb", flags=65535)
    (record,) = pair.consumer.read()
    assert record == ring.Record(
        7, 65535, 2**64 - 1, 2**64 - 2, -(2**63), b"h", b"bb", taken(b"h", b"bb")
    )
    assert (record.kind, record.flags, record.session) == (7, 65535, 2**64 - 1)
    assert (record.serial, record.received_ns) == (2**64 - 2, -(2**63))
    assert (record.head, record.body, record.position) == (b"h", b"bb", pair.producer.position)
    assert pair.consumer.read() == []


def test_a_record_cannot_be_changed_and_compares_by_value() -> None:
    record = ring.Record(1, 0, 2, 3, 4, b"h", b"b", 56)
    with pytest.raises(AttributeError):
        record.kind = 2  # type: ignore[misc]
    assert hash(record) == hash(ring.Record(1, 0, 2, 3, 4, b"h", b"b", 56))
    assert record != ring.Record(1, 0, 2, 3, 4, b"h", b"c", 56)
    assert record != "record"


def test_repr_shows_no_payload() -> None:
    text = repr(ring.Record(1, 0, 2, 3, 4, b"hidden", b"secret", 64))
    assert "hidden" not in text
    assert "secret" not in text
    assert "position=64" in text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"abcdefgh" * 100,
        bytearray(b"abc"),
        memoryview(b"xabcx")[1:4],
        array.array("I", [1, 2, 3]),
    ],
    ids=["empty", "bytes", "bytearray", "memoryview", "array"],
)
def test_bodies_of_any_contiguous_buffer(pair: Pair, body: bytes) -> None:
    assert pair.producer.push(1, 1, 1, 1, b"", body)
    (record,) = pair.consumer.read()
    assert record.head == b""
    assert record.body == bytes(memoryview(body).cast("B") if len(body) else b"")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 1, 1, 1, b"", memoryview(b"abcdef")[::2]), BufferError),
        ((1, 1, 1, 1, b"", "text"), TypeError),
        ((1, 1, 1, 1, None, b""), TypeError),
        ((1, 1, 1, 1, bytearray(b"h"), b""), TypeError),
        ((65536, 1, 1, 1, b"", b""), OverflowError),
        ((-1, 1, 1, 1, b"", b""), OverflowError),
        ((1, 2**64, 1, 1, b"", b""), OverflowError),
        ((1, 1, 2**64, 1, b"", b""), OverflowError),
        ((1, 1, 1, 2**63, b"", b""), OverflowError),
        ((1, 1, 1, 1, b"", b"", 65536), OverflowError),
        ((1, 1, 1, 1, b"", b"", 0, -1), OverflowError),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    pair: Pair, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        pair.producer.push(*arguments)  # type: ignore[arg-type]
    assert pair.producer.used == 0
    assert pair.consumer.read() == []


def test_limits_of_one_record_name_the_sizes() -> None:
    with opened(1 << 20) as pair:
        limit = (1 << 19) - ring.RECORD_OVERHEAD
        assert pair.producer.max_record_bytes == 1 << 19
        with pytest.raises(ValueError, match=r"524296 bytes \(head 0, body 524241\).*524288"):
            pair.producer.push(1, 1, 1, 1, b"", bytes(limit + 1))
        with pytest.raises(ValueError, match=r"65536 bytes.*65535"):
            pair.producer.push(1, 1, 1, 1, bytes(65536), b"")
        assert pair.producer.push(1, 1, 1, 1, b"", bytes(limit))
        assert pair.producer.push(1, 1, 1, 1, bytes(65535), bytes(limit - 65536))
        assert pair.producer.used == 1 << 20
        assert pair.producer.refused == 0
        assert [len(r.body) for r in pair.consumer.read(max_bytes=1)] == [limit]
        assert [len(r.head) for r in pair.consumer.read(max_bytes=1)] == [65535]


def test_a_large_ring_stops_at_the_module_limit() -> None:
    with opened(64 << 20) as pair:
        assert pair.producer.max_record_bytes == ring.MAX_RECORD_BYTES == 16 << 20
        body = bytes(ring.MAX_RECORD_BYTES - ring.RECORD_OVERHEAD)
        assert pair.producer.push(1, 1, 1, 1, b"", body)
        with pytest.raises(ValueError, match="over the limit of 16777216 bytes"):
            pair.producer.push(1, 1, 1, 1, b"", body + b"x")
        assert pair.consumer.read(max_bytes=0)[0].body == body


def test_a_full_ring_refuses_until_commit(pair: Pair) -> None:
    count = 0
    while pair.push(bytes(1000)):
        count += 1
    assert count == CAPACITY // taken(b"head", bytes(1000))
    assert pair.consumer.refused == pair.producer.refused == 1
    records = pair.consumer.read(max_records=3)
    assert len(records) == 3
    assert not pair.push(bytes(1000)), "reading alone gives nothing back"
    pair.consumer.commit(records[0].position)
    assert pair.push(bytes(1000))
    assert not pair.push(bytes(1000))
    assert pair.consumer.refused == 3


def test_reserve_keeps_room_for_those_who_may_use_it(pair: Pair) -> None:
    size = taken(b"head", bytes(1000))
    while pair.push(bytes(1000), reserve=4096):
        pass
    free = CAPACITY - pair.producer.used
    assert 4096 <= free < 4096 + size
    for _ in range(free // size):
        assert pair.push(bytes(1000))
    assert not pair.push(bytes(1000))
    assert not pair.push(b"", reserve=CAPACITY)
    assert not pair.push(b"", reserve=2**64 - 1)


def test_reserve_is_exact() -> None:
    with opened(4096) as pair:
        size = taken(b"head", b"")
        assert not pair.push(b"", reserve=4096 - size + 1)
        assert pair.push(b"", reserve=4096 - size)


def test_records_wrap_and_positions_go_on(pair: Pair) -> None:
    last = 0
    for n in range(500):
        body = bytes([n % 256]) * (n * 37 % 5000)
        assert pair.producer.push(1, n, n, n, b"%d" % n, body)
        (record,) = pair.consumer.read()
        assert (record.session, record.head, record.body) == (n, b"%d" % n, body)
        assert record.position == last + taken(record.head, body)
        last = record.position
        pair.consumer.commit(last)
    assert last > 10 * CAPACITY
    assert pair.consumer.tail == pair.consumer.position == pair.producer.position == last


def test_read_stops_at_either_limit(pair: Pair) -> None:
    for n in range(10):
        pair.push(bytes(n))
    with pytest.raises(ValueError, match="max_records is 0"):
        pair.consumer.read(max_records=0)
    assert [len(r.body) for r in pair.consumer.read(max_records=2)] == [0, 1]
    assert [len(r.body) for r in pair.consumer.read(max_bytes=128)] == [2, 3]
    assert [len(r.body) for r in pair.consumer.read(max_bytes=-1)] == [4]
    assert [len(r.body) for r in pair.consumer.read()] == [5, 6, 7, 8, 9]


def test_a_successor_consumer_reads_again_what_was_not_committed(pair: Pair) -> None:
    for n in range(5):
        pair.push(bytes(n))
    records = pair.consumer.read()
    pair.consumer.commit(records[1].position)
    heir = ring.Consumer(pair.memfd, pair.wake)
    assert heir.generation == pair.consumer.generation + 1 == heir.consumer_generation
    assert heir.position == heir.tail == records[1].position
    assert heir.read() == records[2:]
    # It may know better than the tail, from what it stored together with the records.
    heir.seek(records[3].position)
    heir.commit(records[3].position)
    assert heir.read() == records[4:]
    heir.close()


def test_a_superseded_end_touches_nothing(pair: Pair) -> None:
    pair.push()
    position = pair.consumer.read()[0].position
    heir = ring.Consumer(pair.memfd, pair.wake)
    for act in (
        lambda: pair.consumer.commit(position),
        pair.consumer.read,
        pair.consumer.arm,
        pair.consumer.skip_all,
        lambda: pair.consumer.seek(position),
    ):
        with pytest.raises(ring.RingError, match="another consumer"):
            act()
    assert heir.depth_bytes == position
    heir.close()
    producer = ring.Producer(pair.memfd, pair.wake)
    with pytest.raises(ring.RingError, match="another producer"):
        pair.push()
    assert producer.position == position
    assert producer.generation == producer.producer_generation == 2
    producer.close()


def test_a_half_written_record_of_a_dead_producer_is_never_seen(pair: Pair) -> None:
    pair.push(b"whole")
    os.pwrite(pair.memfd, os.urandom(500), ring.HEADER_BYTES + pair.producer.position)
    heir = ring.Producer(pair.memfd, pair.wake)
    assert [r.body for r in pair.consumer.read()] == [b"whole"]
    assert heir.push(1, 2, 3, 4, b"", b"next")
    assert [r.body for r in pair.consumer.read()] == [b"next"]
    heir.close()


def test_seek_wants_the_start_of_a_record_within_bounds(pair: Pair) -> None:
    ends = [0]
    for n in range(4):
        pair.push(bytes(n * 10))
        ends.append(pair.producer.position)
    for position in (ends[-1], *ends):
        pair.consumer.seek(position)
        assert pair.consumer.position == position
    for position in set(range(ends[-1])) - set(ends):
        with pytest.raises(ValueError, match="not the start of a record"):
            pair.consumer.seek(position)
    with pytest.raises(ValueError, match="not from tail"):
        pair.consumer.seek(ends[-1] + 8)
    pair.consumer.seek(ends[3])
    pair.consumer.commit(ends[2])
    with pytest.raises(ValueError, match="not from tail"):
        pair.consumer.seek(ends[1])


def test_commit_wants_the_end_of_a_record_that_was_read(pair: Pair) -> None:
    for n in range(3):
        pair.push(bytes(n))
    records = pair.consumer.read(max_records=2)
    with pytest.raises(ValueError, match="to cursor"):
        pair.consumer.commit(pair.producer.position)
    with pytest.raises(ValueError, match="not the start of a record"):
        pair.consumer.commit(records[0].position + 8)
    pair.consumer.commit(records[1].position)
    pair.consumer.commit(records[1].position)
    with pytest.raises(ValueError, match="not from tail"):
        pair.consumer.commit(records[0].position)


def test_skip_all(pair: Pair) -> None:
    while pair.push(bytes(100)):
        pass
    assert pair.consumer.skip_all() == pair.producer.position
    assert pair.consumer.depth_bytes == pair.producer.used == 0
    assert pair.consumer.read() == []
    assert pair.push(b"new")
    assert [r.body for r in pair.consumer.read()] == [b"new"]


def test_only_a_sleeper_is_woken_and_once(pair: Pair) -> None:
    assert pair.push()
    assert not pair.awake()
    assert not pair.consumer.arm(), "there is a record to read"
    pair.consumer.read()
    assert pair.push()
    assert not pair.awake(), "arm took itself back"
    pair.consumer.read()
    assert pair.consumer.arm()
    assert pair.push()
    assert pair.push()
    assert pair.awake()
    assert pair.consumer.wakeups == pair.producer.wakeups == 1
    pair.consumer.read()
    assert pair.consumer.arm()
    assert not pair.awake(), "arm drains"


def test_who_dozes_is_woken_only_by_what_cannot_wait(pair: Pair) -> None:
    assert pair.consumer.arm(doze=True)
    assert pair.push(lazy=True)
    assert not pair.awake()
    assert not pair.consumer.arm(doze=True), "there is a record to read"
    assert len(pair.consumer.read()) == 1
    assert pair.consumer.arm(doze=True)
    assert pair.push(lazy=True)
    assert pair.push()
    assert pair.awake()
    assert len(pair.consumer.read()) == 2
    assert pair.consumer.arm()
    assert pair.push(lazy=True)
    assert pair.awake(), "who sleeps is woken by everything"


def test_who_dozes_is_woken_before_the_ring_is_full(pair: Pair) -> None:
    # Not committed, and committed without the producer having looked.
    for _ in range(3):
        assert pair.consumer.arm(doze=True)
        while not pair.awake():
            assert pair.producer.used <= CAPACITY // 4
            assert pair.push(bytes(100), lazy=True)
        assert CAPACITY // 4 < pair.producer.used < CAPACITY // 2
        pair.consumer.read()
        pair.consumer.commit(pair.consumer.position)


def test_a_full_eventfd_is_readable_all_the_same(pair: Pair) -> None:
    assert pair.consumer.arm()
    os.eventfd_write(pair.wake, 2**64 - 2)
    assert pair.push()
    assert pair.awake()
    assert pair.consumer.wakeups == 0


def test_a_successor_producer_wakes_for_one_who_died_before_waking(pair: Pair) -> None:
    assert pair.push()
    assert pair.consumer.read()
    assert pair.consumer.arm()
    heir = ring.Producer(pair.memfd, pair.wake)
    # What the heir finds: published, not committed, and a consumer that says that it sleeps.
    assert pair.awake()
    heir.close()


def test_incarnations_differ() -> None:
    with opened() as one, opened() as two:
        assert one.consumer.incarnation == one.producer.incarnation
        assert 0 < one.consumer.incarnation < 2**63
        assert one.consumer.incarnation != two.consumer.incarnation


def test_the_ring_outlives_its_ends_and_keeps_its_counters(pair: Pair) -> None:
    pair.push(b"kept")
    assert not pair.push(reserve=CAPACITY)
    assert pair.consumer.arm() is False
    pair.producer.close()
    pair.consumer.close()
    consumer = ring.Consumer(pair.memfd, pair.wake)
    assert [r.body for r in consumer.read()] == [b"kept"]
    assert (consumer.refused, consumer.producer_generation, consumer.generation) == (1, 1, 2)
    consumer.close()


@pytest.mark.parametrize("place", range(0, ring.RECORD_OVERHEAD, 4))
def test_a_changed_header_is_recognised(pair: Pair, place: int) -> None:
    pair.push(b"good")
    start = pair.producer.position
    pair.push(bytes(200))
    pair.write(start + place, os.urandom(3) + b"\x99")
    assert [r.body for r in pair.consumer.read()] == [b"good"], "the good ones first"
    for _ in range(2):
        with pytest.raises(ring.RingCorrupted, match=f"no record at position {start}"):
            pair.consumer.read()
    assert pair.consumer.skip_all() == pair.producer.position
    assert pair.push(b"on")
    assert [r.body for r in pair.consumer.read()] == [b"on"]


def test_an_old_record_at_the_same_place_is_recognised(pair: Pair) -> None:
    """A header that was good one lap ago, and one copied to another place, are no records."""
    size = taken(b"head", b"")
    assert pair.push(b"")
    old = os.pread(pair.memfd, size, ring.HEADER_BYTES)
    pair.consumer.skip_all()
    while rest := CAPACITY - pair.producer.position:
        assert pair.producer.push(1, 1, 1, 1, b"", bytes(min(rest, 4096) - ring.RECORD_OVERHEAD))
        pair.consumer.skip_all()
    assert pair.push(b"")
    pair.write(pair.consumer.position, old)
    with pytest.raises(ring.RingCorrupted):
        pair.consumer.read()


@pytest.mark.parametrize(
    ("head", "tail"),
    [(CAPACITY + 8, 0), (0, 8), (2**64 - 8, 0), (20, 0), (16, 4)],
)
def test_offsets_that_make_no_sense_are_recognised(pair: Pair, head: int, tail: int) -> None:
    os.pwrite(pair.memfd, struct.pack("=Q", head), HEAD_AT)
    os.pwrite(pair.memfd, struct.pack("=Q", tail), TAIL_AT)
    with pytest.raises(ring.RingCorrupted, match="make no sense"):
        ring.Consumer(pair.memfd, pair.wake)
    with pytest.raises(ring.RingCorrupted, match="make no sense"):
        ring.Producer(pair.memfd, pair.wake)
    if head > 16:  # an end that lives goes by its own offset and the other's
        with pytest.raises(ring.RingCorrupted):
            pair.consumer.read()
        with pytest.raises(ring.RingCorrupted):
            pair.consumer.arm()


@pytest.mark.parametrize("tail", [CAPACITY, 2**64 - 8, 0])
def test_a_producer_never_counts_room_from_a_senseless_tail(pair: Pair, tail: int) -> None:
    pair.push()
    pair.consumer.skip_all()
    assert pair.producer.used == 0
    os.pwrite(pair.memfd, struct.pack("=Q", tail), TAIL_AT)
    for _ in range(2):
        with pytest.raises(ring.RingCorrupted):
            _ = pair.producer.used
    for _ in range(CAPACITY // taken(b"head", bytes(4000))):
        assert pair.push(bytes(4000))
    for _ in range(2):
        with pytest.raises(ring.RingCorrupted):
            pair.push(bytes(4000))


@pytest.mark.parametrize("capacity", [0, 1, 2048, 4097, 12288, 1 << 41, 2**64 - 1])
def test_create_wants_a_power_of_two_within_bounds(capacity: int) -> None:
    with pytest.raises(ValueError, match=str(capacity)):
        ring.create(capacity)


def test_what_is_not_a_ring_is_refused(pair: Pair) -> None:
    plain = os.memfd_create("plain")
    sealable = os.memfd_create("sealable", os.MFD_ALLOW_SEALING)
    os.ftruncate(sealable, ring.HEADER_BYTES + 4096)
    fcntl.fcntl(sealable, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    try:
        for end in (ring.Producer, ring.Consumer):
            for descriptor in (plain, sealable, pair.wake):
                with pytest.raises(ring.RingError, match="does not hold a ring"):
                    end(descriptor, pair.wake)
            with pytest.raises(OSError, match="Bad file descriptor"):
                end(-1, pair.wake)
            with pytest.raises(OSError, match="Bad file descriptor"):
                end(pair.memfd, -1)
            with pytest.raises(ValueError, match="non-blocking"):
                end(pair.memfd, plain)
    finally:
        os.close(plain)
        os.close(sealable)


@pytest.mark.parametrize("place", [0, 8, 12, 16], ids=["magic", "version", "header", "capacity"])
def test_a_header_of_another_kind_is_refused(pair: Pair, place: int) -> None:
    os.pwrite(pair.memfd, b"\x77", place)
    with pytest.raises(ring.RingError, match="does not hold a ring"):
        ring.Consumer(pair.memfd, pair.wake)


def test_its_size_is_sealed(pair: Pair) -> None:
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(pair.memfd, size)


def test_descriptors_are_close_on_exec_and_all_given_back() -> None:
    before = set(os.listdir("/proc/self/fd"))
    pair = Pair()
    assert not os.get_inheritable(pair.memfd)
    pair.close()
    for _ in range(3):
        made = Pair()  # ends that nobody closes
        os.close(made.memfd)
        os.close(made.wake)
        del made
    assert set(os.listdir("/proc/self/fd")) == before


def test_the_wake_descriptor_is_its_own() -> None:
    pair = Pair()
    other = os.dup(pair.wake)
    os.close(pair.wake)
    pair.wake = other
    assert pair.consumer.arm()
    assert pair.push()
    assert pair.awake()
    pair.close()


def test_a_closed_end_says_so(pair: Pair) -> None:
    for _ in range(2):
        pair.producer.close()
        pair.consumer.close()
    assert pair.producer.closed
    assert pair.consumer.closed
    for end, names in (
        (pair.producer, ("capacity", "used", "position", "generation", "refused", "wakeups")),
        (pair.consumer, ("capacity", "tail", "position", "depth_bytes", "incarnation")),
        (pair.consumer, ("producer_generation", "consumer_generation", "max_record_bytes")),
    ):
        for name in names:
            with pytest.raises(ring.RingError, match="closed"):
                getattr(end, name)
    for act in (
        pair.push,
        pair.consumer.read,
        pair.consumer.arm,
        pair.consumer.skip_all,
        lambda: pair.consumer.seek(0),
        lambda: pair.consumer.commit(0),
    ):
        with pytest.raises(ring.RingError, match="closed"):
            act()


def test_ends_are_attached_once(pair: Pair) -> None:
    with pytest.raises(ring.RingError, match="attached already"):
        pair.producer.__init__(pair.memfd, pair.wake)
    assert pair.push()


@dataclass(frozen=True)
class Entry:
    start: int
    end: int
    kind: int
    flags: int
    session: int
    serial: int
    received_ns: int
    head: bytes
    body: bytes

    def record(self) -> ring.Record:
        return ring.Record(
            self.kind,
            self.flags,
            self.session,
            self.serial,
            self.received_ns,
            self.head,
            self.body,
            self.end,
        )


U16, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)


class RingModel(RuleBasedStateMachine):
    """The ring against a list of what was pushed; a page of data, so that it is often full."""

    capacity = 4096

    @initialize()
    def make(self) -> None:
        self.pair = Pair(self.capacity)
        self.entries: list[Entry] = []  # published and not committed
        self.head = self.tail = self.cursor = 0
        self.refused = self.wakeups = 0
        self.generations = [1, 1]
        self.sleeping = self.dozing = False

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.close()

    def boundaries(self) -> list[int]:
        return [self.tail, *(entry.end for entry in self.entries)]

    def woken(self) -> None:
        if self.sleeping:
            assert self.pair.awake()
            self.sleeping = False
            self.wakeups += 1

    @rule(
        kind=U16,
        flags=U16,
        session=U64,
        serial=U64,
        received_ns=I64,
        head=st.binary(max_size=40),
        size=st.integers(0, 2000) | st.integers(0, 60),
        fill=st.integers(0, 255),
        reserve=st.sampled_from([0, 0, 0, 512, 2048]),
        lazy=st.booleans(),
    )
    def push(
        self,
        kind: int,
        flags: int,
        session: int,
        serial: int,
        received_ns: int,
        head: bytes,
        size: int,
        fill: int,
        reserve: int,
        lazy: bool,
    ) -> None:
        body = bytes([fill]) * size
        size = taken(head, body)
        fields = (kind, session, serial, received_ns, head, body)
        if size > self.capacity // 2:
            with pytest.raises(ValueError, match="over the limit"):
                self.pair.producer.push(*fields)
            return
        fits = self.capacity - (self.head - self.tail) - size >= reserve
        assert self.pair.producer.push(*fields, flags=flags, reserve=reserve, lazy=lazy) is fits
        if not fits:
            self.refused += 1
            return
        self.entries.append(
            Entry(
                self.head,
                self.head + size,
                kind,
                flags,
                session,
                serial,
                received_ns,
                head,
                body,
            )
        )
        self.head += size
        can_wait = self.head - self.tail <= self.capacity // 4
        if not (self.dozing and lazy and can_wait):
            self.woken()

    @rule(max_records=st.integers(1, 5) | st.just(256), max_bytes=st.integers(-1, 5000))
    def read(self, max_records: int, max_bytes: int) -> None:
        wanted: list[Entry] = []
        for entry in self.entries:
            if entry.start < self.cursor:
                continue
            size = entry.end - (wanted[0].start if wanted else entry.start)
            if len(wanted) == max_records or (wanted and size > max_bytes):
                break
            wanted.append(entry)
        found = self.pair.consumer.read(max_records, max_bytes)
        assert found == [entry.record() for entry in wanted]
        if wanted:
            self.cursor = wanted[-1].end

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from([b for b in self.boundaries() if b <= self.cursor]))
        self.pair.consumer.commit(position)
        self.tail = position
        self.entries = [entry for entry in self.entries if entry.start >= position]

    @rule(data=st.data())
    def seek(self, data: st.DataObject) -> None:
        self.cursor = data.draw(st.sampled_from(self.boundaries()))
        self.pair.consumer.seek(self.cursor)

    @rule(position=st.integers(0, 2**64 - 1) | st.integers(0, 20000), near=st.booleans())
    def bad_positions(self, position: int, near: bool) -> None:
        if near:
            position = self.tail + position % (self.capacity + 16)
        if position in self.boundaries():
            return
        for act in (self.pair.consumer.seek, self.pair.consumer.commit):
            with pytest.raises(ValueError, match="position"):
                act(position)

    @rule()
    def skip_all(self) -> None:
        assert self.pair.consumer.skip_all() == self.head
        self.cursor = self.tail = self.head
        self.entries = []

    @rule(doze=st.booleans())
    def arm(self, doze: bool) -> None:
        # Armed already and not woken: arming again changes nothing.
        self.dozing = doze
        self.sleeping = self.pair.consumer.arm(doze)
        assert self.sleeping is (self.cursor == self.head)
        assert not self.pair.awake()

    @rule(data=st.data())
    def producer_dies(self, data: st.DataObject) -> None:
        """With a part of a record behind head."""
        free = self.capacity - (self.head - self.tail)
        self.pair.write(self.head, data.draw(st.binary(max_size=min(free, 80))))
        if data.draw(st.booleans()):
            self.pair.producer.close()
        self.pair.producer = ring.Producer(self.pair.memfd, self.pair.wake)
        self.generations[0] += 1
        if self.head != self.tail:
            self.woken()

    @rule(close=st.booleans())
    def consumer_dies(self, close: bool) -> None:
        if close:
            self.pair.consumer.close()
        self.pair.consumer = ring.Consumer(self.pair.memfd, self.pair.wake)
        self.generations[1] += 1
        self.cursor = self.tail

    @precondition(lambda self: hasattr(self, "pair"))
    @invariant()
    def same(self) -> None:
        producer, consumer = self.pair.producer, self.pair.consumer
        assert producer.position == self.head
        assert producer.used == consumer.depth_bytes == self.head - self.tail
        assert (consumer.position, consumer.tail) == (self.cursor, self.tail)
        assert consumer.refused == producer.refused == self.refused
        assert consumer.wakeups == producer.wakeups == self.wakeups
        assert [producer.generation, consumer.generation] == self.generations
        assert consumer.producer_generation == self.generations[0]


RingModel.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRingModel = RingModel.TestCase
