"""The command line, without starting a gateway."""

from __future__ import annotations

import asyncio
import datetime
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import gw
from gw.cli.main import main
from gw.core.settings import SECRETS, Security, Settings, Store
from gw.security import pki
from gw.security.certificates import certificate_pem, key_pem, load_certificate, load_key, new_key
from gw.security.passwords import Passwords
from gw.store.interface import Batch, PutToken, PutUser
from gw.store.open import open_store
from gw.store.rows import TokenRow, UserRow

PORTS = [
    f"--set={name}.port=0"
    for name in (
        "devices",
        "api",
        "security",
        "private_api",
        "private_security",
        "files",
        "metrics",
        "security_check",
    )
]
DAY = datetime.timedelta(days=1)


def call(*arguments: str, **environment: str | None) -> Result:
    cleared: dict[str, str | None] = {n: None for n in os.environ if n.startswith("GW_")}
    return CliRunner().invoke(main, arguments, prog_name="gw", env=cleared | environment)


# -- the group


def test_help_names_every_command_and_shows_how_to_begin() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for name in ("run", "doctor", "config", "pki", "user", "simulate", "dev"):
        assert re.search(rf"^  {name} ", result.output, re.MULTILINE)
    assert "gw pki init --dir" in result.output


def test_help_imports_no_more_than_click() -> None:
    code = (
        "import sys\nfrom gw.cli.main import main\nmain(['--help'], standalone_mode=False)\n"
        "heavy = {'msgspec', 'cryptography', 'asyncio', 'uvloop', 'rich', 'structlog'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(gw.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert call("--version").output == f"gw {gw.__version__}\n"


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    result = call("docter")
    assert result.exit_code == 2
    assert "Did you mean 'doctor'?" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["run"], ["doctor"], ["config", "show"], ["user", "reset-password"], ["dev"], ["simulate"],
        ["pki"], ["pki", "init"], ["pki", "device"], ["pki", "revoke"],
    ],
)  # fmt: skip
def test_help_of_a_command_has_examples(command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output


def test_pki_commands_are_listed_in_the_order_of_their_use() -> None:
    text = call("pki", "--help").output
    listed = re.findall(r"^  (init|device|revoke) ", text, re.MULTILINE)
    assert listed == ["init", "device", "revoke"]
    assert not re.search(r"^  (init|device|revoke) .*\.\.\.$", text, re.MULTILINE)


# -- config


def test_config_show_is_toml_that_means_the_same(tmp_path: Path) -> None:
    file = tmp_path / "gw.toml"
    file.write_text(
        "[devices]\nport = 7\nca_policies = [{issuer = 'a \"b\"', simulator_prefix = true}]\n"
        "[api]\ncors_origins = ['https://ä']\n"
    )
    result = call("config", "show", "--config", str(file), "--set", "log.level=debug")
    assert result.exit_code == 0
    shown = msgspec.convert(tomllib.loads(result.output), Settings)
    assert (shown.devices.port, shown.log.level) == (7, "debug")
    assert shown.devices.ca_policies[0].issuer == 'a "b"'
    assert shown.api.cors_origins == ["https://ä"]
    file.write_text(result.output)
    assert call("config", "show", "--config", str(file)).output == result.output


def test_config_show_explains_where_values_come_from() -> None:
    result = call("config", "show", "--explain", "--set", "api.port=1", GW_DEVICES__PORT="2")
    assert re.search(r"^port = 1 +# --set api.port$", result.output, re.MULTILINE)
    assert re.search(
        r"^port = 2 +# environment variable GW_DEVICES__PORT$", result.output, re.MULTILINE
    )
    assert "# default" in result.output
    found = json.loads(call("config", "show", "--explain", "--json", "--set=api.port=1").output)
    assert found["api"]["port"] == {"value": 1, "origin": "--set api.port"}


def test_config_show_hides_passwords() -> None:
    for more in ([], ["--json"]):
        result = call("config", "show", *more, "--set=store.url=postgresql://u:hunter2@db/gw")
        assert result.exit_code == 0
        assert "postgresql://u:(hidden)@db/gw" in result.output
        assert "hunter2" not in result.output


def test_config_show_hides_every_setting_that_is_a_secret() -> None:
    secret = "hunter2-" * 5
    for name in sorted(SECRETS):
        more = ["--set=security.external_url=https://a:1"] if "external" in name else []
        value = f"https://sms.example/{secret}" if name == "sms.url" else secret
        result = call("config", "show", f"--set={name}={value}", *more)
        assert result.exit_code == 0, result.output
        assert "(hidden)" in result.output, name
        assert secret not in result.output, name


def test_settings_that_look_like_secrets_are_known_to_be() -> None:
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            name = f"{section.name}.{field.name}"
            if field.type is str and re.search(r"(password|secret|token|_key)$", field.name):
                assert name in SECRETS, f"{name}: is it a secret?"


def test_wrong_settings_end_a_command_with_all_that_is_wrong() -> None:
    result = call("config", "show", "--set", "devices.prot=1", "--set", "log.level=x")
    assert result.exit_code == 1
    assert "did you mean 'port'?" in result.output
    assert "one of debug" in result.output


# -- run


def test_run_says_what_it_needs() -> None:
    result = call("run")
    assert result.exit_code == 78
    for part in ("devices.certificate", "run.data", "gw pki init --dir"):
        assert part in result.output


def test_run_with_a_pki_that_is_not_there(tmp_path: Path) -> None:
    result = call("run", "--data", str(tmp_path / "d"), "--pki", str(tmp_path / "p"))
    assert result.exit_code == 78
    assert f"{tmp_path}/p/server.pem does not exist" in result.output
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["schema", "schema_switch"])
def test_run_names_a_schema_that_cannot_be_used(node: Path, name: str) -> None:
    file = node / "own.json"
    file.write_text('{"type":"thing"}')
    setting = f"--set=configuration.{name}={file}"
    result = call("run", f"--data={node / 'data'}", f"--pki={node / 'pki'}", setting)
    assert result.exit_code == 78
    assert f"configuration.{name}: {file}: not a JSON Schema" in result.output
    (text,) = faults(node, setting)
    assert f"configuration.{name}: {file}: not a JSON Schema" in text


