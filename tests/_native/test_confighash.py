"""The configuration hash: what is equal, what is not, what is refused; native and twin alike."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import gw
from gw import _native
from gw._native import confighash, confighash_py

BOTH = pytest.mark.parametrize("module", [confighash, confighash_py], ids=["native", "twin"])
relaxed = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

Outcome = tuple[str, str | bytes]


def outcome(module: ModuleType, document: bytes) -> Outcome:
    try:
        return module.config_hash(document), module.canonical(document)
    except confighash_py.ConfigError:
        return "refused", ""


def same(document: bytes) -> Outcome:
    """The outcome, which must be that of native and twin alike."""
    native, twin = outcome(confighash, document), outcome(confighash_py, document)
    assert native == twin, document
    return native


# --- equal content -------------------------------------------------------------------------


class Number(NamedTuple):
    """digits x 10^exponent, exact."""

    digits: int
    exponent: int


class Object(NamedTuple):
    members: dict[str, object]


def meaning(value: object) -> object:
    """A value's content as something that compares and hashes by content, and types apart."""
    match value:
        case Number(digits, exponent):
            return "number", Fraction(digits) * Fraction(10) ** exponent
        case Object(members):
            return "object", frozenset((key, meaning(member)) for key, member in members.items())
        case list():
            return "array", tuple(meaning(item) for item in value)
        case _:
            return type(value).__name__, value


def root_meaning(value: Object) -> object:
    return meaning(Object({k: v for k, v in value.members.items() if k != "uuid"}))


texts = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from('"\\/\x00\x1f\n\x7f\u20ac\U0001f600'),
    max_size=8,
)
keys = st.sampled_from(["a", "b", "uuid", "", "\uffff", "\U00010000", "A", "ab"]) | texts
numbers = st.builds(
    Number,
    st.integers(-20, 20) | st.sampled_from([10, 100, 1, 0]) | st.integers(-(10**25), 10**25),
    st.integers(-30, 30) | st.just(0),
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.builds(Object, st.dictionaries(keys, inner, max_size=5))
    ),
    max_leaves=12,
)
roots = st.builds(Object, st.dictionaries(keys, values, max_size=5))


class Speller:
    """Writes a value down in one of its many spellings."""

    def __init__(self, draw: Callable[[st.SearchStrategy[int]], int]) -> None:
        self.draw = draw

    def choose(self, count: int) -> int:
        return self.draw(st.integers(0, count - 1))

    def space(self) -> str:
        return ["", "", "", " ", "\n", "\t\r\n  "][self.choose(6)]

    def text(self, value: str) -> str:
        return '"' + "".join(map(self.character, value)) + '"'

    def character(self, c: str) -> str:
        spellings = []
        units = c.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))
        if c >= " " and c not in '"\\':
            spellings = [c] * 4
        short = {
            '"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n",
            "\r": "\\r", "\t": "\\t",
        }  # fmt: skip
        if c in short:
            spellings.append(short[c])
        spellings += [escaped, "\\u" + escaped[2:].upper().replace("\\U", "\\u")]
        return spellings[self.choose(len(spellings))]

    def number(self, value: Number) -> str:
        digits, exponent = value
        sign = "-" if digits < 0 or (digits == 0 and self.choose(2)) else ""
        whole = str(abs(digits))
        more = self.choose(4)  # zeros behind
        whole, exponent = whole + "0" * more, exponent - more
        if digits == 0:
            whole = "0" * (more + 1)
            exponent = self.choose(3) * 10**7 - 10**7
        point = self.choose(len(whole) + 3)  # digits behind the point
        whole = whole.rjust(point + 1, "0")
        if point:
            whole, part = whole[:-point], "." + whole[-point:]
            exponent += point
        else:
            part = ""
        whole = whole.lstrip("0") or "0"
        if exponent == 0 and self.choose(2):
            return sign + whole + part
        plus = "+" if exponent >= 0 and self.choose(2) else ""
        zeros = "0" * self.choose(3)
        shown = f"-{zeros}{-exponent}" if exponent < 0 else f"{plus}{zeros}{exponent}"
        return f"{sign}{whole}{part}{'eE'[self.choose(2)]}{shown}"

    def value(self, value: object) -> str:
        match value:
            case None | bool():
                return json.dumps(value)
            case str():
                return self.text(value)
            case Number():
                return self.number(value)
            case list():
                inner = ",".join(self.around(self.value(item)) for item in value)
                return f"[{inner or self.space()}]"
            case Object(members):
                left = list(members.items())
                out = []
                while left:
                    key, member = left.pop(self.choose(len(left)))
                    out.append(self.around(self.text(key)) + ":" + self.around(self.value(member)))
                return "{" + (",".join(out) or self.space()) + "}"
        raise AssertionError(value)

    def around(self, text: str) -> str:
        return self.space() + text + self.space()


