import asyncio
import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from gw.api import server
from gw.api.server import Certificate, Listener
from gw.core.bootstrap import Bootstrap
from gw.ops import metrics
from gw.security import pki

PASSWORD = "Right-Horse-7"
AP = "24f5a207a130"


@pytest.fixture(scope="session")
def pki_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("pki")
    pki.init(path)
    return path


@pytest.fixture
def files(pki_dir, tmp_path):
    """Certificate and key that a test may replace."""
    made = []
    for name in ("server.pem", "server.key"):
        path = tmp_path / name
        path.write_bytes((pki_dir / name).read_bytes())
        made.append(str(path))
    return made


@pytest.fixture
def trust(pki_dir):
    return ssl.create_default_context(cafile=pki_dir / "ca.pem")


def listening():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    sock.setblocking(False)
    return sock


async def hello(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello " + body})


@pytest.fixture
async def listener(files):
    sock = listening()
    port = sock.getsockname()[1]
    made = Listener(hello, sock, Certificate(*files), drain_seconds=2)
    task = asyncio.create_task(made.run_until_stopped())
    await made.wait_started()
    made.port = port
    made.task = task
    yield made
    made.stop()
    await task


async def test_tls(listener, trust):
    async with httpx.AsyncClient(verify=trust) as client:
        answer = await client.post(f"https://localhost:{listener.port}/", content=b"x")
    assert answer.content == b"hello x"
    assert "server" not in answer.headers


async def test_old_tls_is_refused(listener):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", listener.port, ssl=context)


async def fingerprint(port, trust):
    _, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return der


async def test_reload(listener, files, trust, pki_dir, tmp_path):
    certificate = Certificate(*files)
    sock = listening()
    port = sock.getsockname()[1]
    second = Listener(hello, sock, certificate, drain_seconds=2)
    task = asyncio.create_task(second.run_until_stopped())
    await second.wait_started()
    before = await fingerprint(port, trust)

    other = tmp_path / "other"
    pki.init(other)
    for name, target in zip(("server.pem", "server.key"), files, strict=True):
        with open(target, "wb") as file:
            file.write((other / name).read_bytes())
    certificate.reload()
    trust.load_verify_locations(other / "ca.pem")
    after = await fingerprint(port, trust)
    assert after != before

    with open(files[0], "wb") as file:
        file.write(b"nonsense")
    certificate.reload()
    assert await fingerprint(port, trust) == after
    second.stop()
    await task


async def test_changed_files_are_noticed(listener, files, trust, pki_dir, tmp_path, capsys):
    told = []
    certificate = Certificate(*files, told.append)
    sock = listening()
    port = sock.getsockname()[1]
    second = Listener(hello, sock, certificate, drain_seconds=2)
    task = asyncio.create_task(second.run_until_stopped())
    following = asyncio.create_task(certificate.follow(0.02))
    await second.wait_started()
    before = await fingerprint(port, trust)
    reader, writer = await raw(port, trust)

    other = tmp_path / "other"
    pki.init(other)
    trust.load_verify_locations(other / "ca.pem")
    # The certificate first: until the key is there too, the pair is none, and the old one serves.
    Path(files[0]).write_bytes((other / "server.pem").read_bytes())
    async with asyncio.timeout(60):
        while "certificate not reloaded" not in capsys.readouterr().out:
            await asyncio.sleep(0.02)
    assert await fingerprint(port, trust) == before
    assert await fingerprint(port, trust) == before
    assert "certificate not reloaded" not in capsys.readouterr().out, "told more than once"
    Path(files[1]).write_bytes((other / "server.key").read_bytes())
    async with asyncio.timeout(60):
        while await fingerprint(port, trust) == before:
            await asyncio.sleep(0.02)
    assert told == [False, True]
    # A connection that was there goes on.
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\ny")
    assert await reader.readuntil(b"hello y")
    writer.close()
    following.cancel()
    second.stop()
    await task


async def raw(port, trust):
    return await asyncio.open_connection("localhost", port, ssl=trust)


async def test_head_is_bounded(listener, trust):
    reader, writer = await raw(listener.port, trust)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
    for _ in range(20):
        writer.write(b"x-filler: " + b"y" * 8000 + b"\r\n")
    assert b"400 Bad Request" in await reader.readline()
    writer.close()


async def test_head_has_a_deadline(listener, trust, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.05)
    silent, _ = first = await raw(listener.port, trust)
    slow, writer = second = await raw(listener.port, trust)
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await silent.read() == b""
    assert await slow.read() == b""
    for _, one in (first, second):
        one.close()


async def test_requests_in_a_row_and_pipelined(listener, trust):
    reader, writer = await raw(listener.port, trust)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
    for _ in range(3):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()


async def test_stop_lets_a_request_finish(files, trust):
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(scope, receive, send):
        begun.set()
        await finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    sock = listening()
    port = sock.getsockname()[1]
    made = Listener(slow, sock, Certificate(*files), drain_seconds=5)
    task = asyncio.create_task(made.run_until_stopped())
    await made.wait_started()
    async with httpx.AsyncClient(verify=trust) as client:
        request = asyncio.create_task(client.get(f"https://localhost:{port}/"))
        await begun.wait()
        made.stop()
        finish.set()
        assert (await request).content == b"done"
    await task


@pytest.fixture
async def process(settings, files, ring_ends, store, coordinator):
    """The real api process, as the supervisor starts it."""
    settings.api.certificate, settings.api.key = files
    settings.run.drain_seconds = 4.0
    names = ("api", "security", "files")
    sockets = {name: listening() for name in names}
    counters = metrics.create(2)
    ready, ready_end = os.pipe()
    bootstrap = Bootstrap(
        role="api",
        slot=0,
        generation=1,
        parent=os.getpid(),
        settings=settings,
        rings=[ring_ends],
        counters_memfd=counters,
        counters_slot=1,
        ready_fd=ready_end,
        sockets={name: sock.fileno() for name, sock in sockets.items()},
    )
    told = os.memfd_create("bootstrap")
    os.write(told, msgspec.json.encode(bootstrap))
    ends = (ring_ends.up_memfd, ring_ends.up_wake, ring_ends.down_memfd, ring_ends.down_wake)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gw.api",
        env=os.environ | {"GW_BOOTSTRAP_FD": str(told)},
        pass_fds=[told, counters, ready_end, *ends, *(s.fileno() for s in sockets.values())],
        stderr=asyncio.subprocess.PIPE,
    )
    child.ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    child.counters = metrics.CounterPage(counters, 1)
    for fd in (told, counters, ready_end):
        os.close(fd)
    for sock in sockets.values():
        sock.close()
    line = await asyncio.wait_for(asyncio.to_thread(os.read, ready, 100), 60)
    os.close(ready)
    if line != b"ready\n":
        pytest.fail((await child.stderr.read()).decode())
    yield child
    if child.returncode is None:
        child.terminate()
        await child.communicate()
    child.counters.close()


