"""Settings: precedence, origins, and what is said about mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gw.core.listeners import device_listeners
from gw.core.settings import Settings
from gw.core.settings_loader import (
    DEFAULT,
    SettingsError,
    load,
    unset_for_run,
)


def faults(**how: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**{"environment": {}, **how})
    return caught.value.faults


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "gw.toml"
        path.write_text(text)
        return path

    return write


def test_nothing_set_is_all_defaults(toml: Callable[[str], Path]) -> None:
    settings, origins = load(file=toml(""), environment={})
    assert settings == Settings()
    assert set(origins.values()) == {DEFAULT}
    assert "devices.port" in origins


def test_command_line_beats_environment_beats_file(toml: Callable[[str], Path]) -> None:
    file = toml("[devices]\nport = 1\nbacklog = 2\nprotocol_errors = 3\n")
    settings, origins = load(
        file=file,
        environment={"GW_DEVICES__BACKLOG": "20", "GW_DEVICES__PROTOCOL_ERRORS": "30"},
        overrides=["devices.protocol_errors=300", "devices.protocol_errors=301"],
    )
    devices = settings.devices
    assert (devices.port, devices.backlog, devices.protocol_errors) == (1, 20, 301)
    assert origins["devices.port"] == f"{file}, table [devices]"
    assert origins["devices.backlog"] == "environment variable GW_DEVICES__BACKLOG"
    assert origins["devices.protocol_errors"] == "--set devices.protocol_errors"
    assert origins["devices.host"] == DEFAULT


def test_texts_are_read_by_the_type_of_the_setting() -> None:
    settings, _ = load(
        environment={
            "GW_API__CORS_ORIGINS": '["https://a", "https://b"]',
            "GW_DEVICES__CA_POLICIES": '[{"issuer": "x", "simulator_prefix": true}]',
            "GW_RUN__DRAIN_SECONDS": "7",
            "GW_DEVICES__UNKNOWN": "create",
            "GW_KAFKA__BOOTSTRAP_SERVERS": "1",
        },
    )
    assert settings.api.cors_origins == ["https://a", "https://b"]
    assert settings.devices.ca_policies[0].simulator_prefix is True
    assert settings.run.drain_seconds == 7.0
    assert settings.devices.unknown == "create"
    assert settings.kafka.bootstrap_servers == "1"


def test_variables_that_are_not_settings_are_left_alone() -> None:
    load(environment={"GW_ADMIN_PASSWORD": "x", "GW_BOOTSTRAP_FD": "3", "OTHER__KEY": "1"})


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"overrides": ["devices.prot=1"]}, ["devices.prot", "'port'", "--set devices.prot"]),
        ({"overrides": ["device.port=1"]}, ["'device'", "'devices'"]),
        ({"overrides": ["nonsense.port=1"]}, ["'nonsense'", "sections are devices, workers"]),
        ({"overrides": ["run.retention_days=1"]}, ["store.retention_days"]),
        ({"overrides": ["port"]}, ["expected section.key=value"]),
        ({"overrides": ["drain_seconds=1"]}, ["did you mean run.drain_seconds?"]),
        ({"environment": {"GW_DEVICES__PROT": "1"}}, ["'port'", "variable GW_DEVICES__PROT"]),
        ({"environment": {"GW_DEVICES__PORT": "a"}}, ["devices.port", "whole number", "'a'"]),
        ({"overrides": ["devices.port=65536"]}, ["from 0 to 65535", "65536"]),
        ({"overrides": ["devices.port=-1"]}, ["from 0 to 65535", "-1"]),
        ({"overrides": ["run.drain_seconds=nan"]}, ["a number above 0"]),
        ({"overrides": ["run.drain_seconds=inf"]}, ["a number above 0"]),
        ({"overrides": ["run.drain_seconds=0"]}, ["a number above 0"]),
        ({"overrides": ["log.level=loud"]}, ["one of debug, error, info, warning"]),
        ({"overrides": ["api.cors_origins=*"]}, ['["a", "b"]']),
        ({"overrides": ["workers.ring_bytes=1000000"]}, ["power of two", "1048576"]),
        ({"overrides": ["workers.ring_bytes=4194304"]}, ["devices.max_expanded_bytes", "queues"]),
        ({"overrides": ["api.max_body_bytes=8300000"]}, ["api.max_body_bytes", "8257536"]),
        ({"overrides": ["devices.max_frame_bytes=2000000"]}, ["devices.max_message_bytes"]),
        ({"overrides": ["store.url=mysql://x"]}, ["store.url", "postgresql://"]),
        ({"overrides": ["api.public_url=x"]}, ["https://host"]),
        ({"overrides": ["rtty.public_host=gw:5913"]}, ["rtty.public_host", "without port"]),
        ({"overrides": ["provisioning.url=prov:16005"]}, ["provisioning.url", "https://host"]),
        ({"overrides": ["devices.unknown=ask"]}, ["provisioning.url: must be set"]),
        ({"overrides": ["iptocountry.provider=file"]}, ["iptocountry.file: must be set"]),
        ({"overrides": ["iptocountry.provider=ipdata"]}, ["iptocountry.token: must be set"]),
        ({"overrides": ["iptocountry.url=http://x"]}, ["iptocountry.url: expected https://"]),
        ({"overrides": ["devices.default_country=de"]}, ["two capital letters", "'de'"]),
        ({"overrides": ["security.password_pattern=("]}, ["not a regular expression"]),
        ({"overrides": ["security.public_url=x"]}, ["security.public_url", "https://host"]),
        ({"overrides": ["security.internal_key=short"]}, ["security.internal_key", "32"]),
        ({"overrides": ["security.sealing_key=short"]}, ["security.sealing_key", "32"]),
        ({"overrides": ["security.external_url=https://a:1"]}, ["external_key", "together"]),
        (
            {"overrides": ["security.external_url=http://a:1", "security.external_key=k"]},
            ["security.external_url", "https://host:port"],
        ),
        (
            {"overrides": ["mail.encryption=none", "mail.host=mx.example.org"]},
            ["mail.encryption", "mx.example.org"],
        ),
    ],
)
def test_mistakes_are_named(how: dict[str, Any], expected: list[str]) -> None:
    text = "\n".join(faults(**how))
    for part in expected:
        assert part in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = 1", ["'port'", "outside of any table", "devices.port or api.port"]),
        ("[devicse]\nport = 1", ["'devicse'", "'devices'", "table [devicse]"]),
        ("[devices]\nport = '1'", ["devices.port", "the text '1'", "table [devices]"]),
        ("[devices]\nport = true", ["whole number", "true"]),
        ("[devices]\nport = 1.5", ["whole number", "1.5"]),
        ("[devices]\nca_policies = [{isuer = 'x'}]", ["ca_policies[0].isuer", "'issuer'"]),
        (
            "[devices]\nca_policies = [{issuer = 'x'}, {}]",
            ["ca_policies[1]: one of issuer, subject and fingerprint must be set"],
        ),
        (
            "[devices]\nca_policies = [{fingerprint = 'ab:cd'}]",
            ["ca_policies[0].fingerprint", "64 hexadecimal digits"],
        ),
        ("[devices]\nca_policies = [1]", ["expected a table", "1"]),
        ("[devices]\nca_policies = 1", ["a list of tables"]),
        ("[devices", ["is not TOML"]),
    ],
)
def test_mistakes_of_the_file_are_named(
    toml: Callable[[str], Path], text: str, expected: list[str]
) -> None:
    file = toml(text)
    found = "\n".join(faults(file=file))
    for part in [*expected, str(file)]:
        assert part in found


LISTENER = '[[devices.listeners]]\nname = "lab"\nport = 15003\nca = "lab.pem"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[devices.listeners]]\nname = "lab"\nport = 1\n',
            ["devices.listeners[0].ca must be set"],
        ),
        (LISTENER.replace("lab.pem", ""), ["devices.listeners[0].ca must be set"]),
        (LISTENER.replace('"lab"', '"The Lab"'), ["listeners[0].name", "small letters"]),
        (LISTENER.replace('"lab"', '"devices"'), ["listeners[0].name", "another listener"]),
        (LISTENER + LISTENER.replace("15003", "1"), ["listeners[1].name", "another listener"]),
        (LISTENER.replace("15003", "15002"), ["(lab).port", "15002 is that of devices already"]),
        (LISTENER + 'key = "k"\n', ["listeners[0]: certificate and key are set together"]),
        (LISTENER + "ca_policies = [{}]\n", ["listeners[0].ca_policies[0]: one of issuer"]),
        (LISTENER + 'unknown = "ask"\n', ["provisioning.url: must be set"]),
        (LISTENER + 'unknwon = "ask"\n', ["listeners[0].unknwon", "'unknown'"]),
        (LISTENER * 8, ["there may be 7"]),
    ],
)
def test_mistakes_of_listeners_are_named(
    text: str, expected: list[str], toml: Callable[[str], Path]
) -> None:
    found = "\n".join(faults(file=toml(text)))
    for part in expected:
        assert part in found


def test_what_a_listener_does_not_name_is_as_devices_has_it(toml: Callable[[str], Path]) -> None:
    own = '[devices]\nhost = "192.0.2.1"\ncertificate = "c"\nkey = "k"\ncrl = "r"\n'
    settings, _ = load(file=toml(own + 'unknown = "create"\n' + LISTENER), environment={})
    first, second = device_listeners(settings.devices)
    assert (first.name, first.socket_name, first.port) == ("devices", "devices", 15002)
    assert (second.name, second.socket_name, second.port) == ("lab", "devices.lab", 15003)
    assert (second.host, second.certificate, second.key) == ("192.0.2.1", "c", "k")
    assert (second.ca, second.crl, second.unknown) == ("lab.pem", "", "create")


def test_all_mistakes_are_told_at_once(toml: Callable[[str], Path]) -> None:
    found = faults(
        file=toml("[devices]\nport = 'a'\n[api]\nprt = 1\n"), overrides=["devices.backlog=0"]
    )
    assert len(found) == 3


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    assert faults(file=tmp_path / "no.toml") == [
        f"{tmp_path / 'no.toml'}: cannot be read: No such file or directory"
    ]


def test_pki_fills_what_nobody_set(tmp_path: Path) -> None:
    for name in ("server.pem", "server.key", "ca.pem", "crl.pem"):
        (tmp_path / name).touch()
    settings, origins = load(environment={}, overrides=["devices.ca=/other.pem"], pki=tmp_path)
    assert settings.devices.certificate == str(tmp_path / "server.pem")
    assert settings.devices.key == settings.api.key == str(tmp_path / "server.key")
    assert settings.devices.ca == "/other.pem"
    assert origins["devices.crl"] == f"--pki {tmp_path}"
    assert origins["devices.ca"] == "--set devices.ca"


def test_a_pki_that_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "server.pem").touch()
    found = faults(pki=tmp_path, overrides=["devices.crl="])
    assert [line.split()[0] for line in found] == [
        str(tmp_path / "server.key"),
        str(tmp_path / "ca.pem"),
    ]
    assert all(f"`gw pki init --dir {tmp_path}`" in line for line in found)


def test_data_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings, origins = load(environment={"GW_RUN__DATA": "/x"}, data=Path("d"))
    assert settings.run.data == str(tmp_path / "d")
    assert origins["run.data"] == "--data d"


def test_what_a_run_needs_is_told() -> None:
    found = unset_for_run(Settings())
    assert [line.split()[0] for line in found] == [
        "devices.certificate", "devices.key", "devices.ca", "api.certificate", "api.key",
        "run.data",
    ]  # fmt: skip


def test_the_defaults_keep_to_their_own_limits() -> None:
    defaults = Settings()
    assert msgspec.json.decode(msgspec.json.encode(defaults), type=Settings) == defaults


def test_the_doctor_reads_settings_whose_pki_is_not_made(tmp_path: Path) -> None:
    settings, _ = load(environment={}, pki=tmp_path, pki_is_made=False)
    assert settings.api.key == str(tmp_path / "server.key")
