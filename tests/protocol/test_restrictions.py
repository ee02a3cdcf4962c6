"""Restrictions of devices: what they announce, and which commands it rules out."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.core.errors import FAULTS
from gw.protocol import restrictions as rules
from gw.protocol.restrictions import KeyInfo, Restrictions, announced, forbids, stored

SCRIPT = {"serial": "02a0e4000001", "type": "shell", "script": "bHM="}


def said(members: object, developer: bool | None = None) -> Restrictions | None:
    return announced(msgspec.json.encode(members), developer)


def test_without_the_member_a_device_is_not_restricted():
    assert announced(msgspec.UNSET, True) is None


@pytest.mark.parametrize("wrong", [b"null", b"[]", b"true", b'"dfs"', b"1", b"{", b"\xff"])
def test_what_is_no_object_restricts_nothing(wrong):
    assert announced(wrong, None) is None


@pytest.mark.parametrize("flag", ["dfs", "ssh", "rtty", "tty", "developer", "upgrade", "commands"])
@pytest.mark.parametrize(
    ("value", "counts"),
    [(True, True), ("true", True), (False, False), ("false", False), ("True", False), (1, False),
     ("yes", False), (None, False), ([], False)],
)  # fmt: skip
def test_flags_are_true_only_for_true(flag, value, counts):
    found = said({flag: value})
    assert getattr(found, flag) is counts
    assert found == Restrictions(**({flag: True} if counts else {}))


def test_access_points_name_the_flag_sysupgrade():
    assert said({"sysupgrade": True}).upgrade
    assert said({"sysupgrade": "true", "upgrade": False}).upgrade
    assert not said({"sysupgrade": 1}).upgrade


@pytest.mark.parametrize(
    ("inside", "beside", "developer"),
    [(True, None, True), (True, False, False), (False, True, True), (False, None, False)],
)
def test_the_capability_developer_overrides(inside, beside, developer):
    assert said({"developer": inside}, beside).developer is developer


def test_countries_and_key():
    found = said(
        {"country": ["US", 7, "CA"], "key_info": {"vendor": "acme", "algo": "dgst-sha256"}}
    )
    assert found == Restrictions(country=("US", "CA"), key_info=KeyInfo("acme", "dgst-sha256"))
    assert said({"country": "US", "key_info": []}) == Restrictions()
    assert said({"key_info": {"vendor": 3}}) == Restrictions()


@given(
    st.builds(
        Restrictions,
        st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
        st.booleans(), st.lists(st.text(max_size=3), max_size=3).map(tuple),
        st.builds(KeyInfo, st.text(max_size=9), st.text(max_size=9)),
    )
)  # fmt: skip
def test_what_is_stored_is_read_back(one):
    assert stored(one.document()) == one
    shown = msgspec.json.decode(one.document())
    assert list(shown) == [
        "dfs", "ssh", "rtty", "tty", "developer", "upgrade", "commands", "country", "key_info",
    ]  # fmt: skip


def test_stored_text_of_an_earlier_release():
    assert stored("{}") is None
    assert stored("") is None
    assert stored('{"sysupgrade":"true"}').upgrade
    assert stored('{"upgrade":"true"}').upgrade


@pytest.mark.parametrize(
    ("command", "params", "details", "number"),
    [
        ("wifiscan", {"override_dfs": True}, Restrictions(dfs=True), rules.RESTRICTED),
        ("wifiscan", {"override_dfs": False}, Restrictions(dfs=True), None),
        ("wifiscan", {"override_dfs": True}, Restrictions(rtty=True), None),
        ("rtty", {}, Restrictions(rtty=True), rules.RESTRICTED),
        ("rtty", {}, Restrictions(tty=True, ssh=True), None),
        ("upgrade", {"uri": "https://x/"}, Restrictions(upgrade=True), rules.SIGNATURE_NEEDED),
        ("upgrade", {"signature": ""}, Restrictions(upgrade=True), rules.SIGNATURE_NEEDED),
        ("upgrade", {"signature": "abcd"}, Restrictions(upgrade=True), None),
        ("upgrade", {}, Restrictions(dfs=True), None),
        ("script", SCRIPT, Restrictions(), rules.SIGNATURE_NEEDED),
        ("script", SCRIPT | {"signature": "abcd"}, Restrictions(commands=True), None),
        ("reboot", {}, Restrictions(commands=True, upgrade=True, dfs=True, rtty=True), None),
        ("configure", {}, Restrictions(commands=True), None),
    ],
)
def test_forbids(command, params, details, number):
    refusal = forbids(command, params, details)
    assert (refusal and refusal.number) == number
    # A device that is not restricted, or is a developer's, may be asked anything.
    assert forbids(command, params, None) is None
    assert forbids(command, params, details, developer=True) is None
    free = msgspec.structs.replace(details, developer=True)
    assert forbids(command, params, free) is None
    again = forbids(command, params, free, developer=False)
    assert (again and again.number) == number


def test_the_numbers_are_numbered_errors():
    assert {rules.RESTRICTED, rules.SIGNATURE_NEEDED} <= FAULTS.keys()
