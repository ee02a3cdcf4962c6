"""The country of radios in configurations that the gateway itself gives out (southbound.md 4.5)."""

from __future__ import annotations

import msgspec

_UNSET = ("", "**")
"""What stands for no country."""
_Members = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Members).decode
_decode_radios = msgspec.json.Decoder(list[_Members]).decode
_encode = msgspec.json.encode


def insert_country(document: bytes, country: str) -> tuple[bytes, str]:
    """Return a configuration whose radios all have a country, and the country that was inserted.

    A radio without one, or with `**`, gets `country`; the rest keeps its spelling. Nothing is
    inserted, and the second value is empty, if `country` is empty or every radio has one.
    """
    if not country:
        return document, ""
    members = _decode(document)
    try:
        radios = _decode_radios(members.get("radios", b"[]"))
    except msgspec.ValidationError:  # whatever it is, it is for the device to judge
        return document, ""
    text = msgspec.Raw(_encode(country))
    missing = [radio for radio in radios if _is_missing(radio)]
    for radio in missing:
        radio["country"] = text
    if not missing:
        return document, ""
    members["radios"] = msgspec.Raw(_encode(radios))
    return _encode(members), country


def _is_missing(radio: _Members) -> bool:
    return msgspec.json.decode(radio.get("country", b'""')) in (*_UNSET, None)
