"""Shared-memory ring: one producer process, one consumer process.

Long, because both ends and the layout they share are one proof and are read as one.

Memory (a sealed memfd): a header page, then a data area of `capacity` bytes that every end maps
twice in a row, so that a record never wraps. `head` and `tail` are byte offsets that only grow;
`offset & (capacity - 1)` is the place in the data area.

Who writes what, and why it holds across a SIGKILL at any instruction:

- The producer copies a record behind `head`, then publishes it with one release store of `head`.
  Killed before that store, it leaves nothing that anybody looks at; its successor starts at
  `head` and writes over it.
- The consumer copies records out (its cursor is private), and gives space back with one release
  store of `tail`. Killed before that, its successor reads the same records again.
- `sleeping` is set by the consumer before it sleeps on the eventfd and taken by the producer
  that wakes it. Each side writes its own word, passes a sequentially consistent fence, and only
  then reads the other's word: at least one of them sees the other's write.
- A consumer that is about to look again soon anyway only dozes (`sleeping` is 2): records that
  can wait do not wake it, unless a quarter of the ring is full. Before it sleeps for good it says
  1, and looks at `head` behind the fence, as ever.

A record's header carries a check value made of its own fields, its offset and the ring's random
number, so that bytes left by an earlier lap, or by a payload, never pass for a record.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import os

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdatomic.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/random.h>
    #include <sys/stat.h>
    #include <unistd.h>

    #define GW_RING_MAGIC UINT64_C(0x31676e6972207767) /* "gw ring1" */
    #define GW_RING_VERSION UINT32_C(1)
    #define GW_RING_ASLEEP 1
    #define GW_RING_DOZING 2

    typedef struct {
        uint64_t magic;
        uint32_t version;
        uint32_t header_bytes;
        uint64_t capacity;
        uint64_t incarnation;
        _Alignas(64) _Atomic uint64_t head;                /* producer */
        _Alignas(64) _Atomic uint64_t tail;                /* consumer */
        _Alignas(64) _Atomic uint32_t sleeping;            /* both */
        _Alignas(64) _Atomic uint64_t producer_generation;
        _Atomic uint64_t refused;                          /* producer */
        _Atomic uint64_t wakeups;                          /* producer */
        _Alignas(64) _Atomic uint64_t consumer_generation;
    } gw_ring_header;

    typedef struct {
        uint32_t total;
        uint16_t kind;
        uint16_t flags;
        uint32_t head_len;
        uint32_t body_len;
        uint64_t session;
        uint64_t serial;
        int64_t received_ns;
        uint64_t check;
    } gw_ring_record;

    _Static_assert(sizeof(gw_ring_header) <= 4096, "header page");
    _Static_assert(sizeof(gw_ring_record) == 48, "record header has no padding");
    _Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics work between processes");
    _Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics work between processes");

    static inline uint64_t gw_ring_round(uint64_t h, uint64_t word) {
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        return h ^ (h >> 29);
    }

    static inline uint64_t gw_ring_check(const gw_ring_record *r, uint64_t start, uint64_t key) {
        uint64_t words[5];
        memcpy(words, r, sizeof words);
        uint64_t h = gw_ring_round(key ^ GW_RING_MAGIC, start);
        for (int i = 0; i < 5; i++)
            h = gw_ring_round(h, words[i]);
        return h;
    }

    /* -1: system error in errno; 0: done, and *random is a number of 63 bits, never 0 */
    static int gw_ring_random(uint64_t *random) {
        do {
            ssize_t got = getrandom(random, sizeof *random, 0);
            if (got < 0 && errno != EINTR) return -1;
            if (got != (ssize_t)sizeof *random) { *random = 0; continue; }
            *random >>= 1;
        } while (*random == 0);
        return 0;
    }

    static int gw_ring_create(uint64_t capacity, uint64_t header_bytes) {
        uint64_t incarnation = 0;
        if (gw_ring_random(&incarnation) < 0) return -1;
        int fd = memfd_create("gw-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0) return -1;
        void *page = MAP_FAILED;
        if (ftruncate(fd, (off_t)(header_bytes + capacity)) < 0) goto failed;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) goto failed;
        page = mmap(NULL, header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) goto failed;
        gw_ring_header *header = page;
        header->version = GW_RING_VERSION;
        header->header_bytes = (uint32_t)header_bytes;
        header->capacity = capacity;
        header->incarnation = incarnation;
        header->magic = GW_RING_MAGIC;
        munmap(page, header_bytes);
        return fd;
    failed:;
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }

    /* -1: system error in errno; 0: not a ring; 1: mapped at *base, capacity in *capacity */
    static int gw_ring_map(int fd, uint64_t header_bytes, int data_prot, char **base,
                           uint64_t *capacity) {
        struct stat st;
        if (fstat(fd, &st) < 0) return -1;
        int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_SHRINK)) return 0;
        if (st.st_size < 0 || (uint64_t)st.st_size < 2 * header_bytes) return 0;
        uint64_t data = (uint64_t)st.st_size - header_bytes;
        if ((data & (data - 1)) != 0 || data > (UINT64_C(1) << 40)) return 0;

        char *at = mmap(NULL, header_bytes + 2 * data, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) return -1;
        if (mmap(at, header_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
                == MAP_FAILED
            || mmap(at + header_bytes, data, data_prot, MAP_SHARED | MAP_FIXED, fd,
                    (off_t)header_bytes) == MAP_FAILED
            || mmap(at + header_bytes + data, data, data_prot, MAP_SHARED | MAP_FIXED, fd,
                    (off_t)header_bytes) == MAP_FAILED) {
            int saved = errno;
            munmap(at, header_bytes + 2 * data);
            errno = saved;
            return -1;
        }
        const gw_ring_header *header = (const gw_ring_header *)at;
        if (header->magic != GW_RING_MAGIC || header->version != GW_RING_VERSION
            || header->header_bytes != header_bytes || header->capacity != data) {
            munmap(at, header_bytes + 2 * data);
            return 0;
        }
        *base = at;
        *capacity = data;
        return 1;
    }

    static void gw_ring_unmap(char *base, uint64_t header_bytes, uint64_t capacity) {
        munmap(base, header_bytes + 2 * capacity);
    }

    static inline uint64_t gw_ring_head(gw_ring_header *h) {
        return atomic_load_explicit(&h->head, memory_order_acquire);
    }
    static inline uint64_t gw_ring_tail(gw_ring_header *h) {
        return atomic_load_explicit(&h->tail, memory_order_acquire);
    }
    static inline void gw_ring_give_back(gw_ring_header *h, uint64_t tail) {
        atomic_store_explicit(&h->tail, tail, memory_order_release);
    }
    static inline uint64_t gw_ring_refused(gw_ring_header *h) {
        return atomic_load_explicit(&h->refused, memory_order_relaxed);
    }
    static inline void gw_ring_count_refused(gw_ring_header *h) {
        atomic_fetch_add_explicit(&h->refused, 1, memory_order_relaxed);
    }
    static inline uint64_t gw_ring_wakeups(gw_ring_header *h) {
        return atomic_load_explicit(&h->wakeups, memory_order_relaxed);
    }
    static inline uint64_t gw_ring_producer_generation(gw_ring_header *h) {
        return atomic_load_explicit(&h->producer_generation, memory_order_relaxed);
    }
    static inline uint64_t gw_ring_consumer_generation(gw_ring_header *h) {
        return atomic_load_explicit(&h->consumer_generation, memory_order_relaxed);
    }
    static inline uint64_t gw_ring_new_producer(gw_ring_header *h) {
        return atomic_fetch_add_explicit(&h->producer_generation, 1, memory_order_seq_cst) + 1;
    }
    static inline uint64_t gw_ring_new_consumer(gw_ring_header *h) {
        return atomic_fetch_add_explicit(&h->consumer_generation, 1, memory_order_seq_cst) + 1;
    }

    /* Called behind the store of head. `lazy`: leave one who dozes alone. */
    static inline void gw_ring_wake(gw_ring_header *h, int wake_fd, int lazy) {
        atomic_thread_fence(memory_order_seq_cst);
        uint32_t sleeping = atomic_load_explicit(&h->sleeping, memory_order_relaxed);
        if (sleeping == 0 || (lazy && sleeping == GW_RING_DOZING)) return;
        if (atomic_exchange_explicit(&h->sleeping, 0, memory_order_acq_rel) == 0) return;
        const uint64_t one = 1;
        ssize_t put;
        do {
            put = write(wake_fd, &one, sizeof one);
        } while (put < 0 && errno == EINTR);
        /* EAGAIN: the counter is full, so the descriptor is readable anyway. */
        if (put == (ssize_t)sizeof one)
            atomic_fetch_add_explicit(&h->wakeups, 1, memory_order_relaxed);
    }

    static inline void gw_ring_publish(
        gw_ring_header *h, uint64_t head, int wake_fd, int lazy) {
        atomic_store_explicit(&h->head, head, memory_order_release);
        gw_ring_wake(h, wake_fd, lazy);
    }

    static inline void gw_ring_awake(gw_ring_header *h) {
        atomic_store_explicit(&h->sleeping, 0, memory_order_relaxed);
    }

    /* Returns head, looked at after the flag is out. */
    static inline uint64_t gw_ring_sleepy(gw_ring_header *h, int wake_fd, uint32_t how) {
        uint64_t count;
        ssize_t got;
        do {
            got = read(wake_fd, &count, sizeof count);
        } while (got < 0 && errno == EINTR);
        atomic_store_explicit(&h->sleeping, how, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        return atomic_load_explicit(&h->head, memory_order_acquire);
    }

    static int gw_ring_dup(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }
    static int gw_ring_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);
        return flags < 0 ? -1 : (flags & O_NONBLOCK) != 0;
    }
    static void gw_ring_close_fd(int fd) { close(fd); }
    """
    ctypedef struct gw_ring_header:
        uint64_t incarnation

    ctypedef struct gw_ring_record:
        uint32_t total
        uint16_t kind
        uint16_t flags
        uint32_t head_len
        uint32_t body_len
        uint64_t session
        uint64_t serial
        int64_t received_ns
        uint64_t check

    const int PROT_READ
    const int PROT_WRITE
    const uint32_t GW_RING_ASLEEP
    const uint32_t GW_RING_DOZING

    uint64_t gw_ring_check(const gw_ring_record *record, uint64_t start, uint64_t key) nogil
    int gw_ring_create(uint64_t capacity, uint64_t header_bytes) nogil
    int gw_ring_map(
        int fd, uint64_t header_bytes, int data_prot, char **base, uint64_t *capacity
    ) nogil
    void gw_ring_unmap(char *base, uint64_t header_bytes, uint64_t capacity) nogil
    uint64_t gw_ring_head(gw_ring_header *header) nogil
    uint64_t gw_ring_tail(gw_ring_header *header) nogil
    void gw_ring_give_back(gw_ring_header *header, uint64_t tail) nogil
    uint64_t gw_ring_refused(gw_ring_header *header) nogil
    void gw_ring_count_refused(gw_ring_header *header) nogil
    uint64_t gw_ring_wakeups(gw_ring_header *header) nogil
    uint64_t gw_ring_producer_generation(gw_ring_header *header) nogil
    uint64_t gw_ring_consumer_generation(gw_ring_header *header) nogil
    uint64_t gw_ring_new_producer(gw_ring_header *header) nogil
    uint64_t gw_ring_new_consumer(gw_ring_header *header) nogil
    void gw_ring_wake(gw_ring_header *header, int wake_fd, int lazy) nogil
    void gw_ring_publish(
        gw_ring_header *header, uint64_t head, int wake_fd, int lazy
    ) nogil
    void gw_ring_awake(gw_ring_header *header) nogil
    uint64_t gw_ring_sleepy(gw_ring_header *header, int wake_fd, uint32_t how) nogil
    int gw_ring_dup(int fd) nogil
    int gw_ring_nonblocking(int fd) nogil
    void gw_ring_close_fd(int fd) nogil


