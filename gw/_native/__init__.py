"""Compiled helpers: shared-memory ring, framing of messages, configuration hash.

GW_PURE_PYTHON=1 chooses the pure-Python twins of the framing and of the hash. The ring has no
twin: its guarantees rest on atomic stores that Python cannot make.
"""

import os

from gw._native.confighash_py import ConfigError
from gw._native.envelope_py import ScanError

native = os.environ.get("GW_PURE_PYTHON") != "1"

if native:
    from gw._native.confighash import config_hash
    from gw._native.envelope import Envelope, Members, scan_message, scan_object
else:
    from gw._native.confighash_py import config_hash
    from gw._native.envelope_py import (  # type: ignore[assignment]
        Envelope,
        Members,
        scan_message,
        scan_object,
    )

__all__ = [
    "ConfigError",
    "Envelope",
    "Members",
    "ScanError",
    "config_hash",
    "native",
    "scan_message",
    "scan_object",
]
