"""How PostgreSQL connections are opened, and what its errors mean."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import asyncpg
import msgspec

from gw.core import settings
from gw.store.errors import StoreError

Role = Literal["write", "read"]

_OF_THE_DATA: Final = ("22", "23", "54")
"""SQLSTATE classes: data exception, integrity violation, program limit exceeded."""
_OUTSIDE: Final = ("08", "40", "53", "55", "57", "58", "25006", "25P03")
"""Causes outside of the call: connection, rollback, resources, state of an object, an operator,
the system; a server that became read-only (a standby), a transaction that idled too long."""
_CONNECTION_GONE: Final = ("08", "57P", "58", "25006", "25P03", "XX")
"""After these the connection is opened anew rather than trusted."""
_CLOSE_SECONDS: Final = 5.0


class Address(msgspec.Struct, frozen=True):
    """Where the database is; `where` says so without the password."""

    url: str
    where: str

    def __repr__(self) -> str:
        return f"Address({self.where})"


def address(url: str) -> Address:
    """Return the address that `store.url` names. Raises StoreError if it cannot be used."""
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:
            _ = parts.port  # raises over what is no number
        database = parts.path.lstrip("/")
    except ValueError:
        # Its own message may repeat the password.
        raise StoreError(
            "store.url: not a URL; signs in user and password are to be percent-encoded"
        ) from None
    if "," not in parts.netloc and not parts.hostname and "host=" not in parts.query:
        hosts = "local socket"
    else:
        hosts = parts.netloc.rpartition("@")[2] or "local socket"
    if "password=" in parts.query:
        raise StoreError("store.url: write the password as postgresql://user:password@host/...")
    if not database and "dbname=" not in parts.query and "database=" not in parts.query:
        raise StoreError("store.url: names no database; it must be postgresql://host/database")
    return Address(url, f"PostgreSQL {hosts}/{database}")


def is_fault_of_data(error: BaseException) -> bool:
    """Tell whether a failed write can never succeed, whatever the state of the database."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_OF_THE_DATA)
    if isinstance(error, asyncpg.InterfaceError):
        return False
    return isinstance(error, TypeError | ValueError | OverflowError | AttributeError | KeyError)


def is_connection_gone(error: BaseException) -> bool:
    """Tell whether the connection is not to be used any more."""
    if isinstance(error, asyncpg.PostgresError):
        if isinstance(error, asyncpg.FatalPostgresError):
            return True
        state = error.sqlstate or ""
        return error.severity_en in ("FATAL", "PANIC") or state.startswith(_CONNECTION_GONE)
    if is_fault_of_data(error):
        return False
    return isinstance(
        error,
        OSError
        | TimeoutError
        | asyncio.CancelledError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError,
    )


def reason(error: BaseException) -> str:
    """Return why a write is impossible, without the values that it was to write."""
    text = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, asyncpg.DataError) and "invalid input" in text:
        # "invalid input for query argument $1: <value> (an integer is required)"
        return f"{text.partition(':')[0]} {text[text.rfind('(') :]}" if "(" in text else text[:40]
    if isinstance(error, asyncpg.PostgresError):
        return f"{text} ({error.sqlstate})"
    return text


def store_error(error: BaseException, where: str) -> StoreError:
    """Return the error of the store for one of asyncpg or of the network."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        text = f"{where}: {error.args[0] if error.args else error} ({state})"
        return StoreError(text, retriable=state.startswith(_OUTSIDE))
    if isinstance(error, TimeoutError):
        return StoreError(f"{where}: no answer in time", retriable=True)
    if isinstance(error, ssl.SSLCertVerificationError):
        return StoreError(f"{where}: its certificate is refused: {error.verify_message}")
    if isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
        return StoreError(f"{where}: {text}", retriable=True)
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        # Its own message may repeat parts of the URL.
        return StoreError(f"store.url: cannot be used: {type(error).__name__}")
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return StoreError(f"{where}: {error}", retriable=True)
    return StoreError(f"{where}: {type(error).__name__}: {error}")


def options(store: settings.Store, role: Role, application: str) -> dict[str, Any]:
    """Return what a connection of a role is opened with."""
    server = {
        "application_name": application,
        "statement_timeout": f"{int(store.query_seconds * 1000)}",
        "lock_timeout": f"{int(store.query_seconds * 500)}",
        # What a client that vanished left behind must not hold its locks for hours.
        "idle_in_transaction_session_timeout": f"{int(store.query_seconds * 1000)}",
        "default_transaction_isolation": "read committed",
        "timezone": "UTC",
        # Short statements: compiling them costs more than it gives.
        "jit": "off",
    }
    if role == "read":
        server["default_transaction_read_only"] = "on"
    else:
        server["default_toast_compression"] = "lz4"
        if store.synchronous == "normal":
            server["synchronous_commit"] = "off"
    return {
        "timeout": store.connect_seconds,
        "server_settings": server,
        "statement_cache_size": 512,
        "max_cached_statement_lifetime": 0,
    }


async def connect(
    at: Address, store: settings.Store, role: Role, application: str
) -> asyncpg.Connection:
    """Open a connection. Raises StoreError; an absent server is retriable."""
    try:
        return await asyncpg.connect(at.url, **options(store, role, application))
    except asyncio.CancelledError:
        raise
    except Exception as error:
        raise store_error(error, at.where) from error


async def close(connection: asyncpg.Connection) -> None:
    """Close a connection; one to a server that does not answer is cut off."""
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except Exception:  # noqa: BLE001 - nobody is left to be told
        connection.terminate()
