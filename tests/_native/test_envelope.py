"""Framing in one pass: what is valid, where members are, what is unreadable; native and twin."""

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gw import _native
from gw._native import envelope, envelope_py
from gw._native.envelope_py import ScanError

BOTH = pytest.mark.parametrize("module", [envelope, envelope_py], ids=["native", "twin"])
relaxed = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ROOT = ("jsonrpc", "method", "params", "id", "result", "error", "radius")
NAMES = st.sampled_from([*ROOT, "serial", "uuid", "state", "data"]) | st.text(max_size=4)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
MARKS = list(b'{}[],:"\\ ntf019.-+eEu\x00\x1f\n')
OBJECTS = st.dictionaries(NAMES, JSON, max_size=30)


def described(found, names):
    return found.text, found.unreadable, {name: found.span(name) for name in names}


def outcome(module, text: bytes, names=("serial", "state", "data", "uuid", "")):
    """All that a scan of a message and of an object says."""
    said: list[object] = []
    for scan in (module.scan_message, module.scan_object):
        try:
            found = scan(text)
        except ScanError as error:
            said.append((error.reason, str(error)))
            continue
        if isinstance(found, module.Members):
            said.append(described(found, names))
            continue
        params = found.params and described(found.params, names)
        said.append((
            found.jsonrpc, found.result, found.error, found.radius, found.method, found.id,
            found.unreadable, params,
        ))  # fmt: skip
    return said


def same(text: bytes) -> list[object]:
    native, twin = outcome(envelope, text), outcome(envelope_py, text)
    for one, other in zip(native, twin, strict=True):
        if isinstance(one[0], str):  # both refuse; they may say it in other words
            assert one[0] == other[0], text
        else:
            assert one == other, text
    return native


def dumped(value: object, compact: bool, ascii: bool) -> bytes:
    separators = (",", ":") if compact else (" , ", "\n:\t")
    return json.dumps(value, separators=separators, ensure_ascii=ascii).encode()


@given(OBJECTS, st.booleans(), st.booleans())
@relaxed
def test_members_are_where_the_standard_library_finds_them(value, compact, ascii):
    text = dumped(value, compact, ascii)
    same(text)
    found = envelope.scan_message(text)
    for name in ("jsonrpc", "result", "error", "radius"):
        assert getattr(found, name) == (name in value)
    for name in ("method", "id"):
        cut = getattr(found, name)
        assert (cut is None) == (name not in value)
        assert cut is None or json.loads(cut) == value[name]
    assert (found.params is None) == ("params" not in value)
    assert not found.unreadable
    if found.params is not None:
        assert json.loads(found.params.text) == value["params"]
        looked_for = value["params"] if isinstance(value["params"], dict) else {}
        told_apart(found.params, looked_for, ascii)
    told_apart(envelope.scan_object(text), value, ascii)


def told_apart(members, value, ascii):
    written = [json.dumps(name, ensure_ascii=ascii)[1:-1] for name in value]
    clear = len(value) <= envelope.MAX_MEMBERS and not any("\\" in name for name in written)
    for name in (*value, "absent"):
        span = members.span(name)
        assert (span is None) == (name not in value or not clear)
        if span is not None:
            assert json.loads(members.text[slice(*span)]) == value[name]


