"""Burns a share of a core: python burner.py SHARE SECONDS, the share from 0 to 1."""

from __future__ import annotations

import sys
import time

SLICE = 0.01
"""Seconds of a turn of work and rest: short beside what is measured."""


def main(share: float, seconds: float) -> None:
    end = time.monotonic() + seconds
    began, burnt = time.monotonic(), time.process_time()
    while (now := time.monotonic()) < end:
        # What the scheduler took away is made up for, so that the sum is right.
        wanted = burnt + share * (now + SLICE - began)
        while time.process_time() < wanted and time.monotonic() < end:
            pass
        time.sleep(max(0.0, now + SLICE - time.monotonic()))


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
