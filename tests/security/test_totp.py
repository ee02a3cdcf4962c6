import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.security import totp

# RFC 6238, appendix B: SHA-1 with this secret, the last six of eight digits.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
VECTORS = [
    (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
    (2000000000, "279037"), (20000000000, "353130"),
]  # fmt: skip


@pytest.mark.parametrize(("now", "code"), VECTORS)
def test_vectors_of_the_rfc(now, code):
    assert totp.step_of(SECRET, code, now) == now // 30


@pytest.mark.parametrize(("now", "code"), VECTORS)
def test_one_step_of_drift_and_no_more(now, code):
    step = now // 30
    assert totp.step_of(SECRET, code, now + 30) == step
    assert totp.step_of(SECRET, code, now - 30) == step
    assert totp.step_of(SECRET, code, now + 60) != step
    assert totp.step_of(SECRET, code, now, after=step) == 0


@given(st.text(max_size=10))
def test_any_text_is_taken(code):
    step = totp.step_of(SECRET, code.encode("utf-8", "ignore").decode(), 59)
    assert step in (0, 1, 2)


def test_an_app_is_told_all_it_needs():
    uri = totp.uri(totp.new_secret(), "a@x.org", "gw")
    assert uri.startswith("otpauth://totp/gw:a%40x.org?secret=")
    assert "issuer=gw" in uri
