from argon2 import PasswordHasher

from gw.core.settings import Security
from gw.security.administrator import first_administrator
from gw.security.passwords import PasswordRules

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def test_with_a_password_of_the_environment():
    user, shown = first_administrator(Security(), "Given-password-1", now=5, hasher=QUICK)
    assert shown is None
    assert QUICK.verify(user.password, "Given-password-1")
    assert not user.change_password
    assert user.id == "11111111-0000-0000-6666-999999999999"
    assert (user.email, user.role) == ("admin@localhost", "root")
    assert (user.created, user.modified) == (5, 5)


def test_without_one_is_generated_shown_and_to_be_changed():
    for nothing in (None, ""):
        user, shown = first_administrator(Security(), nothing, hasher=QUICK)
        assert shown
        assert PasswordRules(Security()).is_acceptable(shown)
        assert QUICK.verify(user.password, shown)
        assert user.change_password
        assert shown not in repr(user)


def test_address_of_the_settings_in_lower_case():
    user, _ = first_administrator(Security(administrator=" Ops@Example.ORG "), "x", hasher=QUICK)
    assert user.email == "ops@example.org"


def test_the_real_hash_is_used_by_default():
    user, _ = first_administrator(Security(), "x")
    assert user.password.startswith("$argon2id$v=19$m=65536,")
