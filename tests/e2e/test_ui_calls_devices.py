"""The community UI's calls of the gateway, as it sends them, with devices that answer.

Rows of ui-calls.md 4 and 5: exact paths, queries and bodies, and the members that the UI reads.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway import DEADLINE, PASSWORD, Gateway
from resources import (
    BLACKLISTED,
    CAPABILITIES,
    COMMAND,
    CONNECTION,
    DASHBOARD,
    DEFAULT_CONFIGURATION,
    DEFAULT_FIRMWARE,
    DEVICE,
    DEVICE_WITH_STATUS,
    ERROR,
    HEALTHCHECK,
    LOG,
    NOTE,
    RTTY_SESSION,
    SCRIPT,
    STATISTICS,
    SUCCESS,
    TAG,
    TELEMETRY_STATUS,
)
from shapes import count, filled, fits, moment, serial
from ui_client import ORIGIN, Ui
from websockets.asyncio.client import ClientConnection, connect

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
AP = "02a0aa000001"
SWITCH = "02a0aa000002"
NEW_AP = "02a0aa000003"
RTTY = {"rtty.enabled": "true", "rtty.host": "127.0.0.1", "rtty.port": 0, "rtty.viewer_port": 0}


SIMPLE = {
    "reboot": {"serialNumber": AP, "when": 0},
    "leds": {"serialNumber": AP, "when": 0, "pattern": "blink", "duration": 30},
    "factory": {"serialNumber": AP, "keepRedirector": True},
    "upgrade": {"serialNumber": AP, "when": 0, "keepRedirector": True,
                "uri": "https://firmware.example.org/image.tar"},
    "reenroll": {"serial": AP, "when": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir):
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), pki_dir, **RTTY)
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


@pytest.fixture
async def ui(shared_gateway: Gateway) -> Ui:
    made = Ui(shared_gateway)
    await made.begin(await shared_gateway.sign_in())  # the token that the page has kept
    return made


@contextlib.asynccontextmanager
async def joined(gateway: Gateway, serial: str, **options: Any) -> AsyncIterator[SimulatedDevice]:
    """A device that is connected, configured, and has said something of each kind."""
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, uploads=True, streams=True, **options
    )
    try:
        await device.connect(deadline=WAIT)
        if device.platform == "ap":
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        for _ in range(2):
            device.send_state()
        device.send_healthcheck(93)
        last = f"a line of the log, {uuid.uuid4()}"
        device.send_log(last, 5)
        await device.confirm(WAIT)
        # What was sent is stored in order: the last of it is there, so all is.
        async with asyncio.timeout(DEADLINE):
            while True:
                logs = await gateway.get(f"device/{serial}/logs?newest=true&limit=1")
                if last in [one["log"] for one in logs["values"]]:
                    break
                await asyncio.sleep(0.05)  # REST has no event to await
        yield device
    finally:
        await device.end_terminals()
        device.stop()


@pytest.fixture
async def ap(shared_gateway: Gateway) -> AsyncIterator[SimulatedDevice]:
    async with joined(shared_gateway, AP) as device:
        yield device


@pytest.fixture
async def switch(shared_gateway: Gateway) -> AsyncIterator[SimulatedDevice]:
    async with joined(shared_gateway, SWITCH, platform="switch") as device:
        yield device


def ok(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- landing page


async def test_device_list(ui, ap, switch):
    counts = {}
    for platform in ("all", "ap", "switch", "ALL"):
        found = ok(await ui.gw.get(f"devices?countOnly=true&platform={platform}"))
        fits(found, {"count": count})
        counts[platform] = found["count"]
    assert counts["all"] == counts["ALL"] == counts["ap"] + counts["switch"] >= 2
    for platform, among, missing in (("ap", AP, SWITCH), ("switch", SWITCH, AP)):
        query = f"devices?deviceWithStatus=true&limit=10&offset=0&platform={platform}"
        page = ok(await ui.gw.get(query))
        fits(page, {"devicesWithStatus": [DEVICE_WITH_STATUS]})
        listed = {one["serialNumber"]: one for one in page["devicesWithStatus"]}
        assert among in listed
        assert missing not in listed
        device = listed[among]
        assert device["connected"] is True
        assert device["verifiedCertificate"] == "VERIFIED"
        assert device["deviceType"] == platform
        assert device["sanity"] == 93
        assert device["rxBytes"] > 0
        fits(device, {"started": moment, "lastContact": moment, "lastRecordedContact": moment,
                      "certificateExpiryDate": moment, "ipAddress": filled, "firmware": filled,
                      "compatible": filled, "macAddress": filled})  # fmt: skip
        if platform == "ap":
            assert device["memoryUsed"] > 0
            assert device["load"] > 0
            assert device["temperature"] > 0
            assert device["hasGPS"] is True
            assert (device["associations_5G"], device["associations_2G"]) == (3, 2)
    stats = ok(await ui.gw.get("devices?connectionStatistics=true"))
    fits(stats, {"connectedDevices": count, "averageConnectionTime": count,
                 "connectingDevices": count})  # fmt: skip
    assert stats["connectedDevices"] >= 2
    exported = ok(await ui.gw.get(f"devices?deviceWithStatus=true&select={AP},{SWITCH}"))
    assert [one["serialNumber"] for one in exported["devicesWithStatus"]] == [AP, SWITCH]
    all_of_them = ok(await ui.gw.get("devices?deviceWithStatus=true&limit=500&offset=0"))
    assert len(all_of_them["devicesWithStatus"]) == counts["all"]
    beyond = ok(await ui.gw.get("devices?deviceWithStatus=true&limit=500&offset=500&platform=all"))
    assert beyond == {"devicesWithStatus": []}


async def test_device_that_is_not_connected(ui):
    made = {"serialNumber": NEW_AP, "configuration": {"interfaces": [], "radios": []},
            "deviceType": "ap", "UUID": 1}  # fmt: skip
    ok(await ui.gw.post(f"device/{NEW_AP}", made))
    page = ok(await ui.gw.get(f"devices?deviceWithStatus=true&select={NEW_AP}"))
    fits(page, {"devicesWithStatus": [DEVICE_WITH_STATUS]})
    device = page["devicesWithStatus"][0]
    assert (device["connected"], device["lastContact"]) == (False, "")
    assert device["verifiedCertificate"] == "NO_CERTIFICATE"
    assert ok(await ui.gw.get(f"device/{NEW_AP}/status"))["connected"] is False
    answer = await ui.gw.get(f"device/{NEW_AP}/statistics?lastOnly=true")
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1033:")
    assert ok(await ui.gw.get(f"device/{NEW_AP}/statistics?newest=true&limit=30"))["data"] == []
    answer = await ui.gw.delete(f"devices?macPattern={NEW_AP}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await ui.gw.get(f"device/{NEW_AP}")).status_code == 404


# -- device page


async def test_device_page(ui, ap):
    device = ok(await ui.gw.get(f"device/{AP}"))
    fits(device, DEVICE | {"configuration": dict})
    assert "uuid" in device["configuration"]
    status = ok(await ui.gw.get(f"device/{AP}/status"))
    fits(status, CONNECTION)
    assert status["connected"] is True
    capabilities = ok(await ui.gw.get(f"device/{AP}/capabilities"))
    fits(capabilities, CAPABILITIES)
    assert capabilities["capabilities"]["compatible"] == device["compatible"]
    changed = ok(await ui.gw.put(f"device/{AP}", {"notes": [{"note": "seen"}]}))
    fits(changed, DEVICE)
    fits(changed["notes"][-1], NOTE)
    assert changed["notes"][-1]["note"] == "seen"
    assert changed["notes"][-1]["createdBy"] == "admin@localhost"


async def test_statistics(ui, ap):
    state = {
        "unit": {"load": [float], "localtime": moment, "uptime": count, "temperature": list,
                 "memory": dict.fromkeys(("total", "free", "buffered", "cached"), count)},
        "interfaces": [{"name": str, "counters": dict, "ssids": [{"associations": [dict]}]}],
        "radios": [dict], "link-state": dict, "gps": dict,
    }  # fmt: skip
    last = ok(await ui.gw.get(f"device/{AP}/statistics?lastOnly=true"))
    fits(last, state)
    newest = ok(await ui.gw.get(f"device/{AP}/statistics?newest=true&limit=30"))
    fits(newest, {"data": [STATISTICS | {"data": state}], "serialNumber": serial})
    assert newest["data"][0]["data"] == last
    now = int(time.time())
    dates = f"startDate={now - 3600}&endDate={now + 60}"
    found = ok(await ui.gw.get(f"device/{AP}/statistics?{dates}&countOnly=true"))
    assert found["count"] >= 2
    page = ok(await ui.gw.get(f"device/{AP}/statistics?{dates}&offset=0&limit=100"))
    assert len(page["data"]) == found["count"]
    recorded = [one["recorded"] for one in page["data"]]
    assert recorded == sorted(recorded)
    macs = [one["station"] for one in last["interfaces"][0]["ssids"][0]["associations"]]
    vendors = ok(await ui.gw.get(f"/ouis?macList={','.join(macs)}"))
    fits(vendors, {"tagList": [TAG]})
    assert [one["tag"] for one in vendors["tagList"]] == macs
    assert ok(await ui.gw.get(f"/radiusSessions/{AP}")) == {"sessions": []}


async def test_logs_and_health(ui, ap):
    ap.send("rebootLog", {"uuid": ap.uuid, "type": "crashlog", "date": int(time.time()),
                          "info": ["Unable to handle kernel paging request"]})  # fmt: skip
    ap.send("crashlog", {"uuid": ap.uuid, "loglines": ["line 1", "line 2"]})
    ap.send_log("behind them", 3)
    now = int(time.time())
    dates = f"startDate={now - 3600}&endDate={now + 60}&limit=100&offset=0"
    async with asyncio.timeout(DEADLINE):
        while True:
            logs = ok(await ui.gw.get(f"device/{AP}/logs?newest=true&limit=30&logType=0"))
            if "behind them" in [one["log"] for one in logs["values"]]:
                break
            await asyncio.sleep(0.05)  # REST has no event to await
    for kind in (0, 1, 2):
        newest = ok(await ui.gw.get(f"device/{AP}/logs?newest=true&limit=30&logType={kind}"))
        fits(newest, {"values": [LOG], "serialNumber": serial})
        assert {one["logType"] for one in newest["values"]} == {kind}
        dated = ok(await ui.gw.get(f"device/{AP}/logs?{dates}&logType={kind}"))
        assert dated["values"] == newest["values"]
    health = ok(await ui.gw.get(f"device/{AP}/healthchecks?newest=true&limit=1"))
    fits(health, {"values": [HEALTHCHECK], "serialNumber": serial})
    assert health["values"][0]["sanity"] == 93
    assert health["values"][0]["values"]["unit"]["memory"] > 0
    dated = ok(await ui.gw.get(f"device/{AP}/healthchecks?{dates}"))
    assert dated["values"][-1] == health["values"][0]
    for path in (*(f"logs?endDate={now + 60}&logType={kind}" for kind in (0, 1, 2)),
                 f"healthchecks?endDate={now + 60}"):  # fmt: skip
        answer = await ui.gw.delete(f"device/{AP}/{path}")
        assert (answer.status_code, answer.content) == (200, b"")
        left = ok(await ui.gw.get(f"device/{AP}/{path.replace('endDate', 'newest=true&x')}"))
        assert left["values"] == []


async def test_command_history(ui, ap):
    sent = ok(await ui.gw.post(f"device/{AP}/leds", SIMPLE["leds"]))
    newest = ok(await ui.gw.get(f"commands?serialNumber={AP}&newest=true&limit=30"))
    fits(newest, {"commands": [COMMAND]})
    assert newest["commands"][0]["UUID"] == sent["UUID"]
    now = int(time.time())
    query = f"startDate={now - 3600}&endDate={now + 60}&limit=100&offset=0"
    dated = ok(await ui.gw.get(f"commands?serialNumber={AP}&{query}"))
    assert [one["UUID"] for one in dated["commands"]] == [
        one["UUID"] for one in reversed(newest["commands"])
    ]
    one = ok(await ui.gw.get(f"command/{sent['UUID']}?serialNumber={AP}"))
    fits(one, COMMAND)
    assert (one["status"], one["submittedBy"]) == ("completed", "admin@localhost")
    assert one["executionTime"] > 0
    answer = await ui.gw.delete(f"command/{sent['UUID']}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await ui.gw.get(f"command/{sent['UUID']}?serialNumber={AP}")).status_code == 404


# -- actions


async def test_configure(ui, ap):
    wanted = (await ui.gateway.device(AP))["configuration"] | {"services": {"lldp": {}}}
    body = {"when": 0, "UUID": 1, "serialNumber": AP, "configuration": wanted}
    done = ok(await ui.gw.post(f"device/{AP}/configure", body))
    fits(done, COMMAND)
    assert (done["errorCode"], done["status"]) == (0, "completed")
    assert ok(await ui.gw.get(f"device/{AP}"))["configuration"]["services"] == {"lldp": {}}
    answer = await ui.gw.post(f"device/{AP}/configure", body | {"configuration": {"radios": 5}})
    assert answer.status_code == 400
    fits(answer.json(), ERROR)
    assert answer.json()["ErrorDescription"].startswith("1008:")


async def test_configure_a_device_that_is_away(ui, shared_gateway):
    async with joined(shared_gateway, NEW_AP):
        pass
    await shared_gateway.wait_device(NEW_AP)
    async with asyncio.timeout(DEADLINE):
        while ok(await ui.gw.get(f"device/{NEW_AP}/status"))["connected"]:
            await asyncio.sleep(0.05)  # REST has no event to await
    configuration = (await shared_gateway.device(NEW_AP))["configuration"] | {"globals": {}}
    body = {"when": 0, "UUID": 1, "serialNumber": NEW_AP, "configuration": configuration}
    done = ok(await ui.gw.post(f"device/{NEW_AP}/configure", body))
    assert (done["status"], done["errorCode"]) == ("pending", 0)
    blink = SIMPLE["leds"] | {"serialNumber": NEW_AP}
    answer = await ui.gw.post(f"device/{NEW_AP}/leds", blink)
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1033:")


@pytest.mark.parametrize("name", SIMPLE)
async def test_actions(ui, ap, name):
    done = ok(await ui.gw.post(f"device/{AP}/{name}", SIMPLE[name]))
    fits(done, COMMAND)
    assert (done["command"], done["errorCode"]) == (name, 0)
    message = await ap.wait_for(name, WAIT)
    assert message.params["serial"] == AP


async def test_upgrade_with_a_signature(ui, ap):
    body = SIMPLE["upgrade"] | {"signature": "c2lnbmF0dXJl"}
    ok(await ui.gw.post(f"device/{AP}/upgrade?FWsignature=c2lnbmF0dXJl", body))
    message = await ap.wait_for("upgrade", WAIT)
    assert message.params["signature"] == "c2lnbmF0dXJl"


async def test_wifi_scan(ui, ap):
    for more in ({}, {"bandwidth": "80"}):
        body = {"serialNumber": AP, "override_dfs": True, "activeScan": False} | more
        done = ok(await ui.gw.post(f"device/{AP}/wifiscan", body))
        fits(done, COMMAND)
        assert done["errorCode"] == 0
        assert done["executionTime"] > 0
        found = done["results"]["status"]["scan"]
        cell = {"bssid": filled, "ssid": str, "channel": count, "frequency": count,
                "signal": int, "sta_count?": count, "ch_util?": count,
                "ies": [{"name": filled, "type": count, "content": (dict, list, str)}]}  # fmt: skip
        fits(found, [cell])
        assert found
        asked = (await ap.wait_for("wifiscan", WAIT)).params
        assert asked.get("bandwidth") == (80 if more else None)


async def test_trace_and_download(ui, ap):
    for more in ({"duration": 20}, {"numberOfPackets": 10}):
        body = {"serialNumber": AP, "network": "up", "when": 0} | more
        done = ok(await ui.gw.post(f"device/{AP}/trace", body))
        fits(done, COMMAND | {"UUID": filled, "details": {"uri": filled, "network": str}})
        path = f"file/{done['UUID']}?serialNumber={AP}"
        async with asyncio.timeout(DEADLINE):
            while (answer := await ui.gw.get(path)).status_code == 202:
                assert answer.content == b""
                await asyncio.sleep(0.05)  # the UI asks again too
        assert answer.status_code == 200
        assert answer.content
        assert answer.headers["access-control-expose-headers"] == "Content-Disposition"
        assert f"{done['UUID']}.pcap" in answer.headers["content-disposition"]
        record = ok(await ui.gw.get(f"command/{done['UUID']}?serialNumber={AP}"))
        assert record["waitingForFile"] == 0
        fits(record["attachFile"], moment)
    missing = await ui.gw.get(f"file/{AP}?serialNumber={AP}")
    assert missing.status_code == 404
    fits(missing.json(), ERROR)


async def test_scripts(ui, ap):
    body = {"serialNumber": AP, "deferred": False, "type": "shell", "timeout": 30, "when": 0,
            "script": base64.b64encode(b"uptime\n").decode()}  # fmt: skip
    done = ok(await ui.gw.post(f"device/{AP}/script", body))
    fits(done, COMMAND | {"results": {"status": {"result": filled}}})
    assert done["errorCode"] == 0
    deferred = body | {"deferred": True}
    del deferred["timeout"]
    for one in (deferred, {"serialNumber": AP, "deferred": True, "type": "diagnostic", "when": 0}):
        done = ok(await ui.gw.post(f"device/{AP}/script", one))
        fits(done, COMMAND | {"details": {"uri": filled}})
        path = f"file/{done['UUID']}?serialNumber={AP}"
        async with asyncio.timeout(DEADLINE):
            while (answer := await ui.gw.get(path)).status_code == 202:
                await asyncio.sleep(0.05)  # the UI asks again too
        assert answer.status_code == 200, answer.text
        name = answer.headers["content-disposition"].split("filename=")[1].split(",")[0]
        assert done["UUID"] in name


async def test_event_queue(ui, ap):
    body = {"types": ["dhcp-snooping", "wifi-frames"], "serialNumber": AP}
    done = ok(await ui.gw.post(f"device/{AP}/eventqueue", body))
    fits(done, COMMAND | {"results": {"events": dict}})


async def test_terminal(ui, ap):
    session = ok(await ui.gw.get(f"device/{AP}/rtty"))
    fits(session, RTTY_SESSION)


async def test_switch_ports(ui, switch):
    for name, body in (
        ("powercycle", {"serial": SWITCH, "when": 0, "ports": [{"name": "Ethernet1",
                                                               "cycle": 10000}]}),
        ("cable-diagnostics", {"serial": SWITCH, "when": 0, "ports": ["Ethernet1"]}),
    ):  # fmt: skip
        done = ok(await ui.gw.post(f"device/{SWITCH}/{name}", body))
        fits(done, COMMAND)
        assert done["errorCode"] == 0
        message = await switch.wait_for(name, WAIT)
        assert message.params["ports"] == body["ports"]
    state = ok(await ui.gw.get(f"device/{SWITCH}/statistics?lastOnly=true"))
    fits(state, {"link-state": {"upstream": dict, "downstream": dict}})


# -- sockets


def browser_socket(ui: Ui, url: str) -> connect:
    """A WebSocket as a page of another origin opens it."""
    url = url.replace("//localhost:", "//127.0.0.1:")
    return connect(url, ssl=ui.gateway._tls, origin=ORIGIN, open_timeout=WAIT)


async def next_of(socket: ClientConnection, wanted: Any) -> Any:
    async with asyncio.timeout(DEADLINE):
        while True:
            message = json.loads(await socket.recv())
            if wanted(message):
                return message


async def test_controller_socket(ui, shared_gateway):
    url = f"{ui.gw.base.replace('https', 'wss')}/ws"
    async with browser_socket(ui, url) as socket:
        await socket.send(f"token:{ui.token}")
        greeting = await next_of(socket, lambda one: "notificationTypes" in one)
        fits(greeting, {"notificationTypes": [{"id": int, "helper": str}], "success": str})

        def kind(number: int) -> Any:
            return lambda one: one.get("notification", {}).get("type_id") == number

        sums = (await next_of(socket, kind(1000)))["notification"]["content"]
        fits(sums, dict.fromkeys(("numberOfDevices", "numberOfConnectingDevices",
                                  "averageConnectedTime", "tx", "rx"), count))  # fmt: skip
        async with joined(shared_gateway, AP):
            for number in (4000, 6000):
                content = (await next_of(socket, kind(number)))["notification"]["content"]
                assert content["serialNumber"] == AP
            search = {"command": "serial_number_search", "serial_prefix": AP[:8], "id": 1}
            await socket.send(json.dumps(search))
            found = await next_of(socket, lambda one: "serialNumbers" in one)
            assert AP in found["serialNumbers"]
            await socket.send(json.dumps({"drop-notifications": [6000]}))
        await next_of(socket, kind(5000))


async def test_security_socket(ui):
    async with browser_socket(ui, f"{ui.sec.base.replace('https', 'wss')}/ws") as socket:
        await socket.send(f"token:{ui.token}")
        greeting = await next_of(socket, lambda one: "notificationTypes" in one)
        assert greeting["notificationTypes"] == [{"id": 1, "helper": "log"}]
        await Ui(ui.gateway).sign_in("admin@localhost", PASSWORD)
        line = await next_of(socket, lambda one: one["notification"]["type_id"] == 1)
        fits(line["notification"]["content"], {"level": filled, "msg": filled, "source": str,
                                               "thread_id": int, "thread_name": str,
                                               "timestamp": moment})  # fmt: skip


async def test_live_view(ui, ap):
    body = {"serialNumber": AP, "interval": 1, "lifetime": 60, "kafka": False,
            "types": ["dhcp-snooping", "state", "wifi-frames"]}  # fmt: skip
    stream = ok(await ui.gw.post(f"device/{AP}/telemetry", body))
    fits(stream, {"uri": filled, "uuid": filled, "action": str, "status": TELEMETRY_STATUS})
    async with browser_socket(ui, stream["uri"]) as socket:
        await socket.send(f"token:{ui.token}")
        assert isinstance(await next_of(socket, lambda _: True), dict)


# -- other pages


async def test_dashboard(ui, ap, switch):
    dashboard = ok(await ui.gw.get("deviceDashboard"))
    fits(dashboard, DASHBOARD)
    assert dashboard["numberOfDevices"] >= 2
    query = "devices?health=true&lowLimit=90&highLimit=95"
    found = ok(await ui.gw.get(query))
    assert {AP, SWITCH} <= set(found["serialNumbers"])


async def test_blacklist(ui):
    bad = "02a0aa0000bb"
    body = {"serialNumber": bad, "reason": "stolen"}
    made = ok(await ui.gw.post(f"blacklist/{bad}", body))
    fits(made, BLACKLISTED)
    assert ok(await ui.gw.get("blacklist?countOnly=true")) == {"count": 1}
    fits(ok(await ui.gw.get("blacklist?limit=10&offset=0")), {"devices": [BLACKLISTED]})
    changed = ok(await ui.gw.put(f"blacklist/{bad}", body | {"reason": "found"}))
    fits(changed, BLACKLISTED)
    assert changed["reason"] == "found"
    answer = await ui.gw.delete(f"blacklist/{bad}")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_script_library(ui, ap):
    body = {"name": "uptime", "description": "x", "uri": "", "content": "uptime", "version": "1.0",
            "type": "shell", "author": "me", "deferred": False, "timeout": 30,
            "restricted": ["admin"], "defaultUploadURI": ""}  # fmt: skip
    made = ok(await ui.gw.post("script/0", body))
    fits(made, SCRIPT)
    fits(ok(await ui.gw.get("scripts?limit=100&offset=0")), {"scripts": [SCRIPT]})
    fits(ok(await ui.gw.get(f"script/{made['id']}")), SCRIPT)
    change = {"id": made["id"], "description": "y", "timeout": 20}
    changed = ok(await ui.gw.put(f"script/{made['id']}", change))
    fits(changed, SCRIPT)
    assert (changed["description"], changed["timeout"]) == ("y", 20)
    run = {"serialNumber": AP, "deferred": False, "type": "shell", "timeout": 20,
           "scriptId": made["id"], "when": 0}  # fmt: skip
    done = ok(await ui.gw.post(f"device/{AP}/script", run))
    assert done["results"]["status"]["result"]
    assert (await ui.gw.delete(f"script/{made['id']}")).status_code == 200


async def test_default_configurations(ui):
    name = "for all of them"
    body = {"name": name, "modelIds": ["edgecore_eap102"], "description": "x", "platform": "ap",
            "configuration": {"interfaces": [], "radios": []}}  # fmt: skip
    made = ok(await ui.gw.post("default_configuration/for%20all%20of%20them", body))
    fits(made, SUCCESS)
    listed = ok(await ui.gw.get("default_configurations?limit=500&offset=0"))
    fits(listed, {"configurations": [DEFAULT_CONFIGURATION]})
    assert name in [one["name"] for one in listed["configurations"]]
    change = {"name": name, "description": "y"}
    changed = ok(await ui.gw.put(f"default_configuration/{name}", change))
    fits(changed, DEFAULT_CONFIGURATION)
    assert changed["description"] == "y"
    assert (await ui.gw.delete(f"default_configuration/{name}")).status_code == 200


async def test_default_firmware(ui):
    kind = "edgecore_eap104"
    body = {"deviceType": kind, "description": "x", "uri": "https://f.example.org/i.tar",
            "revision": "v4.1", "imageCreationDate": 1_700_000_000, "created": 0,
            "lastModified": 0}  # fmt: skip
    fits(ok(await ui.gw.post(f"default_firmware/{kind}", body)), DEFAULT_FIRMWARE)
    fits(ok(await ui.gw.get("default_firmwares")), {"firmwares": [DEFAULT_FIRMWARE]})
    fits(ok(await ui.gw.get(f"default_firmware/{kind}")), DEFAULT_FIRMWARE)
    changed = ok(await ui.gw.put(f"default_firmware/{kind}", body | {"description": "y"}))
    fits(changed, DEFAULT_FIRMWARE)
    assert (await ui.gw.delete(f"default_firmware/{kind}")).status_code == 200


async def test_radius_search(ui):
    for query in ("userName=alice", "mac=00:11:22:33:44:55"):
        assert ok(await ui.gw.get(f"/radiusSessions/0?{query}")) == {"sessions": []}
    body = {"accountingSessionId": "1", "accountingMultiSessionId": "2",
            "callingStationId": "00-11-22-33-44-55"}  # fmt: skip
    answer = await ui.gw.put(f"radiusSessions/{AP}?operation=coadm", body)
    assert answer.status_code == 400  # the proxy is off, or there is no such session
    fits(answer.json(), ERROR)


async def test_advanced_system(ui):
    answer = await ui.gw.delete("devices?simulatedDevices=true")
    assert answer.status_code == 200


async def test_device_is_deleted(ui, shared_gateway):
    async with joined(shared_gateway, NEW_AP):
        answer = await ui.gw.delete(f"device/{NEW_AP}")
        assert (answer.status_code, answer.content) == (200, b"")
    assert (await ui.gw.get(f"device/{NEW_AP}")).status_code == 404