# -- doctor


@pytest.fixture(scope="module")
def fresh_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.init(folder)
    return folder


@pytest.fixture
def node(fresh_pki: Path, tmp_path: Path) -> Path:
    """A folder with `pki` of its own and `data`."""
    (tmp_path / "pki").mkdir()
    for file in fresh_pki.iterdir():
        if file.is_file():
            (tmp_path / "pki" / file.name).write_bytes(file.read_bytes())
            (tmp_path / "pki" / file.name).chmod(0o600)
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


def examine(node: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    result = call(
        "doctor", f"--data={node / 'data'}", f"--pki={node / 'pki'}", "--json", *PORTS, *more
    )
    found = json.loads(result.output)
    assert found["healthy"] == (result.exit_code == 0)
    for finding in found["findings"]:
        assert (finding["state"] == "good") == (finding["remedy"] == "")
    return result.exit_code, found["findings"]


def faults(node: Path, *more: str) -> list[str]:
    code, findings = examine(node, *more)
    assert code == 1
    return [f"{f['topic']}: {f['text']}" for f in findings if f["state"] == "fault"]


def signed(
    node: Path, *, begin: datetime.timedelta, end: datetime.timedelta, host: str = "localhost"
) -> bytes:
    """A server certificate of the PKI's own key with chosen dates."""
    issuer = load_certificate(node / "pki" / "issuing.pem")
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(load_key(node / "pki" / "server.key").public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
    )
    leaf = builder.sign(load_key(node / "pki" / "issuing.key"), hashes.SHA256())
    return certificate_pem(leaf) + certificate_pem(issuer)


def test_a_new_node_is_well(node: Path) -> None:
    code, findings = examine(node)
    assert code == 0, findings
    topics = {f["topic"] for f in findings}
    assert {"program", "clock", "certificate", "device CA", "revocation", "data", "store",
            "ports", "descriptors", "memory"} <= topics  # fmt: skip
    text = call("doctor", f"--data={node / 'data'}", f"--pki={node / 'pki'}", *PORTS).output
    assert "All is well." in text


def test_the_doctor_reports_wrong_settings_as_it_does_all_else(node: Path) -> None:
    found = faults(node, "--set=devices.prot=1", "--set=workers.count=x")
    assert len(found) == 2
    assert "did you mean 'port'" in found[0]


def test_a_revocation_list_of_other_authorities(node: Path) -> None:
    issuer = load_certificate(node / "pki" / "issuing.pem")
    other = new_key()
    stranger = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")]))
        .public_key(other.public_key())
        .serial_number(1)
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(other, hashes.SHA256())
    )
    (node / "pki" / "ca.pem").write_bytes(certificate_pem(stranger))
    (text,) = faults(node)
    assert "has no list of any authority" in text


