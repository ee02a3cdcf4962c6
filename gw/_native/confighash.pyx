"""Canonical content hash of a configuration: one pass over the bytes, no tree, no doubles.

Long, because it is one parser, whose parts share their stacks.

The parser writes each value's canonical text behind the last one in `out`. An object notes where
its members begin and end; at its closing brace the notes are sorted by key, and the texts are
copied into that order if they were in another one. An object's keys (escapes resolved) and notes
sit on stacks that it pops when it ends, so memory stays a small multiple of the text, and time is
linear but for the sorting: depth is bounded, and a text is copied at most once a level.

Canonical text: objects' members by code points of their keys, no whitespace; strings with only
quote, backslash and control characters escaped (as `json.dumps(ensure_ascii=False)` does); a
number is its digits without leading and trailing zeros, then `e` and the exponent of the last
digit unless that is 0; -0 is 0.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy

import hashlib

from gw._native import confighash_py
from gw._native.confighash_py import ConfigError

cdef extern from "Python.h":
    enum:
        PyBUF_READ

cdef enum:
    _MAX_DEPTH = 64
    _MAX_DIGITS = 1000
    _MAX_EXPONENT = 100_000

# Above any sum that digits of a real document can bring back into bounds.
cdef int64_t _EXPONENT_FAR = 10 ** 18

MAX_DEPTH = _MAX_DEPTH
MAX_DIGITS = _MAX_DIGITS
MAX_EXPONENT = _MAX_EXPONENT
assert (MAX_DEPTH, MAX_DIGITS, MAX_EXPONENT) == (
    confighash_py.MAX_DEPTH, confighash_py.MAX_DIGITS, confighash_py.MAX_EXPONENT,
)

cdef object _sha256 = hashlib.sha256

ctypedef struct Bytes:
    uint8_t *at
    size_t size
    size_t room

ctypedef struct Member:
    const uint8_t *key      # set when the members are sorted
    size_t key_at           # in Parser.keys
    size_t key_size
    size_t quote            # of the key in Parser.text
    size_t begin            # of `"key":value` in Parser.out
    size_t end

ctypedef struct Parser:
    const uint8_t *text
    size_t size
    size_t at
    int depth
    const char *fault       # NULL: out of memory
    size_t fault_at
    Bytes out
    Bytes keys
    Bytes spare
    Member *members
    size_t member_count
    size_t member_room


# Bytes that a string may hold as they are: not a control, quote, backslash, or over 0x7f.
cdef uint8_t _PLAIN[256]
cdef int _byte
for _byte in range(256):
    _PLAIN[_byte] = 0x20 <= _byte < 0x80 and _byte != 0x22 and _byte != 0x5C


cdef int grow(Bytes *buffer, size_t more) noexcept nogil:
    cdef size_t room = buffer.room if buffer.room else 256
    cdef void *moved
    while room - buffer.size < more:
        room *= 2
    moved = realloc(buffer.at, room)
    if moved == NULL:
        return -1
    buffer.at = <uint8_t *>moved
    buffer.room = room
    return 0


cdef inline int put(Bytes *buffer, const void *data, size_t size) noexcept nogil:
    if buffer.room - buffer.size < size and grow(buffer, size) < 0:
        return -1
    memcpy(buffer.at + buffer.size, data, size)
    buffer.size += size
    return 0


cdef inline int put_byte(Bytes *buffer, uint8_t byte) noexcept nogil:
    if buffer.room == buffer.size and grow(buffer, 1) < 0:
        return -1
    buffer.at[buffer.size] = byte
    buffer.size += 1
    return 0


cdef int fail(Parser *p, const char *fault, size_t at) noexcept nogil:
    p.fault = fault
    p.fault_at = at
    return -1


cdef inline void skip_space(Parser *p) noexcept nogil:
    cdef uint8_t c
    while p.at < p.size:
        c = p.text[p.at]
        if c != 0x20 and c != 0x0A and c != 0x0D and c != 0x09:
            return
        p.at += 1


cdef inline size_t utf8_length(const uint8_t *s, size_t left) noexcept nogil:
    """Bytes of the well-formed sequence at `s` (not ASCII), else 0 (Unicode, table 3-7)."""
    cdef uint8_t a = s[0]
    if a < 0xC2 or a > 0xF4:
        return 0
    if a < 0xE0:
        return 2 if left >= 2 and s[1] & 0xC0 == 0x80 else 0
    if a < 0xF0:
        if left < 3 or s[1] & 0xC0 != 0x80 or s[2] & 0xC0 != 0x80:
            return 0
        if (a == 0xE0 and s[1] < 0xA0) or (a == 0xED and s[1] > 0x9F):
            return 0
        return 3
    if left < 4 or s[1] & 0xC0 != 0x80 or s[2] & 0xC0 != 0x80 or s[3] & 0xC0 != 0x80:
        return 0
    if (a == 0xF0 and s[1] < 0x90) or (a == 0xF4 and s[1] > 0x8F):
        return 0
    return 4


cdef inline int hex4(Parser *p, size_t at, uint32_t *unit) noexcept nogil:
    """Value of the four hexadecimal digits at `at`."""
    cdef uint32_t value = 0
    cdef uint8_t c
    cdef size_t n
    if p.size - at < 4:
        return -1
    for n in range(4):
        c = p.text[at + n]
        if 0x30 <= c <= 0x39:
            value = value << 4 | <uint32_t>(c - 0x30)
        elif 0x41 <= c <= 0x46:
            value = value << 4 | <uint32_t>(c - 0x41 + 10)
        elif 0x61 <= c <= 0x66:
            value = value << 4 | <uint32_t>(c - 0x61 + 10)
        else:
            return -1
    unit[0] = value
    return 0


cdef size_t encode(uint32_t point, uint8_t *to) noexcept nogil:
    if point < 0x80:
        to[0] = <uint8_t>point
        return 1
    if point < 0x800:
        to[0] = <uint8_t>(0xC0 | point >> 6)
        to[1] = <uint8_t>(0x80 | (point & 0x3F))
        return 2
    if point < 0x10000:
        to[0] = <uint8_t>(0xE0 | point >> 12)
        to[1] = <uint8_t>(0x80 | (point >> 6 & 0x3F))
        to[2] = <uint8_t>(0x80 | (point & 0x3F))
        return 3
    to[0] = <uint8_t>(0xF0 | point >> 18)
    to[1] = <uint8_t>(0x80 | (point >> 12 & 0x3F))
    to[2] = <uint8_t>(0x80 | (point >> 6 & 0x3F))
    to[3] = <uint8_t>(0x80 | (point & 0x3F))
    return 4


cdef int parse_escape(Parser *p, uint32_t *point) noexcept nogil:
    """At a backslash: resolve it, pair surrogates, and step behind it."""
    cdef size_t start = p.at
    cdef uint32_t low = 0
    cdef uint8_t c
    if p.size - start < 2:
        return fail(p, "unterminated string", start)
    c = p.text[start + 1]
    p.at = start + 2
    if c == 0x22 or c == 0x5C or c == 0x2F:
        point[0] = c
    elif c == 0x62:
        point[0] = 0x08
    elif c == 0x66:
        point[0] = 0x0C
    elif c == 0x6E:
        point[0] = 0x0A
    elif c == 0x72:
        point[0] = 0x0D
    elif c == 0x74:
        point[0] = 0x09
    elif c == 0x75:
        if hex4(p, p.at, point) < 0:
            return fail(p, "invalid \\u escape", start)
        p.at += 4
        if 0xDC00 <= point[0] <= 0xDFFF:
            return fail(p, "lone surrogate", start)
        if 0xD800 <= point[0] <= 0xDBFF:
            if p.size - p.at < 6 or p.text[p.at] != 0x5C or p.text[p.at + 1] != 0x75 \
                    or hex4(p, p.at + 2, &low) < 0 or not 0xDC00 <= low <= 0xDFFF:
                return fail(p, "lone surrogate", start)
            p.at += 6
            point[0] = 0x10000 + ((point[0] - 0xD800) << 10 | (low - 0xDC00))
    else:
        return fail(p, "invalid escape", start)
    return 0


cdef int put_point(Bytes *out, uint32_t point) noexcept nogil:
    """Write a code point as the canonical text has it inside a string."""
    cdef uint8_t raw[8]
    cdef size_t size = 2
    raw[0] = 0x5C
    if point == 0x22 or point == 0x5C:
        raw[1] = <uint8_t>point
    elif point >= 0x20:
        size = encode(point, raw)
    elif point == 0x08:
        raw[1] = 0x62
    elif point == 0x09:
        raw[1] = 0x74
    elif point == 0x0A:
        raw[1] = 0x6E
    elif point == 0x0C:
        raw[1] = 0x66
    elif point == 0x0D:
        raw[1] = 0x72
    else:
        raw[1] = 0x75
        raw[2] = 0x30
        raw[3] = 0x30
        raw[4] = <uint8_t>(0x30 + (point >> 4))
        raw[5] = <uint8_t>((0x30 if (point & 15) < 10 else 0x57) + (point & 15))
        size = 6
    return put(out, raw, size)


cdef int parse_string(Parser *p, bint is_key) noexcept nogil:
    """At the opening quote. A key goes to `keys` too, as its code points are."""
    cdef size_t opening = p.at
    cdef size_t run
    cdef size_t length
    cdef uint32_t point = 0
    cdef uint8_t raw[4]
    cdef uint8_t c
    p.at += 1
    if put_byte(&p.out, 0x22) < 0:
        return -1
    while True:
        run = p.at
        while p.at < p.size:
            c = p.text[p.at]
            if _PLAIN[c]:
                p.at += 1
            elif c >= 0x80:
                length = utf8_length(p.text + p.at, p.size - p.at)
                if length == 0:
                    return fail(p, "invalid UTF-8", p.at)
                p.at += length
            else:
                break
        if p.at != run:
            if put(&p.out, p.text + run, p.at - run) < 0:
                return -1
            if is_key and put(&p.keys, p.text + run, p.at - run) < 0:
                return -1
        if p.at == p.size:
            return fail(p, "unterminated string", opening)
        c = p.text[p.at]
        if c == 0x22:
            p.at += 1
            return put_byte(&p.out, 0x22)
        if c != 0x5C:
            return fail(p, "control character in a string", p.at)
        if parse_escape(p, &point) < 0 or put_point(&p.out, point) < 0:
            return -1
        if is_key and put(&p.keys, raw, encode(point, raw)) < 0:
            return -1


cdef inline bint is_digit(Parser *p) noexcept nogil:
    return p.at < p.size and 0x30 <= p.text[p.at] <= 0x39


cdef int parse_number(Parser *p) noexcept nogil:
    cdef size_t start = p.at
    cdef size_t first       # first and last digit that is not 0, and where the digits end
    cdef size_t last
    cdef size_t digits_end
    cdef size_t point       # of the decimal point, or digits_end
    cdef size_t size
    cdef int64_t exponent = 0
    cdef bint minus = p.text[p.at] == 0x2D
    cdef bint down = False
    cdef char text[32]
    if minus:
        p.at += 1
    if not is_digit(p):
        return fail(p, "invalid number", start)
    first = p.at
    if p.text[p.at] == 0x30:
        p.at += 1
    else:
        while is_digit(p):
            p.at += 1
    point = p.at
    if p.at < p.size and p.text[p.at] == 0x2E:
        p.at += 1
        if not is_digit(p):
            return fail(p, "invalid number", start)
        while is_digit(p):
            p.at += 1
    digits_end = p.at
    if p.at < p.size and p.text[p.at] | 0x20 == 0x65:
        p.at += 1
        if p.at < p.size and (p.text[p.at] == 0x2B or p.text[p.at] == 0x2D):
            down = p.text[p.at] == 0x2D
            p.at += 1
        if not is_digit(p):
            return fail(p, "invalid number", start)
        while is_digit(p):
            if exponent < _EXPONENT_FAR // 10:
                exponent = exponent * 10 + (p.text[p.at] - 0x30)
            else:
                exponent = _EXPONENT_FAR
            p.at += 1
        if down:
            exponent = -exponent

    while first < digits_end and (p.text[first] == 0x30 or first == point):
        first += 1
    if first == digits_end:
        return put_byte(&p.out, 0x30)
    last = digits_end - 1
    while p.text[last] == 0x30 or last == point:
        last -= 1
    size = last - first + 1
    if first < point < last:
        size -= 1
    if size > _MAX_DIGITS:
        return fail(p, "number of more than 1000 digits", start)
    # The place of the last digit: 0 is just before the point.
    if last < point:
        exponent += <int64_t>(point - last - 1)
    else:
        exponent -= <int64_t>(last - point)
    if not -_MAX_EXPONENT <= exponent <= _MAX_EXPONENT:
        return fail(p, "number with an exponent beyond 100000", start)

    if minus and put_byte(&p.out, 0x2D) < 0:
        return -1
    if first < point < last:
        if put(&p.out, p.text + first, point - first) < 0:
            return -1
        first = point + 1
    if put(&p.out, p.text + first, last - first + 1) < 0:
        return -1
    if exponent:
        return put(&p.out, text, <size_t>snprintf(text, 32, "e%d", <int>exponent))
    return 0


cdef int parse_word(Parser *p, const char *word, size_t size) noexcept nogil:
    if p.size - p.at < size or memcmp(p.text + p.at, word, size) != 0:
        return fail(p, "invalid value", p.at)
    p.at += size
    return put(&p.out, word, size)


cdef int parse_array(Parser *p) noexcept nogil:
    cdef uint8_t c
    p.at += 1
    if put_byte(&p.out, 0x5B) < 0:
        return -1
    skip_space(p)
    if p.at < p.size and p.text[p.at] == 0x5D:
        p.at += 1
        return put_byte(&p.out, 0x5D)
    while True:
        if parse_value(p) < 0:
            return -1
        skip_space(p)
        if p.at == p.size:
            return fail(p, "unterminated array", p.at)
        c = p.text[p.at]
        if c != 0x2C and c != 0x5D:
            return fail(p, "expected ',' or ']'", p.at)
        p.at += 1
        if put_byte(&p.out, c) < 0:
            return -1
        if c == 0x5D:
            return 0
        skip_space(p)


cdef int by_key(const void *a, const void *b) noexcept nogil:
    cdef const Member *left = <const Member *>a
    cdef const Member *right = <const Member *>b
    cdef size_t common = min(left.key_size, right.key_size)
    cdef int order = memcmp(left.key, right.key, common) if common else 0
    if order:
        return order
    return (left.key_size > right.key_size) - (left.key_size < right.key_size)


cdef int note_member(
    Parser *p, size_t key_at, size_t key_size, size_t quote, size_t begin
) noexcept nogil:
    cdef void *moved
    cdef size_t room
    cdef Member *member
    if p.member_count == p.member_room:
        room = p.member_room * 2 if p.member_room else 64
        moved = realloc(p.members, room * sizeof(Member))
        if moved == NULL:
            return -1
        p.members = <Member *>moved
        p.member_room = room
    member = p.members + p.member_count
    p.member_count += 1
    member.key = NULL
    member.key_at = key_at
    member.key_size = key_size
    member.quote = quote
    member.begin = begin
    member.end = p.out.size
    return 0


cdef int finish_object(Parser *p, size_t base, size_t begin) noexcept nogil:
    """Put the members from `base` on, whose texts follow `begin` in `out`, in order."""
    cdef Member *members = p.members + base
    cdef size_t count = p.member_count - base
    cdef size_t n
    cdef bint ordered = True
    for n in range(count):
        members[n].key = p.keys.at + members[n].key_at
        if n and by_key(members + n - 1, members + n) >= 0:
            ordered = False
    if ordered and p.depth > 1:
        return 0
    if not ordered:
        qsort(members, count, sizeof(Member), by_key)
        for n in range(1, count):
            if by_key(members + n - 1, members + n) == 0:
                return fail(
                    p, "duplicate key in an object", max(members[n - 1].quote, members[n].quote)
                )
    p.spare.size = 0
    for n in range(count):
        if p.depth == 1 and members[n].key_size == 4 and memcmp(members[n].key, "uuid", 4) == 0:
            continue
        if p.spare.size and put_byte(&p.spare, 0x2C) < 0:
            return -1
        if put(&p.spare, p.out.at + members[n].begin, members[n].end - members[n].begin) < 0:
            return -1
    p.out.size = begin
    if p.spare.size:
        return put(&p.out, p.spare.at, p.spare.size)
    return 0


cdef int parse_object(Parser *p) noexcept nogil:
    cdef size_t keys_base = p.keys.size
    cdef size_t members_base = p.member_count
    cdef size_t members_begin
    cdef size_t begin
    cdef size_t quote
    cdef size_t key_at
    cdef size_t key_size
    cdef uint8_t c
    p.at += 1
    if put_byte(&p.out, 0x7B) < 0:
        return -1
    members_begin = p.out.size
    skip_space(p)
    if p.at < p.size and p.text[p.at] == 0x7D:
        p.at += 1
        return put_byte(&p.out, 0x7D)
    while True:
        if p.at == p.size:
            return fail(p, "unterminated object", p.at)
        if p.text[p.at] != 0x22:
            return fail(p, "expected a key in quotes", p.at)
        quote = p.at
        begin = p.out.size
        key_at = p.keys.size
        if parse_string(p, True) < 0:
            return -1
        key_size = p.keys.size - key_at
        skip_space(p)
        if p.at == p.size or p.text[p.at] != 0x3A:
            return fail(p, "expected ':'", p.at)
        p.at += 1
        if put_byte(&p.out, 0x3A) < 0:
            return -1
        skip_space(p)
        if parse_value(p) < 0 or note_member(p, key_at, key_size, quote, begin) < 0:
            return -1
        skip_space(p)
        if p.at == p.size:
            return fail(p, "unterminated object", p.at)
        c = p.text[p.at]
        if c == 0x7D:
            break
        if c != 0x2C:
            return fail(p, "expected ',' or '}'", p.at)
        p.at += 1
        if put_byte(&p.out, 0x2C) < 0:
            return -1
        skip_space(p)
    if finish_object(p, members_base, members_begin) < 0:
        return -1
    p.at += 1
    p.keys.size = keys_base
    p.member_count = members_base
    return put_byte(&p.out, 0x7D)


cdef int parse_value(Parser *p) noexcept nogil:
    cdef uint8_t c
    cdef int result
    if p.at == p.size:
        return fail(p, "expected a value", p.at)
    c = p.text[p.at]
    if c == 0x22:
        return parse_string(p, False)
    if c == 0x7B or c == 0x5B:
        if p.depth == _MAX_DEPTH:
            return fail(p, "nesting deeper than 64", p.at)
        p.depth += 1
        result = parse_object(p) if c == 0x7B else parse_array(p)
        p.depth -= 1
        return result
    if c == 0x2D or 0x30 <= c <= 0x39:
        return parse_number(p)
    if c == 0x74:
        return parse_word(p, "true", 4)
    if c == 0x66:
        return parse_word(p, "false", 5)
    if c == 0x6E:
        return parse_word(p, "null", 4)
    return fail(p, "expected a value", p.at)


cdef int parse_document(Parser *p) noexcept nogil:
    skip_space(p)
    if p.at == p.size or p.text[p.at] != 0x7B:
        return fail(p, "the root is not an object", p.at)
    if parse_value(p) < 0:
        return -1
    skip_space(p)
    if p.at != p.size:
        return fail(p, "something follows the document", p.at)
    return 0


cdef object _digest(const char *canonical, Py_ssize_t size):
    view = PyMemoryView_FromMemory(<char *>canonical, size, PyBUF_READ)
    return _sha256(view, usedforsecurity=False).hexdigest()[:32]


cdef object _text(const char *canonical, Py_ssize_t size):
    return PyBytes_FromStringAndSize(canonical, size)


cdef object _run(object document, object (*make)(const char *, Py_ssize_t)):
    cdef Py_buffer view
    cdef Parser p
    PyObject_GetBuffer(document, &view, PyBUF_SIMPLE)
    p.text = <const uint8_t *>view.buf
    p.size = <size_t>view.len
    p.at = 0
    p.depth = 0
    p.fault = NULL
    p.fault_at = 0
    p.out.at = p.keys.at = p.spare.at = NULL
    p.out.size = p.keys.size = p.spare.size = 0
    p.out.room = p.keys.room = p.spare.room = 0
    p.members = NULL
    p.member_count = p.member_room = 0
    try:
        # Room in `keys` from the start: an empty key is no place in a null array.
        if grow(&p.keys, 1) < 0 or parse_document(&p) < 0:
            if p.fault == NULL:
                raise MemoryError
            raise ConfigError(f"{p.fault.decode('ascii')} at byte {p.fault_at}")
        return make(<const char *>p.out.at, <Py_ssize_t>p.out.size)
    finally:
        free(p.out.at)
        free(p.keys.at)
        free(p.spare.at)
        free(p.members)
        PyBuffer_Release(&view)


def canonical(document) -> bytes:
    """Return the canonical form that `config_hash` digests."""
    return _run(document, _text)


def config_hash(document) -> str:
    """Return the canonical content hash, 32 lower-case hexadecimal digits."""
    return _run(document, _digest)
