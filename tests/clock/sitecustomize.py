"""Imported by each Python process whose path begins here: its wall clock can be set by a test.

GW_TEST_CLOCK names a file with one double: seconds that the clock is ahead (clock_jump.py). The
monotonic clock stays as it is, as when an administrator sets the time of a machine.
"""

import mmap
import os
import struct
import time

_FILE = os.environ.get("GW_TEST_CLOCK", "")


def _shift(path: str) -> None:
    with open(path, "rb") as file:
        page = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    read = struct.Struct("d").unpack_from
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + read(page)[0]
    time.time_ns = lambda: true_time_ns() + int(read(page)[0] * 1e9)


if _FILE:
    _shift(_FILE)
