"""Parts of the process tree that need no processes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import gw
from gw import supervisor_processes as processes


def test_pauses_grow_to_their_limit_and_start_anew_after_a_long_life() -> None:
    pauses = processes.RestartPauses(1.0)
    short = [round(pauses.after(0.5), 3) for _ in range(8)]
    assert short == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert pauses.after(3600.0) == 0.0
    assert pauses.after(0.5) == 0.1


def test_pauses_of_a_week_of_crashes() -> None:
    pauses = processes.RestartPauses(5.0)
    for _ in range(3000):
        last = pauses.after(0.0)
    assert last == 5.0


def test_a_role_sees_neither_settings_nor_the_password() -> None:
    home = str(Path(gw.__file__).parent.parent)
    given = {
        "PATH": "/bin",
        "PYTHONPATH": f"/x:{home}",
        "GW_ADMIN_PASSWORD": "secret",
        "GW_STORE__URL": "postgresql://secret",
        "GW_BOOTSTRAP_FD": "9",
        "GW_PURE_PYTHON": "1",
    }
    expected = {"PATH": "/bin", "PYTHONPATH": f"{home}:/x", "GW_PURE_PYTHON": "1"}
    assert processes.role_environment(given, with_password=False) == expected
    assert processes.role_environment(given, with_password=True) == {
        **expected,
        "GW_ADMIN_PASSWORD": "secret",
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (78, "exit code 78"), (-signal.SIGKILL, "signal SIGKILL"),
     (-64, "signal SIGRTMAX"), (-99, "signal 99")],
)  # fmt: skip
def test_ends_are_described(code: int, text: str) -> None:
    assert processes.describe_exit(code) == text
