"""Databases with the layout of owgw's and owsec's, made by statements of our own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg

from gw.store.postgres_sql import translated

_SERIAL = "SerialNumber VARCHAR(30) PRIMARY KEY"

GATEWAY = {
    "Devices": f"{_SERIAL}, DeviceType VARCHAR(32), MACAddress VARCHAR(30), "
    "Manufacturer VARCHAR(64), Configuration TEXT, Notes TEXT, Owner VARCHAR(64), Location TEXT, "
    "Venue VARCHAR(64), DevicePassword VARCHAR(64), Firmware VARCHAR(128), "
    "Compatible VARCHAR(128), FWUpdatePolicy VARCHAR(128), UUID BIGINT, "
    "CreationTimestamp BIGINT, LastConfigurationChange BIGINT, "
    "LastConfigurationDownload BIGINT, LastFWUpdate BIGINT, subscriber VARCHAR(64), "
    "entity VARCHAR(64), modified BIGINT, locale VARCHAR(32), restrictedDevice BOOLEAN, "
    "pendingConfiguration TEXT, pendingConfigurationCmd VARCHAR(64), restrictionDetails TEXT, "
    "pendingUUID BIGINT, simulated BOOLEAN, lastRecordedContact BIGINT, "
    "certificateExpiryDate BIGINT, connectReason TEXT",
    "Capabilities": f"{_SERIAL}, Capabilities TEXT, FirstUpdate BIGINT, LastUpdate BIGINT",
    "DefaultConfigs": "Name VARCHAR(30) PRIMARY KEY, Configuration TEXT, Models TEXT, "
    "Description TEXT, Created BIGINT, LastModified BIGINT, Platform TEXT",
    "DefaultFirmwares": "deviceType VARCHAR(128) PRIMARY KEY, uri TEXT, revision TEXT, "
    "Description TEXT, Created BIGINT, imageCreationDate BIGINT, LastModified BIGINT",
    "BlackList": f"{_SERIAL}, Reason TEXT, Created BIGINT, Author VARCHAR(64)",
    "Scripts": "id VARCHAR(36) PRIMARY KEY, name TEXT, description TEXT, uri TEXT, content TEXT, "
    "version TEXT, type TEXT, created BIGINT, modified BIGINT, author TEXT, restricted TEXT, "
    "deferred BOOLEAN, timeout BIGINT, defaultUploadURI TEXT",
    "Statistics": "SerialNumber VARCHAR(30), UUID INTEGER, Data TEXT, Recorded BIGINT",
    "CommandList": "UUID VARCHAR(64) PRIMARY KEY, SerialNumber VARCHAR(30), Command VARCHAR(32)",
}
_USER = (
    "id VARCHAR(36) PRIMARY KEY, name TEXT, description TEXT, avatar TEXT, email TEXT, "
    "validated BOOLEAN, validationEmail TEXT, validationDate BIGINT, creationDate BIGINT, "
    "validationURI TEXT, changePassword BOOLEAN, lastLogin BIGINT, currentLoginURI TEXT, "
    "lastPasswordChange BIGINT, lastEmailCheck BIGINT, waitingForEmailCheck BOOLEAN, locale TEXT, "
    "notes TEXT, location TEXT, owner TEXT, suspended BOOLEAN, blackListed BOOLEAN, "
    "userRole TEXT, userTypeProprietaryInfo TEXT, securityPolicy TEXT, "
    "securityPolicyChange BIGINT, currentPassword TEXT, lastPasswords TEXT, oauthType TEXT, "
    "oauthUserInfo TEXT, modified BIGINT"
)
SECURITY = {
    "Users": _USER,
    "Subscribers": _USER,
    "ApiKeys": "id VARCHAR(36) PRIMARY KEY, userUuid TEXT, name TEXT, description TEXT, "
    "apiKey TEXT, salt TEXT, created BIGINT, expiresOn BIGINT, rights TEXT, lastUse BIGINT",
}

Rows = dict[str, list[dict[str, Any]]]


def salted(password: str, email: str, salt: str) -> str:
    """Return a hash as owsec keeps it."""
    return f"{salt}|{hashlib.sha256((salt + password + email).encode()).hexdigest()}"


def unsalted(password: str, email: str) -> str:
    """Return one as the first user of owsec has it."""
    return hashlib.sha256((password + email).encode()).hexdigest()


def statements(layout: dict[str, str], rows: Rows) -> list[tuple[str, list[Any]]]:
    """Return what makes a database with some rows; columns that are not named are null."""
    found: list[tuple[str, list[Any]]] = [
        (f"CREATE TABLE {table} ({columns})", []) for table, columns in layout.items()
    ]
    for table, given in rows.items():
        for row in given:
            places = ", ".join("?" * len(row))
            sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"
            found.append((sql, list(row.values())))
    return found


def in_sqlite(path: Path, layout: dict[str, str], rows: Rows) -> str:
    """Make a SQLite database anew; returns its URL."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        for sql, values in statements(layout, rows):
            connection.execute(sql, values)
    connection.close()
    return f"sqlite:///{path}"


def in_postgres(url: str, layout: dict[str, str], rows: Rows) -> str:
    """Make the tables of a PostgreSQL database anew; returns its URL."""

    async def make() -> None:
        connection = await asyncpg.connect(url, timeout=60)
        for table in layout:
            await connection.execute(f"DROP TABLE IF EXISTS {table}")
        for sql, values in statements(layout, rows):
            await connection.execute(translated(sql), *values)
        await connection.close()

    # A thread, since the test has a loop of its own running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, make()).result()
    return url


def device(serial: str, uuid: int = 1_700_000_000, **more: Any) -> dict[str, Any]:
    """Return a row of Devices."""
    configuration = {"uuid": uuid, "interfaces": [{"name": "up", "role": "upstream"}]}
    return {
        "SerialNumber": serial, "DeviceType": "AP", "MACAddress": "02:a0:a9:00:00:51",
        "Manufacturer": "Maker", "Configuration": json.dumps(configuration),
        "Notes": json.dumps([{"created": 5, "createdBy": "op@x", "note": "on the roof"}]),
        "Owner": "", "Location": "loc", "Venue": "venue-1", "DevicePassword": "openwifi",
        "Firmware": "fw 1", "Compatible": "maker_ap", "FWUpdatePolicy": "", "UUID": uuid,
        "CreationTimestamp": 1_600_000_000, "LastConfigurationChange": uuid,
        "LastConfigurationDownload": uuid, "LastFWUpdate": 0, "subscriber": "", "entity": "e-1",
        "modified": 1_600_000_001, "locale": "DE", "restrictedDevice": False,
        "pendingConfiguration": "", "pendingConfigurationCmd": "", "restrictionDetails": "",
        "pendingUUID": 0,
    } | more  # fmt: skip


def user(id: str, email: str, password: str, **more: Any) -> dict[str, Any]:
    """Return a row of Users; `password` is the stored form."""
    return {
        "id": id, "name": f"name of {id}", "description": "d", "avatar": "", "email": email,
        "validated": True, "creationDate": 1_600_000_000, "changePassword": False, "lastLogin": 7,
        "waitingForEmailCheck": False, "locale": "en", "notes": "[]", "owner": "o",
        "suspended": False, "blackListed": False, "userRole": "admin",
        "userTypeProprietaryInfo": "", "currentPassword": password,
        "lastPasswords": json.dumps([password]), "modified": 1_600_000_001,
    } | more  # fmt: skip
