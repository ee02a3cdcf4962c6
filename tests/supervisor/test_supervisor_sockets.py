"""Listening sockets: one port for all slots, and what is said when there is none."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from gw import supervisor_sockets as sockets


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made: list[socket.socket] = []
        stack.callback(lambda: [one.close() for one in made])
        yield made


def test_slots_share_one_port_and_the_connections(opened: list[socket.socket]) -> None:
    opened += sockets.open_slots("devices", "127.0.0.1", 0, 4, 128)
    assert len({one.getsockname() for one in opened}) == 1
    clients = [socket.create_connection(opened[0].getsockname()) for _ in range(64)]
    try:
        for client in clients:
            client.sendall(b"hello")  # a connection is handed over once the client speaks
        accepted = [0] * 4
        for slot, listener in enumerate(opened):
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                    connection.close()
                    accepted[slot] += 1
        assert sum(accepted) == 64
        assert all(accepted)
    finally:
        for client in clients:
            client.close()


def test_a_slot_can_be_opened_again(opened: list[socket.socket]) -> None:
    opened += sockets.open_slots("devices", "127.0.0.1", 0, 2, 128)
    port = sockets.port_of(opened[0])
    opened[1].close()
    opened.append(sockets.open_slot("devices", "127.0.0.1", port, 128))
    assert sockets.port_of(opened[2]) == port


def test_a_port_of_another_gateway_is_not_shared(opened: list[socket.socket]) -> None:
    opened += sockets.open_slots("devices", "127.0.0.1", 0, 2, 128)
    port = sockets.port_of(opened[0])
    with pytest.raises(sockets.ListenError, match=rf"port {port}: it is in use.*devices\.port=N"):
        sockets.open_slots("devices", "127.0.0.1", port, 2, 128)


@pytest.mark.parametrize("host", ["not a host", "256.0.0.1", "192.0.2.1"])
def test_a_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(sockets.ListenError, match=r"api"):
        sockets.open_http("api", host, 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_all_addresses_means_both_families(opened: list[socket.socket]) -> None:
    opened.append(sockets.open_http("api", "::", 0))
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, sockets.port_of(opened[0])), timeout=60):
            pass


@pytest.mark.parametrize(
    ("host", "public"),
    [("0.0.0.0", "localhost"), ("::", "localhost"), ("", "localhost"), ("::1", "[::1]"),
     ("127.0.0.1", "127.0.0.1"), ("gw.example", "gw.example")],
)  # fmt: skip
def test_public_names(host: str, public: str) -> None:
    assert sockets.public_host(host) == public
