"""All that is to say about one configuration, from one decoding of it."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec

from gw._native import config_hash
from gw.validation.capabilities import warnings
from gw.validation.changes import Changes, changes
from gw.validation.document import decode, size
from gw.validation.problems import Problem
from gw.validation.refusals import crashers
from gw.validation.schema import Schema, SchemaFailure

COMPARED_SIZE: Final = 500_000
"""Values of both configurations together that are compared, field by field."""


class Device(msgspec.Struct, frozen=True):
    """What is known about the device that the configuration is for."""

    type: str = ""
    """Type as stored; `switch`, or it is an access point."""
    capabilities: bytes = b""
    """Object of its `connect`; empty: none came yet."""
    stored: bytes | None = None
    """Configuration to compare with; None: do not compare."""


class Examination(msgspec.Struct):
    """What was found out about one configuration."""

    hash: str
    """Content hash."""
    schema: str
    """Name of the schema that judged."""
    problems: list[Problem]
    """Why it is refused; empty: it is not."""
    omitted: int = 0
    """Further problems, at least."""
    warnings: list[Problem] = msgspec.field(default_factory=list)
    """What the device cannot do of it."""
    failure: str = ""
    """Why the schema could not judge; empty: it could."""
    changes: Changes | None = None
    """What is different from the stored one; None: nothing is stored, or it is too much."""


def examine(text: bytes, device: Device, schema: Schema, most: int) -> Examination:
    """Look at a configuration, and name `most` findings of each kind at most.

    What crashes agents is named first. Raises ConfigError if it is malformed.
    """
    content = config_hash(text)
    document = decode(text)
    fatal = list(islice(crashers(document), most))
    found = Examination(content, schema.name, fatal)
    try:
        findings = schema.examine(document, size(text), most)
    except SchemaFailure as failure:
        found.failure = str(failure)
    else:
        known = {one.path for one in fatal}
        more = [one for one in findings.problems if one.path not in known]
        found.problems = (fatal + more)[:most]
        found.omitted = findings.omitted + len(fatal) + len(more) - len(found.problems)
    found.warnings = list(islice(warnings(document, device.capabilities, device.type), most))
    if device.stored is not None and size(device.stored) + size(text) <= COMPARED_SIZE:
        found.changes = changes(device.stored, text, most)
    return found
