"""Shared-memory ring: one producer process, one consumer process (design.md, section 3).

Both ends check at each call that no successor has attached: a superseded end raises RingError
instead of writing. Every method and property but `close` and `closed` raises RingError after
`close`. Neither end is meant for several threads at once beyond what the GIL gives.
"""

from typing import Final, final

from typing_extensions import Buffer, disjoint_base

HEADER_BYTES: Final[int]
"""Bytes of the memfd before the data area: a page, 4096 at least."""
MAX_RECORD_BYTES: Final[int]
"""Largest record of any ring; a small ring has less (`max_record_bytes`: half its capacity)."""
MAX_HEAD_BYTES: Final[int]
RECORD_OVERHEAD: Final[int]
"""A record takes RECORD_OVERHEAD + len(head) + len(body), rounded up to 8."""

class RingError(Exception):
    """The ring cannot be used: not a ring, closed, or taken over by a successor."""

class RingCorrupted(RingError):
    """The memory of the ring holds what no working end writes."""

def create(capacity: int) -> int:
    """Make a ring in a new memfd (close-on-exec, its size sealed) and return its descriptor.

    `capacity` is a power of two of bytes, a page at least; ValueError otherwise.
    """

@final
class Record:
    """One record, copied out of the ring. Compares by value; its repr never shows the payload."""

    def __init__(
        self,
        kind: int,
        flags: int,
        session: int,
        serial: int,
        received_ns: int,
        head: bytes,
        body: bytes,
        position: int,
    ) -> None: ...
    @property
    def kind(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def session(self) -> int: ...
    @property
    def serial(self) -> int: ...
    @property
    def received_ns(self) -> int: ...
    @property
    def head(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def position(self) -> int:
        """Stream offset just behind this record; monotonic for the life of the ring."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class _End:
    @property
    def capacity(self) -> int: ...
    @property
    def max_record_bytes(self) -> int:
        """Largest record of this ring, RECORD_OVERHEAD included."""
    @property
    def incarnation(self) -> int:
        """Random 63-bit number of this ring: positions of another incarnation mean nothing."""
    @property
    def generation(self) -> int:
        """This end's own generation, 1 for the first that attached."""
    @property
    def producer_generation(self) -> int:
        """Generation of the newest producer, 0 if there was none yet."""
    @property
    def consumer_generation(self) -> int:
        """Generation of the newest consumer, 0 if there was none yet."""
    @property
    def refused(self) -> int:
        """Records refused for want of room, since the ring was made."""
    @property
    def wakeups(self) -> int:
        """Times that the eventfd was written, since the ring was made."""
    @property
    def closed(self) -> bool: ...
    def close(self) -> None:
        """Unmap. The caller's descriptors stay open. Closing twice is fine."""

@final
class Producer(_End):
    """Producer's end. Attaching bumps the producer generation, and wakes a sleeping consumer if
    there is something to read. A record half written by a dead predecessor is invisible and is
    overwritten.

    `wake_fd` is a non-blocking eventfd; it is duplicated, so the caller may close its own.
    """

    def __init__(self, memfd: int, wake_fd: int) -> None: ...
    def push(
        self,
        kind: int,
        session: int,
        serial: int,
        received_ns: int,
        head: bytes,
        body: Buffer,
        flags: int = 0,
        reserve: int = 0,
        lazy: bool = False,
    ) -> bool:
        """Publish a record and wake the consumer if it sleeps; `lazy` leaves one that dozes alone
        until a quarter of the ring is full. False (counted as refused) if less
        than `reserve` bytes would stay free. ValueError above `max_record_bytes` and for a head
        above MAX_HEAD_BYTES; OverflowError for a number that does not fit its field
        (kind, flags: u16; session, serial, reserve: u64; received_ns: i64)."""
    @property
    def used(self) -> int:
        """Published and not yet committed, bytes."""
    @property
    def position(self) -> int:
        """Stream offset behind the last published record."""

@final
class Consumer(_End):
    """Consumer's end. Reads from its cursor; space is given back only by `commit`."""

    def __init__(self, memfd: int, wake_fd: int) -> None:
        """Attach with the cursor at the committed tail; bumps the consumer generation."""
    def read(self, max_records: int = 256, max_bytes: int = 1048576) -> list[Record]:
        """Copy out the next records and move the cursor. Empty if there are none.

        At least one, even above `max_bytes` (which counts what records take in the ring).
        Raises RingCorrupted if the memory does not hold a record; good ones before it come first.
        """
    def seek(self, position: int) -> None:
        """Set the cursor to the start of a record, or to head (tail <= position <= head);
        ValueError otherwise."""
    def commit(self, position: int) -> None:
        """Give back everything before `position`, the end of a record that was read
        (tail <= position <= cursor); ValueError otherwise."""
    def skip_all(self) -> int:
        """Drop what is in the ring now; returns the new position."""
    def arm(self, doze: bool = False) -> bool:
        """Say that the consumer is about to sleep on the eventfd. Returns False, and takes it
        back, if there are records to read. Drains the eventfd. Sleep only after True, and arm
        again before each sleep: one True is good for one wake-up. `doze`: it looks again soon by
        itself, so that lazy records need not wake it."""
    @property
    def position(self) -> int:
        """The cursor."""
    @property
    def tail(self) -> int: ...
    @property
    def depth_bytes(self) -> int:
        """Published and not yet committed, bytes."""
