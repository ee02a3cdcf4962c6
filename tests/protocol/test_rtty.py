"""Credentials and params of the remote terminal."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from gw.protocol import rtty
from gw.protocol.errors import ParameterError
from gw.protocol.rtty import Credentials, Details

WIRE: dict[str, Any] = {
    "method": "rtty",
    "serial": "24f5a207a130",
    "id": "b80bb7740288fda1f201890375a60c8f",
    "token": "60ae136e5d49fbdf037fab5f1d805634",
    "server": "gw.example.org",
    "port": 5912,
    "user": "operator@example.org",
    "timeout": 60,
    "password": "s3cr3t-9f",
}
"""A request as the specification shows it."""


def test_credentials_are_new_each_time_and_well_formed() -> None:
    made = [rtty.new_credentials() for _ in range(100)]
    texts = {text for one in made for text in (one.id, one.token)}
    assert len(texts) == 200
    assert all(rtty.SECRET.match(text) for text in texts)


def test_the_command_follows_from_the_id_and_does_not_tell_it() -> None:
    one = rtty.new_credentials()
    assert one.command == rtty.command_of(one.id)
    assert str(uuid.UUID(one.command)) == one.command
    assert uuid.UUID(one.command).version == 4
    assert uuid.UUID(one.command).hex != one.id
    assert one.command != rtty.new_credentials().command


def test_only_the_same_credentials_prove() -> None:
    one = rtty.new_credentials()
    kept = rtty.proof(one)
    assert one.id not in kept
    assert one.token not in kept
    assert rtty.proves(one, kept)
    assert not rtty.proves(Credentials(one.id, one.id), kept)
    assert not rtty.proves(Credentials(one.token, one.token), kept)
    assert not rtty.proves(one, "")
    assert not rtty.proves(Credentials(one.id, "\udcff".encode("utf-8", "replace").decode()), kept)


def test_secrets_are_not_shown() -> None:
    one = rtty.new_credentials()
    assert one.id not in repr(one)
    assert one.token not in repr(one)


def test_params_are_as_specified() -> None:
    credentials = Credentials(WIRE["id"], WIRE["token"])
    details = Details(
        server=WIRE["server"], port=WIRE["port"], user=WIRE["user"], timeout=60, proof=""
    )
    assert rtty.params(WIRE["serial"], credentials, details, WIRE["password"]) == WIRE


def test_texts_fit_the_buffers_of_a_switch() -> None:
    """Its agent copies them into 64 bytes each, whatever their length."""
    one = rtty.new_credentials()
    user = "ü" * 40
    details = Details(server="g" * 63, port=5912, user=user, timeout=60, proof="")
    made = rtty.params("02a0a3000009", one, details, "p" * 63, is_switch=True)
    assert made["user"] == "ü" * 31
    assert rtty.params("02a0a3000009", one, details, "p" * 99)["user"] == user
    with pytest.raises(ParameterError, match="password is longer than the 63 bytes"):
        rtty.params("02a0a3000009", one, details, "p" * 64, is_switch=True)
    details = msgspec.structs.replace(details, server="g" * 64)
    with pytest.raises(ParameterError, match=r"rtty\.public_host is longer than the 63 bytes"):
        rtty.params("02a0a3000009", one, details, "", is_switch=True)


def test_what_is_kept_opens_nothing() -> None:
    one = rtty.new_credentials()
    details = Details(server="gw", port=5912, user="u", timeout=60, proof=rtty.proof(one))
    kept = msgspec.json.encode(details).decode()
    assert one.id not in kept
    assert one.token not in kept
    assert "password" not in kept
