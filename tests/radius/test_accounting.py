"""Sessions as devices account them."""

from __future__ import annotations

import pytest

from gw.radius import packet as wire
from gw.radius.accounting import LOST_CARRIER, Sessions, Status, plain_mac, stop_of
from gw.radius.packet import Attr
from gw.radius.routing import Route

from .rules import SECRET, SERIAL, account


class Book:
    """Sessions, with a clock."""

    def __init__(self, limit: int = 10, per_device: int = 10) -> None:
        self.sessions = Sessions(limit, per_device)
        self.now = 100

    def note(self, packet, serial: str = SERIAL):
        self.now += 1
        route = Route(serial, "0.0.1.1", 1813, "up0v0")
        return self.sessions.note(
            packet, route, "pool", "10.0.0.1:1813", SECRET, now=self.now, seen=float(self.now)
        )


def test_octets_and_packets_are_kept_apart():
    book = Book()
    book.note(account(Status.START))
    numbers = {
        "ACCT_INPUT_OCTETS": 1, "ACCT_OUTPUT_OCTETS": 2, "ACCT_INPUT_PACKETS": 3,
        "ACCT_OUTPUT_PACKETS": 4, "ACCT_INPUT_GIGAWORDS": 5, "ACCT_OUTPUT_GIGAWORDS": 6,
        "ACCT_SESSION_TIME": 7,
    }  # fmt: skip
    found = book.note(account(Status.INTERIM, **numbers))
    assert (found.input_octets, found.output_octets) == (1, 2)
    assert (found.input_packets, found.output_packets) == (3, 4)
    assert (found.input_gigawords, found.output_gigawords, found.session_time) == (5, 6, 7)
    assert (found.started, found.last_transaction) == (101, 102)


def test_an_interim_update_begins_a_session_too():
    book = Book()
    assert book.note(account(Status.INTERIM)) is not None
    assert book.note(account(15, "other")) is None
    assert book.sessions.count(SERIAL) == 1


def test_stop_ends_one_and_the_access_points_own_end_all():
    book = Book()
    for session in ("a", "b", "c"):
        book.note(account(Status.START, session))
    book.note(account(Status.STOP, "b"))
    assert [one.session_id for one in book.sessions.of(SERIAL)] == ["a", "c"]
    book.note(account(Status.OFF, ""))
    assert len(book.sessions) == 0
    assert book.sessions.serials() == []


def test_there_is_no_session_without_an_id():
    book = Book()
    assert book.note(account(Status.START, "")) is None


def test_their_number_is_bounded():
    book = Book(limit=2)
    for session in ("a", "b", "c"):
        book.note(account(Status.START, session))
    assert len(book.sessions) == 2
    assert book.sessions.refused == 1
    assert book.note(account(Status.INTERIM, "a")) is not None
    book.note(account(Status.STOP, "a"))
    assert book.note(account(Status.START, "c")) is not None


def test_one_device_does_not_take_the_place_of_others():
    book = Book(limit=10, per_device=2)
    for session in ("a", "b", "c"):
        book.note(account(Status.START, session))
    assert (book.sessions.count(SERIAL), book.sessions.refused) == (2, 1)
    assert book.note(account(Status.START, "c"), "02a0e2000002") is not None


def test_the_silent_are_forgotten_and_only_they():
    book = Book()
    book.note(account(Status.START, "a"))
    book.note(account(Status.START, "b"))
    book.note(account(Status.INTERIM, "a"))
    assert [one.session_id for one in book.sessions.expire(103)] == ["b"]
    assert [one.session_id for one in book.sessions.of(SERIAL)] == ["a"]


def test_they_are_found_by_device_user_and_station_and_in_pages():
    book = Book()
    serials = ["02a0e2000001", "02a0e2000002", "02a0e2000003"]
    for serial in reversed(serials):
        for session in ("b", "a"):
            book.note(account(Status.START, session), serial)
    keys = [(one.serial, one.key) for one in book.sessions.find()]
    assert keys == [(serial, session) for serial in serials for session in ("a", "b")]
    for place, key in enumerate(keys):
        rest = [(one.serial, one.key) for one in book.sessions.find(after=key)]
        assert rest == keys[place + 1 :]
    assert len(list(book.sessions.find(mac="3c22:fb10"))) == 6
    assert len(list(book.sessions.find(serial=serials[1], mac="3c-22"))) == 2
    assert list(book.sessions.find(user_name="nobody")) == []
    assert list(book.sessions.find(mac="xyz")) == []
    assert book.sessions.owner("a") is None
    book.note(account(Status.START, "only"), serials[1])
    assert book.sessions.owner("only") == serials[1]


@pytest.mark.parametrize(
    ("text", "plain"),
    [("3C-22-FB-10-4E-01", "3c22fb104e01"), ("24-F5-A2-07-A1-32:Cafe", "24f5a207a132"),
     ("3c22.fb10.4e01", "3c22fb104e01"), ("", "")],
)  # fmt: skip
def test_addresses(text, plain):
    assert plain_mac(text) == plain


def test_the_stop_of_a_lost_device_says_so_once():
    book = Book()
    found = book.note(account(Status.INTERIM, "a", 255, ACCT_TERMINATE_CAUSE=1))
    stop = wire.sign_request(stop_of(found, 1_800_000_000), SECRET)
    assert wire.request_holds(stop, SECRET)
    assert stop.identifier == 0
    assert stop.all(Attr.ACCT_STATUS_TYPE) == [b"\0\0\0\2"]
    assert stop.number(Attr.ACCT_TERMINATE_CAUSE) == LOST_CARRIER
    assert len(stop.all(Attr.ACCT_TERMINATE_CAUSE)) == 1
    assert stop.number(Attr.EVENT_TIMESTAMP) == 1_800_000_000
    assert stop.text(Attr.ACCT_SESSION_ID) == "a"