cdef uint64_t _HEADER = max(4096, os.sysconf("SC_PAGESIZE"))
cdef uint64_t _CAPACITY_LIMIT = <uint64_t>1 << 40
cdef enum:
    _RECORD_HEADER = 48
    _HEAD_LIMIT = 65535
    _RECORD_LIMIT = 16 * 1024 * 1024

HEADER_BYTES = _HEADER
MAX_RECORD_BYTES = _RECORD_LIMIT
MAX_HEAD_BYTES = _HEAD_LIMIT
RECORD_OVERHEAD = _RECORD_HEADER


class RingError(Exception):
    """The ring cannot be used: not a ring, closed, or taken over by a successor."""


class RingCorrupted(RingError):
    """The memory of the ring holds what no working end writes."""


def create(uint64_t capacity) -> int:
    """Make a ring in a new memfd and return its descriptor (close-on-exec)."""
    # A page at least, so that the area can be mapped twice in a row.
    if capacity < _HEADER or capacity > _CAPACITY_LIMIT or capacity & (capacity - 1):
        raise ValueError(
            f"ring capacity of {capacity} bytes: it must be a power of two from "
            f"{_HEADER} to {_CAPACITY_LIMIT}"
        )
    cdef int fd = gw_ring_create(capacity, _HEADER)
    if fd < 0:
        raise OSError(errno, os.strerror(errno))
    return fd