@relaxed
@given(roots, st.data())
def test_every_spelling_of_a_configuration_has_one_hash(root: Object, data: st.DataObject) -> None:
    speller = Speller(data.draw)
    spellings = [speller.around(speller.value(root)).encode() for _ in range(2)]
    digest, canonical = same(spellings[0])
    assert digest != "refused"
    assert same(spellings[1]) == (digest, canonical), spellings
    assert digest == hashlib.sha256(canonical).hexdigest()[:32]  # type: ignore[arg-type]
    assert same(canonical) == (digest, canonical), "canonical text is its own canonical text"  # type: ignore[arg-type]


@relaxed
@given(roots, roots, st.data())
@example(Object({"a": Number(1, 0)}), Object({"a": True}), None)
@example(Object({"a": Number(1, 0)}), Object({"a": "1"}), None)
@example(Object({"a": Number(0, 0)}), Object({"a": None}), None)
@example(Object({"a": []}), Object({"a": Object({})}), None)
@example(Object({"a": ["b", "c"]}), Object({"a": ['b","c']}), None)
@example(Object({"a": Number(1, 1)}), Object({"a": [Number(1, 0)]}), None)
def test_equal_hash_if_and_only_if_equal_content(
    one: Object, two: Object, data: st.DataObject | None
) -> None:
    speller = Speller(data.draw if data else lambda strategy: 0)
    hashes = [same(speller.value(root).encode())[0] for root in (one, two)]
    assert (hashes[0] == hashes[1]) is (root_meaning(one) == root_meaning(two))


def leaf_paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in leaf_paths(v, (*path, k))]
    if isinstance(value, list):
        return [p for n, v in enumerate(value) for p in leaf_paths(v, (*path, n))]
    return [path]


def test_any_changed_leaf_changes_the_hash() -> None:
    def fresh() -> dict[str, object]:
        return {
            "radios": [{"band": "5G", "channel": 36, "width": 80}, {"band": "2G", "on": True}],
            "interfaces": [{"name": "WAN", "ssids": [{"name": "x", "key": None}], "uuid": 3}],
            "metrics": {"statistics": {"interval": 60.5}},
        }

    seen = {same(json.dumps(fresh()).encode())[0]}
    paths = leaf_paths(fresh())
    for path in paths:
        for changed in ("changed", 99, False):
            document: dict[str, object] = fresh()
            at: object = document
            for step in path[:-1]:
                at = at[step]  # type: ignore[index]
            at[path[-1]] = changed  # type: ignore[index]
            seen.add(same(json.dumps(document).encode())[0])
    assert len(seen) == 1 + 3 * len(paths)


def test_only_the_top_level_uuid_is_left_out() -> None:
    bare = same(b'{"a":{"uuid":1}}')
    assert same(b'{"uuid":7,"a":{"uuid":1}}') == bare
    assert same(b'{"a":{"uuid":1},"\\u0075uid":[{"x":1}]}') == bare
    assert same(b'{"a":{"uuid":2}}') != bare
    assert same(b'{"UUID":7,"a":{"uuid":1}}') != bare
    assert same(b'{"uuid ":7,"a":{"uuid":1}}') != bare
    assert same(b'{"uuid":7}') == same(b"{}")


