"""Which request is given up when a device owes too many answers."""

import pytest

from gw.worker.outstanding import Outstanding, make_room

NOW = 10_000_000_000


def request(name, *, age_s=0, answers=0):
    sent = NOW - age_s * 1_000_000_000
    return Outstanding(name, "script", sent, 5_000, 0, "", True, answers)


@pytest.mark.parametrize(
    ("owed", "given_up"),
    [
        ([request("oldest"), request("young")], "oldest"),
        ([request("oldest"), request("answered", answers=1), request("young")], "answered"),
        ([request("a"), request("answered", answers=1), request("late", age_s=6)], "late"),
        ([request("a"), request("later", age_s=9), request("late", age_s=6)], "later"),
    ],
)
def test_what_is_given_up_first(owed, given_up):
    outstanding = dict(enumerate(owed, 1))
    assert make_room(outstanding, NOW).command == given_up
    assert given_up not in {one.command for one in outstanding.values()}
    assert len(outstanding) == len(owed) - 1
