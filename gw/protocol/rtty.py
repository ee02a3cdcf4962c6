"""The remote terminal's credentials, and the params of the command that opens one (3.17).

Pure. A session has an id and a token, both random and 32 hexadecimal digits. Only the device that
was told, and the browser of whoever asked, know them; what is stored is the command, whose UUID
follows from the id but not the other way round, and a proof of both.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from typing import Any, Final

import msgspec

from gw.protocol.errors import ParameterError

SECRET: Final = re.compile(r"[0-9a-f]{32}\Z")
"""Form of an id and of a token."""

LONGEST: Final = 63
"""Longest text in the params for a switch, bytes."""
_OF_COMMAND: Final = b"gw rtty command\0"
_OF_PROOF: Final = b"gw rtty proof\0"


class Credentials(msgspec.Struct, frozen=True):
    """What opens one session."""

    id: str
    token: str

    def __repr__(self) -> str:
        """Hide both: whoever has them has the terminal."""
        return "Credentials(...)"

    @property
    def command(self) -> str:
        """UUID of the command that this session belongs to."""
        return command_of(self.id)


class Details(msgspec.Struct, kw_only=True):
    """What the command's row keeps of its params: nothing that opens the session."""

    method: str = "rtty"
    server: str
    port: int
    user: str
    timeout: int
    """Seconds."""
    proof: str
    """See `proof`."""


def new_credentials() -> Credentials:
    """Return an id and a token that nobody has."""
    return Credentials(secrets.token_hex(16), secrets.token_hex(16))


def command_of(session: str) -> str:
    """Return the UUID of the command of a session, from the session's id."""
    digest = hashlib.sha256(_OF_COMMAND + session.encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def proof(credentials: Credentials) -> str:
    """Return what shows that somebody knows id and token, without telling them."""
    told = f"{credentials.id}{credentials.token}".encode()
    return hashlib.sha256(_OF_PROOF + told).hexdigest()


def proves(credentials: Credentials, kept: str) -> bool:
    """Tell whether the credentials are those that `kept` is the proof of."""
    return hmac.compare_digest(proof(credentials).encode(), kept.encode())


def params(
    serial: str,
    credentials: Credentials,
    details: Details,
    password: str,
    *,
    is_switch: bool = False,
) -> dict[str, Any]:
    """Return the params of the request to the device. `password` is the device's own.

    Raises ParameterError for a text that a switch has no room for: its agent copies each into 64
    bytes without a look at its length.
    """
    user = details.user
    if is_switch:
        user = user.encode()[:LONGEST].decode(errors="ignore")
        for name, text in (("rtty.public_host", details.server), ("password", password)):
            if len(text.encode()) > LONGEST:
                raise ParameterError(
                    f"{name} is longer than the {LONGEST} bytes that a switch has room for"
                )
    return {
        "method": details.method,
        "serial": serial,
        "id": credentials.id,
        "token": credentials.token,
        "server": details.server,
        "port": details.port,
        "user": user,
        "timeout": details.timeout,
        "password": password,
    }
