"""The ring between real processes that are killed at any instruction.

This file is also the program of both children (`producer` and `consumer`). Each record's number
fixes its size, so a successor works out from a stream position which number comes next. The
consumer's store is a file: one appended line per batch, written before `commit`, as the
coordinator's transaction is.
"""

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gw
from gw._native import ring

# 64 sizes that repeat: mostly small, some that take a while to copy.
SIZES = [(n * 7919) % 3000 if n % 16 else 50_000 + n * 3000 for n in range(64)]
TAKEN = [(ring.RECORD_OVERHEAD + 8 + size + 7) // 8 * 8 for size in SIZES]
LAP = sum(TAKEN)
CAPACITY = 1 << 20
PATIENCE = 30.0
"""Seconds that a sleeper waits before it looks by itself. If it then finds records, the wake-up
was lost; if it finds none, it goes on."""


def next_number(position: int) -> int:
    """Number of the record that starts at a stream position."""
    number, rest = position // LAP * len(SIZES), position % LAP
    while rest:
        rest -= TAKEN[number % len(SIZES)]
        number += 1
        assert rest >= 0, "the position is not between two records"
    return number


def body_of(number: int) -> bytes:
    size = SIZES[number % len(SIZES)]
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


def readable(*descriptors: int, wait: float) -> list[int]:
    return select.select(descriptors, [], [], wait)[0]


def produce(memfd: int, wake: int, pace: str) -> None:
    """Push until stdin ends, then say how many there are."""
    producer = ring.Producer(memfd, wake)
    number = next_number(producer.position)
    print("ready", flush=True)
    while number % 64 or not readable(0, wait=0):
        while not producer.push(
            1, number, number, 0, number.to_bytes(8, "little"), body_of(number)
        ):
            os.sched_yield()
        number += 1
        if pace == "one" or (pace == "bursts" and number % 500 == 0):
            spins = 0
            while producer.used:  # the consumer is about to sleep, or asleep
                spins += 1
                if spins % 1000 == 0:  # seldom: a yield would blur the moment that matters
                    os.sched_yield()
            for _ in range(number % 61):  # at another moment of its falling asleep each time
                pass
    print(number, flush=True)


def consume(memfd: int, wake: int, store: str) -> None:
    """Take records until stdin has ended and there are none left."""
    log = os.open(store, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    consumer = ring.Consumer(memfd, wake)
    lines = Path(store).read_text().splitlines()
    if lines:
        # What the store has is committed, whatever the dead predecessor still did to the tail.
        stored = int(lines[-1].split()[2])
        consumer.seek(stored)
        consumer.commit(stored)
    number = next_number(consumer.position)
    print("ready", flush=True)
    ending = False
    while True:
        records = consumer.read(max_records=64)
        if records:
            first = number
            for record in records:
                assert record.session == record.serial == number, "not in order"
                assert record.head == number.to_bytes(8, "little"), "torn"
                assert record.body == body_of(number), "torn"
                number += 1
                assert next_number(record.position) == number
            position = records[-1].position
            os.write(log, f"{first} {number} {position}\n".encode())
            consumer.commit(position)
        elif consumer.arm():
            if ending:
                break
            awake = readable(wake, 0, wait=PATIENCE)
            if 0 in awake:
                ending = True
            assert awake or consumer.arm(), "a wake-up was lost"
    print(number, flush=True)


class Fleet:
    """A ring and the children on it."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.memfd = ring.create(CAPACITY)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.children: list[subprocess.Popen[bytes]] = []
        self.started: list[str] = []

    def start(self, role: str, last: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, __file__, role, str(self.memfd), str(self.wake), last],
            pass_fds=(self.memfd, self.wake),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(gw.__file__).parents[1])},
        )
        self.children.append(child)
        self.started.append(role)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    def producer(self, pace: str) -> subprocess.Popen[bytes]:
        return self.start("producer", pace)

    def consumer(self) -> subprocess.Popen[bytes]:
        return self.start("consumer", str(self.store))

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """Reaped before a successor attaches, as the supervisor does."""
        assert child.poll() is None, "the child ended by itself"
        child.kill()
        assert child.wait() == -signal.SIGKILL

    def end(self, child: subprocess.Popen[bytes]) -> int:
        """Ask a child to come to its end; returns the number that it says."""
        out, _ = child.communicate()
        assert child.returncode == 0
        return int(out)

    def await_progress(self, batches: int) -> None:
        """Until the consumer has stored so many more batches."""
        size = self.store.stat().st_size if self.store.exists() else 0
        while True:
            with self.store.open() if self.store.exists() else open(os.devnull) as lines:
                lines.seek(size)
                seen = sum(1 for _ in lines)
            if seen >= batches:
                return
            assert all(child.poll() in (None, -signal.SIGKILL) for child in self.children)
            if batches - seen > 1000:
                time.sleep(0.05)  # far away: leave the processors to the children
            os.sched_yield()

    def batches(self) -> list[tuple[int, int, int]]:
        out = []
        for line in self.store.read_text().splitlines():
            first, behind, position = map(int, line.split())
            out.append((first, behind, position))
        return out

    def check(self, total: int) -> None:
        """Every number below `total` stored once and in order."""
        expected = 0
        for first, behind, position in self.batches():
            assert first == expected
            assert behind > first
            assert next_number(position) == behind
            expected = behind
        assert expected == total

    def close(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                pipe.close()
        os.close(self.memfd)
        os.close(self.wake)


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    it = Fleet(folder / "store")
    try:
        yield it
    finally:
        it.close()


def pick(seed: int) -> random.Random:
    print(f"seed {seed}")
    return random.Random(seed)


def test_every_record_arrives_once_when_the_producer_is_killed(tmp_path: Path) -> None:
    chance = pick(random.getrandbits(32))
    with fleet(tmp_path) as it:
        consumer = it.consumer()
        for n in range(16):
            producer = it.producer("full" if n % 2 else "bursts")
            it.await_progress(chance.randrange(1, 40))
            it.kill(producer)
        producer = it.producer("bursts")
        it.await_progress(10)
        total = it.end(producer)
        assert it.end(consumer) == total
        it.check(total)


def test_every_record_is_committed_once_when_the_consumer_is_killed(tmp_path: Path) -> None:
    chance = pick(random.getrandbits(32))
    with fleet(tmp_path) as it:
        producer = it.producer("bursts")
        for _ in range(16):
            consumer = it.consumer()
            it.await_progress(chance.randrange(1, 40))
            it.kill(consumer)
        consumer = it.consumer()
        it.await_progress(10)
        total = it.end(producer)
        assert it.end(consumer) == total
        it.check(total)


def test_both_are_killed_in_turn(tmp_path: Path) -> None:
    chance = pick(random.getrandbits(32))
    with fleet(tmp_path) as it:
        producer, consumer = it.producer("full"), it.consumer()
        for _ in range(16):
            it.await_progress(chance.randrange(1, 20))
            if chance.random() < 0.5:
                it.kill(producer)
                producer = it.producer(chance.choice(["full", "bursts", "one"]))
            else:
                it.kill(consumer)
                consumer = it.consumer()
        it.kill(producer)
        it.kill(consumer)
        producer, consumer = it.producer("bursts"), it.consumer()
        it.await_progress(10)
        total = it.end(producer)
        assert it.end(consumer) == total
        it.check(total)
        observer = ring.Consumer(it.memfd, it.wake)
        assert observer.depth_bytes == 0
        assert observer.producer_generation == it.started.count("producer")
        observer.close()


def test_no_wake_up_is_lost_when_each_record_finds_a_sleeper(tmp_path: Path) -> None:
    """The consumer goes to sleep before every record, just while the producer publishes it."""
    with fleet(tmp_path) as it:
        consumer = it.consumer()
        producer = it.producer("one")
        it.await_progress(100_000)
        total = it.end(producer)
        assert it.end(consumer) == total
        it.check(total)
        observer = ring.Consumer(it.memfd, it.wake)
        assert observer.wakeups > 0
        observer.close()


if __name__ == "__main__":
    role, memfd, wake, last = sys.argv[1:]
    (produce if role == "producer" else consume)(int(memfd), int(wake), last)
