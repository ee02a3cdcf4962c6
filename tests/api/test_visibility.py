"""Who sees what a device answered."""

from contextvars import copy_context

import pytest

from gw.api import visibility

ANSWER = '{"serial":"s","status":{"error":0,"result":"words","psk":"p"}}'


def shown(role, email, *, by="operator@x.org", free=True, internal=False):
    def see():
        visibility.seen_by(role, email=email, internal=internal)
        return bytes(visibility.answer(ANSWER, by=by, free=free)).decode()

    return copy_context().run(see)


@pytest.mark.parametrize(
    ("asked", "words", "secret"),
    [
        ({"role": "root", "email": "r@x.org"}, True, True),
        ({"role": "", "email": "owprov", "internal": True}, True, True),
        ({"role": "csr", "email": "csr@x.org"}, False, False),
        ({"role": "csr", "email": "operator@x.org"}, True, False),
        ({"role": "csr", "email": "csr@x.org", "free": False}, True, False),
        ({"role": "", "email": "", "by": ""}, False, False),
    ],
)
def test_who_sees_what_a_script_printed(asked, words, secret):
    text = shown(**asked)
    assert ("words" in text) == words
    assert ('"psk":"p"' in text) == secret