@cython.final
@cython.freelist(256)
@cython.auto_pickle(False)
cdef class Record:
    """One record, copied out of the ring. Its repr never shows the payload."""

    cdef readonly uint16_t kind
    cdef readonly uint16_t flags
    cdef readonly uint64_t session
    cdef readonly uint64_t serial
    cdef readonly int64_t received_ns
    cdef readonly bytes head
    cdef readonly bytes body
    cdef readonly uint64_t position

    def __init__(
        self,
        uint16_t kind,
        uint16_t flags,
        uint64_t session,
        uint64_t serial,
        int64_t received_ns,
        bytes head not None,
        bytes body not None,
        uint64_t position,
    ):
        self.kind = kind
        self.flags = flags
        self.session = session
        self.serial = serial
        self.received_ns = received_ns
        self.head = head
        self.body = body
        self.position = position

    cdef tuple _key(self):
        return (
            self.kind, self.flags, self.session, self.serial, self.received_ns,
            self.head, self.body, self.position,
        )

    def __eq__(self, other):
        if not isinstance(other, Record):
            return NotImplemented
        return self._key() == (<Record>other)._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return (
            f"Record(kind={self.kind}, flags={self.flags}, session={self.session}, "
            f"serial={self.serial:#x}, received_ns={self.received_ns}, "
            f"head=<{len(self.head)} bytes>, body=<{len(self.body)} bytes>, "
            f"position={self.position})"
        )


