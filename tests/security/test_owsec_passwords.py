"""owsec's password hashes: read in both forms, kept only within a slow hash."""

import hashlib

import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st

from gw.core.settings import Security
from gw.security.owsec_passwords import OwsecHash, parse, unwrap, wrap
from gw.security.passwords import Passwords

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_both_forms_are_read():
    value = digest("salt" + "password" + "a@x")
    assert parse(f"salt|{value}") == OwsecHash("salt", value)
    assert parse(value.upper()) == OwsecHash("", value)
    for other in ("", "|", "salt|", "password", "salt|" + "g" * 64, "x" * 300 + "|" + value):
        assert parse(other) is None


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_the_stored_form_keeps_salt_and_address(salt, email):
    try:
        (salt + email).encode()
    except UnicodeEncodeError:
        return
    found = unwrap(wrap(salt, email, "$argon2id$v=19$x"))
    assert (found.salt, found.email, found.slow) == (salt, email.lower(), "$argon2id$v=19$x")


@pytest.mark.parametrize("other", ["", "$argon2id$v=19$m=8", "$owsec$*$*$x", "$owsec$"])
def test_other_hashes_are_left_alone(other):
    found = unwrap(other)
    assert found is None or found.slow == "$"


@pytest.fixture
async def passwords():
    made = Passwords(Security(), QUICK)
    yield made
    made.close()


async def test_the_right_password_fits_and_is_to_be_hashed_anew(passwords):
    stored = OwsecHash("salt", digest("salt" + "openwifi" + "tip@ucentral.com"))
    kept = await passwords.hash_of_owsec(stored, "TIP@ucentral.com")
    assert stored.digest not in kept
    assert await passwords.verify(kept, "openwifi")
    for wrong in ("openwifi ", "", stored.digest, f"salt|{stored.digest}"):
        assert not await passwords.verify(kept, wrong)
    assert passwords.needs_rehash(kept)
    assert not passwords.needs_rehash(await passwords.hash("openwifi"))
    assert await passwords.was_used("openwifi", [kept])


async def test_the_digest_alone_opens_nothing(passwords):
    """Who has owsec's database, with its fast hashes, does not sign in by them."""
    value = digest("password" + "a@x")
    kept = await passwords.hash_of_owsec(OwsecHash("", value), "a@x")
    assert not await passwords.verify(kept, value)
    assert await passwords.verify(kept, "password")


@pytest.mark.parametrize("broken", ["$owsec$", "$owsec$a", "$owsec$$$", "$owsec$c2FsdA==$YQ==$x"])
async def test_a_broken_form_opens_nothing(passwords, broken):
    assert not await passwords.verify(broken, "password")
    assert not await passwords.verify(broken, "")
