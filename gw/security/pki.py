"""The private PKI of a gateway: root -> issuing CA -> server and device certificates, and CRLs.

Everything lives as PEM in one directory; a file is only ever replaced by rename, so a running
gateway never reads half of one, and calls that change it take a lock on the directory.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gw.core.ids import normalize_serial
from gw.security.certificates import (
    Authority,
    PkiError,
    PrivateKey,
    alternative_names,
    certificate_pem,
    general_name,
    key_pem,
    load_certificate,
    load_key,
    new_key,
    now,
)

__all__ = [
    "DeviceReport",
    "InitReport",
    "PkiError",
    "RevokeReport",
    "can_issue",
    "device",
    "init",
    "missing_devices",
    "numbered_serials",
    "revoke",
]

_SERVER_RENEWAL: Final = datetime.timedelta(days=30)
_CRL: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(slots=True)
class InitReport:
    """What `init` did, as file names, and the names in the server certificate."""

    created: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether any file was written."""
        return bool(self.created or self.renewed)


@dataclass(slots=True)
class DeviceReport:
    """What `device` did, as serial numbers."""

    issued: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RevokeReport:
    """What `revoke` did: certificates revoked now, and all revoked ones of the device."""

    serial: str
    added: int
    total: int


def init(directory: str | Path, hosts: Iterable[str] = ()) -> InitReport:
    """Make what is missing of the PKI in `directory`; never replaces a key.

    The server certificate always names localhost, 127.0.0.1, ::1 and this host, and `hosts`; it
    is issued again (same key) when one of them is missing or its end is near.
    """
    path = Path(directory)
    wanted = [
        general_name(host)
        for host in ("localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts)
    ]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    report = InitReport()
    with _lock(path):
        issuing = _authorities(path, report)
        _server(path, issuing, wanted, report)
        if not (path / "crl.pem").exists():
            _write_crl(path, issuing, _load_revoked(path))
            report.created.append("crl.pem")
    return report


def device(
    directory: str | Path,
    serials: Iterable[str],
    *,
    expired: bool = False,
    progress: Progress | None = None,
) -> DeviceReport:
    """Make `devices/SERIAL.pem` (leaf and issuing CA) and `SERIAL.key` for each serial number.

    A certificate that is there and valid is kept, also when it is revoked; with `expired` any
    valid one is replaced by one that ended yesterday.
    """
    path = Path(directory)
    wanted = list(dict.fromkeys(_serial(text) for text in serials))
    issuing = _issuing(path)
    report = DeviceReport()
    folder = path / "devices"
    with _lock(path), (path / "issued.txt").open("a", encoding="ascii") as index:
        folder.mkdir(mode=0o700, exist_ok=True)
        for done, serial in enumerate(wanted, 1):
            target = folder / f"{serial}.pem"
            if _is_there(target, expired):
                report.kept.append(serial)
            else:
                key = new_key()
                leaf = issuing.device(serial, key, expired=expired)
                # The number is on disk before the certificate, so that it can be revoked; the
                # old certificate is gone before the new key, so that they are always a pair.
                index.write(f"{serial} {leaf.serial_number:x}\n")
                index.flush()
                target.unlink(missing_ok=True)
                _write(target.with_suffix(".key"), key_pem(key), 0o600, durable=False)
                _write(target, certificate_pem(leaf) + issuing.pem, 0o644, durable=False)
                report.issued.append(serial)
            if progress is not None:
                progress(done, len(wanted))
    return report


def revoke(directory: str | Path, serial: str) -> RevokeReport:
    """Put every certificate ever issued to the device `serial` on the CRL."""
    path = Path(directory)
    serial = _serial(serial)
    issuing = _issuing(path)
    with _lock(path):
        numbers = _issued_numbers(path, serial)
        if not numbers:
            raise PkiError(
                f"no certificate of {serial} was issued in {path}; "
                f"those that were are in {path / 'devices'}"
            )
        revoked = _load_revoked(path)
        known = revoked["devices"].setdefault(serial, {})
        added = [number for number in numbers if number not in known]
        if added:
            known.update(dict.fromkeys(added, now().isoformat()))
            revoked["crl_number"] += 1
            # revoked.json first: a crash between the two loses no revocation.
            _write(path / "revoked.json", json.dumps(revoked, indent=1).encode(), 0o600)
        # Written also when nothing is new: that is what completes a call that was cut short.
        _write_crl(path, issuing, revoked)
        return RevokeReport(serial, len(added), len(known))


def can_issue(directory: str | Path) -> bool:
    """Tell whether device certificates can be made in `directory`."""
    path = Path(directory)
    return (path / "issuing.key").is_file() and (path / "issuing.pem").is_file()


def missing_devices(directory: str | Path, serials: Sequence[str]) -> list[str]:
    """Return those of the canonical `serials` that have no certificate or key file."""
    folder = Path(directory) / "devices"
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    return [s for s in serials if f"{s}.pem" not in there or f"{s}.key" not in there]


def numbered_serials(prefix: str, count: int, start: int = 0) -> list[str]:
    """Return `count` serial numbers: `prefix`, then a number padded to 12 digits in all."""
    prefix = prefix.strip().lower().replace(":", "").replace("-", "")
    digits = 12 - len(prefix)
    if not re.fullmatch(r"[0-9a-f]{0,11}", prefix) or start + count > 16**digits:
        raise PkiError(f"prefix {prefix[:40]!r} is not hexadecimal or leaves no room for {count}")
    return [f"{prefix}{number:0{digits}x}" for number in range(start, start + count)]


def _serial(text: str) -> str:
    try:
        return normalize_serial(text, separators=True)
    except ValueError as exc:
        raise PkiError(str(exc)) from None


def _issuing(path: Path) -> Authority:
    if not can_issue(path):
        raise PkiError(
            f"no PKI with an issuing key in {path}; make one with: gw pki init --dir {path}"
        )
    return Authority(load_certificate(path / "issuing.pem"), load_key(path / "issuing.key"))


def _authorities(path: Path, report: InitReport) -> Authority:
    """Return the issuing CA, made below a root if need be, and see that the bundle is there."""
    if (path / "ca.pem").exists() and not can_issue(path):
        # Issuing anew would lock out every device that trusts the bundle that is there.
        raise PkiError(f"{path} holds a PKI without its issuing key: run init where it was made")
    if not (path / "issuing.pem").exists():
        root_key = _key(path / "root.key", report)
        if not (path / "root.pem").exists():
            _create(path / "root.pem", Authority.root(root_key).pem, report)
        root = Authority(load_certificate(path / "root.pem"), root_key)
        issuing_key = _key(path / "issuing.key", report)
        _create(path / "issuing.pem", root.issuing(issuing_key).pem, report)
    issuing = _issuing(path)
    if not (path / "ca.pem").exists():
        root_pem = certificate_pem(load_certificate(path / "root.pem"))
        _create(path / "ca.pem", root_pem + issuing.pem, report)
    return issuing


def _server(
    path: Path, issuing: Authority, wanted: list[x509.GeneralName], report: InitReport
) -> None:
    target = path / "server.pem"
    key = _key(path / "server.key", report)
    old = load_certificate(target) if target.exists() else None
    names = [] if old is None else alternative_names(old)
    sound = (
        old is not None
        and old.public_key() == key.public_key()
        and old.issuer == issuing.certificate.subject
        and old.not_valid_after_utc > now() + _SERVER_RENEWAL
        and all(name in names for name in wanted)
    )
    if not sound:
        # Names of earlier calls stay: init without --host must not take one away.
        names = list(dict.fromkeys([*names, *wanted]))
        _write(target, certificate_pem(issuing.server(names, key)) + issuing.pem, 0o644)
        (report.created if old is None else report.renewed).append(target.name)
    report.hosts = [str(name.value) for name in names]


def _write_crl(path: Path, issuing: Authority, revoked: dict[str, Any]) -> None:
    """Write the lists of issuing CA and root, so that a check of the whole chain finds both."""
    number = int(revoked["crl_number"])
    entries = [
        (int(text, 16), datetime.datetime.fromisoformat(at))
        for certificates in revoked["devices"].values()
        for text, at in certificates.items()
    ]
    lists = [issuing.revocation_list(number, entries)]
    file = path / "crl.pem"
    if (path / "root.key").exists():
        root = Authority(load_certificate(path / "root.pem"), load_key(path / "root.key"))
        lists.append(root.revocation_list(number))
    elif file.exists():
        # The root key may be kept off this machine; its list is then carried over.
        old = map(x509.load_pem_x509_crl, _CRL.findall(file.read_bytes()))
        lists += [crl for crl in old if crl.issuer != lists[0].issuer]
    _write(file, b"".join(c.public_bytes(serialization.Encoding.PEM) for c in lists), 0o644)


def _load_revoked(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads((path / "revoked.json").read_bytes())
        return {"crl_number": int(loaded["crl_number"]), "devices": dict(loaded["devices"])}
    except FileNotFoundError:
        return {"crl_number": 1, "devices": {}}
    except (ValueError, KeyError, TypeError):
        raise PkiError(
            f"{path / 'revoked.json'} is damaged: put it back from a backup; without it "
            "revoked devices would be let in again"
        ) from None


def _issued_numbers(path: Path, serial: str) -> list[str]:
    numbers: dict[str, None] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (path / "issued.txt").read_text("ascii").splitlines():
            name, _, number = line.partition(" ")
            if name == serial and number:
                numbers[number] = None
    file = path / "devices" / f"{serial}.pem"
    if file.exists():
        numbers[f"{load_certificate(file).serial_number:x}"] = None
    return list(numbers)


def _is_there(target: Path, expired: bool) -> bool:
    if not target.exists() or not target.with_suffix(".key").exists():
        return False
    return (load_certificate(target).not_valid_after_utc <= now()) == expired


def _key(path: Path, report: InitReport) -> PrivateKey:
    if path.exists():
        return load_key(path)
    key = new_key()
    _create(path, key_pem(key), report, 0o600)
    return key


def _create(path: Path, data: bytes, report: InitReport, mode: int = 0o644) -> None:
    _write(path, data, mode)
    report.created.append(path.name)


def _write(path: Path, data: bytes, mode: int, *, durable: bool = True) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with (path / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
