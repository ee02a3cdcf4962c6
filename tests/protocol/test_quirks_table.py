"""Each tolerated deviation has one name, one place in the code, and a test over a real socket."""

import re
from pathlib import Path

import pytest

from gw.protocol import quirks

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"Quirk: ([a-z0-9-]+)\.")
TESTED = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r'mark\.quirk\("([a-z0-9-]+)"\)', file.read_text("utf-8"))
}


def test_names_are_unique():
    names = [quirk.name for quirk in quirks.QUIRKS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("quirk", quirks.QUIRKS, ids=lambda quirk: quirk.name)
def test_the_code_that_tolerates_it_names_it(quirk):
    assert quirk.name in NAMED.findall((ROOT / quirk.where).read_text("utf-8"))


def test_the_code_names_no_other():
    named = {
        name
        for file in (ROOT / "gw").rglob("*.py")
        for name in NAMED.findall(file.read_text("utf-8"))
    }
    assert named == {quirk.name for quirk in quirks.QUIRKS}


def test_each_has_a_test_over_a_real_socket():
    assert {quirk.name for quirk in quirks.QUIRKS} == TESTED


@pytest.mark.parametrize(
    ("value", "uuid"),
    [
        (12.0, 12),
        (0.0, 0),
        (-(2.0**63), 1),
        (-1.0, None),
        (1.5, None),
        (2.0**63, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_doubles_as_ids(value, uuid):
    assert quirks.whole_uuid(value) == uuid
