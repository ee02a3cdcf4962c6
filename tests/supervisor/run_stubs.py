"""Runs a supervisor whose roles are stubs. Argument: JSON of {settings, ready_file, stub}."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from gw import supervisor
from gw.core.settings import Settings
from gw.ops import logs


def main() -> int:
    told = json.loads(sys.argv[1])
    settings = msgspec.convert(told["settings"], Settings)
    logs.configure(level="debug", role="supervisor")
    command = [sys.executable, told["stub"]]
    try:
        return supervisor.run(
            settings,
            Path(told["ready_file"]),
            commands=dict.fromkeys(("coordinator", "worker", "api", "radius", "rtty"), command),
        )
    except supervisor.StartError as exc:
        print(f"StartError: {exc}", file=sys.stderr)
        return 1


sys.exit(main())
