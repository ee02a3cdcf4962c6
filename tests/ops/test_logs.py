"""Logs: one form for all, and no secrets in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from gw.ops import logs


def run(code: str, **configure: Any) -> str:
    """Run code in a process of its own, with logs set up; returns its standard error."""
    head = f"from gw.ops import logs\nlog = logs.get('part')\nlogs.configure(**{configure!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def test_json_lines_name_the_process() -> None:
    text = run("log.info('hello', serial='a')", format="json", role="worker", slot=3)
    line = json.loads(text)
    assert line["event"] == "hello"
    assert (line["process"], line["logger"], line["level"]) == ("worker-3", "part", "info")
    assert line["serial"] == "a"
    assert line["timestamp"].endswith("Z")


def test_libraries_speak_the_same_way() -> None:
    code = (
        "import logging, warnings\n"
        "logging.getLogger('uvicorn.error').warning('from %s', 'a library')\n"
        "logging.getLogger('x').debug('not this')\n"
        "warnings.warn('deprecated thing')\n"
    )
    lines = [json.loads(line) for line in run(code, format="json", role="api").splitlines()]
    assert [(line["logger"], line["process"]) for line in lines] == [
        ("uvicorn.error", "api"),
        ("py.warnings", "api"),
    ]
    assert lines[0]["event"] == "from a library"


def test_levels_below_the_set_one_are_left_out() -> None:
    text = run("log.info('no')\nlog.warning('yes')", level="warning", role="api")
    assert "yes" in text
    assert "no" not in text.replace("yes", "")


@pytest.mark.parametrize("format", ["json", "console"])
def test_tracebacks_hold_no_locals_and_no_passwords(format: str) -> None:
    code = (
        "secret = 'hunter' + '2'\n"
        "try:\n"
        "    raise OSError('postgresql://gw:hunter' + '2@db/gw is away')\n"
        "except OSError:\n"
        "    log.exception('failed')\n"
    )
    text = run(code, format=format, role="coordinator")
    assert "Traceback" in text
    assert "(hidden)" in text
    assert "hunter2" not in text


def test_a_closed_log_is_no_reason_to_fail() -> None:
    run("import os; os.close(2); log.error('nobody hears this')", role="worker")


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "device_password", "token", "access_token", "key", "private_key",
     "secret", "Authorization", "newPassword", "cookie"],
)  # fmt: skip
def test_secrets_are_hidden_by_their_name(key: str) -> None:
    assert logs.redact(None, "", {key: "hunter2"}) == {key: "(hidden)"}


def test_secrets_are_hidden_inside() -> None:
    event = {
        "event": "sent Bearer abc.def to https://u:hunter2@host/",
        "body": {"user": "a", "list": [{"password": "hunter2"}]},
        "pem": "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----",
        "count": 3,
        "monkey": "not a secret",
    }
    assert logs.redact(None, "", event) == {
        "event": "sent Bearer (hidden) to https://u:(hidden)@host/",
        "body": {"user": "a", "list": [{"password": "(hidden)"}]},
        "pem": "(hidden)",
        "count": 3,
        "monkey": "not a secret",
    }


def test_what_is_deep_is_cut() -> None:
    deep: Any = "end"
    for _ in range(50):
        deep = [deep]
    assert "end" not in str(logs.redact(None, "", {"deep": deep}))
