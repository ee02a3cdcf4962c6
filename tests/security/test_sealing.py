import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.security.internal_key import internal_key, is_key
from gw.security.sealing import Sealer, SealError, is_sealed, sealing_key

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT)
def test_what_was_sealed_is_opened_for_its_purpose_only(secret, purpose):
    sealer = Sealer("k" * 32)
    sealed = sealer.seal(secret, purpose)
    assert is_sealed(sealed)
    assert sealer.open(sealed, purpose) == secret
    with pytest.raises(SealError):
        sealer.open(sealed, purpose + "x")
    with pytest.raises(SealError):
        Sealer("j" * 32).open(sealed, purpose)


def test_two_seals_of_one_secret_differ():
    sealer = Sealer("k" * 32)
    assert sealer.seal("same", "p") != sealer.seal("same", "p")


@pytest.mark.parametrize("stored", ["", "plain", "s1:", "s1:****", "s1:AAAA"])
def test_what_is_no_seal_is_refused(stored):
    with pytest.raises(SealError):
        Sealer("k" * 32).open(stored, "p")


def test_a_changed_seal_is_refused():
    sealer = Sealer("k" * 32)
    sealed = sealer.seal("secret", "p")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(SealError):
        sealer.open(changed, "p")


@pytest.mark.parametrize(("key_of", "name"), [(internal_key, "internal.key"),
                                              (sealing_key, "sealing.key")])  # fmt: skip
def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path, key_of, name):
    made = key_of("", str(tmp_path))
    assert len(made) == 64
    assert key_of("", str(tmp_path)) == made
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert key_of("c" * 32, str(tmp_path)) == "c" * 32
    (tmp_path / name).write_text("short")
    with pytest.raises(ValueError, match="holds no key"):
        key_of("", str(tmp_path))


def test_an_empty_key_opens_nothing():
    assert not is_key("", "")
    assert not is_key("x", "")
    assert is_key("x", "x")
