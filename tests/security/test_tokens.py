import hashlib
import re

from gw.core.settings import Security
from gw.security.tokens import is_expired, is_refresh_expired, issue, new_token, token_hash


def test_tokens_are_random_hexadecimal_of_256_bits():
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{64}", token) for token in made)


def test_only_hashes_are_kept():
    issued = issue("user", Security(), 1000)
    assert issued.access != issued.refresh
    assert issued.row.access_hash == hashlib.sha256(issued.access.encode()).hexdigest()
    assert issued.row.refresh_hash == token_hash(issued.refresh)
    assert issued.access not in repr(issued.row)
    assert issued.refresh not in repr(issued.row)


def test_any_text_of_a_header_can_be_looked_up():
    assert len({token_hash(text) for text in ("", "é", "\ud800", "x" * 100_000)}) == 4


def test_times():
    row = issue("user", Security(token_seconds=10, refresh_seconds=20), 1000).row
    assert (row.user_id, row.created, row.last_refresh) == ("user", 1000, 0)
    assert [is_expired(row, now) for now in (1000, 1009, 1010)] == [False, False, True]
    assert [is_refresh_expired(row, now) for now in (1010, 1019, 1020)] == [False, False, True]
    assert issue("user", Security(), 1000, refreshed=True).row.last_refresh == 1000