def test_a_bundle_without_an_authority(node: Path) -> None:
    pki.device(node / "pki", ["02a0c9000001"])
    leaf = load_certificate(node / "pki" / "devices" / "02a0c9000001.pem")
    (node / "pki" / "ca.pem").write_bytes(certificate_pem(leaf))
    assert any("holds no authority" in text for text in faults(node))


def test_without_settings_each_fault_has_its_remedy() -> None:
    result = call("doctor")
    assert result.exit_code == 1
    assert "devices.certificate is not set" in result.output
    assert "gw pki init --dir D" in result.output


def test_an_ended_certificate(node: Path) -> None:
    (node / "pki" / "server.pem").write_bytes(signed(node, begin=-9 * DAY, end=-DAY))
    assert any("server.pem ended on" in text for text in faults(node))


def test_a_certificate_of_the_future(node: Path) -> None:
    (node / "pki" / "server.pem").write_bytes(signed(node, begin=DAY, end=9 * DAY))
    assert any("is not good before" in text for text in faults(node))


def test_a_certificate_that_ends_soon_is_a_warning(node: Path) -> None:
    (node / "pki" / "server.pem").write_bytes(signed(node, begin=-DAY, end=20 * DAY))
    code, findings = examine(node)
    assert code == 0
    assert any(f["state"] == "warning" and "ends soon" in f["text"] for f in findings)


def test_a_certificate_of_another_name(node: Path) -> None:
    other = signed(node, begin=-DAY, end=300 * DAY, host="other.example")
    (node / "pki" / "server.pem").write_bytes(other)
    # Where it listens on all addresses the name may be one that only clients know.
    assert examine(node)[0] == 0
    assert any("is not for 127.0.0.1" in text for text in faults(node, "--set=api.host=127.0.0.1"))


def test_a_key_of_another_certificate(node: Path) -> None:
    (node / "pki" / "server.key").write_bytes(key_pem(new_key()))
    assert any("is not that of the certificate" in text for text in faults(node))


def test_a_chain_in_the_wrong_order(node: Path) -> None:
    leaf = signed(node, begin=-DAY, end=300 * DAY)
    root = (node / "pki" / "root.pem").read_bytes()
    issuing = (node / "pki" / "issuing.pem").read_bytes()
    (node / "pki" / "server.pem").write_bytes(leaf.removesuffix(issuing) + root + issuing)
    assert any("did not issue it" in text for text in faults(node))


@pytest.mark.parametrize("name", ["server.pem", "server.key", "ca.pem", "crl.pem"])
def test_a_file_that_is_something_else(node: Path, name: str) -> None:
    (node / "pki" / name).write_text("not PEM")
    assert any(f"{name} cannot be read" in text for text in faults(node))


def test_an_ended_revocation_list(node: Path) -> None:
    issuer = load_certificate(node / "pki" / "issuing.pem")
    now = datetime.datetime.now(datetime.UTC)
    one = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - 9 * DAY)
        .next_update(now - DAY)
        .sign(new_key(), hashes.SHA256())
    )
    (node / "pki" / "crl.pem").write_bytes(certificate_pem_of_list(one))
    found = faults(node)
    assert any("all its devices are refused" in text for text in found)
    assert any("is not signed by the one of that name" in text for text in found)


