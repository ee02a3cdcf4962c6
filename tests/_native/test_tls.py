"""TLS on the socket itself: handshake, bytes both ways, back-pressure, every way to end."""

import asyncio
import gc
import os
import socket
import ssl
import weakref

import pytest

from gw.security import pki
from gw.simulator.tls import client_context

try:
    from gw._native import tls
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("gw._native.tls is not built: apt install libssl-dev", allow_module_level=True)

SERIAL = "02a0b0000001"
WAIT = 60.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    pki.init(folder)
    pki.device(folder, [SERIAL])
    return folder


@pytest.fixture
def context(files):
    return tls.ServerContext(*(str(files / n) for n in ("server.pem", "server.key", "ca.pem")))


class Taker(asyncio.BufferedProtocol):
    """Keeps what comes."""

    def __init__(self, size=2048):
        self.room = bytearray(size)
        self.got = bytearray()
        self.calls: list[str] = []
        self.changed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.pauses = False

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def get_buffer(self, sizehint):
        return memoryview(self.room)

    def buffer_updated(self, nbytes):
        self.got += self.room[:nbytes]
        if self.pauses:
            self.transport.pause_reading()
        self.changed.set()

    def eof_received(self):
        self.calls.append("eof")
        return False

    def pause_writing(self):
        self.calls.append("pause")
        self.changed.set()

    def resume_writing(self):
        self.calls.append("resume")
        self.changed.set()

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)

    async def until(self, condition):
        async with asyncio.timeout(WAIT):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Pair:
    """Both ends: ours, and a client by the standard library."""

    def __init__(self, protocol, connection, reader, writer):
        self.protocol, self.connection = protocol, connection
        self.reader, self.writer = reader, writer

    def end(self):
        self.writer.close()
        self.connection.abort()


