"""The queue on disk: what was appended comes back, in order, whatever happens in between."""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gw.core import spool_file
from gw.core.spool_file import ENTRY_OVERHEAD, Entry, Spool, SpoolError, SpoolFullError

BOUND = 1_000_000


def entries(first: int, count: int, size: int = 50) -> list[Entry]:
    return [
        Entry(one, one * 1000, bytes([one % 256]) * size) for one in range(first, first + count)
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


def opened(folder, **more) -> Spool:
    return Spool(folder, **{"max_bytes": BOUND, "segment_bytes": 400} | more)


def test_what_was_appended_is_read_in_order(folder):
    spool = opened(folder)
    given = entries(1, 30)
    for start in range(0, 30, 7):
        spool.append(given[start : start + 7])
    assert len(list(folder.glob("*.spool"))) > 2
    assert spool.read(-1) == given
    assert spool.read(12) == given[12:]
    assert spool.read(30) == []
    assert spool.read(3, max_records=2) == given[3:5]
    assert spool.read(3, max_bytes=2 * (50 + ENTRY_OVERHEAD)) == given[3:5]
    assert spool.read(3, max_bytes=1) == given[3:4]
    assert (spool.records, spool.oldest, spool.end) == (30, 1000, 30)
    spool.close()


def test_released_space_is_given_back(folder):
    spool = opened(folder)
    for one in entries(1, 30):
        spool.append([one])
    full = spool.bytes
    assert full == sum(path.stat().st_size for path in folder.glob("*.spool"))
    spool.release(20)
    assert spool.bytes == sum(path.stat().st_size for path in folder.glob("*.spool")) < full / 2
    assert spool.read(20) == entries(21, 10)
    spool.release(30)
    assert (spool.empty, spool.bytes, spool.records, spool.oldest) == (True, 0, 0, 0)
    assert not list(folder.glob("*.spool"))
    spool.append(entries(31, 1))
    assert spool.read(30) == entries(31, 1)
    spool.close()


def test_a_successor_finds_everything(folder):
    spool = opened(folder)
    spool.append(entries(1, 10))
    spool.append(entries(11, 10))
    spool.release(4)
    # Killed: nothing is closed.
    successor = opened(folder)
    assert (successor.released, successor.end) == (4, 20)
    assert successor.read(successor.released) == entries(5, 16)
    with pytest.raises(ValueError, match="not above 20"):
        successor.append(entries(20, 1))
    successor.append(entries(21, 1))
    assert successor.read(19) == entries(20, 2)
    successor.close()
    spool.close()


@given(cut=st.integers(1, 10 * (50 + ENTRY_OVERHEAD)), garbage=st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_torn_tail_is_cut_off(cut, garbage):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = opened(folder, segment_bytes=10**6)
        spool.append(entries(1, 10))
        spool.close()
        (path,) = folder.glob("*.spool")
        size = path.stat().st_size
        os.truncate(path, size - cut)
        path.write_bytes(path.read_bytes() + garbage)
        successor = opened(folder)
        whole = (size - cut - len(spool_file.MAGIC)) // (50 + ENTRY_OVERHEAD)
        found = successor.read(-1)
        # The garbage may by chance go on as it was.
        assert found == entries(1, len(found))
        assert len(found) >= max(whole, 0)
        assert successor.damaged_bytes == 0
        successor.append(entries(11, 1))
        assert successor.read(-1) == [*found, *entries(11, 1)]
        successor.close()


def test_damage_loses_the_rest_of_its_segment_only(folder):
    spool = opened(folder)
    for one in entries(1, 30):
        spool.append([one])
    spool.close()
    second = sorted(folder.glob("*.spool"))[1]
    begin = int(second.stem)
    behind = int(sorted(folder.glob("*.spool"))[2].stem)
    data = bytearray(second.read_bytes())
    data[len(spool_file.MAGIC) + ENTRY_OVERHEAD + 50 + 25] ^= 1  # in the second entry
    second.write_bytes(data)
    spool = opened(folder)
    assert [one.position for one in spool.read(-1)] == [*range(1, begin + 1), *range(behind, 31)]
    assert spool.damaged_bytes == (behind - begin - 1) * (50 + ENTRY_OVERHEAD)
    assert spool.torn_bytes == 0
    spool.close()


def test_damage_is_noticed_while_it_is_open(folder):
    spool = opened(folder)
    spool.append(entries(1, 3))
    (path,) = folder.glob("*.spool")
    with path.open("r+b") as file:
        file.seek(len(spool_file.MAGIC) + ENTRY_OVERHEAD + 3)
        file.write(b"?")
    assert spool.read(-1) == []
    assert (spool.damaged_bytes, spool.empty, spool.end) == (3 * (50 + ENTRY_OVERHEAD), True, 3)
    spool.append(entries(4, 1))
    assert spool.read(-1) == entries(4, 1)
    spool.close()


def test_a_bound_is_kept_and_the_oldest_can_make_room(folder):
    bound = 2000
    spool = opened(folder, max_bytes=bound)
    position = 0
    while spool.bytes < bound - 100:
        position += 1
        spool.append(entries(position, 1))
    with pytest.raises(SpoolFullError):
        spool.append(entries(position + 1, 2))
    assert bound - 100 <= spool.bytes <= bound
    dropped = spool.drop_oldest()
    assert dropped.records > 1
    assert dropped.size > 400
    spool.append(entries(position + 1, 1))
    kept = spool.read(-1)
    assert kept == entries(dropped.records + 1, position + 1 - dropped.records)
    spool.release(kept[-1].position)
    assert spool.drop_oldest() == (0, 0)
    spool.close()


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync"])
def test_a_disk_that_fails_adds_nothing(folder, monkeypatch, call):
    spool = opened(folder)
    spool.append(entries(1, 6))

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for _ in range(2):
            with pytest.raises(OSError, match="no space"):
                spool.append(entries(7, 3))
    assert spool.read(-1) == entries(1, 6)
    spool.append(entries(7, 3))
    assert spool.read(-1) == entries(1, 9)
    spool.close()
    successor = opened(folder)
    assert successor.read(-1) == entries(1, 9)
    assert successor.torn_bytes == successor.damaged_bytes == 0
    successor.close()


def test_what_a_failed_append_left_behind_is_not_doubled(folder, monkeypatch):
    """Neither could the failed append be taken back."""
    spool = opened(folder, segment_bytes=10**6)
    spool.append(entries(1, 6))

    def fail(*_):
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="no"):
            spool.append(entries(7, 3))
    spool.append(entries(7, 4))
    assert spool.read(-1) == entries(1, 10)
    spool.close()
    successor = opened(folder)
    assert successor.read(-1) == entries(1, 10)
    successor.close()


def test_it_can_be_removed(folder):
    spool = opened(folder)
    spool.append(entries(1, 9))
    spool.remove()
    assert not folder.exists()


def test_foreign_files_are_refused(folder):
    folder.mkdir()
    (folder / f"{1:020d}.spool").write_bytes(b"GWSPOOL9" + bytes(50))
    with pytest.raises(SpoolError, match="this version"):
        opened(folder)
    (folder / f"{1:020d}.spool").rename(folder / "one.spool")
    with pytest.raises(SpoolError, match="no segment"):
        opened(folder)


def test_only_its_owner_can_read_it(folder):
    spool = opened(folder)
    spool.append(entries(1, 1))
    assert folder.stat().st_mode & 0o077 == 0
    assert not [path for path in folder.iterdir() if path.stat().st_mode & 0o077]
    spool.close()


class Machine(RuleBasedStateMachine):
    """Against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: list[Entry] = []
        self.released = -1
        self.next = 0

    @initialize()
    def start(self) -> None:
        self.spool = opened(self.folder)

    @rule(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5), step=st.integers(1, 9))
    def append(self, sizes, step) -> None:
        new = []
        for size in sizes:
            self.next += step
            new.append(Entry(self.next, self.next * 10, random.Random(self.next).randbytes(size)))
        self.spool.append(new)
        self.model += new

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def release(self, data) -> None:
        place = data.draw(st.integers(0, len(self.model) - 1))
        self.released = self.model[place].position
        self.spool.release(self.released)
        del self.model[: place + 1]

    @rule()
    def drop(self) -> None:
        before = self.spool.read(self.released, 10**6, 10**9)
        dropped = self.spool.drop_oldest()
        assert bool(dropped.records) == bool(before)
        self.model = [one for one in self.model if one.position > self.spool.released]
        self.released = self.spool.released

    @rule()
    def killed(self) -> None:
        dead, self.spool = self.spool, opened(self.folder)
        dead.close()

    @rule(noise=st.binary(min_size=1, max_size=60))
    def torn(self, noise) -> None:
        """A process dies in the middle of an append."""
        self.spool.close()
        paths = sorted(self.folder.glob("*.spool"))
        if paths:
            with paths[-1].open("ab") as file:
                file.write(noise)
        self.spool = opened(self.folder)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "spool"):
            return
        assert self.spool.read(self.released, 10**6, 10**9) == self.model
        assert self.spool.empty == (not self.model)
        assert self.spool.records >= len(self.model)
        assert self.spool.damaged_bytes == 0
        if self.model:
            assert self.spool.end == self.model[-1].position
            assert self.spool.oldest <= self.model[0].stamp

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
        shutil.rmtree(self.folder)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
