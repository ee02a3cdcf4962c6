"""Where the gateway is, who calls, and how patiently."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_SECURITY_PORT: Final = 16001


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a client. One of `api_key`, `token`, or `user` with `password` says who calls."""

    url: str
    """Of the API listener, such as `https://gateway.example.org:16002`."""
    security_url: str = ""
    """Of the security listener; empty: port 16001 of the same host."""
    user: str = ""
    """E-mail address; the client signs in by itself, at its first call and when it has to."""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    """An access token from elsewhere; it is not refreshed."""
    ca: str | Path | None = None
    """PEM file of the authority that signed the gateway's certificate; None: the system's."""
    timeout: float = 30.0
    """Seconds for an answer; commands add what the gateway waits for the device."""
    connect_timeout: float = 10.0
    """Seconds until a connection is there."""
    retries: int = 2
    """Further tries of a call that is safe to repeat."""
    longest_wait: float = 30.0
    """Seconds that `Retry-After` may ask for; beyond that the refusal is raised."""
    largest_answer: int = 268_435_456
    """Bytes of an answer, unpacked, at most."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the option, if they do not fit together."""
        for name in ("url", "security_url"):
            given = getattr(self, name)
            if (given or name == "url") and urlsplit(given).scheme not in ("https", "http"):
                raise ValueError(f"{name} must start with https://, not {given!r}")
        ways = [bool(self.user), bool(self.api_key), bool(self.token)]
        if sum(ways) != 1:
            raise ValueError("give one of user (with password), api_key and token")
        if self.retries < 0 or min(self.timeout, self.connect_timeout, self.largest_answer) <= 0:
            raise ValueError("retries is 0 or more; timeout, connect_timeout, largest_answer above")

    def base(self, service: str) -> str:
        """Return the URL of `api` or `security`, without a slash at its end."""
        if service == "api":
            return self.url.rstrip("/")
        if self.security_url:
            return self.security_url.rstrip("/")
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return urlunsplit((parts.scheme, f"{host}:{_SECURITY_PORT}", "", "", ""))

    def tls(self) -> ssl.SSLContext:
        """Return what the gateway's certificate is checked with. Raises OSError."""
        return ssl.create_default_context(cafile=str(self.ca) if self.ca is not None else None)
