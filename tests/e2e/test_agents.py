"""Both agents of the field as they are (agents.md): what they answer, refuse, and do unasked."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults, Rejection

pytestmark = [
    pytest.mark.e2e,
    # asyncio leaves a client's transport to the collector if it ends in the middle of a handshake.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

WAIT = 60.0
BOTH = pytest.mark.parametrize("platform", ["ap", "switch"])
Join = Callable[..., Awaitable[SimulatedDevice]]


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def join(gateway: Gateway, request: pytest.FixtureRequest) -> AsyncIterator[Join]:
    """Connect a device of stock agents: they report no hash of the content."""
    made: list[tuple[SimulatedDevice, asyncio.Task[None]]] = []
    number = zlib.crc32(request.node.name.encode()) % 0xFFFF

    async def connect(platform: str, **options: Any) -> SimulatedDevice:
        serial = f"02a0eb{number:04x}{len(made):02x}"
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(
            serial, gateway.pki, "127.0.0.1", gateway.device_port, platform=platform,
            report_hash=False, backoff_scale=0.001, action_delay=0.0, **options,
        )  # fmt: skip
        made.append((device, asyncio.create_task(device.stay_connected())))
        await device.wait_connected(WAIT)
        if platform == "ap":
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        else:
            await gateway.wait_device(serial, deviceType="switch")
            first = await gateway.configure(serial, {"unit": {"name": "first"}})
            assert first.json()["status"] == "completed", first.text
            await device.wait_for_configure(WAIT)
        return device

    yield connect
    for device, task in made:
        await device.wait_connected(WAIT)  # a handshake is not to be cut in two
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await device.drop()
        device.stop()


async def ask(gateway: Gateway, device: SimulatedDevice, name: str, **body: Any) -> dict[str, Any]:
    text = json.dumps({"serialNumber": device.serial, "when": 0} | body)
    found: dict[str, Any] = (await gateway._post(f"device/{device.serial}/{name}", text)).json()
    return found


async def report_often(gateway: Gateway, device: SimulatedDevice) -> None:
    """The device reports several times, as it does every minute."""
    before = await gateway.metric("gw_store_records_committed_total", kind="statistics")
    for _ in range(3):
        device.send_state()
        device.send_healthcheck()
    await gateway.wait_metric("gw_store_records_committed_total", before + 3, kind="statistics")
    await device.confirm(WAIT)


@BOTH
async def test_accepted(gateway: Gateway, join: Join, platform: str) -> None:
    device = await join(platform)
    changed = (await gateway.configure(device.serial, {"unit": {"name": "second"}})).json()
    assert (changed["status"], changed["errorCode"]) == ("completed", 0)
    shown = await gateway.wait_device(device.serial, configurationState="in_step")
    assert (shown["UUID"], device.config["unit"]["name"]) == (device.uuid, "second")
    configures = device.counters.configures
    await report_often(gateway, device)
    assert device.counters.configures == configures


@BOTH
async def test_refused(gateway: Gateway, join: Join, platform: str) -> None:
    """Shown with its reason, not sent again, and what is stored stays."""
    device = await join(platform)
    device.faults = Faults(reject=[Rejection(at="/bad", reason="no such thing here")])
    before = await gateway.device(device.serial)
    refused = (await gateway.configure(device.serial, {"bad": 1})).json()
    assert refused["errorCode"] == 2
    assert "no such thing here" in json.dumps(refused)
    configures = device.counters.configures
    await report_often(gateway, device)
    after = await gateway.device(device.serial)
    assert device.counters.configures == configures
    assert after["configuration"] == before["configuration"]
    assert (after["UUID"], after["pendingUUID"]) == (before["UUID"], 0)
    assert "no such thing here" in json.dumps(after)
    # The next change is taken.
    taken = (await gateway.configure(device.serial, {"unit": {"name": "good"}})).json()
    assert (taken["status"], taken["errorCode"]) == ("completed", 0)


async def test_accepted_in_part(gateway: Gateway, join: Join) -> None:
    """Only an access point can: the stored configuration is what was asked, the rest is shown."""
    device = await join("ap")
    device.faults = Faults(
        reject=[Rejection(at="/radios/0/channel", substitution=36, reason="not allowed here")]
    )
    changed = (await gateway.configure(device.serial, {"radios": [{"channel": 165}]})).json()
    assert (changed["status"], changed["errorCode"]) == ("completed", 1)
    shown = await gateway.device(device.serial)
    assert shown["configuration"]["radios"] == [{"channel": 165}]
    assert "not allowed here" in json.dumps(shown)
    configures = device.counters.configures
    await report_often(gateway, device)
    assert device.counters.configures == configures


@BOTH
async def test_killed_while_applying(gateway: Gateway, join: Join, platform: str) -> None:
    """It applies, loses its connection before it answers, and its next connect tells."""
    device = await join(platform)
    device.faults = Faults(silent=frozenset({"configure"}))
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "late"}}))
    await device.wait_for_configure(WAIT)
    await device.drop()
    assert (await asking).json()["status"] == "completed"
    shown = await gateway.wait_device(device.serial, configurationState="in_step")
    assert shown["configuration"]["unit"]["name"] == "late"


@BOTH
async def test_ping(gateway: Gateway, join: Join, platform: str) -> None:
    device = await join(platform)
    assert (await ask(gateway, device, "ping"))["latency"].endswith("ms.")


@BOTH
async def test_request_of_a_state(gateway: Gateway, join: Join, platform: str) -> None:
    """A switch says yes and sends none, ever: the command ends all the same."""
    device = await join(platform)
    asked = await ask(gateway, device, "request", message="state")
    assert (asked["status"], asked["errorCode"]) == ("completed", 0)
    await device.confirm(WAIT)
    assert device.counters.states == (1 if platform == "ap" else 0)
    assert (await ask(gateway, device, "ping"))["latency"]  # it is free for the next


@BOTH
async def test_reboot(gateway: Gateway, join: Join, platform: str) -> None:
    device = await join(platform)
    connects = device.counters.connects
    done = await ask(gateway, device, "reboot")
    assert (done["status"], done["errorCode"]) == ("completed", 0)
    async with asyncio.timeout(WAIT):
        while device.counters.connects == connects:
            await asyncio.sleep(0.02)
    if platform == "ap":
        await gateway.wait_device(device.serial, connectReason="reboot")
    else:
        query = "SELECT type FROM device_events WHERE serial_number = ?"
        async with asyncio.timeout(WAIT):
            while ("device.reboot",) not in gateway.sql(query, device.serial):
                await asyncio.sleep(0.02)
    assert device.counters.reboots == 1


@BOTH
async def test_upgrade(gateway: Gateway, join: Join, platform: str) -> None:
    device = await join(platform)
    done = await ask(gateway, device, "upgrade", uri="https://images.example.org/v9.bin")
    assert (done["status"], done["errorCode"]) == ("completed", 0), done
    await gateway.wait_device(device.serial, firmware="v9")


@pytest.mark.quirk("upgrade-events")
@BOTH
async def test_upgrade_that_fails(gateway: Gateway, join: Join, platform: str) -> None:
    """An access point answers late with what failed; a switch has said yes, and sends an event."""
    device = await join(platform)
    device.faults = Faults(failing=frozenset({"upgrade"}))
    done = await ask(gateway, device, "upgrade", uri="https://images.example.org/v9.bin")
    if platform == "ap":
        assert (done["status"], done["errorText"]) == ("failed", "download failed")
    else:
        assert done["status"] == "completed"
        query = "SELECT data FROM device_events WHERE serial_number = ?"
        async with asyncio.timeout(WAIT):
            while not (rows := gateway.sql(query, device.serial)):
                await asyncio.sleep(0.02)
        assert json.loads(rows[-1][0]) == {"operation": "fail"}
        # The command has its one final status, and shows what came of it.
        shown = await gateway.get(f"command/{done['UUID']}")
        assert (shown["status"], shown["lateAnswer"]) == ("completed", {"operation": "fail"})
    assert device.connected


async def test_signature_as_a_switch_reads_it(gateway: Gateway, join: Join) -> None:
    """The two agents know the signature of an image by different names."""
    device = await join("switch")
    uri = "https://images.example.org/v9.bin"
    done = await ask(gateway, device, "upgrade?FWsignature=c2ln", uri=uri)
    assert done["status"] == "completed", done
    params = next(one.params for one in device.received if one.method == "upgrade")
    assert (params["FWsignature"], params["signature"]) == ("c2ln", "c2ln")


@BOTH
async def test_diagnostic_has_a_place_to_go_to(gateway: Gateway, join: Join, platform: str) -> None:
    """A switch never answers a diagnostic without an address for the upload."""
    device = await join(platform, uploads=True)
    done = await ask(gateway, device, "script", type="diagnostic")
    assert done["errorCode"] == 0, done
    assert "/v1/upload/" in done["details"]["uri"]


async def test_list_of_packages(gateway: Gateway, join: Join) -> None:
    """It comes as a stream of all of them, whichever was asked for."""
    device = await join("ap")
    found = await gateway.get(f"device/{device.serial}/package?pkgName=nano")
    assert {"name": "nano", "version": "7.2-1"} in found["status"]["packages"]
    assert "compress_64" not in found["status"]


async def test_transfer_that_fails_after_it_was_answered(gateway: Gateway, join: Join) -> None:
    """One final status; the second answer with the same id is kept beside it."""
    device = await join("ap")
    device.faults = Faults(failing=frozenset({"transfer"}))
    done = await ask(gateway, device, "transfer", server="gw2.example.org", port=15002)
    assert (done["status"], done["errorCode"]) == ("completed", 0)
    async with asyncio.timeout(WAIT):
        while "lateAnswer" not in done:
            await asyncio.sleep(0.05)
            done = await gateway.get(f"command/{done['UUID']}")
    assert done["status"] == "completed"
    assert done["lateAnswer"]["status"]["text"] == "transfer failed"


@BOTH
async def test_method_that_the_agent_does_not_know(
    gateway: Gateway, join: Join, platform: str
) -> None:
    """A switch says yes to everything; an access point says nothing, and the command ends."""
    device = await join(platform)
    asking = asyncio.create_task(ask(gateway, device, "certupdate", encodedCertificate="dGFy"))
    await device.wait_for("certupdate", WAIT)
    if platform == "switch":
        assert (await asking)["status"] == "completed"
        return
    await device.drop()
    ended = await asking
    assert ended["status"] == "failed"


async def test_file_that_comes_before_the_answer(gateway: Gateway, join: Join) -> None:
    """An access point starts the upload of a trace, and says so when it is perhaps there."""
    device = await join("ap", uploads=True)
    device.faults = Faults(answer_delay=2.0)
    done = await ask(gateway, device, "trace", interface="eth0", duration=1)
    assert device.counters.uploads == 1
    assert (done["status"], done["errorCode"]) == ("completed", 0), done
    file = await gateway.request("GET", f"file/{done['UUID']}?serialNumber={device.serial}")
    assert (file.status_code, len(file.content)) == (200, 1028)


async def test_switch_is_deaf_while_it_applies(gateway: Gateway, join: Join) -> None:
    """It answers nothing meanwhile; its session stays, and what was asked is answered after."""
    device = await join("switch")
    device.faults = Faults(apply_seconds=2.0)
    asking = asyncio.create_task(gateway.configure(device.serial, {"unit": {"name": "slow"}}))
    async with asyncio.timeout(WAIT):
        while not device.deaf:
            await asyncio.sleep(0.01)
    device.send_healthcheck()
    assert (await asking).json()["status"] == "completed"
    assert device.counters.connects == 1
    await gateway.wait_device(device.serial, configurationState="in_step")


@BOTH
async def test_applying_cuts_the_connection(gateway: Gateway, join: Join, platform: str) -> None:
    """The result is lost; the uuid of the next connect is the fact to go by."""
    device = await join(platform)
    device.faults = Faults(drop_on_apply=True)
    changed = await gateway.configure(device.serial, {"unit": {"name": "cut"}})
    assert changed.json()["status"] == "completed"
    device.faults = Faults()
    shown = await gateway.wait_device(device.serial, configurationState="in_step")
    assert shown["configuration"]["unit"]["name"] == "cut"
    assert device.counters.applied == 2


async def test_command_that_the_agent_aborts(gateway: Gateway, join: Join) -> None:
    """The reason is shown, and the next command is sent at once."""
    device = await join("ap")
    device.faults = Faults(hanging=frozenset({"wifiscan"}), abort_seconds=0.1)
    done = await ask(gateway, device, "wifiscan")
    assert (done["status"], done["errorCode"]) == ("failed", 1)
    assert done["errorText"] == "command timed out and was aborted"
    assert (await ask(gateway, device, "ping"))["latency"]


async def test_events_of_an_access_point(gateway: Gateway, join: Join) -> None:
    """What it keeps is asked for; what piled up while it was away comes with its connect."""
    device = await join("ap")
    device.keep_event("wifi-frames", {"n": 1})
    asked = await ask(gateway, device, "eventqueue", types=["wifi-frames"])
    assert asked["results"]["events"]["wifi-frames"][0][1] == {"n": 1}
    for number in range(300):
        device.keep_event("client.join", {"n": number})
    await device.drop()
    query = "SELECT data FROM device_events WHERE serial_number = ? AND type = 'client.join'"
    async with asyncio.timeout(WAIT):
        while len(rows := gateway.sql(query, device.serial)) < 250:
            await asyncio.sleep(0.05)
    told = sorted(json.loads(data)["n"] for (data,) in rows)
    assert told == list(range(50, 300))


@BOTH
async def test_result_without_status(gateway: Gateway, join: Join, platform: str) -> None:
    device = await join(platform)
    device.faults = Faults(statusless=frozenset({"leds", "ping"}))
    done = await ask(gateway, device, "leds", pattern="blink")
    assert (done["status"], done["errorText"]) == ("failed", "the answer has no status")
    assert (await ask(gateway, device, "ping"))["latency"]


async def test_promised_state_that_never_comes(gateway: Gateway, join: Join) -> None:
    device = await join("ap")
    device.faults = Faults(reportless=True)
    asked = await ask(gateway, device, "request", message="state")
    assert (asked["status"], asked["errorCode"]) == ("completed", 0)
    assert (await ask(gateway, device, "ping"))["latency"]


@BOTH
async def test_telemetry_that_nobody_asked_for(gateway: Gateway, join: Join, platform: str) -> None:
    """The gateway says that it is to end."""
    device = await join(platform)
    device.faults = Faults(runaway_every=1)
    device.send_state()
    stop = await device.wait_for("telemetry", WAIT)
    assert stop.params["interval"] == 0


@BOTH
async def test_early_state_and_second_connect(gateway: Gateway, join: Join, platform: str) -> None:
    """The one is counted, the other refreshes; neither costs the session."""
    device = await join(platform)
    device.faults = Faults(early=True)
    await device.drop()
    await gateway.wait_metric("gw_protocol_errors_total", 1, reason="not_connected")
    await device.wait_connected(WAIT)
    await device.confirm(WAIT)
    assert (await ask(gateway, device, "ping"))["latency"]
    assert device.counters.connects == 2


async def test_all_in_one_place(gateway: Gateway, join: Join) -> None:
    """What both agents were sent: nothing that breaks them, nothing that they do not understand."""
    for platform in ("ap", "switch"):
        device = await join(platform)
        await gateway.configure(device.serial, {"unit": {"name": "x" * 60_000}})
        for name, body in (("leds", {"pattern": "on"}), ("reboot", {})):
            await ask(gateway, device, name, **body)
        counters = device.counters
        assert (counters.crashes, counters.unparsable, counters.fragments) == (0, 0, 0)
        assert (counters.oversized, counters.hash_mismatches) == (0, 0)
        logged = gateway.sql("SELECT log FROM device_logs WHERE serial_number = ?", device.serial)
        assert [line for (line,) in logged if "invalid jsonrpc" in line] == []