def certificate_pem_of_list(one: x509.CertificateRevocationList) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return one.public_bytes(Encoding.PEM)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_in_use(node: Path, taken_port: int) -> None:
    more = ("--set=api.host=127.0.0.1", f"--set=api.port={taken_port}")
    assert any(f"port {taken_port}: it is in use" in text for text in faults(node, *more))
    # By the gateway that runs on this data directory it is as it should be.
    with (node / "data" / "gw.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        code, findings = examine(node, *more)
    assert code == 0
    assert any(f"(pid {os.getpid()})" in f["text"] for f in findings)


def test_a_udp_port_in_use(node: Path) -> None:
    more = ("--set=radius.enabled=true", "--set=radius.host=127.0.0.1", "--set=radius.auth_port=0",
            "--set=radius.acct_port=0")  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = faults(node, *more, f"--set=radius.coa_port={port}")
    assert [text for text in found if "UDP 127.0.0.1" in text] == [
        f"ports: radius.coa_port: cannot bind UDP 127.0.0.1 port {port}: Address already in use"
    ]
    assert any(
        "'here' is not an IP" in one for one in faults(node, *more, "--set=radius.host=here")
    )


def test_a_data_directory_that_cannot_be(node: Path) -> None:
    (node / "file").touch()
    more = f"--data={node / 'file' / 'data'}"
    assert any("cannot be written" in text for text in faults(node, more))


def test_a_data_directory_that_others_may_read(node: Path) -> None:
    (node / "data").chmod(0o755)
    code, findings = examine(node)
    assert code == 0
    assert any("open to other users" in f["text"] for f in findings)


def test_a_database_that_is_none(node: Path) -> None:
    (node / "data" / "gw.db").write_bytes(b"something else" * 1000)
    assert any(text.startswith("store: ") for text in faults(node))


# -- user


@pytest.fixture
def users(tmp_path: Path) -> Callable[[], tuple[UserRow, TokenRow | None]]:
    """Makes a database with a user who has a token; returns what reads both."""

    async def make() -> None:
        store = open_store(Store(), str(tmp_path))
        await store.migrate()
        user = UserRow(id="u1", email="admin@localhost", role="root", password="old")
        token = TokenRow("hash", "refresh", "u1", created=0, expires=2**40, refresh_expires=2**40)
        await store.commit(Batch([PutUser(user), PutToken(token)]))
        await store.close()

    async def read() -> tuple[UserRow, TokenRow | None]:
        store = open_store(Store(), str(tmp_path))
        try:
            user = await store.user_by_email("admin@localhost")
            assert user is not None
            return user, await store.token("hash")
        finally:
            await store.close()

    asyncio.run(make())
    return lambda: asyncio.run(read())


def test_reset_password(
    tmp_path: Path, users: Callable[[], tuple[UserRow, TokenRow | None]]
) -> None:
    assert users()[1] is not None
    result = call("user", "reset-password", "--data", str(tmp_path))
    assert result.exit_code == 0, result.output
    shown = re.search(r"New password of admin@localhost: (\S+)", result.output)
    assert shown is not None
    row, token = users()
    assert (row.change_password, row.role, token) == (True, "root", None)

    async def verify() -> bool:
        passwords = Passwords(Security())
        try:
            return await passwords.verify(row.password, shown.group(1))
        finally:
            passwords.close()

    assert asyncio.run(verify())


def test_reset_password_and_second_factor(
    tmp_path: Path, users: Callable[[], tuple[UserRow, TokenRow | None]]
) -> None:
    """Whoever lost the app, and is the only administrator, gets in again."""

    async def enable() -> None:
        store = open_store(Store(), str(tmp_path))
        user = await store.user_by_email("admin@localhost")
        assert user is not None
        info = {"mfa": {"enabled": True, "method": "authenticator"}, "authenticatorSecret": "s1:x"}
        user.document = json.dumps({"userTypeProprietaryInfo": info, "locale": "de"})
        await store.commit(Batch([PutUser(user)]))
        await store.close()

    asyncio.run(enable())
    kept = call("user", "reset-password", "--data", str(tmp_path))
    assert "--reset-mfa" in kept.output
    assert "authenticator" in users()[0].document
    reset = call("user", "reset-password", "--data", str(tmp_path), "--reset-mfa")
    assert "--reset-mfa" not in reset.output
    assert json.loads(users()[0].document) == {"locale": "de"}


@pytest.mark.usefixtures("users")
def test_reset_password_of_nobody(tmp_path: Path) -> None:
    result = call("user", "reset-password", "--data", str(tmp_path), "--email", "x@y")
    assert result.exit_code == 1
    assert "there is no user x@y; users are: admin@localhost" in result.output


def test_reset_password_makes_no_database(tmp_path: Path) -> None:
    result = call("user", "reset-password", "--data", str(tmp_path))
    assert result.exit_code == 1
    assert "start the gateway once" in result.output
    assert list(tmp_path.iterdir()) == []
