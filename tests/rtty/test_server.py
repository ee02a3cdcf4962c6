"""The remote terminal over TLS, with a device's agent and a browser's socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminals import DEADLINE, OTHER, PROMPT, SERIAL, Station, closed, keys, shown, text
from websockets.exceptions import InvalidStatus

from gw.core.settings import Listener
from gw.protocol.rtty import Credentials
from gw.rtty import frames
from gw.rtty.frames import Kind, Registration
from gw.security import pki
from gw.simulator.rtty import RttyAgent

Start = Callable[..., Station]


async def test_a_shell_in_a_browser(station: Station) -> None:
    credentials = station.session()
    async with station.view(credentials.id) as viewer:
        await viewer.send('{"type":"winsize","cols":132,"rows":50}')
        agent, running = station.agent(credentials)
        assert await text(viewer) == {"type": "login", "err": 0}
        assert agent.answer == b"\0OK\0"
        assert (await shown(viewer, PROMPT)).startswith(b"\r\nBusyBox")
        await keys(viewer, b"si")
        await keys(viewer, b"ze\r")
        assert await shown(viewer, PROMPT) == b"size\r\n50 132\r\n# "
        await viewer.send('{"type":"winsize","cols":80,"rows":24}')
        await keys(viewer, b"size\r")
        assert await shown(viewer, PROMPT) == b"size\r\n24 80\r\n# "
        assert station.metric("gw_rtty_sessions") == 1
        await keys(viewer, b"exit\r")
        assert await text(viewer) == {"type": "logout", "reason": "the shell has ended"}
        assert await closed(viewer) == 1000
    assert await asyncio.wait_for(running, DEADLINE) == "exit"
    assert station.metric("gw_rtty_sessions") == 0
    assert station.metric("gw_rtty_sessions_total") == 1
    assert station.metric("gw_rtty_session_ends_total", "logout") == 1
    assert station.metric("gw_rtty_bytes_total", "from_device") > 0
    assert station.metric("gw_rtty_bytes_total", "to_device") > 0


async def test_device_first(station: Station) -> None:
    credentials = station.session()
    agent, running = station.agent(credentials)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    async with station.view(credentials.id) as viewer:
        assert await text(viewer) == {"type": "login", "err": 0}
        await shown(viewer, PROMPT)
    assert await asyncio.wait_for(running, DEADLINE) == "logout"
    assert station.metric("gw_rtty_session_ends_total", "viewer") == 1


async def test_the_browser_learns_that_the_device_is_gone(station: Station) -> None:
    credentials = station.session()
    _, running = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        running.cancel()
        assert await text(viewer) == {"type": "logout", "reason": "the device is gone"}
        assert await closed(viewer) == 1000
    assert station.metric("gw_rtty_session_ends_total", "device") == 1


async def shown_login(viewer: Any) -> None:
    assert await text(viewer) == {"type": "login", "err": 0}
    await shown(viewer, PROMPT)


async def test_a_device_that_refuses_the_login(station: Station) -> None:
    credentials = station.session()
    _, running = station.agent(credentials, login_error=2)
    async with station.view(credentials.id) as viewer:
        assert await text(viewer) == {"type": "login", "err": 2}
        assert await text(viewer) == {"type": "logout", "reason": "the device refused"}
    assert await asyncio.wait_for(running, DEADLINE) == "closed"


async def test_heartbeats_are_echoed(station: Station) -> None:
    credentials = station.session()
    agent, _ = station.agent(credentials, heartbeat=0.01)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    await station.until(lambda: agent.echoes >= 3)


async def refusal(station: Station, credentials: Credentials, **more: Any) -> bytes:
    """The text with which a registration is refused."""
    agent, running = station.agent(credentials, **more)
    assert await asyncio.wait_for(running, DEADLINE) == "refused"
    assert agent.answer[:1] == b"\1"
    return agent.answer[1:].rstrip(b"\0")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"command": "reboot"}, "unknown"),
        ({"status": "failed"}, "expired"),
        ({"age": 122.0}, "expired"),
        ({"details": "{}"}, "token"),
        ({"details": "no JSON"}, "unknown"),
    ],
)
async def test_a_command_that_opens_nothing(
    station: Station, columns: dict[str, Any], reason: str
) -> None:
    await refusal(station, station.session(**columns))
    assert station.metric("gw_rtty_refused_total", "device", reason) == 1
    assert station.metric("gw_rtty_sessions_total") == 0


async def test_unknown_id_and_wrong_token_look_alike(station: Station) -> None:
    good = station.session()
    unknown = await refusal(station, Credentials("0" * 32, good.token))
    wrong = await refusal(station, Credentials(good.id, "0" * 32))
    assert unknown == wrong == b"there is no such session"
    assert station.metric("gw_rtty_refused_total", "device", "unknown") == 1
    assert station.metric("gw_rtty_refused_total", "device", "token") == 1
    agent, _ = station.agent(good)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


@pytest.mark.parametrize("session", ["0" * 32, "x" * 32, "..%2f..", "0"])
async def test_a_browser_with_an_unknown_id(station: Station, session: str) -> None:
    async with station.view(session) as viewer:
        told = await text(viewer)
        assert told == {"type": "login", "err": 1, "text": "there is no such session"}
        assert await closed(viewer) == 1008
    assert station.metric("gw_rtty_refused_total", "viewer", "unknown") == 1


async def test_the_uuid_of_the_command_opens_nothing(station: Station) -> None:
    """It is in the history, which others read."""
    credentials = station.session()
    async with station.view(credentials.command.replace("-", "")) as viewer:
        assert (await text(viewer))["err"] == 1


async def test_a_store_that_cannot_be_read(station: Station) -> None:
    credentials = station.session()
    station.reader.broken = True
    assert await refusal(station, credentials) == b"try again later"
    station.reader.broken = False
    agent, _ = station.agent(credentials)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


# -- certificates


async def test_without_a_certificate(station: Station) -> None:
    agent, _ = station.agent(station.session(), serial=None)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


async def test_a_device_that_declared_secure_rtty_shows_its_certificate(station: Station) -> None:
    station.reader.secure.add(SERIAL)
    assert b"certificate" in await refusal(station, station.session(), serial=None)
    agent, _ = station.agent(station.session(), serial=SERIAL)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


async def test_a_certificate_of_another_device(station: Station) -> None:
    assert b"certificate" in await refusal(station, station.session(), serial=OTHER)
    assert station.metric("gw_rtty_refused_total", "device", "certificate") == 1


async def test_a_certificate_of_another_kind(station: Station) -> None:
    """Optional does not mean that anything goes."""
    context = station.tls(None)
    context.load_cert_chain(station.pki / "server.pem", station.pki / "server.key")
    credentials = station.session()
    told = Registration(credentials.id, "x", credentials.token)
    agent = RttyAgent("127.0.0.1", station.port, told, context=context)
    with contextlib.suppress(OSError):
        assert await asyncio.wait_for(agent.run(), DEADLINE) == "closed"
    assert not agent.registered.is_set()
    await station.until(lambda: station.metric("gw_rtty_refused_total", "device", "tls") == 1)


async def test_certificates_can_be_demanded_of_all(start_station: Start) -> None:
    station = start_station(require_certificate=True)
    _, running = station.agent(station.session(), serial=None)
    with contextlib.suppress(OSError):
        assert await asyncio.wait_for(running, DEADLINE) == "closed"
    await station.until(lambda: station.metric("gw_rtty_refused_total", "device", "tls") == 1)
    agent, _ = station.agent(station.session())
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


@pytest.mark.parametrize("with_list", [True, False])
async def test_devices_of_every_listener(with_list: bool, tmp_path: Path) -> None:
    """They share one port. One listener without lists does not make those of others void."""
    main, lab = tmp_path / "main", tmp_path / "lab"
    for folder in (main, lab):
        pki.init(folder)
        pki.device(folder, [SERIAL, OTHER])
    pki.revoke(main, OTHER)
    crl = str(lab / "crl.pem") if with_list else ""
    further = Listener(name="lab", port=0, ca=str(lab / "ca.pem"), crl=crl)
    station = Station(main, listeners=[further])
    try:
        for folder in (main, lab):
            agent, _ = station.agent(station.session(), pki=folder)
            await asyncio.wait_for(agent.registered.wait(), DEADLINE)
            assert agent.answer == b"\0OK\0"
        lab_agent, _ = station.agent(station.session(OTHER), serial=OTHER, pki=lab)
        await asyncio.wait_for(lab_agent.registered.wait(), DEADLINE)
        assert lab_agent.answer == b"\0OK\0"

        _, running = station.agent(station.session(OTHER), serial=OTHER, pki=main)
        with contextlib.suppress(OSError):
            assert await asyncio.wait_for(running, DEADLINE) in ("closed", "refused")
        reason = "tls" if with_list else "certificate"
        await station.until(lambda: station.metric("gw_rtty_refused_total", "device", reason) == 1)
    finally:
        await station.close()


# -- bounds


async def test_caps(start_station: Start) -> None:
    station = start_station(max_sessions=1)
    first, second = station.session(), station.session()
    agent, running = station.agent(first)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert await refusal(station, second) == b"too many sessions"
    async with station.view(second.id) as viewer:
        assert (await text(viewer))["text"] == "too many sessions"
    running.cancel()
    async with station.view(first.id) as viewer:  # its place is kept, and then given back
        await station.until(lambda: len(station.server.sessions) == 1)
        next(iter(station.server.sessions)).end("drain")
        assert (await text(viewer))["type"] == "logout"
    agent, _ = station.agent(second)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert agent.answer == b"\0OK\0"


async def test_each_end_is_there_once(station: Station) -> None:
    credentials = station.session()
    agent, _ = station.agent(credentials)
    await asyncio.wait_for(agent.registered.wait(), DEADLINE)
    assert await refusal(station, credentials) == b"the session has its device"
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        async with station.view(credentials.id) as another:
            assert "another window" in (await text(another))["text"]
        await keys(viewer, b"x\r")
        await shown(viewer, b"not found\r\n# ")


async def test_a_session_is_not_used_twice(station: Station) -> None:
    credentials = station.session()
    _, running = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
    await asyncio.wait_for(running, DEADLINE)
    assert await refusal(station, credentials) == b"the session is over"
    async with station.view(credentials.id) as viewer:
        assert (await text(viewer))["text"] == "the session is over"


async def test_a_session_that_is_not_completed_ends(start_station: Start) -> None:
    station = start_station(complete_seconds=3.0)
    async with station.view(station.session().id) as viewer:
        told = await text(viewer)
        assert told == {"type": "logout", "reason": "the other end did not come in time"}
    assert station.metric("gw_rtty_session_ends_total", "incomplete") == 1


async def test_an_idle_session_ends(start_station: Start) -> None:
    station = start_station(idle_seconds=0.5)
    credentials = station.session()
    _, running = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        told = await text(viewer)
        assert told == {"type": "logout", "reason": "nothing was typed for too long"}
    assert await asyncio.wait_for(running, DEADLINE) == "logout"
    assert station.metric("gw_rtty_session_ends_total", "idle") == 1


async def test_strangers_have_a_deadline(start_station: Start) -> None:
    station = start_station(handshake_seconds=0.3)
    for port, end in ((station.port, "device"), (station.viewer_port, "viewer")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
        writer.close()
        with contextlib.suppress(OSError):  # on a busy machine it may hit TLS itself
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=station.tls(None), server_hostname="127.0.0.1"
            )
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
            writer.close()
        await station.until(
            lambda end=end: station.metric("gw_rtty_refused_total", end, "timeout") == 2  # type: ignore[misc]
        )


@pytest.mark.parametrize(
    "wire",
    [
        frames.encode(Kind.TERMINAL, b"\0x"),
        frames.encode(Kind.REGISTER, b"nonsense"),
        bytes((0, 0xFF, 0xFF)),
        bytes((99, 0, 0)),
        frames.registration(Registration("0" * 32, "x", "0" * 32)) + frames.encode(Kind.LOGIN),
    ],
)
async def test_what_is_no_registration(station: Station, wire: bytes) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", station.port, ssl=station.tls(None), server_hostname="127.0.0.1"
    )
    writer.write(wire)
    assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
    writer.close()
    assert station.metric("gw_rtty_refused_total", "device", "protocol") == 1
    assert len(station.server.sessions) == 0


async def test_nonsense_of_a_device_ends_its_session_only(station: Station) -> None:
    first, second = station.session(), station.session()
    agent, running = station.agent(first)
    station.agent(second)
    async with station.view(first.id) as viewer, station.view(second.id) as other:
        await shown_login(viewer)
        await shown_login(other)
        agent.send(bytes((99, 0, 0)))
        assert (await text(viewer))["reason"] == "an end broke the protocol"
        await asyncio.wait_for(running, DEADLINE)
        await keys(other, b"x\r")
        await shown(other, b"not found\r\n# ")
    assert station.metric("gw_rtty_session_ends_total", "protocol") == 1


@pytest.mark.parametrize(
    "message",
    ["no JSON", "[]", "{}", '{"type":1}', '{"type":"winsize","cols":0,"rows":24}',
     '{"type":"winsize","cols":80,"rows":1001}', '{"type":"winsize","cols":"80","rows":1}'],
)  # fmt: skip
async def test_nonsense_of_a_browser_ends_the_session(station: Station, message: str) -> None:
    credentials = station.session()
    _, running = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        await viewer.send(message)
        assert await closed(viewer) == 1003
    assert await asyncio.wait_for(running, DEADLINE) == "logout"


async def test_unknown_texts_of_a_browser_are_ignored(station: Station) -> None:
    credentials = station.session()
    station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        await viewer.send('{"type":"ack","ack":4096}')
        await keys(viewer, b"x\r")
        await shown(viewer, b"not found\r\n# ")


async def test_a_message_of_a_browser_has_a_limit(station: Station) -> None:
    credentials = station.session()
    station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        await viewer.send(bytes(65_537))
        assert await closed(viewer) == 1009


async def test_fragments_are_put_together(station: Station) -> None:
    credentials = station.session()
    agent, _ = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        await viewer.send([b"\0si", b"z", b"e\r"])
        assert await shown(viewer, PROMPT) == b"size\r\n24 80\r\n# "
        await viewer.send(['{"type":"winsize",', '"cols":90,"rows":30}'])
        await asyncio.wait_for(agent.resized.wait(), DEADLINE)
        assert agent.window == (90, 30)


# -- back-pressure


async def test_a_slow_browser_holds_the_device_back(start_station: Start) -> None:
    station = start_station(buffer_bytes=65_536)
    credentials = station.session()
    agent, _ = station.agent(credentials)
    async with station.view(credentials.id, max_queue=2) as viewer:
        await shown_login(viewer)
        await keys(viewer, b"flood 32768\r")  # 32 MiB; the kernel's buffers hold some
        before = -1
        while agent.shown != before:
            before = agent.shown
            await asyncio.sleep(0.5)  # until it stands still
        assert agent.shown < 24 * 1024 * 1024
        found = await shown(viewer, PROMPT)
        assert len(found) == 32 * 1024 * 1024 + len(b"flood 32768\r\n" + PROMPT)


async def test_a_slow_device_holds_the_browser_back(start_station: Start) -> None:
    station = start_station(buffer_bytes=65_536)
    credentials = station.session()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", station.port, ssl=station.tls(), server_hostname="127.0.0.1", limit=1024
    )
    writer.write(frames.registration(Registration(credentials.id, "x", credentials.token)))
    assert await reader.readexactly(7) == frames.accepted()
    async with station.view(credentials.id) as viewer:
        assert await reader.readexactly(3) == frames.encode(Kind.LOGIN)
        writer.write(frames.encode(Kind.LOGIN, b"\0\5"))
        assert await text(viewer) == {"type": "login", "err": 0}
        sent, held_back = 0, False
        while sent < 64 * 1024 * 1024 and not held_back:
            typing = asyncio.create_task(keys(viewer, bytes(60_000)))
            sent += 60_000
            held_back = not (await asyncio.wait([typing], timeout=1.0))[0]
        assert held_back
        got = 0
        async with asyncio.timeout(DEADLINE):
            while got < sent:
                kind, *size = await reader.readexactly(3)
                assert kind == Kind.TERMINAL
                body = await reader.readexactly(size[0] * 256 + size[1])
                got += len(body) - 1
        await typing
        writer.close()


# -- the page


async def fetch(station: Station, path: str, *more: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", station.viewer_port, ssl=station.tls(None), server_hostname="127.0.0.1"
    )
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{station.viewer_port}", *more, "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(DEADLINE):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *headers = head.decode().split("\r\n")
    named = {name.lower(): value for name, value in (line.split(": ", 1) for line in headers)}
    return int(status.split()[1]), named, body


async def test_the_page_is_where_the_user_interface_opens_it(station: Station) -> None:
    status, headers, body = await fetch(station, f"/connect/{station.session().id}")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert b"<script" in body
    for name in ("terminal.js", "terminal.css", "xterm.css", "xterm.mjs", "addon-fit.mjs"):
        status, headers, part = await fetch(station, f"/{name}")
        assert (status, int(headers["content-length"])) == (200, len(part))
        assert headers["content-type"].startswith(
            "text/css" if name.endswith("css") else "text/javascript"
        )


@pytest.mark.parametrize(
    "path", ["/", "/connect/", "/connect/a/b", "/../site.py", "/%2e%2e/site.py"]
)
async def test_there_is_nothing_else(station: Station, path: str) -> None:
    assert (await fetch(station, path))[0] == 404


async def test_a_page_of_another_site_opens_nothing(station: Station) -> None:
    credentials = station.session()
    with pytest.raises(InvalidStatus) as refused:
        async with station.view(credentials.id, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    assert station.metric("gw_rtty_refused_total", "viewer", "origin") == 1
    own = f"https://127.0.0.1:{station.viewer_port}"
    async with station.view(credentials.id, origin=own):
        await station.until(lambda: len(station.server.sessions) == 1)


async def test_a_request_that_is_too_long(station: Station) -> None:
    status, _, _ = await fetch(station, "/connect/" + "x" * 9000)
    assert status in (400, 414)


# -- the end of the process


async def test_sessions_are_told_of_the_end(station: Station) -> None:
    credentials = station.session()
    _, running = station.agent(credentials)
    async with station.view(credentials.id) as viewer:
        await shown_login(viewer)
        ending = asyncio.create_task(station.close())
        assert await text(viewer) == {"type": "logout", "reason": "the gateway is restarting"}
        assert await closed(viewer) == 1000
        assert await asyncio.wait_for(running, DEADLINE) == "logout"
        await asyncio.wait_for(ending, DEADLINE)
    assert station.metric("gw_rtty_session_ends_total", "drain") == 1
