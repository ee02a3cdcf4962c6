"""What `gw doctor` looks at: each check yields findings, and each fault says what to do."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import shutil
import sqlite3
import ssl
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

import gw
from gw.core.settings import Settings
from gw.core.settings_loader import is_postgres_url, unset_for_run
from gw.ops.health_bus import bus_faults, kafka_findings
from gw.ops.health_certificates import certificate_findings
from gw.ops.health_countries import country_findings
from gw.ops.health_finding import Finding, fault, good, warning
from gw.ops.health_policies import policy_findings
from gw.ops.health_schemas import schema_faults
from gw.ops.health_spool import spool_findings
from gw.radius.udp import SocketError, open_socket
from gw.supervisor_files import running_pid
from gw.supervisor_sidecars import enabled_sidecars
from gw.supervisor_sockets import ListenError, explain, open_http

_MIB: Final = 1024 * 1024
_LOW_SPACE: Final = 1024 * _MIB
_NO_SPACE: Final = 100 * _MIB
_FEW_DESCRIPTORS: Final = 4096
_QUICKLY_CHECKED: Final = 64 * _MIB
"""Size up to which the whole database is looked through: less than a second."""
_LISTENERS: Final = (
    "devices", "api", "security", "private_api", "private_security", "files", "metrics",
    "security_check",
)  # fmt: skip


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for everything that is looked at."""
    yield from _program()
    for text in unset_for_run(settings):
        name, _, remedy = text.partition(": ")
        yield fault("settings", name, remedy)
    for text in bus_faults(settings):
        yield fault("settings", text, "see docs/kafka.md")
    for text in schema_faults(settings):
        yield fault("schema", text, "correct the file, or leave the setting empty for our own")
    yield from _clock()
    yield from certificate_findings(settings)
    yield from policy_findings(settings)
    yield from _data_directory(settings)
    yield from _store(settings)
    yield from spool_findings(settings)
    yield from kafka_findings(settings)
    yield from country_findings(settings)
    yield from _ports(settings)
    yield from _descriptors(settings)
    yield from _memory(settings)


def _program() -> Iterator[Finding]:
    yield good(
        "program",
        f"gw {gw.__version__}, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"SQLite {sqlite3.sqlite_version}",
    )
    if ssl.OPENSSL_VERSION_INFO < (3, 0):
        yield fault(
            "program", "OpenSSL is older than 3.0", "use a Python that is built with OpenSSL 3"
        )
    for module in ("ring", "confighash"):
        try:
            importlib.import_module(f"gw._native.{module}")
        except ImportError as exc:
            yield fault("program", f"native helper {module}: {exc}", "run `make build`")


def _clock() -> Iterator[Finding]:
    now = time.time()
    # No clock that is right can be before the day this program was put here.
    built = Path(gw.__file__).stat().st_mtime
    if now < built - 86_400:
        yield fault(
            "clock",
            f"it is {_day(now)} by this machine's clock, before the program was installed",
            "set it, and keep it with NTP: `timedatectl set-ntp true`",
        )
    else:
        yield good("clock", f"{_day(now)} UTC")


def _data_directory(settings: Settings) -> Iterator[Finding]:
    if not settings.run.data:
        return
    data = Path(settings.run.data)
    place = data
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield fault(
            "data",
            f"{data} cannot be written by this user",
            f"`chown $(id -un) {place}`, or name another with --data DIR",
        )
        return
    if place == data and stat.S_IMODE(data.stat().st_mode) & 0o077:
        yield warning("data", f"{data} is open to other users", f"`chmod 700 {data}`")
    free = shutil.disk_usage(place).free
    if free < _LOW_SPACE:
        remedy = "make room, or keep records for less long (store.retention_days)"
        worse = fault if free < _NO_SPACE else warning
        yield worse("data", f"{free // _MIB} MiB are left for {data}", remedy)
    else:
        state = "" if place == data else " (will be made)"
        yield good("data", f"{data}{state}, {free // _MIB} MiB free")


