"""Points at which a test makes a process die, to prove what is kept (INVARIANTS 5 and 6).

`GW_FAULT_POINT=<point>@<file>` in the environment of the gateway: the process that reaches the
point first, and creates the file by doing so, kills itself. Without it nothing is done here.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "GW_FAULT_POINT"
_POINT, _, _FILE = os.environ.get(VARIABLE, "").partition("@")
ARMED: Final = bool(_POINT and _FILE)


def reached(point: str) -> None:
    """Die here if the environment says so, and it was not done before."""
    if not ARMED or point != _POINT:
        return
    try:
        os.close(os.open(_FILE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
