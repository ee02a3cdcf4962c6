"""The file of a backup: what is broken, cut off or foreign is found before it is used."""

import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gw.backup.archive import ArchiveError, Manifest, Reader, Writer


def manifest(**more):
    return Manifest(**{"gw": "1", "made": 5, "engine": "sqlite", "schema": 1} | more)


def write(path, tables, files=()):
    with Writer(path, manifest()) as archive:
        for name, rows in tables.items():
            table = archive.table(name, ("a", "b"))
            for row in rows:
                table.write([row])
            table.close()
        for source in files:
            assert archive.add(f"files/{source.name}", source)
        return archive.finish()


@pytest.fixture
def made(tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"content " * 500)
    path = tmp_path / "one.zip"
    write(path, {"devices": [(1, "x" * 50), (2, b"\0\xff")], "audit": []}, [upload])
    return path


def check(path):
    with Reader(path) as archive:
        return list(archive.verify())


def test_what_was_written_is_read(made, tmp_path):
    with Reader(made) as archive:
        assert [row for chunk in archive.rows("devices") for row in chunk] == [
            (1, "x" * 50),
            (2, b"\0\xff"),
        ]
        assert list(archive.rows("audit")) == []
        out = tmp_path / "out"
        archive.extract("files/upload", out)
        assert out.read_bytes() == b"content " * 500
        assert out.stat().st_mode & 0o777 == 0o600
        assert int(out.stat().st_mtime) == int((tmp_path / "upload").stat().st_mtime)
        assert archive.manifest.tables["devices"].rows == 2
    assert check(made) == [("devices", 1), ("devices", 2), ("files", 1)]
    assert made.stat().st_mode & 0o777 == 0o600


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)),
            st.one_of(st.binary(max_size=50), st.text(st.characters(codec="utf-8"), max_size=50)),
        ),
        max_size=20,
    )
)
def test_cells_keep_their_values_and_types(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("archive") / "x.zip"
    write(path, {"t": rows})
    with Reader(path) as archive:
        found = [row for chunk in archive.rows("t") for row in chunk]
    assert found == rows
    assert [[type(cell) for cell in row] for row in found] == [
        [type(cell) for cell in row] for row in rows
    ]


def test_nothing_is_left_of_one_that_failed_and_none_is_overwritten(tmp_path):
    path = tmp_path / "x.zip"
    with pytest.raises(RuntimeError), Writer(path, manifest()):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"mine")
    with pytest.raises(ArchiveError, match="exists already"):
        write(path, {})
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_every_cut_and_every_changed_byte_is_found(made, tmp_path):
    whole = made.read_bytes()
    other = tmp_path / "other.zip"
    for length in range(0, len(whole), 7):
        other.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            check(other)
    with Reader(made) as archive:
        expected = (archive.manifest, list(archive.verify()))
    found = 0
    for at in range(0, len(whole), 3):
        other.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            with Reader(other) as archive:
                # What a ZIP does not need, its dates for example, may change.
                assert (archive.manifest, list(archive.verify())) == expected
        except ArchiveError:
            found += 1
    assert found > len(whole) // 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"tables": {"a; DROP": {"columns": []}}}, "names no table"),
        ({"tables": {"a": {"columns": ["b c"]}}}, "names no table"),
        ({"files": {"files/../x": {"bytes": 0, "sha256": "", "modified": 0}}}, "no name of a file"),
        ({"files": {"/etc/x": {"bytes": 0, "sha256": "", "modified": 0}}}, "no name of a file"),
        ({"schema": "x"}, "broken"),
    ],
)
def test_a_manifest_that_lies_is_refused(made, tmp_path, change, words):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(other, "w") as new:
        text = json.loads(old.read("manifest.json")) | change
        new.writestr("manifest.json", json.dumps(text))
    with pytest.raises(ArchiveError, match=words):
        check(other)


def test_what_is_none_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="cannot be read"):
        Reader(tmp_path / "absent")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ArchiveError, match="not a backup of gw, or it is cut off"):
        Reader(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as other:
        other.writestr("a", "b")
    with pytest.raises(ArchiveError, match=r"not a backup of gw: no manifest\.json"):
        Reader(tmp_path / "zip")
