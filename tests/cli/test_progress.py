"""One line of progress on a terminal, and nothing elsewhere."""

import os
import pty
import subprocess
import sys

from every_table import fill_every_table

from gw.cli.progress import Progress


def test_nothing_is_shown_where_nobody_looks(capsys):
    with Progress() as progress:
        progress("devices", 5, 10)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_and_is_left_clean(tmp_path):
    fill_every_table(tmp_path / "gw.db")
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "gw", "backup", "--data", str(tmp_path), str(tmp_path / "b.zip")],
        stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # a terminal that nobody has open any more
    os.close(ours)
    out = done.communicate()[0]
    assert done.returncode == 0, shown
    assert b"devices" in shown
    assert b"########################" in shown
    assert shown.endswith(b"\r\x1b[K")
    assert b"\x1b" not in out
