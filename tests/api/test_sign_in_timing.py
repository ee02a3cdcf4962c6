"""A sign-in costs the same whether or not its user exists: hashes are counted, not seconds."""

import pytest
from argon2 import PasswordHasher

from gw.store import rows
from gw.store.interface import Batch, PutUser

from .conftest import HASHER, PASSWORD


@pytest.fixture
def work(monkeypatch):
    """What the hasher was asked to do."""
    done = []
    verify, hashed = PasswordHasher.verify, PasswordHasher.hash

    def counted_verify(self, *args):
        done.append("verify")
        return verify(self, *args)

    def counted_hash(self, *args, **more):
        done.append("hash")
        return hashed(self, *args, **more)

    monkeypatch.setattr(PasswordHasher, "verify", counted_verify)
    monkeypatch.setattr(PasswordHasher, "hash", counted_hash)
    return done


async def test_every_refused_sign_in_is_one_verification(sign_in, store, work):
    for name, values in {
        "suspended": {"suspended": True},
        "waiting": {"waiting_for_email_check": True},
        "changing": {"change_password": True},
    }.items():
        row = rows.UserRow(
            id=name, email=f"{name}@localhost", password=HASHER.hash(PASSWORD), **values
        )
        await store.commit(Batch([PutUser(row)]))
    await sign_in("nobody", password="first")  # the first of all makes a hash of nobody's
    for user in ("nobody", "root", "suspended", "waiting", "changing", "x" * 400, "\u0130", ""):
        work.clear()
        answer = await sign_in(user, password="wrong")
        assert answer.json()["ErrorCode"] == 2, user
        assert work == ["verify"], user


async def test_the_first_sign_in_of_all_is_no_different(sign_in, work):
    await sign_in("nobody", password="wrong")
    assert work == ["hash", "verify"]


async def test_the_first_sign_in_of_all_with_a_user_who_exists(sign_in, work):
    await sign_in("root", password="wrong")
    assert work == ["hash", "verify"]


async def test_a_forgotten_password_costs_nothing_that_the_caller_waits_for(security, work):
    for user in ("root", "nobody"):
        answer = await security.post(
            "/oauth2?forgotPassword=true", json={"userId": f"{user}@localhost"}
        )
        assert answer.status_code == 200
    assert work == []
