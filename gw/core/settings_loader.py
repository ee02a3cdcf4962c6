"""Gathers the settings: TOML file < environment < `--set`, and says precisely what is wrong.

All faults are collected before `SettingsError` is raised, so that one run shows them all.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from gw.core.listeners import asks_provisioning, listener_faults
from gw.core.settings import Settings
from gw.core.settings_types import describe, from_text, nearest, shown, type_faults

ENVIRONMENT_PREFIX: Final = "GW_"
ENVIRONMENT_SEPARATOR: Final = "__"
DEFAULT: Final = "default"
"""Origin of a setting that nobody set."""

_PKI_FILES: Final = {
    "devices.certificate": "server.pem",
    "devices.key": "server.key",
    "devices.ca": "ca.pem",
    "devices.crl": "crl.pem",
    "api.certificate": "server.pem",
    "api.key": "server.key",
}
_THIS_HOST: Final = ("", "localhost", "127.0.0.1", "::1")
# What a record needs beside the message it carries: its header, its head, and rounding.
_RECORD_SLACK: Final = 131_072


class SettingsError(Exception):
    """The settings cannot be used; one line of text per fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


def _sections() -> dict[str, dict[str, inspect.Type]]:
    """Names of sections, and per section the keys with their types."""
    table: dict[str, dict[str, inspect.Type]] = {}
    for section in msgspec.structs.fields(Settings):
        fields = msgspec.structs.fields(section.type)
        table[section.name] = {f.name: inspect.type_info(f.type) for f in fields}
    return table


