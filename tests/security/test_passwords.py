import asyncio
import re
import threading

import pytest
from argon2 import PasswordHasher

from gw.core.errors import ApiError
from gw.core.settings import Security
from gw.security import passwords as module
from gw.security.passwords import MAX_LENGTH, PasswordRules, Passwords, argon2

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def passwords():
    made = Passwords(Security(), QUICK)
    yield made
    made.close()


async def test_hash_and_verify(passwords):
    stored = await passwords.hash("Correct-horse-1")
    assert stored.startswith("$argon2id$")
    assert stored != await passwords.hash("Correct-horse-1")
    assert await passwords.verify(stored, "Correct-horse-1")
    assert not await passwords.verify(stored, "Correct-horse-2")


@pytest.mark.parametrize("password", ["", "é€\U0001f600", "a\x00b", "\ud800", "x" * 10_000])
async def test_any_text_can_be_hashed(passwords, password):
    stored = await passwords.hash(password)
    assert await passwords.verify(stored, password)
    assert not await passwords.verify(stored, password + "x")


@pytest.mark.parametrize("stored", ["", "nonsense", "salt|0123", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
async def test_nobody_signs_in_with_what_is_no_hash(passwords, stored):
    assert not await passwords.verify(stored, "")
    assert not await passwords.verify(stored, "x")


async def test_an_unknown_user_costs_a_hash_too(passwords, monkeypatch):
    verified = []
    real = PasswordHasher.verify

    def verify(self, stored, password):
        verified.append(stored)
        return real(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    assert not await passwords.verify("", "x")
    assert verified[0].startswith("$argon2id$v=19$m=8,t=1,p=1$")


async def test_a_hash_of_other_parameters_is_read_and_replaced(passwords):
    older = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("x")
    assert await passwords.verify(older, "x")
    assert passwords.needs_rehash(older)
    assert not passwords.needs_rehash(await passwords.hash("x"))


def test_the_real_parameters_are_those_of_rfc_9106():
    hasher = argon2()
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (65536, 3, 4)


async def test_history(passwords):
    stored = [await passwords.hash(f"p{n}") for n in range(7)]
    assert await passwords.was_used("p6", stored)
    assert await passwords.was_used("p2", stored)
    # Older than the last five.
    assert not await passwords.was_used("p1", stored)
    assert not await passwords.was_used("p", stored)
    assert not await passwords.was_used("p", [])


async def test_no_history():
    passwords = Passwords(Security(password_history=0), QUICK)
    assert not await passwords.was_used("x", [await passwords.hash("x")])
    passwords.close()


async def test_too_many_at_a_time_are_refused(passwords, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 3)
    gate = threading.Event()
    monkeypatch.setattr(PasswordHasher, "hash", lambda self, password: gate.wait() and "h")
    waiting = [asyncio.ensure_future(passwords.hash("x")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        await passwords.hash("x")
    assert caught.value.number == 10
    assert caught.value.fault.retriable
    # A caller that gave up still takes a place: its hash is being computed or waits.
    waiting[0].cancel()
    await asyncio.sleep(0)
    with pytest.raises(ApiError):
        await passwords.hash("x")
    gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["h", "h"]
    assert await passwords.hash("x") == "h"


@pytest.mark.parametrize("password", ["Aa1-aaaa", "Correct-horse-1", "É1aA....é"])
def test_acceptable(password):
    assert PasswordRules(Security()).is_acceptable(password)


@pytest.mark.parametrize(
    "password", ["", "Aa1-aaa", "aa1-aaaa", "AA1-AAAA", "Aaa-aaaa", "Aa1aaaaa", "Aa1-" + "a" * 200]
)
def test_not_acceptable(password):
    assert not PasswordRules(Security()).is_acceptable(password)


def test_length_is_bounded_whatever_the_pattern():
    rules = PasswordRules(Security(password_pattern=""))
    assert rules.is_acceptable("x" * MAX_LENGTH)
    assert not rules.is_acceptable("x" * (MAX_LENGTH + 1))


@pytest.mark.parametrize(
    "pattern",
    [
        Security().password_pattern,
        "",
        r"^[a-z0-9]{20,}$",
        r"^[A-Z0-9]+$",
        r"^\d+$",
        r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[@$!%*?&])[A-Za-z\d@$!%*?&]{8,}$",
    ],
)
def test_generated_passwords_obey_the_pattern(pattern):
    rules = PasswordRules(Security(password_pattern=pattern))
    made = {rules.generate() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        assert len(password) >= 20
        assert re.search(pattern, password)


def test_a_pattern_that_nothing_obeys_is_named():
    with pytest.raises(ValueError, match=r"security\.password_pattern"):
        PasswordRules(Security(password_pattern="^.{3}$")).generate()