@pytest.mark.parametrize(
    ("document", "canonical"),
    [
        (b"{}", "{}"),
        (b' {"b" : [ ] , "a" : { } }\n', '{"a":{},"b":[]}'),
        (
            b'{"z":[1,1.0,1e0,10e-1,0.1E+1,-0,-0.0e9,0e5,100,-1500,12.50,1e-2]}',
            '{"z":[1,1,1,1,1,0,0,0,1e2,-15e2,125e-1,1e-2]}',
        ),
        (b'{"n":[true,false,null,"true","1"]}', '{"n":[true,false,null,"true","1"]}'),
        (
            b'{"s":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u001F\\u007f\\u00e9\\ud83d\\uDE00"}',
            '{"s":"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\u00e9\U0001f600"}',
        ),
        # By code point, where UTF-16 would put U+10000 before U+FFFF.
        (
            '{"\U00010000":1,"\uffff":2,"b":3,"ab":4,"a":5,"":6,"B":7}'.encode(),
            '{"":6,"B":7,"a":5,"ab":4,"b":3,"\uffff":2,"\U00010000":1}',
        ),
        # By the key itself, not by its escaped form: quote (0x22) comes before # (0x23).
        (b'{"#":1,"\\"":2,"\\u0001":3," ":4}', '{"\\u0001":3," ":4,"\\"":2,"#":1}'),
        (b'{"uuid":1,"v":2,"t":3}', '{"t":3,"v":2}'),
    ],
)
def test_canonical_form(document: bytes, canonical: str) -> None:
    expected = canonical.encode()
    assert same(document) == (hashlib.sha256(expected).hexdigest()[:32], expected)


def test_stored_hashes_stay_valid() -> None:
    """Hashes are kept in databases and reported by agents: these must never change."""
    assert same(b"{}")[0] == "44136fa355b3678a1146ad16f7e8649e"
    assert (
        same(b'{"uuid":2,"b":[1.50,true,"\\u00e9"],"a":{"c":null}}')[0]
        == "753b208b7de0dee96ff353f7a84a4027"
    )


# --- refusals ------------------------------------------------------------------------------

