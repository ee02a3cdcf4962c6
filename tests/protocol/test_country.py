"""The country of radios: inserted where there is none, and nowhere else."""

import pytest

from gw.protocol.country import insert_country


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"radios":[{"band":"5G"}]}', b'{"radios":[{"band":"5G","country":"CA"}]}'),
        (
            b'{"radios":[{"band":"2G","country":"**"},{"band":"5G","country":"DE"}]}',
            b'{"radios":[{"band":"2G","country":"CA"},{"band":"5G","country":"DE"}]}',
        ),
        (b'{"radios":[{"country":""}]}', b'{"radios":[{"country":"CA"}]}'),
        (b'{"radios":[{"country":null}]}', b'{"radios":[{"country":"CA"}]}'),
        # What is not looked at keeps its spelling.
        (
            b'{"a": 1.0, "radios": [{"channel": 1e2}], "z": {"b" :1}}',
            b'{"a":1.0,"radios":[{"channel":1e2,"country":"CA"}],"z":{"b" :1}}',
        ),
    ],
)
def test_a_country_is_inserted(document, expected):
    assert insert_country(document, "CA") == (expected, "CA")
    assert insert_country(expected, "CA") == (expected, "")


@pytest.mark.parametrize(
    "document",
    [b"{}", b'{"radios":[]}', b'{"radios":[{"country":"US"}]}', b'{"radios":{}}', b'{"radios":[1]}',
     b'{"radios":"x"}', b'{"radios":[{"country":7}]}'],
)  # fmt: skip
def test_nothing_to_insert(document):
    assert insert_country(document, "CA") == (document, "")


def test_without_a_country_nothing_is_inserted():
    document = b'{"radios":[{"band":"5G"}]}'
    assert insert_country(document, "") == (document, "")
