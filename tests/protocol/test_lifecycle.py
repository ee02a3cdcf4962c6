"""The table of a command's life: every state ends, and only once."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol.lifecycle import FINAL, FIRST, MOVES, OPEN, Kind, State, after_loss, may_move
from gw.store.tables import FINAL_STATUSES


def test_the_store_knows_the_same_final_states():
    assert set(FINAL_STATUSES) == {str(state) for state in FINAL}


def test_every_state_has_its_moves_and_every_open_one_an_end():
    assert set(MOVES) == set(State)
    for state in OPEN:
        assert MOVES[state] & FINAL, state
    for state in FINAL:
        assert not MOVES[state], state


def test_every_state_can_be_reached():
    reached = set(FIRST)
    while more := {to for state in reached for to in MOVES[state]} - reached:
        reached |= more
    assert reached == set(State)


@given(st.sampled_from(sorted(FIRST)), st.lists(st.sampled_from(list(State))))
def test_any_row_of_events_ends_at_most_once(first, events):
    state, ends = first, int(first in FINAL)
    for event in events:
        if may_move(state, event):
            state = event
            ends += state in FINAL
    assert ends == (state in FINAL)


@pytest.mark.parametrize(
    ("kind", "arrived", "waits", "attempts"),
    list(itertools.product(Kind, (True, False, None), (True, False), (0, 1, 3, 4))),
)
def test_what_may_have_arrived_is_not_sent_again(kind, arrived, waits, attempts):
    to = after_loss(kind, arrived=arrived, waits=waits, attempts=attempts, limit=3)
    assert may_move(State.EXECUTING, to)
    if to is State.PENDING:
        assert waits
        assert attempts < 3
        assert arrived is False or (arrived is None and kind is Kind.IDEMPOTENT)
    else:
        assert to is State.FAILED