async def accepted():
    """Return a listening socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


async def pair(context, client, size=2048):
    loop = asyncio.get_running_loop()
    with await accepted() as listening:
        port = listening.getsockname()[1]
        coming = asyncio.create_task(asyncio.open_connection("127.0.0.1", port, ssl=client))
        raw, _ = await loop.sock_accept(listening)
    raw.setblocking(False)
    protocol = Taker(size)
    connection = tls.Connection(context, raw, loop)
    await asyncio.wait_for(connection.handshake(protocol), WAIT)
    reader, writer = await asyncio.wait_for(coming, WAIT)
    return Pair(protocol, connection, reader, writer)


@pytest.fixture
def client(files):
    return client_context(files, SERIAL)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_the_peer_is_as_the_standard_library_says_it(context, client, files, version):
    client.minimum_version = client.maximum_version = version
    ends = await pair(context, client)
    try:
        assert ends.protocol.calls == ["made"]
        assert ends.connection.version() == ends.writer.get_extra_info("ssl_object").version()
        said = ends.connection.get_extra_info("peercert")
        expected = ssl._ssl._test_decode_cert(str(files / "devices" / f"{SERIAL}.pem"))
        assert said == {name: expected[name] for name in said}
        assert {"subject", "issuer", "serialNumber", "notBefore", "notAfter"} == set(said)
        pem = (files / "devices" / f"{SERIAL}.pem").read_text()
        chain = ends.connection.get_verified_chain()
        assert chain[0] == ssl.PEM_cert_to_DER_cert(
            pem[: pem.index("-----END") + 25].strip() + "\n"
        )
        assert len(chain) >= 2
        assert ends.connection.get_extra_info("ssl_object") is ends.connection
        assert ends.connection.get_extra_info("peername") == ends.writer.get_extra_info("sockname")
    finally:
        ends.end()


@pytest.mark.parametrize("size", [300, 2048, 65536])
async def test_bytes_come_whole_and_in_order(context, client, size):
    ends = await pair(context, client, size)
    try:
        data = os.urandom(700_001)
        for start in range(0, len(data), 99_991):
            ends.writer.write(data[start : start + 99_991])
        await asyncio.wait_for(ends.writer.drain(), WAIT)
        await ends.protocol.until(lambda: len(ends.protocol.got) >= len(data))
        assert ends.protocol.got == data
    finally:
        ends.end()


async def test_bytes_go_whole_and_in_order_and_what_is_not_taken_is_told(context, client):
    ends = await pair(context, client)
    try:
        data = os.urandom(30_000_000)
        ends.connection.write(b"")
        ends.connection.writelines([data[:5], data[5:100]])
        for start in range(100, len(data), 3_000_000):
            ends.connection.write(memoryview(data)[start : start + 3_000_000])
        # Nobody has read yet: more than the sockets hold waits here.
        assert ends.connection.get_write_buffer_size() > 65536
        assert ends.protocol.calls == ["made", "pause"]
        assert await asyncio.wait_for(ends.reader.readexactly(len(data)), WAIT) == data
        await ends.protocol.until(lambda: "resume" in ends.protocol.calls)
        assert ends.connection.get_write_buffer_size() == 0
    finally:
        ends.end()


async def test_nothing_is_read_while_reading_is_paused(context, client):
    ends = await pair(context, client)
    try:
        ends.connection.pause_reading()
        assert not ends.connection.is_reading()
        data = os.urandom(100_000)
        ends.writer.write(data)
        await ends.writer.drain()
        later = await pair(context, client)  # what came after it has been read
        later.writer.write(b"x")
        await later.protocol.until(lambda: later.protocol.got == b"x")
        later.end()
        assert not ends.protocol.got
        ends.connection.resume_reading()
        await ends.protocol.until(lambda: len(ends.protocol.got) == len(data))
        assert ends.protocol.got == data
    finally:
        ends.end()


async def test_paused_within_a_call_the_rest_of_a_record_waits(context, client):
    ends = await pair(context, client, 1000)
    protocol = ends.protocol
    protocol.pauses = True
    try:
        ends.writer.write(b"x" * 10_000)
        await protocol.until(lambda: len(protocol.got) == 1000)
        for number in range(2, 11):
            assert len(protocol.got) == 1000 * (number - 1)
            ends.connection.resume_reading()
            await protocol.until(lambda most=1000 * number: len(protocol.got) >= most)
    finally:
        ends.end()


async def test_the_peer_closes(context, client):
    ends = await pair(context, client)
    ends.writer.write(b"last words")
    ends.writer.close()
    assert await asyncio.wait_for(ends.protocol.lost, WAIT) is None
    assert ends.protocol.got == b"last words"
    assert ends.protocol.calls == ["made", "eof", "lost"]
    assert ends.connection.is_closing()
    assert ends.connection.getpeercert() == {}
    ends.connection.write(b"too late")
    ends.connection.close()
    ends.connection.abort()


async def test_close_sends_what_waits_and_the_end_of_tls(context, client):
    ends = await pair(context, client)
    data = os.urandom(3_000_000)
    ends.connection.write(data)
    ends.connection.close()
    ends.connection.write(b"too late")
    assert await asyncio.wait_for(ends.reader.read(), WAIT) == data
    ends.writer.close()
    assert await asyncio.wait_for(ends.protocol.lost, WAIT) is None
    assert ends.protocol.calls[-1] == "lost"


async def test_close_waits_for_a_silent_peer_for_a_moment_only(context, client):
    ends = await pair(context, client)
    ends.writer.transport.pause_reading()
    ends.connection.write(b"x" * 20_000_000)
    ends.connection.close()
    assert await asyncio.wait_for(ends.protocol.lost, WAIT) is None
    ends.end()


async def test_abort_tells_once_and_not_from_within(context, client):
    ends = await pair(context, client)
    ends.connection.abort()
    ends.connection.abort()
    assert ends.protocol.calls == ["made"]
    await asyncio.wait_for(ends.protocol.lost, WAIT)
    assert ends.protocol.calls == ["made", "lost"]
    ends.writer.close()


async def test_a_reset_is_told_as_the_cause(context, client):
    ends = await pair(context, client)
    raw = ends.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    ends.writer.transport.abort()
    cause = await asyncio.wait_for(ends.protocol.lost, WAIT)
    assert cause is None or isinstance(cause, ConnectionError)


async def refused(context, client):
    """Return the error of a handshake that fails."""
    loop = asyncio.get_running_loop()
    with await accepted() as listening:
        port = listening.getsockname()[1]
        coming = asyncio.create_task(asyncio.open_connection("127.0.0.1", port, ssl=client))
        raw, _ = await loop.sock_accept(listening)
    raw.setblocking(False)
    protocol = Taker()
    with pytest.raises(OSError) as caught:
        await asyncio.wait_for(tls.Connection(context, raw, loop).handshake(protocol), WAIT)
    assert raw.fileno() == -1, "the socket is closed"
    assert not protocol.calls
    done, _ = await asyncio.wait([coming], timeout=WAIT)
    if coming in done and coming.exception() is None:  # TLS 1.3: it hears of it only afterwards
        reader, writer = coming.result()
        with pytest.raises(OSError):
            await asyncio.wait_for(reader.read(1), WAIT)
        writer.close()
    return caught.value


async def test_a_client_of_another_authority(context, client, tmp_path, files):
    pki.init(tmp_path)
    pki.device(tmp_path, [SERIAL])
    stranger = client_context(tmp_path, SERIAL)
    stranger.load_verify_locations(files / "ca.pem")
    error = await refused(context, stranger)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert error.verify_code in (18, 19, 20, 21)
    assert error.verify_message in str(error)


async def test_a_client_without_a_certificate(context, files):
    nobody = ssl.create_default_context(cafile=files / "ca.pem")
    nobody.check_hostname = False
    error = await refused(context, nobody)
    assert isinstance(error, ssl.SSLError)
    assert error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


async def test_a_revoked_client(files, client):
    pki.device(files, ["02a0b0000002"])
    pki.revoke(files, "02a0b0000002")
    names = ("server.pem", "server.key", "ca.pem", "crl.pem")
    context = tls.ServerContext(*(str(files / name) for name in names))
    error = await refused(context, client_context(files, "02a0b0000002"))
    assert error.verify_code == 23
    (await pair(context, client)).end()


async def test_what_is_not_tls(context):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await tls.Connection(context, ours, loop).handshake(Taker())
    theirs.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02"])
async def test_a_handshake_that_ends_early_or_is_given_up(context, said):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(said)
    shaking = tls.Connection(context, ours, loop).handshake(Taker())
    theirs.close()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asyncio.wait_for(shaking, WAIT)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(said)
    protocol = Taker()
    shaking = tls.Connection(context, ours, loop).handshake(protocol)
    shaking.cancel()
    await asyncio.wait([shaking])
    await asyncio.sleep(0)
    assert ours.fileno() == -1
    assert not protocol.calls
    theirs.close()


async def test_a_protocol_that_raises_loses_its_connection_only(context, client):
    loop = asyncio.get_running_loop()
    said = []
    loop.set_exception_handler(lambda _loop, told: said.append(told["exception"]))
    ends = await pair(context, client)
    ends.protocol.room = None  # type: ignore[assignment]
    ends.writer.write(b"x")
    await asyncio.wait_for(ends.protocol.lost, WAIT)
    assert [type(one) for one in said] == [TypeError]
    ends.writer.close()


async def test_nothing_is_left_behind(context, client):
    ends = await pair(context, client)
    ends.writer.write(b"bye")
    ends.writer.close()
    await asyncio.wait_for(ends.protocol.lost, WAIT)
    left = weakref.ref(ends.protocol)
    before = ends.connection.get_extra_info("socket")
    assert before.fileno() == -1
    assert ends.connection.get_protocol() is None
    ends.protocol.transport = None
    ends.connection = ends.protocol = None
    await asyncio.sleep(0)
    gc.collect()
    assert left() is None


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "ca.pem", "crl.pem"])
def test_files_that_cannot_be_used(files, tmp_path, broken):
    paths = {name: str(files / name) for name in ("server.pem", "server.key", "ca.pem", "crl.pem")}
    (tmp_path / broken).write_text("no certificate")
    paths[broken] = str(tmp_path / broken)
    with pytest.raises(ssl.SSLError, match=broken):
        tls.ServerContext(*paths.values())
