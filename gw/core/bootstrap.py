"""What a role process is given by the supervisor: settings and inherited descriptors.

The supervisor writes one `Bootstrap` as JSON into a memfd and passes its number in the
environment variable `GW_BOOTSTRAP_FD`; every descriptor named in it is inherited by exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

import msgspec

from gw.core.settings import Settings

BOOTSTRAP_VARIABLE: Final = "GW_BOOTSTRAP_FD"
_PR_SET_PDEATHSIG: Final = 1


class RingEnds(msgspec.Struct):
    """The two rings between the coordinator and one other process."""

    name: str
    """`worker-0`, `worker-1`, ..., `api`, and `radius` if it is enabled."""
    up_memfd: int
    """Ring towards the coordinator."""
    up_wake: int
    """Eventfd that wakes the coordinator."""
    down_memfd: int
    down_wake: int
    """Eventfd that wakes the other process."""


class Bootstrap(msgspec.Struct):
    """Everything that a role process starts from."""

    role: str
    """`worker`, `coordinator`, `api`, or a sidecar: `radius`, `rtty`."""
    slot: int
    """Slot of a worker; 0 for the other roles."""
    generation: int
    """1 at the first start of this role and slot, then counted up at each restart."""
    parent: int
    """Pid of the supervisor."""
    settings: Settings
    rings: list[RingEnds]
    """All of the node's for the coordinator; its own one for the others; none for `rtty`."""
    counters_memfd: int
    counters_slot: int
    ready_fd: int
    """Pipe: a line `ready` is written once the process serves."""
    sockets: dict[str, int]
    """Listening sockets by name: `devices`, `devices.<name>` of further listeners, `api`,
    `security`, `files`, `rtty`, `rtty_viewer`."""
    counters_names: list[str] = msgspec.field(default_factory=list)
    """Names of the processes, in the order of their slots of the counters."""


def load() -> Bootstrap:
    """Read the bootstrap of this process and arrange that it ends when its supervisor does.

    The process gets SIGTERM when the supervisor is gone, so that it still flushes.
    Raises SystemExit if the process was not started by a supervisor.
    """
    number = os.environ.pop(BOOTSTRAP_VARIABLE, None)
    if number is None:
        raise SystemExit("this process is started by `gw run`, not by hand")
    fd = int(number)
    size = os.fstat(fd).st_size
    bootstrap = msgspec.json.decode(os.pread(fd, size, 0), type=Bootstrap)
    os.close(fd)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != bootstrap.parent:
        raise SystemExit("the supervisor is gone")
    return bootstrap


def announce_ready(bootstrap: Bootstrap) -> None:
    """Tell the supervisor that this process serves."""
    os.write(bootstrap.ready_fd, b"ready\n")
