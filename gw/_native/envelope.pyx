"""Framing: one pass over a message of a device, without building its values (`jsonscan.h`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

from gw._native import envelope_py
from gw._native.envelope_py import ScanError

cdef extern from "jsonscan.h" nogil:
    enum:
        JSONSCAN_MAX_DEPTH
        JSONSCAN_MAX_MEMBERS
        JSONSCAN_JSONRPC
        JSONSCAN_METHOD
        JSONSCAN_PARAMS
        JSONSCAN_ID
        JSONSCAN_RESULT
        JSONSCAN_ERROR
        JSONSCAN_RADIUS
        JSONSCAN_OK
        JSONSCAN_DEPTH

    ctypedef struct JsonMember:
        size_t key
        size_t key_size
        size_t start
        size_t stop

    ctypedef struct JsonScan:
        const char *fault
        size_t fault_at
        const char *unreadable
        size_t unreadable_at
        JsonMember *names
        JsonMember *members
        int member_count
        int plain

    int jsonscan(JsonScan *s, const uint8_t *text, size_t size, int message)

MAX_DEPTH = JSONSCAN_MAX_DEPTH
MAX_MEMBERS = JSONSCAN_MAX_MEMBERS
assert (MAX_DEPTH, MAX_MEMBERS) == (envelope_py.MAX_DEPTH, envelope_py.MAX_MEMBERS)

ctypedef struct Place:
    size_t key
    size_t key_size
    size_t start
    size_t stop


cdef class Members:
    cdef readonly bytes text
    cdef readonly str unreadable
    cdef Place places[JSONSCAN_MAX_MEMBERS]
    cdef int count

    def span(self, str name not None):
        cdef Py_ssize_t size = 0
        cdef const char *wanted = PyUnicode_AsUTF8AndSize(name, &size)
        cdef const char *text = PyBytes_AS_STRING(self.text)
        cdef int found = -1
        cdef int i
        for i in range(self.count):
            if self.places[i].key_size == <size_t>size and not memcmp(
                text + self.places[i].key, wanted, size
            ):
                if found >= 0:
                    return None
                found = i
        if found < 0:
            return None
        return self.places[found].start, self.places[found].stop


cdef class Envelope:
    cdef readonly bint jsonrpc
    cdef readonly bint result
    cdef readonly bint error
    cdef readonly bint radius
    cdef readonly bytes method
    cdef readonly bytes id
    cdef readonly Members params
    cdef readonly str unreadable


cdef object refused(JsonScan *scan, int outcome):
    reason = "depth" if outcome == JSONSCAN_DEPTH else "bad_json"
    return ScanError(reason, f"{scan.fault.decode()} at byte {scan.fault_at}")


cdef str unreadable(JsonScan *scan):
    if scan.unreadable == NULL:
        return ""
    return f"{scan.unreadable.decode()} at byte {scan.unreadable_at}"


cdef Members members(JsonScan *scan, bytes text, size_t offset):
    cdef Members found = Members.__new__(Members)
    cdef int i
    found.text = text
    found.unreadable = unreadable(scan)
    found.count = scan.member_count if scan.plain else 0
    for i in range(found.count):
        found.places[i].key = scan.members[i].key - offset
        found.places[i].key_size = scan.members[i].key_size
        found.places[i].start = scan.members[i].start - offset
        found.places[i].stop = scan.members[i].stop - offset
    return found


cdef bytes cut(bytes text, JsonMember *member):
    if not member.stop:
        return None
    return PyBytes_FromStringAndSize(
        PyBytes_AS_STRING(text) + member.start, member.stop - member.start
    )


def scan_message(bytes text not None):
    cdef JsonScan scan
    cdef int outcome = jsonscan(
        &scan, <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), 1
    )
    if outcome != JSONSCAN_OK:
        raise refused(&scan, outcome)
    cdef Envelope found = Envelope.__new__(Envelope)
    found.jsonrpc = scan.names[JSONSCAN_JSONRPC].stop != 0
    found.result = scan.names[JSONSCAN_RESULT].stop != 0
    found.error = scan.names[JSONSCAN_ERROR].stop != 0
    found.radius = scan.names[JSONSCAN_RADIUS].stop != 0
    found.method = cut(text, &scan.names[JSONSCAN_METHOD])
    found.id = cut(text, &scan.names[JSONSCAN_ID])
    found.unreadable = unreadable(&scan)
    cdef JsonMember *params = &scan.names[JSONSCAN_PARAMS]
    if params.stop:
        found.params = members(&scan, cut(text, params), params.start)
    return found


def scan_object(bytes text not None):
    cdef JsonScan scan
    cdef int outcome = jsonscan(
        &scan, <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), 0
    )
    if outcome != JSONSCAN_OK:
        raise refused(&scan, outcome)
    return members(&scan, text, 0)
