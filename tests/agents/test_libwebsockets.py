"""Agents on libwebsockets, the library of those in the field, get along with the gateway.

What is theirs here is the wire: handshake, TLS, frames and buffers of libwebsockets; the manners
are those of agents.md. What the same manners bring about is in tests/e2e/test_agents.py.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway
from libwebsockets_agent import DEADLINE, Agent, build

from gw.security import pki

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("kind", ["ap", "switch"])
Join = Callable[..., Awaitable[Agent]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("agent"))


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def join(
    program: Path, gateway: Gateway, request: pytest.FixtureRequest
) -> AsyncIterator[Join]:
    """Start agents; each has a configuration of the gateway before the test goes on."""
    agents: list[Agent] = []
    number = zlib.crc32(request.node.name.encode()) % 0xFFFF

    async def start(kind: str, **options: object) -> Agent:
        serial = f"02a0a2{number:04x}{len(agents):02x}"
        pki.device(gateway.pki, [serial])
        agent = Agent(program, kind, serial, gateway.device_port, gateway.pki)
        agents.append(agent)
        await agent.start(**({"retry": 20} | options))
        await gateway.wait_device(serial, deviceType=kind)
        if kind == "switch":
            assert (await configure(gateway, agent, {"unit": {"name": "first"}}))["errorCode"] == 0
        await agent.wait("applied")
        await gateway.wait_device(serial, configurationState="in_step")
        return agent

    yield start
    for agent in agents:
        await agent.stop()
        # Each message came in one buffer, and was one that the agent can read.
        assert agent.told("unparsable") == []
        assert [line for line in agent.told("received") if line[4] != "1" or line[1] == "-"] == []


async def configure(gateway: Gateway, agent: Agent, configuration: object) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.configure(agent.serial, configuration)).json()
    return found


async def ask(gateway: Gateway, agent: Agent, name: str, **body: Any) -> dict[str, Any]:
    text = json.dumps({"serialNumber": agent.serial, "when": 0} | body)
    found: dict[str, Any] = (await gateway._post(f"device/{agent.serial}/{name}", text)).json()
    return found


async def reported(gateway: Gateway, agent: Agent, times: int = 3) -> None:
    """The device reports its state several times, as it does every minute."""
    before = await gateway.metric("gw_store_records_committed_total", kind="statistics")
    for _ in range(times):
        await agent.tell("state")
    await gateway.wait_metric("gw_store_records_committed_total", before + times, kind="statistics")


def logs(gateway: Gateway, agent: Agent) -> list[str]:
    found = gateway.sql("SELECT log FROM device_logs WHERE serial_number = ?", agent.serial)
    return [line for (line,) in found]


@BOTH
@pytest.mark.parametrize("tls12", [0, 1])
async def test_connect(gateway: Gateway, join: Join, kind: str, tls12: int) -> None:
    agent = await join(kind, tls12=tls12, path="/venue")
    assert agent.told("established") == [["established", "TLSv1.2" if tls12 else "TLSv1.3"]]
    shown = await gateway.device(agent.serial)
    assert (shown["firmware"], shown["compatible"]) == (f"lws-{kind}-1", "lws")
    assert shown["connectReason"] == ("boot" if kind == "ap" else "")
    assert [line for line in logs(gateway, agent) if "invalid jsonrpc" in line] == []
    assert await gateway.metric("gw_device_protocol_errors_total") == 0


@BOTH
async def test_server_of_another_authority_is_left(
    gateway: Gateway, program: Path, tmp_path: Path, kind: str
) -> None:
    """The agents verify the chain: what the gateway sees is a handshake that failed."""
    serial = "02a0a3000001"
    pki.init(tmp_path / "other")
    pki.device(tmp_path / "other", [serial])
    agent = Agent(program, kind, serial, gateway.device_port, tmp_path / "other")
    await agent.start(established=False, retry=20)
    await agent.wait("error", count=2)
    await agent.stop()
    assert agent.told("established") == []


@BOTH
async def test_configure(gateway: Gateway, join: Join, kind: str) -> None:
    agent = await join(kind)
    changed = await configure(gateway, agent, {"unit": {"name": "second"}})
    assert (changed["status"], changed["errorCode"]) == ("completed", 0)
    shown = await gateway.wait_device(agent.serial, configurationState="in_step")
    assert [["applied", str(shown["UUID"])]] == agent.told("applied")[-1:]
    sent = len(agent.told("received", "configure"))
    await reported(gateway, agent)
    await ask(gateway, agent, "ping")
    assert len(agent.told("received", "configure")) == sent


@pytest.mark.parametrize("marker", ["refuse-parse", "refuse-platform"])
async def test_switch_refuses(gateway: Gateway, join: Join, marker: str) -> None:
    """Its reasons come as lines of log before the result, which has uuid 0, or the refused one.

    From then on its states name the refused uuid: that is no reason to send anything.
    """
    agent = await join("switch")
    before = await gateway.device(agent.serial)
    refused = await configure(gateway, agent, {"unit": {"name": marker}})
    assert refused["errorCode"] == 2
    reason = "Configure parse failed" if marker == "refuse-parse" else "port Ethernet99 is unknown"
    assert refused["errorText"] == reason
    sent = len(agent.told("received", "configure"))
    await reported(gateway, agent)
    await ask(gateway, agent, "ping")
    after = await gateway.device(agent.serial)
    assert len(agent.told("received", "configure")) == sent
    assert after["configuration"] == before["configuration"]
    assert (after["UUID"], after["pendingUUID"]) == (before["UUID"], 0)
    assert reason in json.dumps(after)
    said = "Config parse failed" if marker == "refuse-parse" else "Ethernet99 is unknown"
    assert any(said in line for line in logs(gateway, agent))
    # A second connection brings no second push either, and the next change is taken.
    await agent.tell("close")
    await agent.wait("established", count=2)
    await reported(gateway, agent)
    await ask(gateway, agent, "ping")
    assert len(agent.told("received", "configure")) == sent
    assert (await configure(gateway, agent, {"unit": {"name": "good"}}))["errorCode"] == 0


async def test_access_point_refuses(gateway: Gateway, join: Join) -> None:
    agent = await join("ap")
    before = await gateway.device(agent.serial)
    refused = await configure(gateway, agent, {"unit": {"name": "refuse-platform"}})
    assert refused["errorCode"] == 2
    assert "no such port" in json.dumps(refused)
    sent = len(agent.told("received", "configure"))
    await reported(gateway, agent)
    await ask(gateway, agent, "ping")
    after = await gateway.device(agent.serial)
    assert len(agent.told("received", "configure")) == sent
    assert (after["configuration"], after["UUID"]) == (before["configuration"], before["UUID"])
    assert "no such port" in json.dumps(after)


async def test_access_point_takes_a_part(gateway: Gateway, join: Join) -> None:
    agent = await join("ap")
    changed = await configure(gateway, agent, {"unit": {"name": "refuse-part"}})
    assert (changed["status"], changed["errorCode"]) == ("completed", 1)
    shown = await gateway.device(agent.serial)
    assert shown["configuration"]["unit"] == {"name": "refuse-part"}
    assert "no DFS" in json.dumps(shown)
    sent = len(agent.told("received", "configure"))
    await reported(gateway, agent)
    await ask(gateway, agent, "ping")
    assert len(agent.told("received", "configure")) == sent


@BOTH
async def test_ping(gateway: Gateway, join: Join, kind: str) -> None:
    agent = await join(kind)
    assert (await ask(gateway, agent, "ping"))["latency"].endswith("ms.")


@BOTH
async def test_request_of_a_state(gateway: Gateway, join: Join, kind: str) -> None:
    """An access point sends it, compressed; a switch says yes and never sends one."""
    agent = await join(kind)
    asked = await ask(gateway, agent, "request", message="state")
    assert (asked["status"], asked["errorCode"]) == ("completed", 0)
    if kind == "switch":
        return
    async with asyncio.timeout(DEADLINE):
        while "link-state" not in json.dumps(asked["results"]):
            await asyncio.sleep(0.05)
            asked = await gateway.get(f"command/{asked['UUID']}")
    assert len(asked["results"]["link-state"]["upstream"]) == 24


@BOTH
async def test_reboot(gateway: Gateway, join: Join, kind: str) -> None:
    """It answers, cuts its connection, and is back as it was before."""
    agent = await join(kind)
    sent = len(agent.told("received", "configure"))
    done = await ask(gateway, agent, "reboot")
    assert (done["status"], done["errorCode"]) == ("completed", 0)
    await agent.wait("established", count=2)
    if kind == "ap":
        await gateway.wait_device(agent.serial, connectReason="reboot")
    await reported(gateway, agent)
    assert (await ask(gateway, agent, "ping"))["latency"]
    assert len(agent.told("received", "configure")) == sent
    assert len(agent.told("received", "reboot")) == 1


@pytest.mark.quirk("compressed-answer")
async def test_list_of_packages(gateway: Gateway, join: Join) -> None:
    """An access point answers with a stream inside of `status`, and no `error`."""
    agent = await join("ap")
    found = await gateway.get(f"device/{agent.serial}/package?pkgName=nano")
    assert found["status"]["packages"] == [{"name": "nano", "version": "7.2-1"}]


@BOTH
async def test_large_configuration(gateway: Gateway, join: Join, kind: str) -> None:
    """600 KB: one frame for a switch; for an access point a stream that fits its buffer."""
    agent = await join(kind)
    changed = await configure(gateway, agent, {"unit": {"location": "x" * 600_000}})
    assert (changed["status"], changed["errorCode"]) == ("completed", 0), changed
    size = int(agent.told("received", "configure")[-1][3])
    assert size > 600_000 if kind == "switch" else size < 32_768


async def test_largest_configuration_of_a_switch(gateway: Gateway, join: Join) -> None:
    """What its buffer of 4 MiB holds arrives as one frame; what it does not is refused here."""
    agent = await join("switch")
    for size, error in ((4_100_000, 0), (4_300_000, None)):
        sent = len(agent.told("received", "configure"))
        answer = await gateway.configure(agent.serial, {"unit": {"location": "x" * size}})
        if error is None:
            assert answer.status_code == 400
            assert len(agent.told("received", "configure")) == sent
        else:
            assert answer.json()["errorCode"] == error, answer.text


async def test_large_configuration_that_is_read_slowly(gateway: Gateway, join: Join) -> None:
    """Some 150 KB/s, and PINGs meanwhile whose PONGs wait behind it: the session stays."""
    agent = await join("switch", slow=60, ping=1, hangup=60)
    changed = await configure(gateway, agent, {"unit": {"location": "x" * 600_000}})
    assert (changed["status"], changed["errorCode"]) == ("completed", 0), changed
    assert len(agent.told("established")) == 1


async def test_what_no_buffer_holds_is_refused_before_it_is_sent(
    gateway: Gateway, join: Join
) -> None:
    """32,768 bytes are all that an access point reads, also of a stream."""
    agent = await join("ap")
    noise = base64.b64encode(random.Random(1).randbytes(40_000)).decode()
    sent = len(agent.told("received", "configure"))
    answer = await gateway.configure(agent.serial, {"unit": {"location": noise}})
    assert answer.status_code == 400
    assert "32768" in answer.text.replace(",", "")
    await ask(gateway, agent, "ping")
    assert len(agent.told("received", "configure")) == sent


async def test_smallest_configuration(gateway: Gateway, join: Join) -> None:
    """An access point has only as much room for the stream as for what it expands to."""
    agent = await join("ap")
    changed = await configure(gateway, agent, {})
    assert (changed["status"], changed["errorCode"]) == ("completed", 0), changed


@BOTH
async def test_late_answer_and_pong(gateway: Gateway, join: Join, kind: str) -> None:
    """Applying takes longer than the time between two PINGs; a switch reads nothing meanwhile."""
    agent = await join(kind, apply=2500, ping=1, hangup=60)
    changed = await configure(gateway, agent, {"unit": {"name": "slow"}})
    assert (changed["status"], changed["errorCode"]) == ("completed", 0)
    await agent.wait("pong", count=2)
    assert len(agent.told("established")) == 1
    await gateway.wait_device(agent.serial, configurationState="in_step")


@BOTH
async def test_idle_agent_pings_and_stays(gateway: Gateway, join: Join, kind: str) -> None:
    """It would hang up without a PONG; the gateway answers each while nothing else happens."""
    agent = await join(kind, ping=1, hangup=60)
    await agent.wait("pong", count=3)
    assert len(agent.told("established")) == 1


@BOTH
async def test_message_in_fragments(gateway: Gateway, join: Join, kind: str) -> None:
    """Agents send none, but libwebsockets can: they are put together."""
    agent = await join(kind)
    body = {"serial": agent.serial, "log": "in two parts", "severity": 5}
    text = json.dumps({"jsonrpc": "2.0", "method": "log", "params": body})
    await agent.tell(f"fragments {text}")
    async with asyncio.timeout(DEADLINE):
        while "in two parts" not in logs(gateway, agent):
            await asyncio.sleep(0.05)


async def test_gateway_restarts(
    start_gateway: Callable[..., Awaitable[Gateway]], program: Path
) -> None:
    """A close, refused connections, and then the agents are back and in step."""
    gateway = await start_gateway()
    port = gateway.device_port
    agents = []
    for kind, serial in (("ap", "02a0a3000002"), ("switch", "02a0a3000003")):
        pki.device(gateway.pki, [serial])
        agents.append(Agent(program, kind, serial, port, gateway.pki))
        await agents[-1].start(retry=20)
        await gateway.wait_device(serial, deviceType=kind)
        assert (await configure(gateway, agents[-1], {"unit": {"name": "kept"}}))["errorCode"] == 0
    assert await gateway.stop() == 0
    for agent in agents:
        await agent.wait("closed")
        await agent.wait("error")
    gateway.settings["devices.port"] = port
    await gateway.start()
    for agent in agents:
        await agent.wait("established", count=2)
        await gateway.wait_device(agent.serial, configurationState="in_step")
        applied = len(agent.told("applied"))
        await reported(gateway, agent)
        assert len(agent.told("applied")) == applied
        await agent.stop()