@given(OBJECTS, st.data())
@relaxed
def test_damaged_text_fares_alike_and_is_refused_where_the_standard_library_does(value, data):
    text = bytearray(dumped(value, True, data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        new = data.draw(
            st.sampled_from(list(b'{}[],:"\\ ntf019.-+eEu\x00\x1f\n')) | st.integers(0, 127)
        )
        match data.draw(st.sampled_from(["put", "set", "cut", "end"])):
            case "put":
                text.insert(at, new)
            case "set" if at < len(text):
                text[at] = new
            case "cut":
                del text[at : at + data.draw(st.integers(1, 3))]
            case _:
                del text[at:]
    try:
        decoded = bytes(text).decode()
    except UnicodeDecodeError:
        return
    looked_at(decoded)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@relaxed
def test_any_text(text):
    looked_at(text)
    looked_at('{"params":' + text + "}")
    looked_at('{"params":{"' + text)


def looked_at(text: str) -> None:
    said = same(text.encode())
    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        assert said[0][0] in ("bad_json", "depth"), text
        return
    assert (said[0][0] in ("bad_json", "depth")) == (not isinstance(value, dict)), text


def refuse(constant: str) -> float:
    raise ValueError(constant)


@BOTH
@pytest.mark.parametrize(
    "number",
    ["1e309", "-1E+309", "9" * 310, "0." + "0" * 400 + "1e720", "1" + "0" * 400,
     str(2**1024 - 2**970), str(2**1024 - 2**970) + "e0", f"{2**1024 - 2**970}.0000001",
     "17976931348623158079372897140530341508e271", "1e" + "9" * 40, "0.001e312"],
)  # fmt: skip
def test_numbers_beyond_a_double(module, number):
    assert math.isinf(float(number))
    text = b'{"params":{"state":[%s]}}' % number.encode()
    found = module.scan_message(text)
    assert found.unreadable.startswith("a number beyond the range of a double at byte 20")
    assert found.params.unreadable == found.unreadable
    assert module.scan_object(text).unreadable == found.unreadable


@BOTH
@pytest.mark.parametrize(
    "number",
    ["1e308", "-1.7976931348623157e308", "0e999", "0.000e99999999999999999999", "1e-99999999999999",
     "9" * 308, "0" + "." + "0" * 900 + "1e1200", str(2**1024 - 2**970 - 1),
     f"{2**1024 - 2**970 - 1}.999999", "1" + "0" * 400 + "e-100", "1.5", "-0",
     "18446744073709551616"],
)  # fmt: skip
def test_numbers_within_a_double(module, number):
    assert not math.isinf(float(number))
    assert module.scan_object(b'{"x":%s}' % number.encode()).unreadable == ""


@given(st.integers(1, 10**30), st.integers(-400, 400), st.integers(0, 350))
@example(17976931348623157, 292, 0)
@example(17976931348623159, 292, 0)
@relaxed
def test_the_border_of_doubles_is_that_of_float(digits, exponent, zeros):
    for number in (f"{digits}e{exponent}", f"0.{'0' * zeros}{digits}e{exponent + zeros}",
                   f"{digits}{'0' * zeros}.{digits}e{exponent}"):  # fmt: skip
        said = same(b'{"x":%s}' % number.encode())
        assert bool(said[1][1]) == math.isinf(float(number)), number


@BOTH
@pytest.mark.parametrize("text", [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\ud800", r"\udbff\n"])
def test_half_of_a_surrogate_pair(module, text):
    for form in ('{"x":"%s"}', '{"%s":1}', '{"x":"0123456789abcdef%s"}'):
        found = module.scan_object((form % text).encode())
        assert found.unreadable.startswith("half of a surrogate pair at byte ")


@BOTH
def test_a_whole_surrogate_pair(module):
    assert module.scan_object(rb'{"x":"\ud83d\ude00\uD83D\uDE00"}').unreadable == ""


@BOTH
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(module, opening):
    closing = {"[": "]"}.get(opening, "}")

    def nested(levels: int) -> bytes:
        return ('{"x":' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}").encode()

    assert module.scan_object(nested(module.MAX_DEPTH)).span("x")
    with pytest.raises(ScanError) as caught:
        module.scan_object(nested(module.MAX_DEPTH + 1))
    assert caught.value.reason == "depth"
    with pytest.raises(ScanError) as caught:
        module.scan_message(b'{"x":' + b"[" * 1_000_000)
    assert caught.value.reason == "depth"


@BOTH
def test_of_two_members_the_last_counts_and_in_params_neither(module):
    found = module.scan_message(
        b'{"method":"a","params":{"state":1},"id":1,"id":2,"method":"b","params":{"x":1,"x":2,"y":3}}'
    )
    assert (found.method, found.id) == (b'"b"', b"2")
    assert found.params.text == b'{"x":1,"x":2,"y":3}'
    assert [found.params.span(name) for name in ("state", "x")] == [None, None]
    assert found.params.span("y") == (17, 18)


@BOTH
def test_params_that_are_no_object_have_no_members(module):
    for text in (b'[{"a":1}]', b"7", b'"a"', b"null"):
        found = module.scan_message(b'{"params":%s}' % text)
        assert found.params.text == text
        assert found.params.span("a") is None


@BOTH
def test_more_members_than_are_kept(module):
    full = b"{" + b",".join(b'"m%d":0' % n for n in range(module.MAX_MEMBERS)) + b"}"
    assert module.scan_object(full).span("m3")
    assert module.scan_object(full[:-1] + b',"m":0}').span("m3") is None


@BOTH
@pytest.mark.parametrize("size", [*range(40), 4096])
def test_strings_of_every_length_end_where_they_end(module, size):
    for text in (b"x" * size, b"x" * size + rb"\n", b"x" * size + rb"\u00e4", "ä".encode() * size):
        found = module.scan_object(b'{"a":"%s","b":1}' % text)
        start = len(text) + 12
        assert found.span("b") == (start, start + 1)
        with pytest.raises(ScanError):
            module.scan_object(b'{"a":"%s' % text)
        with pytest.raises(ScanError):
            module.scan_object(b'{"a":"%s\x1f"}' % text)


@BOTH
def test_only_bytes_are_taken(module):
    if module is envelope:
        for wrong in ("{}", bytearray(b"{}"), None):
            with pytest.raises(TypeError):
                module.scan_message(wrong)


def test_the_environment_chooses():
    assert _native.scan_message is (envelope if _native.native else envelope_py).scan_message
    code = "from gw import _native; print(_native.scan_message.__module__)"
    for value, module in (("1", "gw._native.envelope_py"), ("", "gw._native.envelope")):
        env = dict(os.environ, GW_PURE_PYTHON=value)
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == module


@BOTH
def test_a_scan_leaves_nothing_behind(module):
    text = b'{"jsonrpc":"2.0","method":"state","params":{"state":{"a":[1,2]}}}'
    held = sys.getrefcount(text)
    for _ in range(1000):
        module.scan_message(text)
        module.scan_object(text)
        with pytest.raises(ScanError):
            module.scan_message(text[:-1])
    assert sys.getrefcount(text) == held
