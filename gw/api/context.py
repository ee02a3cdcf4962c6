"""What every handler of the api process works with."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from litestar.connection import ASGIConnection

from gw.api.configuration_validation import ConfigurationValidation
from gw.api.coordinator_client import DEFAULT_SECONDS, Answer
from gw.api.oui import Vendors
from gw.api.regulatory_file import Regulatory
from gw.api.sisters import Sisters
from gw.api.terminal_places import TerminalPlaces
from gw.core.errors import ApiError
from gw.core.settings import Settings
from gw.files.kept import KeptFiles
from gw.ops.processes import Processes
from gw.store.interface import Reader
from gw.store.rows import DeviceRow
from gw.validation.examination import Device

_HOST: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])\Z")


class Coordinator(Protocol):
    """The one writer of the node."""

    async def request(
        self,
        operation: str,
        arguments: dict[str, Any],
        body: bytes = b"",
        *,
        timeout: float = DEFAULT_SECONDS,  # noqa: ASYNC109 - it is a part of the request
    ) -> Answer:
        """Ask for an operation. Raises ApiError if it is refused or not answered in time."""


class CertificateExpiry(Protocol):
    """The certificate of the listeners."""

    file: str
    expires: int
    """Unix time, seconds."""


class LogLevels(Protocol):
    """Levels of the logs by kind of process."""

    def read(self) -> dict[str, str]:
        """Return the level of each kind."""

    def set(self, role: str, level: str) -> None:
        """Set a level."""


class FixedLevels:
    """Of a process that has no say."""

    def read(self) -> dict[str, str]:
        """Return nothing."""
        return {}

    def set(self, role: str, level: str) -> None:
        """Raise KeyError."""
        raise KeyError(role)


def ignored(_error: ApiError) -> None:
    """Take no note of a refusal."""


@dataclass(slots=True, kw_only=True)
class Context:
    """Settings, the store to read from, and the coordinator to write through."""

    settings: Settings
    reader: Reader
    coordinator: Coordinator
    kept_files: KeptFiles
    api_port: int
    """Port on which the api listener really listens."""
    security_port: int = 16001
    """Port on which the security listener really listens."""
    files_port: int = 16003
    """Port on which the upload listener really listens."""
    certificate: CertificateExpiry | None = None
    note_refusal: Callable[[ApiError], None] = ignored
    """Told of each request that was refused with 403."""
    validation: ConfigurationValidation = field(default_factory=ConfigurationValidation)
    count_terminals: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Terminal sessions that there are, and how many there ever were."""
    terminals: TerminalPlaces = field(init=False)
    vendors: Vendors = field(default_factory=Vendors)
    regulatory: Regulatory = field(init=False)
    sisters: Sisters | None = None
    """Other services that announce themselves."""
    log_levels: LogLevels = field(default_factory=FixedLevels)
    processes: Processes = field(default_factory=Processes.alone)
    """What each process of the node did."""
    reload: Callable[[], None] = lambda: None
    """Reads certificates and other files again."""
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        """Make what all listeners share."""
        self.terminals = TerminalPlaces(self.settings.rtty, self.count_terminals)
        self.regulatory = Regulatory(self.settings.api.regulatory_file)

    @property
    def max_page(self) -> int:
        """Largest `limit` of a list."""
        return self.settings.api.max_page

    async def device_facts(self, row: DeviceRow | None, device_type: str = "") -> Device:
        """Return what a configuration for this device is judged by; None: there is no such yet.

        `device_type` replaces what is stored, unless it is empty.
        """
        if row is None:
            return Device(device_type)
        kept = await self.reader.capabilities(row.serial_number)
        able = b"" if kept is None else kept.capabilities.encode()
        return Device(device_type or row.device_type, able, row.configuration.encode())

    async def delete_device(self, serial: str) -> None:
        """Delete a device with all that is kept of it, and end its session. Raises ApiError."""
        files = await self.kept_files.of_commands(serial)
        await self.coordinator.request("device.delete", {"serial": serial})
        await self.kept_files.deleted(files)

    def public_url(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """Return the URL of the api listener for clients, without a trailing slash.

        Unless it is set, the name is the one by which this client reached us: it is one that
        the client can resolve and that our certificate satisfied.
        """
        if self.settings.api.public_url:
            return self.settings.api.public_url.rstrip("/")
        return f"https://{self._host(connection)}:{self.api_port}"

    def security_url(self) -> str:
        """Return the URL of the security listener for links in mails, without a trailing slash."""
        url = self.settings.security.public_url.rstrip("/")
        return url or f"https://{socket.gethostname()}:{self.security_port}"

    def sign_in_url(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """Return the URL of the security service for browsers, without a trailing slash.

        Unless one is set, it is reached by the same name as this listener.
        """
        wanted = self.settings.security
        url = (wanted.public_url or wanted.external_url).rstrip("/")
        return url or f"https://{self._host(connection)}:{self.security_port}"

    def upload_url(self, connection: ASGIConnection[Any, Any, Any, Any], command: str) -> str:
        """Return where a device uploads the file of a command, reached by the same name."""
        base = self.settings.files.public_url.rstrip("/")
        base = base or f"https://{self._host(connection)}:{self.files_port}"
        return f"{base}/v1/upload/{command}"

    @staticmethod
    def _host(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        host = connection.headers.get("host", "")
        if not host.endswith("]"):
            host = host.rpartition(":")[0] or host
        if not _HOST.match(host):
            host = socket.gethostname()
        return host
