"""Log lines as UIs show them: the content of notifications of type 1 (northbound.md 4.11)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

LOG: Final = 1
"""Type of these notifications."""
_LEVELS: Final = {"info": "information", "critical": "critical", "warning": "warning"}
_MAX_TEXT: Final = 2000
_NAMED: Final = frozenset(("event", "level", "logger", "process", "timestamp", "exc_info"))


def content(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a UI shows of a line whose secrets are hidden already."""
    more = " ".join(f"{name}={value}" for name, value in line.items() if name[:1] != "_"
                    and name not in _NAMED)  # fmt: skip
    level = str(line.get("level", "info"))
    return {
        "msg": f"{line.get('event', '')} {more}".strip()[:_MAX_TEXT],
        "level": _LEVELS.get(level, level),
        "timestamp": int(time.time()),
        "source": str(line.get("logger", "")),
        "thread_name": str(line.get("process", "")),
        "thread_id": os.getpid(),
    }