INVALID = {
    "empty": (b"", 0),
    "blank": (b" \n", 2),
    "array": (b"[]", 0),
    "string": (b'"x"', 0),
    "number": (b"1", 0),
    "null": (b"null", 0),
    "bom": (b"\xef\xbb\xbf{}", 0),
    "utf16": ("{}".encode("utf-16-le"), 1),
    "open object": (b'{"a":1', 6),
    "open object at once": (b"{", 1),
    "open array": (b'{"a":[1', 7),
    "open string": (b'{"a":"x', 5),
    "open escape": (b'{"a":"\\', 6),
    "no key": (b"{1:2}", 1),
    "bare key": (b"{a:2}", 1),
    "single quotes": (b"{'a':2}", 1),
    "no colon": (b'{"a" 1}', 5),
    "no value": (b'{"a":}', 5),
    "cut after colon": (b'{"a":', 5),
    "comma first": (b"{,}", 1),
    "comma last": (b'{"a":1,}', 7),
    "comma twice": (b'{"a":1,,"b":2}', 7),
    "comma last in array": (b'{"a":[1,]}', 8),
    "comma missing": (b'{"a":1 "b":2}', 7),
    "wrong bracket": (b'{"a":[1}}', 7),
    "trailing": (b"{} x", 3),
    "two": (b"{}{}", 2),
    "nul behind": (b"{}\x00", 2),
    "comment": (b'{"a":1/**/}', 6),
    "form feed": (b'{\x0c"a":1}', 1),
    "no-break space": ('{\u00a0"a":1}'.encode(), 1),
    "capital": (b'{"a":True}', 5),
    "cut word": (b'{"a":tru}', 5),
    "cut word at end": (b'{"a":nul', 5),
    "long word": (b'{"a":nulls}', 9),
    "NaN": (b'{"a":NaN}', 5),
    "Infinity": (b'{"a":Infinity}', 5),
    "-Infinity": (b'{"a":-Infinity}', 5),
    "plus": (b'{"a":+1}', 5),
    "leading zero": (b'{"a":01}', 6),
    "leading zero, minus": (b'{"a":-01}', 7),
    "minus alone": (b'{"a":-}', 5),
    "minus twice": (b'{"a":--1}', 5),
    "point last": (b'{"a":1.}', 5),
    "point first": (b'{"a":.5}', 5),
    "point alone before exponent": (b'{"a":1.e5}', 5),
    "empty exponent": (b'{"a":1e}', 5),
    "empty exponent, plus": (b'{"a":1e+}', 5),
    "exponent with point": (b'{"a":1e1.5}', 8),
    "hexadecimal": (b'{"a":0x10}', 6),
    "underscore": (b'{"a":1_0}', 6),
    "other digits": ('{"a":1\u0662}'.encode(), 6),
    "control": (b'{"a":"x\x1f"}', 7),
    "newline": (b'{"a":"x\n"}', 7),
    "nul": (b'{"a":"\x00"}', 6),
    "unknown escape": (b'{"a":"\\x41"}', 6),
    "capital escape": (b'{"a":"\\U00000041"}', 6),
    "short \\u": (b'{"a":"\\u12"}', 6),
    "spaced \\u": (b'{"a":"\\u 123"}', 6),
    "signed \\u": (b'{"a":"\\u+123"}', 6),
    "\\u at end": (b'{"a":"\\u123', 6),
    "lone high": (b'{"a":"\\ud800"}', 6),
    "lone high, text": (b'{"a":"\\ud800xxxxxx"}', 6),
    "lone high, escape": (b'{"a":"\\ud800\\n12345"}', 6),
    "two high": (b'{"a":"\\ud800\\ud800\\udc00"}', 6),
    "lone low": (b'{"a":"\\udc00"}', 6),
    "turned round": (b'{"a":"\\udc00\\ud800"}', 6),
    "lone in a key": (b'{"\\udfff":1}', 2),
    "lone in uuid": (b'{"uuid":"\\udfff"}', 9),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', 6),
    "surrogate pair in UTF-8": (b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}', 6),
    "overlong 2": (b'{"a":"\xc0\xaf"}', 6),
    "overlong nul": (b'{"a":"\xc0\x80"}', 6),
    "overlong 3": (b'{"a":"\xe0\x9f\xbf"}', 6),
    "overlong 4": (b'{"a":"\xf0\x8f\xbf\xbf"}', 6),
    "over U+10FFFF": (b'{"a":"\xf4\x90\x80\x80"}', 6),
    "five bytes": (b'{"a":"\xf8\x88\x80\x80\x80"}', 6),
    "continuation": (b'{"a":"\x80"}', 6),
    "latin-1": (b'{"a":"\xe9"}', 6),
    "cut sequence": (b'{"a":"\xf0\x9f\x98"}', 6),
    "cut sequence at end": (b'{"a":"\xf0\x9f\x98', 6),
    "duplicate": (b'{"a":1,"b":2,"a":1}', 13),
    "duplicate, escaped": (b'{"a":1,"\\u0061":2}', 7),
    "duplicate, deep": (b'{"x":[{"a":1,"a":2}]}', 13),
    "duplicate, empty": (b'{"":1,"":2}', 6),
    "duplicate uuid": (b'{"uuid":1,"uuid":1}', 10),
    "duplicate in uuid": (b'{"uuid":{"a":1,"a":1}}', 15),
    "deep": (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", 5 + 63),
    "deep in uuid": (b'{"uuid":' + b"[" * 64 + b"]" * 64 + b"}", 8 + 63),
    "very deep": (b'{"a":' + b"[" * 100_000, 5 + 63),
    "very deep objects": (b'{"a":' * 100_000, 5 * 64),
    "digits": (b'{"a":' + b"1" * 1001 + b"}", 5),
    "digits, point": (b'{"a":[0,' + b"1" * 500 + b"." + b"1" * 501 + b"]}", 8),
    "digits, small": (b'{"a":-0.00' + b"1" * 1001 + b"}", 5),
    "digits, many": (b'{"a":' + b"1" * 1_000_000 + b"}", 5),
    "exponent": (b'{"a":1e100001}', 5),
    "exponent, down": (b'{"a":1e-100001}', 5),
    "exponent by zeros": (b'{"a":10e100000}', 5),
    "exponent by point": (b'{"a":0.1e-100000}', 5),
    "exponent, long": (b'{"a":1e' + b"9" * 1_000_000 + b"}", 5),
    "exponent, long, down": (b'{"a":1e-' + b"9" * 5000 + b"}", 5),
    "exponent, around 64 bits": (b'{"a":1e18446744073709551616}', 5),
    "zeros": (b'{"a":1' + b"0" * 100_001 + b"}", 5),
}


@pytest.mark.parametrize(("document", "at"), INVALID.values(), ids=INVALID.keys())
def test_what_is_no_configuration_is_refused_where_it_goes_wrong(document: bytes, at: int) -> None:
    assert same(document)[0] == "refused"
    with pytest.raises(confighash.ConfigError, match=f" at byte {at}$"):
        confighash.config_hash(document)


@pytest.mark.parametrize(
    "document",
    [
        b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
        b'{"a":' * 63 + b"{}" + b"}" * 63,
        b'{"a":' + b"1" * 1000 + b"}",
        b'{"a":' + b"1" * 500 + b"." + b"1" * 500 + b"}",
        b'{"a":0.' + b"0" * 5000 + b"1" * 1000 + b"0" * 5000 + b"}",
        b'{"a":[1e100000,-1e-100000,0.1e100001,10e-100001]}',
        b'{"a":1' + b"0" * 100_000 + b"}",
        b'{"a":[0e' + b"9" * 5000 + b",0.00e-" + b"9" * 5000 + b"]}",
        b'{"a":1e' + b"0" * 5000 + b"1}",
        b'{"a":1' + b"0" * 1_000_000 + b"e-1000000}",
    ],
    ids=lambda document: f"{document[:12]!r}...",
)
def test_limits_are_inclusive_and_go_by_value(document: bytes) -> None:
    assert same(document)[0] != "refused"


def test_the_message_says_what_and_shows_nothing_of_the_document() -> None:
    for module in (confighash, confighash_py):
        for document in (b'{"hidden":1,"hidden":2}', b'{"a":"hidden\x01"}', b'{"a":hidden}'):
            with pytest.raises(confighash.ConfigError) as caught:
                module.config_hash(document)
            assert "hidden" not in str(caught.value)
    with pytest.raises(confighash.ConfigError, match=r"^duplicate key in an object at byte 7$"):
        confighash.config_hash(b'{"a":1,"a":1}')


SHAPES = {
    "many keys, backwards": b"{%s}" % b",".join(b'"k%06d":1' % n for n in range(100_000, 0, -1)),
    "many duplicates": b"{%s}" % b",".join(b'"k%d":1' % (n % 7) for n in range(100_000)),
    "one key": b"{%s}" % b",".join([b'"":1'] * 200_000),
    "long like keys": b"{%s}"
    % b",".join(b'"%s%04d":1' % (b"a" * 1000, n) for n in range(1000, 0, -1)),
    "moved at each level": b'{"b":' * 63 + b'["%s"]' % (b"x" * 1_000_000) + b',"a":1}' * 63,
    "empty arrays": b'{"a":[%s]}' % b",".join([b"[]"] * 300_000),
    "escapes": b'{"a":"%s"}' % (b"\\u0001" * 170_000),
    "growing numbers": b'{"a":[%s]}' % b",".join([b"0.1"] * 250_000),
}


@pytest.mark.parametrize("document", SHAPES.values(), ids=SHAPES.keys())
def test_a_megabyte_of_ill_will(document: bytes) -> None:
    same(document)


# --- twin ----------------------------------------------------------------------------------

TOKENS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'"a"', b'"b"', b'"uuid"', b"\\", b"\\u", b"\\ud83d",
    b"\\ude00", b"\\u0061", b"\\n", b"0", b"1", b"-", b".", b"e", b"E", b"+", b"00", b"99999999999",
    b"true", b"false", b"null", b"NaN", b" ", b"\n", b"\t", b"\x00", b"\x1f", b"\x7f", b"\x80",
    b"\xc3\xa9", b"\xc0", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xf0\x9f\x98\x80", b"\xf4\x90", b"/",
]  # fmt: skip


