"""Compiled helpers: shared-memory ring and configuration hash.

GW_PURE_PYTHON=1 chooses the pure-Python twin of the hash. The ring has no twin: its guarantees
rest on atomic stores that Python cannot make.
"""

import os

from gw._native.confighash_py import ConfigError

native = os.environ.get("GW_PURE_PYTHON") != "1"

if native:
    from gw._native.confighash import config_hash
else:
    from gw._native.confighash_py import config_hash

__all__ = ["ConfigError", "config_hash", "native"]
