import re
from pathlib import Path

import pytest

from gw.core.errors import FAULTS, ApiError, Fault, index_faults


def test_duplicates_are_refused():
    one = Fault(1, "a", "A.", "")
    with pytest.raises(ValueError, match="twice"):
        index_faults([one, Fault(1, "b", "B.", "")])
    with pytest.raises(ValueError, match="twice"):
        index_faults([one, Fault(2, "a", "B.", "")])


def test_every_fault_says_what_to_do():
    for fault in FAULTS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", fault.slug)
        assert fault.text.endswith(".")
        assert fault.hint or fault.number == 0
    assert all(FAULTS[number].http == 403 for number in range(1, 16))


def test_error_texts():
    assert ApiError(1018).description == "1018: A parameter is missing or invalid."
    assert ApiError(1018, "limit").description.endswith(" (limit)")
    assert ApiError(404).http == 404
    assert ApiError(8).http == 403
    assert ApiError(1033).fault.retriable
    unknown = ApiError(5555)
    assert (unknown.number, unknown.extra) == (1002, "error 5555")


def test_every_number_raised_by_the_api_is_in_the_table():
    root = Path(__file__).parents[2] / "gw" / "api"
    raised = {
        int(number)
        for path in root.rglob("*.py")
        for number in re.findall(r"ApiError\((\d+)", path.read_text())
    }
    assert raised
    assert raised <= set(FAULTS)
