"""Canonical content hash of a configuration (design.md, section 4). Twin: `confighash_py`."""

from gw._native.confighash_py import ConfigError as ConfigError

MAX_DEPTH: int
"""Objects and arrays inside one another, the root counted."""
MAX_DIGITS: int
"""Digits of a number without leading and trailing zeros."""
MAX_EXPONENT: int
"""Of the last such digit, either way: by value, so that equal numbers fare equally."""

def config_hash(document: bytes | bytearray | memoryview) -> str:
    """Return 32 lower-case hexadecimal digits: SHA-256, cut to 128 bits, of the canonical form.

    `document` is UTF-8 JSON text whose root is an object. Canonical form: keys sorted by code
    point, no whitespace, numbers by exact decimal value (1, 1.0 and 1e0 equal, -0 is 0), strings
    by their code points (escapes resolved), `uuid` at the top level left out.
    Raises ConfigError for invalid JSON, duplicate keys, lone surrogates, nesting deeper than
    MAX_DEPTH, and numbers beyond MAX_DIGITS digits or MAX_EXPONENT. The message names what and at
    which byte, and holds nothing of the document.
    """

def canonical(document: bytes | bytearray | memoryview) -> bytes:
    """Return the canonical form that `config_hash` digests. Raises as `config_hash` does."""