@settings(relaxed, max_examples=1000)
@given(roots, st.data())
def test_native_and_twin_agree_on_damaged_documents(root: Object, data: st.DataObject) -> None:
    document = bytearray(Speller(data.draw).value(root).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(document)))
        cut = data.draw(st.integers(0, 2))
        document[at : at + cut] = data.draw(
            st.sampled_from(TOKENS) | st.binary(max_size=2) | st.just(b"")
        )
    same(bytes(document))


@settings(relaxed, max_examples=1000)
@given(
    st.lists(st.sampled_from(TOKENS), max_size=12),
    st.sampled_from(["%b", '{"a":%b}', '{"a":"%b"}']),
)
def test_native_and_twin_agree_on_token_soup(tokens: list[bytes], frame: str) -> None:
    same(frame.encode() % b"".join(tokens))


@relaxed
@given(st.binary(max_size=40))
def test_native_and_twin_agree_on_any_bytes(noise: bytes) -> None:
    same(noise)
    same(b'{"a":"' + noise + b'"}')


@settings(relaxed, max_examples=1000)
@given(st.from_regex(rb"\A-?[0-9]{1,4}(\.[0-9]{0,4})?([eE][+-]?[0-9]{1,7})?\Z"))
def test_native_and_twin_agree_on_numbers(number: bytes) -> None:
    same(b'{"a":' + number + b"}")


