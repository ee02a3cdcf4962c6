"""The framing of the remote terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.rtty import frames
from gw.rtty.frames import Decoder, Frame, FrameError, Kind, Registration

ID, TOKEN = "b80bb7740288fda1f201890375a60c8f", "60ae136e5d49fbdf037fab5f1d805634"

some_frames = st.lists(
    st.builds(Frame, st.sampled_from(Kind), st.binary(max_size=300)), max_size=20
)


@given(some_frames, st.lists(st.integers(0, 2000), max_size=20))
def test_frames_survive_any_cut(sent: list[Frame], cuts: list[int]) -> None:
    wire = b"".join(frames.encode(*frame) for frame in sent)
    decoder, got, at = Decoder(), list[Frame](), 0
    for cut in sorted(cuts):
        got += decoder.feed(wire[at:cut])
        at = max(at, min(cut, len(wire)))
    got += decoder.feed(wire[at:])
    assert got == sent


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_frames_or_refused(chunks: list[bytes]) -> None:
    decoder = Decoder(max_body=64)
    try:
        got = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    except FrameError:
        return
    wire = b"".join(frames.encode(*frame) for frame in got)
    assert b"".join(chunks).startswith(wire)
    assert all(len(frame.body) <= 64 for frame in got)


def test_bytes_on_the_wire() -> None:
    assert frames.encode(Kind.LOGIN) == bytes((1, 0, 0))
    assert frames.accepted() == bytes((0, 0, 4, 0)) + b"OK\0"
    assert frames.window(7, 80, 24) == bytes((4, 0, 5, 7, 0, 80, 0, 24))
    assert frames.terminal(7, b"ls\r") == bytes((3, 0, 4, 7)) + b"ls\r"
    told = frames.registration(Registration(ID, "24f5a207a130", TOKEN))
    assert told == bytes((0, 0, 79)) + f"{ID}\x0024f5a207a130\0{TOKEN}\0".encode()


def test_long_data_is_carried_by_several_frames() -> None:
    data = bytes(range(256)) * 600
    got = Decoder().feed(frames.terminal(3, data))
    assert [len(frame.body) for frame in got] == [65_535, 65_535, len(data) - 2 * 65_534 + 1]
    assert b"".join(frame.body[1:] for frame in got) == data
    assert {frame.body[0] for frame in got} == {3}


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (bytes((10, 0, 0)), "no frame of kind 10"),
        (bytes((3, 0x04, 0x01)), "1025 bytes is longer than 1024"),
    ],
)
def test_what_is_no_frame(wire: bytes, text: str) -> None:
    with pytest.raises(FrameError, match=text):
        Decoder(max_body=1024).feed(wire)


def test_a_body_that_no_frame_can_say() -> None:
    with pytest.raises(FrameError):
        frames.encode(Kind.TERMINAL, bytes(65_536))


names = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=32, max_size=32)
descriptions = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=512
)


@given(names, descriptions, names)
def test_registrations_are_read_as_written(name: str, description: str, token: str) -> None:
    told = Registration(name, description, token)
    (frame,) = Decoder().feed(frames.registration(told))
    assert frame.kind is Kind.REGISTER
    assert frames.read_registration(frame.body) == told


@pytest.mark.parametrize(
    "body",
    [
        b"",
        f"{ID}\0name".encode(),
        f"{ID}\0\0{TOKEN}\0".encode(),
        f"{ID}\0{'n' * 513}\0{TOKEN}\0".encode(),
        f"{ID[1:]}\0name\0{TOKEN}\0".encode(),
        f"{ID}\0name\0{TOKEN}0\0".encode(),
        f"{ID}\0name\0{TOKEN}\0more\0".encode(),
        f"{ID}\0".encode() + b"\xff\0" + f"{TOKEN}\0".encode(),
    ],
)
def test_what_is_no_registration(body: bytes) -> None:
    with pytest.raises(FrameError):
        frames.read_registration(body)


@given(st.binary(max_size=1024))
def test_any_body_is_a_registration_or_refused(body: bytes) -> None:
    try:
        told = frames.read_registration(body)
    except FrameError:
        return
    assert len(told.id) == len(told.token) == 32


def test_secrets_are_not_shown() -> None:
    assert ID not in repr(Registration(ID, "name", TOKEN))
    assert TOKEN not in repr(Registration(ID, "name", TOKEN))


@pytest.mark.parametrize(("body", "read"), [(b"\0\7", (0, 7)), (b"\2", (2, 0)), (b"\2\7", (2, 7))])
def test_answers_to_a_login(body: bytes, read: tuple[int, int]) -> None:
    assert frames.read_login(body) == read


@pytest.mark.parametrize("body", [b"", b"\0"])
def test_what_is_no_answer_to_a_login(body: bytes) -> None:
    with pytest.raises(FrameError):
        frames.read_login(body)


@pytest.mark.parametrize(("columns", "rows"), [(0, 24), (80, 0), (1001, 24), (80, 1001)])
def test_windows_have_limits(columns: int, rows: int) -> None:
    with pytest.raises(FrameError):
        frames.window(0, columns, rows)


def test_windows_are_read_as_written() -> None:
    assert frames.read_window(frames.window(9, 132, 50)[3:]) == (9, 132, 50)
    with pytest.raises(FrameError):
        frames.read_window(b"\0\0")