_SECTIONS: Final = _sections()
_ALL_KEYS: Final = [f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys]


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    data: Path | None = None,
    pki: Path | None = None,
    pki_is_made: bool = True,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings, and for each `section.key` where its value comes from.

    `environment` is os.environ unless given; `overrides` are the texts of `--set`. `data`
    (`--data`) ranks above the environment; `pki` (`--pki`) fills only what nobody set, and a file
    that is missing there is a fault, unless `pki_is_made` is false.
    Raises SettingsError.
    """
    gathering = _Gathering()
    if file is not None:
        gathering.read_file(file)
    gathering.read_environment(os.environ if environment is None else environment)
    if data is not None:
        gathering.put("run", "data", str(data.absolute()), f"--data {data}")
    gathering.read_overrides(overrides)
    if pki is not None:
        gathering.read_pki(pki, must_exist=pki_is_made)
    if gathering.faults:
        raise SettingsError(gathering.faults)
    settings = gathering.build()
    faults = _contradictions(settings, gathering.origins)
    if faults:
        raise SettingsError(faults)
    return settings, gathering.origins


def unset_for_run(settings: Settings) -> list[str]:
    """Return what `gw run` cannot do without and nobody set, one line each."""
    wanted = {
        "devices.certificate": settings.devices.certificate,
        "devices.key": settings.devices.key,
        "devices.ca": settings.devices.ca,
        "api.certificate": settings.api.certificate,
        "api.key": settings.api.key,
    }
    faults = [
        f"{name} is not set: name a PEM file, or use --pki D after `gw pki init --dir D`"
        for name, value in wanted.items()
        if not value
    ]
    if not settings.run.data:
        faults.append("run.data is not set: use --data DIR; the database is kept there")
    return faults


def is_postgres_url(url: str) -> bool:
    """Tell whether `store.url` names a PostgreSQL database."""
    return re.match(r"postgres(ql)?://", url) is not None


class _Gathering:
    """Values by name, where each came from, and the faults so far."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = dict.fromkeys(_ALL_KEYS, DEFAULT)
        self.faults: list[str] = []

    def put(self, section: str, key: str, value: Any, origin: str) -> None:
        """Take a typed value over what was there, if it is of the right type and range."""
        kind = self._type_of(section, key, origin)
        if kind is None:
            return
        name = f"{section}.{key}"
        faults = list(type_faults(name, value, kind, origin))
        if faults:
            self.faults += faults
        else:
            self.values[name] = value
            self.origins[name] = origin

    def put_text(self, section: str, key: str, text: str, origin: str) -> None:
        """As `put`, from text whose meaning depends on the type of the setting."""
        kind = self._type_of(section, key, origin)
        if kind is None:
            return
        try:
            value = from_text(text, kind)
        except ValueError:
            self.faults.append(
                f"{section}.{key}: expected {describe(kind)}, got {shown(text)} ({origin})"
            )
        else:
            self.put(section, key, value, origin)

    def read_file(self, file: Path) -> None:
        """Take every table of a TOML file."""
        try:
            tables = tomllib.loads(file.read_text("utf-8"))
        except OSError as exc:
            self.faults.append(f"{file}: cannot be read: {exc.strerror}")
            return
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            self.faults.append(f"{file}: is not TOML: {exc}")
            return
        for section, table in tables.items():
            if not isinstance(table, dict):
                self._refuse_loose_key(section, file)
            elif section not in _SECTIONS:
                self._unknown_section(section, f"{file}, table [{section}]")
            else:
                for key, value in table.items():
                    self.put(section, key, value, f"{file}, table [{section}]")

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Take the variables GW_SECTION__KEY; others that start with GW_ are not settings."""
        for variable, text in sorted(environment.items()):
            if not variable.startswith(ENVIRONMENT_PREFIX):
                continue
            name = variable.removeprefix(ENVIRONMENT_PREFIX)
            section, separator, key = name.partition(ENVIRONMENT_SEPARATOR)
            if separator:
                origin = f"environment variable {variable}"
                self.put_text(section.lower(), key.lower(), text, origin)

    def read_overrides(self, overrides: Iterable[str]) -> None:
        """Take `section.key=value` texts; the last of the same name wins."""
        for text in overrides:
            name, equals, value = text.partition("=")
            section, dot, key = name.strip().partition(".")
            if not equals or not dot:
                hint = _elsewhere(section) if equals else ""
                self.faults.append(f"--set {text}: expected section.key=value{hint}")
                continue
            self.put_text(section, key, value, f"--set {name.strip()}")

    def read_pki(self, directory: Path, *, must_exist: bool) -> None:
        """Fill what names keys and certificates, unless it is set otherwise."""
        origin = f"--pki {directory}"
        missing: dict[str, None] = {}
        for name, file in _PKI_FILES.items():
            if self.origins[name] != DEFAULT:
                continue
            path = (directory / file).absolute()
            if must_exist and not path.is_file():
                missing[str(path)] = None
            self.values[name] = str(path)
            self.origins[name] = origin
        self.faults += [
            f"{path} does not exist ({origin}): make it with `gw pki init --dir {directory}`"
            for path in missing
        ]

    def build(self) -> Settings:
        """Make the settings out of the values gathered."""
        tables: dict[str, dict[str, Any]] = {}
        for name, value in self.values.items():
            section, _, key = name.partition(".")
            tables.setdefault(section, {})[key] = value
        return msgspec.convert(tables, Settings)

    def _type_of(self, section: str, key: str, origin: str) -> inspect.Type | None:
        keys = _SECTIONS.get(section)
        if keys is None:
            self._unknown_section(section, origin)
            return None
        if key not in keys:
            hint = nearest(key, keys) or _elsewhere(key)
            self.faults.append(f"{section}.{key} is not a setting{hint} ({origin})")
            return None
        return keys[key]

    def _unknown_section(self, section: str, origin: str) -> None:
        hint = nearest(section, _SECTIONS)
        if not hint:
            hint = f"; sections are {', '.join(_SECTIONS)}"
        self.faults.append(f"{section!r} is not a section of the settings{hint} ({origin})")

    def _refuse_loose_key(self, key: str, file: Path) -> None:
        hint = _elsewhere(key) or nearest(key, _SECTIONS)
        self.faults.append(f"{key!r} stands outside of any table{hint} ({file})")


def _elsewhere(key: str) -> str:
    """A key of that very name in other sections, else the nearest full name."""
    same = [name for name in _ALL_KEYS if name.partition(".")[2] == key]
    if not same:
        near = difflib.get_close_matches(key, [n.partition(".")[2] for n in _ALL_KEYS], 1, 0.75)
        same = [name for name in _ALL_KEYS if near and name.partition(".")[2] == near[0]]
    return f"; did you mean {' or '.join(same)}?" if same else ""


def _contradictions(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """Faults that no single type can express."""
    workers, devices = settings.workers, settings.devices
    provisioning = settings.provisioning.url
    checks: list[tuple[str, bool, Callable[[], str]]] = [
        (
            "workers.ring_bytes",
            _is_power_of_two(workers.ring_bytes) and workers.ring_bytes >= 65_536,
            lambda: (
                f"expected a power of two from 65536, got {workers.ring_bytes}; "
                f"the next one is {_power_of_two_from(workers.ring_bytes)}"
            ),
        ),
        (
            "workers.ring_reserve_bytes",
            workers.ring_reserve_bytes < workers.ring_bytes,
            lambda: f"must be less than workers.ring_bytes ({workers.ring_bytes})",
        ),
        (
            "devices.max_expanded_bytes",
            devices.max_expanded_bytes + _RECORD_SLACK <= _largest_record(settings),
            lambda: (
                f"{devices.max_expanded_bytes} bytes do not fit the queues: the largest message "
                f"they take is {max(0, _largest_record(settings) - _RECORD_SLACK)} "
                "(see workers.ring_bytes and workers.ring_reserve_bytes)"
            ),
        ),
        (
            "devices.max_message_bytes",
            devices.max_message_bytes <= devices.max_expanded_bytes,
            lambda: f"must not be above devices.max_expanded_bytes ({devices.max_expanded_bytes})",
        ),
        (
            "devices.max_frame_bytes",
            devices.max_frame_bytes <= devices.max_message_bytes,
            lambda: f"must not be above devices.max_message_bytes ({devices.max_message_bytes})",
        ),
        (
            "api.max_body_bytes",
            settings.api.max_body_bytes + _RECORD_SLACK <= _largest_record(settings),
            lambda: (
                f"{settings.api.max_body_bytes} bytes do not fit the queues: the largest body "
                f"they take has {max(0, _largest_record(settings) - _RECORD_SLACK)} "
                "(see workers.ring_bytes and workers.ring_reserve_bytes)"
            ),
        ),
        (
            "store.url",
            _is_store_url(settings.store.url),
            lambda: "expected sqlite:///path or postgresql://user@host/database",
        ),
        *(
            (name, re.fullmatch(r"(https?://[^/\s]+/?)?", url) is not None, _wants_url(url))
            for name, url in (
                ("api.public_url", settings.api.public_url),
                ("security.public_url", settings.security.public_url),
            )
        ),
        (
            "rtty.public_host",
            re.fullmatch(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])?", settings.rtty.public_host)
            is not None,
            lambda: f"expected a host name without port, got {settings.rtty.public_host!r}",
        ),
        (
            "mail.encryption",
            settings.mail.encryption != "none" or settings.mail.host in _THIS_HOST,
            lambda: f"none is for a server on this host only, got mail.host {settings.mail.host}",
        ),
        (
            "sms.url",
            re.fullmatch(r"(https://[^/?#\s]+(/[^#\s]*)?)?", settings.sms.url) is not None,
            lambda: "expected https://host/path",
        ),
        (
            "sms.token",
            not (settings.sms.token and settings.sms.username),
            lambda: "is not set together with sms.username",
        ),
        (
            "security.external_url",
            re.fullmatch(r"(https://[^/\s]+/?)?", settings.security.external_url) is not None,
            lambda: f"expected https://host:port, got {settings.security.external_url!r}",
        ),
        (
            "security.external_from_bus",
            not settings.security.external_from_bus or bool(settings.kafka.bootstrap_servers),
            lambda: "needs kafka.bootstrap_servers",
        ),
        (
            "security.external_from_bus",
            not (settings.security.external_from_bus and settings.security.external_url),
            lambda: "is not set together with security.external_url",
        ),
        (
            "security.external_key",
            bool(settings.security.external_key) == bool(settings.security.external_url),
            lambda: "is set together with security.external_url, or not at all",
        ),
        *(
            (f"security.{name}", not key or 32 <= len(key) <= 512, _wants_key)
            for name, key in (
                ("internal_key", settings.security.internal_key),
                ("sealing_key", settings.security.sealing_key),
            )
        ),
        (
            "provisioning.url",
            re.fullmatch(r"(https?://[^/?#\s]+(/[^?#\s]*)?)?", settings.provisioning.url)
            is not None,
            lambda: (
                f"expected https://host or https://host/path, got {settings.provisioning.url!r}"
            ),
        ),
        (
            "provisioning.url",
            bool(provisioning) or not asks_provisioning(devices),
            lambda: "must be set: `unknown` is `ask`",
        ),
        (
            "iptocountry.file",
            bool(settings.iptocountry.file) or settings.iptocountry.provider != "file",
            lambda: "must be set: iptocountry.provider is `file`",
        ),
        (
            "iptocountry.token",
            bool(settings.iptocountry.token) or settings.iptocountry.provider in ("", "file"),
            lambda: f"must be set: it is what {settings.iptocountry.provider} knows you by",
        ),
        (
            "iptocountry.url",
            re.fullmatch(r"(https://[^/?#\s]+(/[^?#\s]*)?)?", settings.iptocountry.url) is not None,
            lambda: f"expected https://host or https://host/path, got {settings.iptocountry.url!r}",
        ),
        (
            "devices.default_country",
            re.fullmatch(r"([A-Z]{2})?", devices.default_country) is not None,
            lambda: f"expected two capital letters, got {devices.default_country!r}",
        ),
        (
            "security.password_pattern",
            _compiles(settings.security.password_pattern),
            lambda: "is not a regular expression",
        ),
        (
            "configuration.resend_max_seconds",
            settings.configuration.resend_max_seconds >= settings.configuration.resend_seconds,
            lambda: "must not be below configuration.resend_seconds",
        ),
    ]
    found = [f"{n}: {text()} ({origins[n]})" for n, sound, text in checks if not sound]
    return found + [
        f"{text} ({origins[f'devices.{setting}']})" for setting, text in listener_faults(devices)
    ]


def _wants_url(url: str) -> Callable[[], str]:
    return lambda: f"expected https://host or https://host:port, got {url!r}"


def _wants_key() -> str:
    return "expected 32 to 512 characters, or nothing"


def _largest_record(settings: Settings) -> int:
    ring, reserve = settings.workers.ring_bytes, settings.workers.ring_reserve_bytes
    # Half the ring and 16 MiB are the limits of gw._native.ring.
    return min(ring // 2, ring - reserve, 16 * 1024 * 1024)


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _power_of_two_from(number: int) -> int:
    return max(65_536, 1 << (number - 1).bit_length())


def _is_store_url(url: str) -> bool:
    # SQLite wants a path of its own; the rest of a PostgreSQL URL is asyncpg's to judge.
    return url == "" or re.match(r"sqlite:///.", url) is not None or is_postgres_url(url)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
