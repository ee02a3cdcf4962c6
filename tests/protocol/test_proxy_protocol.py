"""PROXY protocol headers, versions 1 and 2."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol.proxy_protocol import (
    MAX_HEADER,
    MIN_HEADER,
    ProxyHeader,
    ProxyHeaderError,
    parse,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
ADDRESSES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)
PORTS = st.integers(0, 65_535)
ENDS = st.binary(max_size=40)


def text(source: object, target: object, port: int, other: int, version: int) -> bytes:
    return f"PROXY TCP{version} {source} {target} {port} {other}\r\n".encode()


def binary(
    body: bytes, *, command: int = 0x21, kind: int = 0x11, length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes((command, kind)) + size.to_bytes(2, "big") + body


def of_version_2(
    addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...],
    port: int,
    more: bytes = b"",
) -> bytes:
    source, target = addresses
    body = source.packed + target.packed + port.to_bytes(2, "big") + (15002).to_bytes(2, "big")
    return binary(body + more, kind=0x11 if source.version == 4 else 0x21)


@given(ADDRESSES, PORTS, PORTS, ENDS)
def test_version_1_gives_the_source(addresses, port, other, rest):
    source, target = addresses
    header = text(source, target, port, other, source.version)
    assert parse(header + rest) == ProxyHeader(len(header), 1, (str(source), port))


@given(ADDRESSES, PORTS, st.binary(max_size=300), ENDS)
def test_version_2_gives_the_source_and_skips_what_follows(addresses, port, more, rest):
    header = of_version_2(addresses, port, more)
    assert parse(header + rest) == ProxyHeader(len(header), 2, (str(addresses[0]), port))


@given(ADDRESSES, PORTS, st.booleans(), st.binary(max_size=50))
def test_a_header_that_comes_in_parts_asks_for_what_it_has_and_no_more(
    addresses, port, is_text, more
):
    """Else the read of a header would wait for bytes of TLS, or take some."""
    source, target = addresses
    header = (
        text(source, target, port, 1, source.version)
        if is_text
        else of_version_2(addresses, port, more)
    )
    have, asked = 0, []
    while not isinstance(found := parse(header[:have]), ProxyHeader):
        assert have < found <= len(header)
        have = found
        asked.append(found)
    assert found.size == len(header)
    if not is_text:
        assert len(asked) <= 3


@given(st.binary(max_size=200))
def test_any_bytes_are_a_header_or_refused_or_too_few(data):
    try:
        found = parse(data)
    except ProxyHeaderError:
        return
    if isinstance(found, ProxyHeader):
        assert MIN_HEADER <= found.size <= len(data)
    else:
        assert len(data) < found <= MAX_HEADER


@given(st.binary(max_size=120), st.sampled_from([b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_bytes_behind_the_beginning_of_a_header(rest, begin):
    test_any_bytes_are_a_header_or_refused_or_too_few.hypothesis.inner_test(begin + rest)


@pytest.mark.parametrize(
    "line",
    ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "PROXY UNKNOWN ?\r\n"],
)
def test_unknown_says_nothing(line):
    assert parse(line.encode() + b"\x16") == ProxyHeader(len(line), 1, None)


@pytest.mark.parametrize(
    ("command", "kind", "body"),
    [
        (0x20, 0x00, b""),
        (0x20, 0x11, b"\xff" * 12),  # the balancer's own check: whatever else it says
        (0x21, 0x00, b""),
        (0x21, 0x00, b"\x04\x00\x01x"),
        (0x21, 0x31, b"/" * 216),
    ],
)
def test_local_and_unspecified_headers_say_nothing(command, kind, body):
    header = binary(body, command=command, kind=kind)
    assert parse(header) == ProxyHeader(len(header), 2, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh", "begins with no PROXY"),
        (b"GET / HTTP/1.1\r\n\r\n", "begins with no PROXY"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "two addresses and two ports"),
        (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "two addresses and two ports"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "two addresses and two ports"),
        (b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n", "'::1' is not an IPv4"),
        (b"PROXY TCP6 ::1 1.2.3.4 1 2\r\n", "'1.2.3.4' is not an IPv6"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "not an IPv6"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", "'65536' is not a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "'01' is not a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", "'-1' is not a port"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", "'' is not a port"),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "'UDP4' is not TCP4"),
        (b"PROXY TCP4 1.2.3.\xb2 5.6.7.8 1 2\r\n", "not ASCII"),
        (b"PROXY " + b"x" * 110, "does not end within 107"),
        (binary(b"", command=0x11), "version 1 is not known"),
        (binary(b"", command=0x22), "command 2 is not known"),
        (binary(b"\0" * 12, kind=0x12), "are not TCP"),
        (binary(b"\0" * 12, kind=0x51), "are not TCP"),
        (binary(b"\0" * 11), "do not hold two addresses"),
        (binary(b"\0" * 12, kind=0x21), "do not hold two addresses"),
        (binary(b"", length=MAX_HEADER), "above 4096"),
    ],
)
def test_what_is_wrong_is_said(data, expected):
    with pytest.raises(ProxyHeaderError, match=expected.replace("'", ".")):
        parse(data)


def test_the_longest_line_of_version_1_is_taken():
    full = socket.inet_ntop(socket.AF_INET6, b"\xff" * 16)
    header = text(full, full, 65_535, 65_535, 6)
    assert len(header) <= 107
    found = parse(header)
    assert isinstance(found, ProxyHeader)
    assert found.source == (full, 65_535)