def _store(settings: Settings) -> Iterator[Finding]:
    from gw.store.errors import MigrationError, StoreError
    from gw.store.migrations import check_sqlite
    from gw.store.open import sqlite_path

    if not settings.run.data and not settings.store.url:
        return
    if is_postgres_url(settings.store.url):
        from gw.ops.health_postgres import postgres_findings

        yield from postgres_findings(settings)
        return
    path = Path()
    try:
        path = sqlite_path(settings.store.url, settings.run.data)
        if not path.exists():
            yield good("store", f"{path} (will be made)")
            return
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            check_sqlite(connection, str(path))
            # A check of a large database takes minutes; its first page says enough here.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if path.stat().st_size <= _QUICKLY_CHECKED:
                damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if damage != "ok":
                    raise sqlite3.DatabaseError(" ".join(str(damage).split()))
        finally:
            connection.close()
    except StoreError as exc:
        if isinstance(exc, MigrationError) and exc.retriable:
            yield good("store", f"{path}, of an earlier version (`gw run` brings it up to date)")
            return
        yield fault("store", str(exc), "see store.url, and the version of gw that wrote it")
    except sqlite3.Error as exc:
        yield fault(
            "store",
            f"the database {path} cannot be read: {exc}",
            "see who owns it; if it is damaged, put it back from a backup",
        )
    else:
        yield good("store", f"{path}, {path.stat().st_size // _MIB} MiB")


def _ports(settings: Settings) -> Iterator[Finding]:
    pid = running_pid(Path(settings.run.data)) if settings.run.data else None
    wanted = [(section, "port") for section in _LISTENERS]
    for sidecar in enabled_sidecars(settings):
        wanted += [(sidecar.role, port.setting) for port in sidecar.ports]
    for section, key in wanted:
        host, port = getattr(settings, section).host, getattr(getattr(settings, section), key)
        name = section if key == "port" else f"{section}.{key}"
        where = f"{name}: {host} port {port}"
        if port == 0:
            yield good("ports", f"{name}: any free port")
            continue
        try:
            open_http(section, host, port, setting=key).close()
        except ListenError as exc:
            if pid is not None and "in use" in str(exc):
                yield good("ports", f"{where}, used by the gw that runs (pid {pid})")
                continue
            what, _, remedy = str(exc).partition(". ")
            yield fault("ports", what, remedy or f"see --set {section}.host and {section}.{key}")
        except OSError as exc:
            yield fault("ports", explain(section, host, port, exc, key), "see above")
        else:
            yield good("ports", f"{where} is free")
    yield from _radius_ports(settings, pid)


def _radius_ports(settings: Settings, pid: int | None) -> Iterator[Finding]:
    radius = settings.radius
    for kind in ("auth", "acct", "coa") if radius.enabled else ():
        port = getattr(radius, f"{kind}_port")
        where = f"radius.{kind}_port: UDP {radius.host} port {port}"
        try:
            open_socket(kind, radius.host, port).close()
        except SocketError as exc:
            if pid is not None and "in use" in str(exc):
                yield good("ports", f"{where}, used by the gw that runs (pid {pid})")
                continue
            what, _, remedy = str(exc).partition("; ")
            yield fault("ports", what, remedy or "use an IP address")
        else:
            yield good("ports", f"{where} is free")


def _descriptors(settings: Settings) -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    remedy = "raise it: LimitNOFILE= of the systemd unit, `ulimit -Hn`, or --ulimit nofile="
    if hard == resource.RLIM_INFINITY:
        yield good("descriptors", "no limit")
    elif hard < _FEW_DESCRIPTORS:
        yield fault("descriptors", f"a process may have {hard}", remedy)
    elif hard < settings.devices.max_sessions:
        yield warning(
            "descriptors",
            f"a process may have {hard}: that many devices per worker, although "
            f"devices.max_sessions is {settings.devices.max_sessions}",
            remedy,
        )
    else:
        yield good("descriptors", f"a process may have {hard}")


def _memory(settings: Settings) -> Iterator[Finding]:
    from gw.supervisor import worker_count

    workers = worker_count(settings)
    pairs = workers + 1 + sum(one.rings for one in enabled_sidecars(settings))
    wanted = 2 * pairs * settings.workers.ring_bytes
    available = _available_memory()
    text = f"queues of {workers} workers take up to {wanted // _MIB} MiB"
    if available is not None and wanted > available // 2:
        yield warning(
            "memory",
            f"{text}; {available // _MIB} MiB are available",
            "lower workers.count or workers.ring_bytes",
        )
    else:
        yield good("memory", text)


def _available_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment))


class Report(msgspec.Struct):
    """All findings, as `gw doctor --json` prints them."""

    healthy: bool
    findings: list[Finding]


def refusal(faults: Sequence[str]) -> Report:
    """Return the report on settings that cannot be read; nothing else can be looked at then."""
    remedy = "correct it where it is set; `gw config show --explain` shows what is taken"
    return Report(False, [fault("settings", text, remedy) for text in faults])


def report(settings: Settings) -> Report:
    """Return all findings; healthy if there is no fault among them."""
    findings = list(examine(settings))
    return Report(all(f.state != "fault" for f in findings), findings)
