"""What the doctor says of the spool in front of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from gw.core.settings import Run, Settings, Store
from gw.core.spool_file import Entry, Spool
from gw.ops.health_spool import spool_findings


def said(data: Path, spool_bytes: int) -> list[tuple[str, str]]:
    settings = Settings(run=Run(data=str(data)), store=Store(spool_bytes=spool_bytes))
    return [(one.state, one.text) for one in spool_findings(settings)]


@pytest.fixture
def spooled(tmp_path):
    spool = Spool(tmp_path / "spool" / "store-1", max_bytes=10**7)
    spool.append([Entry(1, 0, bytes(1_500_000))])
    spool.close()
    return tmp_path


def test_an_empty_one_is_fine(tmp_path):
    assert said(tmp_path / "not yet", 2**21) == [("good", "empty, up to 2 MiB")]
    assert said(tmp_path, 0) == []


def test_what_waits_is_told(spooled):
    ((state, text),) = said(spooled, 2**24)
    assert state == "warning"
    assert text.startswith("2 MiB wait in ")


def test_what_nobody_reads_is_told(spooled):
    ((state, text),) = said(spooled, 0)
    assert state == "warning"
    assert text.endswith("are not read")


def test_a_bound_above_what_is_free_is_told(tmp_path):
    ((state, text),) = said(tmp_path, 2**62)
    assert state == "warning"
    assert "are free" in text