def test_native_and_twin_agree_on_every_pair_of_bytes_in_a_string() -> None:
    for first in range(256):
        for second in range(256):
            same(b'{"a":"%c%c"}' % (first, second))


def test_native_and_twin_agree_on_three_and_four_byte_sequences() -> None:
    edges = [0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    for lead in range(0xE0, 0x100):
        for second in edges:
            for third in (0x7F, 0x80, 0xBF, 0xC0):
                same(b'{"a":"%c%c%c"}' % (lead, second, third))
                for fourth in (0x7F, 0x80, 0xBF, 0xC0):
                    same(b'{"a":"%c%c%c%c"}' % (lead, second, third, fourth))


# --- interface -----------------------------------------------------------------------------


@BOTH
def test_it_takes_contiguous_bytes_of_any_kind(module: ModuleType) -> None:
    expected = module.config_hash(b'{"a":1}')
    assert len(expected) == 32
    assert set(expected) <= set("0123456789abcdef")
    assert module.config_hash(bytearray(b'{"a":1}')) == expected
    assert module.config_hash(memoryview(b'x{"a":1}x')[1:-1]) == expected
    with pytest.raises(BufferError):
        module.config_hash(memoryview(b'{ " a " : 1 } ')[::2])
    wrongs: list[object] = ["{}", None, 1, {}]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            module.config_hash(wrong)
    released = bytearray(b"{")
    with pytest.raises(module.ConfigError):
        module.config_hash(released)
    released += b"}"  # no view of it is left behind


def test_both_have_one_exception_and_the_same_limits() -> None:
    assert confighash.ConfigError is confighash_py.ConfigError is _native.ConfigError
    assert issubclass(_native.ConfigError, ValueError)
    for name, value in (("MAX_DEPTH", 64), ("MAX_DIGITS", 1000), ("MAX_EXPONENT", 100_000)):
        assert getattr(confighash, name) == getattr(confighash_py, name) == value


@pytest.mark.parametrize(("setting", "native"), [("1", False), ("0", True), (None, True)])
def test_the_environment_chooses_the_twin(setting: str | None, native: bool) -> None:
    env = {k: v for k, v in os.environ.items() if k != "GW_PURE_PYTHON"}
    env["PYTHONPATH"] = str(Path(gw.__file__).parents[1])
    if setting is not None:
        env["GW_PURE_PYTHON"] = setting
    out = subprocess.run(
        [
            sys.executable,
            "-c",
            "from gw import _native as n; print(n.native, n.config_hash.__module__)",
        ],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert out == [str(native), "gw._native.confighash" + ("" if native else "_py")]
