"""What `gw doctor` looks at in a PostgreSQL database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import asyncpg

from gw.core.settings import Settings
from gw.ops.health_finding import Finding, fault, good, warning
from gw.store.errors import MigrationError, StoreError
from gw.store.migrations import load, outstanding
from gw.store.postgres_connection import Address, address, close, connect
from gw.store.postgres_migrations import applied_postgres

_OLDEST: Final = 140_000
"""Version 14: compression by lz4."""
_MIB: Final = 1024 * 1024
_WRITERS: Final = 2
"""Connections beside those for reading: the coordinator's, and one of `gw user`."""

_FACTS: Final = """
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS version_text,
       current_setting('server_encoding') AS encoding,
       current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       pg_is_in_recovery() AS standby,
       (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
       coalesce(inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1', true) AS near,
       (SELECT 'lz4' = ANY(enumvals) FROM pg_catalog.pg_settings
        WHERE name = 'default_toast_compression') AS lz4,
       current_schema() AS schema,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       pg_database_size(current_database()) AS size,
       current_setting('max_connections')::int
       - current_setting('superuser_reserved_connections')::int AS connections
"""


class _Looked(NamedTuple):
    facts: dict[str, Any]
    applied: dict[int, str]


def postgres_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what is to be said of the database that `store.url` names."""
    try:
        at = address(settings.store.url)
        looked = asyncio.run(_look(at, settings))
    except MigrationError as exc:
        yield fault("store", str(exc), "name an empty database in store.url, or the one of gw")
        return
    except StoreError as exc:
        yield fault("store", str(exc), _remedy(exc))
        return
    facts = looked.facts
    yield from _server(facts, settings)
    if facts["version"] >= _OLDEST:
        yield from _schema(at.where, looked)


async def _look(at: Address, settings: Settings) -> _Looked:
    connection: asyncpg.Connection = await connect(at, settings.store, "write", "gw doctor")
    try:
        # The version first: what else is asked exists only in later ones.
        version = int(await connection.fetchval("SHOW server_version_num"))
        if version < _OLDEST:
            text = await connection.fetchval("SHOW server_version")
            return _Looked({"version": version, "version_text": text}, {})
        facts = dict(await connection.fetchrow(_FACTS))
        return _Looked(facts, await applied_postgres(connection, at.where))
    finally:
        await close(connection)


def _remedy(error: StoreError) -> str:
    text = str(error)
    if "(28" in text:
        return "see user and password in store.url, and pg_hba.conf of the server"
    if "(3D000)" in text:
        return "make it: `createdb --encoding UTF8 --owner ROLE NAME`"
    if "certificate" in text:
        return "name its authority: ?sslmode=verify-full&sslrootcert=FILE in store.url"
    if error.retriable:
        return "start the server; see host, port and firewall, and listen_addresses"
    return "see store.url and docs/postgresql.md"


def _server(facts: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    if facts["version"] < _OLDEST:
        yield fault("store", f"PostgreSQL {facts['version_text']}", "version 14 or later is needed")
        return
    if facts["standby"]:
        yield fault(
            "store",
            "the server is a standby: it takes no writes",
            "name the primary, or both hosts with target_session_attrs=read-write, in store.url",
        )
    if facts["encoding"] != "UTF8":
        remedy = "make it anew with --encoding UTF8"
        yield fault("store", f"the database has encoding {facts['encoding']}", remedy)
    if not facts["lz4"]:
        remedy = "use a build of PostgreSQL with lz4, as all distributions have"
        yield fault("store", "the server cannot compress by lz4", remedy)
    if not facts["encrypted"] and not facts["near"]:
        yield warning(
            "store",
            "the connection to the database is not encrypted",
            "add ?sslmode=verify-full&sslrootcert=FILE to store.url",
        )
    if facts["fsync"] == "off":
        yield warning("store", "fsync is off: a power cut damages the database", "turn it on")
    if facts["synchronous_commit"] == "off" and settings.store.synchronous == "full":
        yield warning(
            "store",
            "synchronous_commit is off: a power cut may lose what was confirmed",
            "turn it on for this database: ALTER DATABASE ... SET synchronous_commit = on",
        )
    needed = 2 * settings.store.read_connections + _WRITERS
    if facts["connections"] < needed:
        remedy = "raise max_connections of the server, or lower store.read_connections"
        yield warning(
            "store", f"the server takes {facts['connections']} connections of {needed}", remedy
        )


def _schema(where: str, looked: _Looked) -> Iterator[Finding]:
    facts = looked.facts
    shown = f"{where}, version {facts['version_text']}, {facts['size'] // _MIB} MiB"
    try:
        todo = outstanding(load("postgres"), looked.applied, where)
    except MigrationError as exc:
        yield fault("store", str(exc), "see store.url, and the version of gw that wrote it")
        return
    if todo and not facts["may_create"]:
        yield fault(
            "store",
            f"the role may not make tables in schema {facts['schema']} of {where}",
            "let it own the database: ALTER DATABASE name OWNER TO role",
        )
    elif not looked.applied:
        yield good("store", f"{shown} (the schema will be made)")
    elif todo:
        yield good("store", f"{shown}, of an earlier version (`gw run` brings it up to date)")
    else:
        yield good("store", shown)