@cython.auto_pickle(False)
cdef class _End:
    """What both ends have: the mapping and the header's facts."""

    cdef char *_base
    cdef char *_data
    cdef gw_ring_header *_header
    cdef uint64_t _capacity
    cdef uint64_t _mask
    cdef uint64_t _limit
    cdef uint64_t _key
    cdef uint64_t _generation
    cdef int _wake_fd

    def __cinit__(self):
        self._base = NULL
        self._wake_fd = -1

    def __dealloc__(self):
        self._unmap()

    cdef void _unmap(self) noexcept:
        if self._base != NULL:
            gw_ring_unmap(self._base, _HEADER, self._capacity)
            self._base = NULL
            self._data = NULL
            self._header = NULL
        if self._wake_fd >= 0:
            gw_ring_close_fd(self._wake_fd)
            self._wake_fd = -1

    cdef int _map(self, int memfd, int wake_fd, int data_prot) except -1:
        if self._base != NULL:
            raise RingError("this end is attached already")
        cdef int nonblocking = gw_ring_nonblocking(wake_fd)
        if nonblocking < 0:
            raise OSError(errno, os.strerror(errno))
        if nonblocking == 0:
            raise ValueError("the wake-up descriptor of a ring must be non-blocking")
        cdef char *base = NULL
        cdef uint64_t capacity = 0
        cdef int mapped = gw_ring_map(memfd, _HEADER, data_prot, &base, &capacity)
        if mapped < 0:
            raise OSError(errno, os.strerror(errno))
        if mapped == 0:
            raise RingError(f"descriptor {memfd} does not hold a ring of this version")
        self._base = base
        self._header = <gw_ring_header *>base
        self._data = base + _HEADER
        self._capacity = capacity
        self._mask = capacity - 1
        self._limit = min(<uint64_t>_RECORD_LIMIT, capacity // 2)
        self._key = self._header.incarnation
        # An own descriptor: a number that the caller closes and reuses must never be written to.
        self._wake_fd = gw_ring_dup(wake_fd)
        if self._wake_fd < 0:
            failure = OSError(errno, os.strerror(errno))
            self._unmap()
            raise failure
        return 0

    cdef inline int _open(self) except -1:
        if self._base == NULL:
            raise RingError("this end of the ring is closed")
        return 0

    cdef int _bad_offsets(self, uint64_t head, uint64_t tail) except -1:
        raise RingCorrupted(
            f"ring offsets make no sense: head {head}, tail or cursor {tail}, "
            f"capacity {self._capacity}"
        )

    cdef inline int _sane(self, uint64_t head, uint64_t tail) except -1:
        if tail > head or head - tail > self._capacity or (head | tail) & 7:
            self._bad_offsets(head, tail)
        return 0

    @property
    def capacity(self) -> int:
        self._open()
        return self._capacity

    @property
    def max_record_bytes(self) -> int:
        """Largest record of this ring, RECORD_OVERHEAD included."""
        self._open()
        return self._limit

    @property
    def incarnation(self) -> int:
        self._open()
        return self._key

    @property
    def generation(self) -> int:
        self._open()
        return self._generation

    @property
    def producer_generation(self) -> int:
        self._open()
        return gw_ring_producer_generation(self._header)

    @property
    def consumer_generation(self) -> int:
        self._open()
        return gw_ring_consumer_generation(self._header)

    @property
    def refused(self) -> int:
        self._open()
        return gw_ring_refused(self._header)

    @property
    def wakeups(self) -> int:
        self._open()
        return gw_ring_wakeups(self._header)

    @property
    def closed(self) -> bool:
        return self._base == NULL

    def close(self) -> None:
        """Unmap. The caller's descriptors stay open. Closing twice is fine."""
        self._unmap()


@cython.final
@cython.auto_pickle(False)
cdef class Producer(_End):
    """Producer's end. Of the shared memory it trusts only `head` and the consumer's `tail`."""

    cdef uint64_t _head
    cdef uint64_t _seen_tail

    def __init__(self, int memfd, int wake_fd):
        self._map(memfd, wake_fd, PROT_READ | PROT_WRITE)
        self._head = gw_ring_head(self._header)
        self._seen_tail = gw_ring_tail(self._header)
        try:
            self._sane(self._head, self._seen_tail)
        except RingCorrupted:
            self._unmap()
            raise
        self._generation = gw_ring_new_producer(self._header)
        # The predecessor may have died between publishing and waking.
        if self._head != self._seen_tail:
            gw_ring_wake(self._header, self._wake_fd, False)

    def push(
        self,
        uint16_t kind,
        uint64_t session,
        uint64_t serial,
        int64_t received_ns,
        bytes head not None,
        body,
        uint16_t flags=0,
        uint64_t reserve=0,
        bint lazy=False,
    ) -> bool:
        """Publish a record and wake the consumer if it sleeps; False if there is no room."""
        cdef Py_buffer view
        if type(body) is bytes:
            return self._push(
                kind, session, serial, received_ns, head,
                PyBytes_AS_STRING(body), <uint64_t>PyBytes_GET_SIZE(body), flags, reserve,
                lazy,
            )
        PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
        try:
            return self._push(
                kind, session, serial, received_ns, head,
                <const char *>view.buf, <uint64_t>view.len, flags, reserve, lazy,
            )
        finally:
            PyBuffer_Release(&view)

    cdef int _look_at_tail(self) except -1:
        """A tail that makes no sense is never taken over: room counted from it would be wrong."""
        cdef uint64_t tail = gw_ring_tail(self._header)
        self._sane(self._head, tail)
        if tail < self._seen_tail:
            self._bad_offsets(self._head, tail)
        self._seen_tail = tail
        return 0

    cdef bint _push(
        self,
        uint16_t kind,
        uint64_t session,
        uint64_t serial,
        int64_t received_ns,
        bytes head,
        const char *body,
        uint64_t body_len,
        uint16_t flags,
        uint64_t reserve,
        bint lazy,
    ) except -1:
        self._open()
        cdef uint64_t head_len = <uint64_t>PyBytes_GET_SIZE(head)
        cdef uint64_t total = (_RECORD_HEADER + head_len + body_len + 7) & ~<uint64_t>7
        if head_len > _HEAD_LIMIT:
            raise ValueError(
                f"record head of {head_len} bytes is over the limit of {_HEAD_LIMIT} bytes"
            )
        if total > self._limit:
            raise ValueError(
                f"record of {total} bytes (head {head_len}, body {body_len}) is over the limit "
                f"of {self._limit} bytes"
            )
        if gw_ring_producer_generation(self._header) != self._generation:
            raise RingError("another producer has taken over this ring")

        cdef uint64_t room = self._capacity - (self._head - self._seen_tail)
        if room < total or room - total < reserve:
            self._look_at_tail()
            room = self._capacity - (self._head - self._seen_tail)
            if room < total or room - total < reserve:
                gw_ring_count_refused(self._header)
                return False

        cdef gw_ring_record record
        record.total = <uint32_t>total
        record.kind = kind
        record.flags = flags
        record.head_len = <uint32_t>head_len
        record.body_len = <uint32_t>body_len
        record.session = session
        record.serial = serial
        record.received_ns = received_ns
        record.check = gw_ring_check(&record, self._head, self._key)
        cdef char *at = self._data + (self._head & self._mask)
        memcpy(at, &record, _RECORD_HEADER)
        memcpy(at + _RECORD_HEADER, PyBytes_AS_STRING(head), head_len)
        if body_len:
            memcpy(at + _RECORD_HEADER + head_len, body, body_len)
        self._head += total
        if lazy and self._head - self._seen_tail > self._capacity // 4:
            self._look_at_tail()
            lazy = self._head - self._seen_tail <= self._capacity // 4
        gw_ring_publish(self._header, self._head, self._wake_fd, lazy)
        return True

    @property
    def used(self) -> int:
        """Published and not yet committed, bytes."""
        self._open()
        self._look_at_tail()
        return self._head - self._seen_tail

    @property
    def position(self) -> int:
        self._open()
        return self._head


@cython.final
@cython.auto_pickle(False)
cdef class Consumer(_End):
    """Consumer's end, attached with the cursor at the committed tail."""

    cdef uint64_t _cursor
    cdef uint64_t _tail

    def __init__(self, int memfd, int wake_fd):
        self._map(memfd, wake_fd, PROT_READ)
        self._tail = gw_ring_tail(self._header)
        self._cursor = self._tail
        try:
            self._sane(gw_ring_head(self._header), self._tail)
        except RingCorrupted:
            self._unmap()
            raise
        self._generation = gw_ring_new_consumer(self._header)

    cdef inline int _mine(self) except -1:
        self._open()
        if gw_ring_consumer_generation(self._header) != self._generation:
            raise RingError("another consumer has taken over this ring")
        return 0

    cdef uint64_t _published(self) except? 0:
        cdef uint64_t head = gw_ring_head(self._header)
        self._sane(head, self._cursor)
        return head

    cdef inline bint _header_at(self, uint64_t start, uint64_t head, gw_ring_record *record) noexcept:
        """Copy the header at `start` and say whether a whole record up to `head` is there."""
        cdef uint64_t there = head - start
        if there < _RECORD_HEADER or start & 7:
            return False
        memcpy(record, self._data + (start & self._mask), _RECORD_HEADER)
        if record.check != gw_ring_check(record, start, self._key):
            return False
        cdef uint64_t total = _RECORD_HEADER
        total = (total + record.head_len + record.body_len + 7) & ~<uint64_t>7
        return record.total == total and total <= there and total <= self._limit

    def read(self, Py_ssize_t max_records=256, Py_ssize_t max_bytes=1048576) -> list:
        """Copy out the next records and move the cursor."""
        if max_records < 1:
            raise ValueError(f"max_records is {max_records}, and must be at least 1")
        # Made first: it is the one allocation here that may run the garbage collector, and with
        # it somebody's code that closes this end.
        cdef list out = []
        self._mine()
        cdef uint64_t head = self._published()
        cdef uint64_t at = self._cursor
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t count = 0
        cdef gw_ring_record raw
        cdef const char *payload
        cdef Record record
        while at != head and count < max_records:
            if not self._header_at(at, head, &raw):
                if count:
                    break  # the good ones first; the next read says it
                raise RingCorrupted(
                    f"no record at position {at} (head {head}, capacity {self._capacity})"
                )
            size += raw.total
            if count and size > max_bytes:
                break
            payload = self._data + (at & self._mask) + _RECORD_HEADER
            record = Record.__new__(Record)
            record.kind = raw.kind
            record.flags = raw.flags
            record.session = raw.session
            record.serial = raw.serial
            record.received_ns = raw.received_ns
            record.head = PyBytes_FromStringAndSize(payload, raw.head_len)
            record.body = PyBytes_FromStringAndSize(payload + raw.head_len, raw.body_len)
            at += raw.total
            record.position = at
            out.append(record)
            count += 1
        self._cursor = at
        return out

    cdef int _boundary(self, uint64_t position, uint64_t head) except -1:
        cdef gw_ring_record raw
        if position != head and not self._header_at(position, head, &raw):
            raise ValueError(f"position {position} is not the start of a record")
        return 0

    def seek(self, uint64_t position) -> None:
        """Set the cursor; ValueError if no record starts there."""
        self._mine()
        cdef uint64_t head = self._published()
        if position < self._tail or position > head:
            raise ValueError(f"position {position} is not from tail {self._tail} to head {head}")
        self._boundary(position, head)
        self._cursor = position

    def commit(self, uint64_t position) -> None:
        """Give back everything before `position`."""
        self._mine()
        if position < self._tail or position > self._cursor:
            raise ValueError(
                f"position {position} is not from tail {self._tail} to cursor {self._cursor}"
            )
        if position != self._cursor:
            self._boundary(position, self._published())
        self._tail = position
        gw_ring_give_back(self._header, position)

    def skip_all(self) -> int:
        """Drop what is in the ring now; returns the new position."""
        self._mine()
        cdef uint64_t head = self._published()
        self._cursor = head
        self._tail = head
        gw_ring_give_back(self._header, head)
        return head

    def arm(self, bint doze=False) -> bool:
        """Say that the consumer is about to sleep; False, and taken back, if records are there."""
        self._mine()
        cdef uint64_t head = gw_ring_sleepy(
            self._header, self._wake_fd, GW_RING_DOZING if doze else GW_RING_ASLEEP
        )
        if head == self._cursor:
            return True
        gw_ring_awake(self._header)
        self._sane(head, self._cursor)
        return False

    @property
    def position(self) -> int:
        self._open()
        return self._cursor

    @property
    def tail(self) -> int:
        self._open()
        return self._tail

    @property
    def depth_bytes(self) -> int:
        self._open()
        cdef uint64_t head = gw_ring_head(self._header)
        self._sane(head, self._tail)
        return head - self._tail