@pytest.mark.usefixtures("devices")
async def test_process(process, trust, coordinator):
    coordinator.configure_outcome = {"status": "completed"}
    security = f"https://localhost:{process.ports['security']}/api/v1"
    async with httpx.AsyncClient(verify=trust) as client:
        body = {"userId": "root@localhost", "password": PASSWORD}
        token = (await client.post(security + "/oauth2", json=body)).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        endpoints = (await client.get(security + "/systemEndpoints")).json()["endpoints"]
        api = endpoints[0]["uri"] + "/api/v1"
        assert api == f"https://localhost:{process.ports['api']}/api/v1"
        assert len((await client.get(api + "/devices")).json()["devices"]) == 2
        assert (await client.get(api + f"/device/{AP}")).json()["UUID"] == 5
        order = {"serialNumber": AP, "UUID": 1, "when": 0, "configuration": {"a": 1}}
        done = await client.post(api + f"/device/{AP}/configure", json=order)
        assert done.json()["status"] == "completed"
        info = (await client.get(api + "/system?command=info")).json()
        assert info["certificates"][0]["expiresOn"] > info["start"]
        upload = await client.post(f"https://localhost:{process.ports['files']}/v1/upload/x")
        assert upload.status_code == 404
    assert process.counters.get(metrics.index("gw_api_requests_total", "2xx")) == 6
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b"Traceback" not in log
    assert token.encode() not in log
    assert PASSWORD.encode() not in log


@pytest.mark.usefixtures("devices")
async def test_process_answers_what_waits_when_it_is_stopped(process, trust, coordinator):
    security, api = (f"https://localhost:{process.ports[n]}/api/v1" for n in ("security", "api"))
    async with httpx.AsyncClient(verify=trust, timeout=60) as client:
        body = {"userId": "root@localhost", "password": PASSWORD}
        token = (await client.post(security + "/oauth2", json=body)).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        coordinator.silent = True
        coordinator.arrived.clear()
        order = {"serialNumber": AP, "UUID": 1, "when": 0, "configuration": {"a": 1}}
        task = asyncio.create_task(client.post(api + f"/device/{AP}/configure", json=order))
        await asyncio.wait_for(coordinator.arrived.wait(), 60)
        process.send_signal(signal.SIGTERM)
        answer = await task
    assert answer.status_code == 503
    assert answer.json()["ErrorDescription"].startswith("1002: ")
    _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b"Traceback" not in log


async def test_process_ends_when_its_queue_is_taken_over(process, ring_ends):
    from gw._native import ring

    other = ring.Consumer(ring_ends.down_memfd, ring_ends.down_wake)
    _, log = await asyncio.wait_for(process.communicate(), 60)
    other.close()
    assert process.returncode != 0
    assert b"queue" in log


async def test_process_refuses_to_start_without_supervisor():
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gw.api", stderr=asyncio.subprocess.PIPE
    )
    _, log = await child.communicate()
    assert child.returncode == 1
    assert b"gw run" in log
