"""What tells the country of addresses, as the doctor looks at it."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from typing import Final

import maxminddb

from gw.core.settings import Settings
from gw.ops.health_finding import Finding, fault, good, warning

_TOPIC: Final = "countries"
_OLD_DAYS: Final = 180
"""Publishers bring a new database at least every month."""


def country_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about `iptocountry`."""
    asked = settings.iptocountry
    if asked.provider == "file":
        yield from _database(asked.file)
    elif asked.ca:
        try:
            ssl.create_default_context(cafile=asked.ca)
        except OSError as exc:
            text = f"iptocountry.ca: {asked.ca}: {exc.strerror or exc}"
            yield fault(_TOPIC, text, "name a PEM bundle, or leave it empty")


def _database(path: str) -> Iterator[Finding]:
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MEMORY) as database:
            about = database.metadata()
    except OSError as exc:
        text = f"iptocountry.file: {path}: {exc.strerror or exc}"
        yield fault(_TOPIC, text, "name a database in MaxMind's format")
        return
    except (maxminddb.InvalidDatabaseError, ValueError, LookupError):
        text = f"iptocountry.file: {path} is no database in MaxMind's format"
        yield fault(_TOPIC, text, "get it anew, and unpack it: it ends in .mmdb")
        return
    built = datetime.datetime.fromtimestamp(about.build_epoch, datetime.UTC)
    text = f"{path}, {about.database_type} of {built.date()}"
    if datetime.datetime.now(datetime.UTC) - built > datetime.timedelta(days=_OLD_DAYS):
        yield warning(_TOPIC, f"{text} is old: addresses have moved since", "get a newer one")
    else:
        yield good(_TOPIC, text)
