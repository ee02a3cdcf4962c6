"""The minimum firmware of a device type: a device below it is upgraded once, and not configured
until it comes back; and what restricted devices announce."""

from __future__ import annotations

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0
BASE = "02a0e60000"
MODEL = "acme_ap9"
OLD, NEW = "OpenWrt 23.05 / TIP-v4.1.0", "TIP-v4.2.0"
IMAGE = f"https://images.example/{NEW}.bin"


@pytest.fixture
async def join(pki_dir):
    """Connect devices that stay as agents do; cut at the end."""
    made: list[SimulatedDevice] = []
    staying: list[asyncio.Task[None]] = []

    async def connect(gateway, serial: str, **options: object) -> SimulatedDevice:
        pki.device(pki_dir, [serial])
        options = {"model": MODEL, "firmware": OLD, "backoff_scale": 0.01} | options
        device = SimulatedDevice(serial, pki_dir, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        staying.append(asyncio.create_task(device.stay_connected()))
        await device.wait_connected(WAIT)
        return device

    yield connect
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    for device in made:
        device.stop()


async def set_minimum(gateway, **members: object) -> None:
    body = {"uri": IMAGE, "revision": NEW, "minimumRevision": "v4.2"} | members
    answer = await gateway.request("POST", f"default_firmware/{MODEL}", json=body)
    assert answer.status_code == 200, answer.text


async def upgrades(gateway, serial: str) -> list[dict]:
    found = await gateway.get(f"commands?serialNumber={serial}&limit=500")
    return [one for one in found["commands"] if one["command"] == "upgrade"]


def held(*, sent: bool) -> str:
    text = "the firmware is below v4.2, the minimum of its type"
    return f"{text}; an upgrade to {NEW} was sent" if sent else text


async def test_an_unknown_device_is_upgraded_before_it_is_configured(start_gateway, join):
    gateway = await start_gateway()
    await set_minimum(gateway)
    serial = f"{BASE}01"
    device = await join(gateway, serial, action_delay=1.0)
    message = await device.wait_for("upgrade", WAIT)
    assert message.params == {
        "serial": serial, "uri": IMAGE, "keep_redirector": 1, "when": 0,
    }  # fmt: skip
    assert device.counters.configures == 0
    assert (await gateway.wait_device(serial, hold=held(sent=True)))["firmware"] == OLD
    await device.wait_for_configure(WAIT)  # it has come back
    assert device.firmware == NEW
    shown = await gateway.wait_device(serial, configurationState="in_step", hold="")
    assert shown["firmware"] == NEW
    (command,) = await upgrades(gateway, serial)
    assert command["submittedBy"] == "*system"
    assert await gateway.metric("gw_firmware_upgrades_total") == 1


async def test_a_device_that_comes_back_unchanged_is_not_upgraded_again(start_gateway, join):
    gateway = await start_gateway()
    # The image turns out to be of an old revision.
    await set_minimum(gateway, uri="https://images.example/TIP-v4.1.1.bin")
    serial = f"{BASE}02"
    device = await join(gateway, serial)
    await device.wait_for("upgrade", WAIT)
    await gateway.wait_device(serial, firmware="TIP-v4.1.1", hold=held(sent=True))
    for _ in range(2):
        before = device.counters.connects
        device.reboot()
        async with asyncio.timeout(WAIT):
            while device.counters.connects == before or not device.connected:
                await asyncio.sleep(0.02)
        await device.confirm(WAIT)
        await gateway.wait_device(serial, hold=held(sent=True))
    assert len(await upgrades(gateway, serial)) == 1
    assert device.counters.configures == 0
    # An operator's change waits as well, and is told so.
    answer = await gateway.configure(serial, {"unit": {"name": "later"}})
    assert answer.json()["status"] == "pending"
    # Without the minimum the device is configured.
    answer = await gateway.request("PUT", f"default_firmware/{MODEL}", json={"minimumRevision": ""})
    assert answer.status_code == 200
    await device.wait_for_configure(WAIT)
    assert device.config["unit"] == {"name": "later"}


@pytest.mark.parametrize("firmware", [NEW, "TIP-v5.0", "TIP-devel-1a2b3c"])
async def test_who_is_not_below_is_left_alone(start_gateway, join, firmware):
    gateway = await start_gateway()
    await set_minimum(gateway)
    serial = f"{BASE}03"
    device = await join(gateway, serial, firmware=firmware)
    await device.wait_for_configure(WAIT)
    other = await join(gateway, f"{BASE}04", model="acme_other")
    await other.wait_for_configure(WAIT)
    assert await upgrades(gateway, serial) == []


async def test_a_minimum_counts_for_devices_that_are_connected(start_gateway, join):
    gateway = await start_gateway()
    serial = f"{BASE}05"
    device = await join(gateway, serial)
    await device.wait_for_configure(WAIT)
    await set_minimum(gateway)
    await device.wait_for("upgrade", WAIT)


async def test_the_same_image_is_sent_once_over_a_restart_of_the_coordinator(start_gateway, join):
    gateway = await start_gateway()
    await set_minimum(gateway)
    serial = f"{BASE}06"
    # It takes the command, and never does anything about it.
    device = await join(gateway, serial, faults=Faults(silent=frozenset({"upgrade"})),
                        action_delay=1000.0)  # fmt: skip
    await device.wait_for("upgrade", WAIT)
    await gateway.kill("coordinator")
    await gateway.wait_device(serial, hold=held(sent=True))
    await device.confirm(WAIT)
    await gateway.kill("coordinator")
    await device.confirm(WAIT)
    await gateway.wait_device(serial, hold=held(sent=True))
    assert len([one for one in device.received if one.method == "upgrade"]) == 1
    assert len(await upgrades(gateway, serial)) == 1


# -- restricted devices


def capabilities(**restrictions: object) -> dict:
    return {
        "compatible": MODEL, "model": MODEL, "platform": "ap", "compress_cmd": True,
        "restrictions": restrictions,
    }  # fmt: skip


async def test_restrictions_are_shown_and_end(start_gateway, join):
    gateway = await start_gateway()
    serial = f"{BASE}10"
    said = capabilities(
        dfs="true", rtty=1, sysupgrade=True, country=["US"],
        key_info={"vendor": "acme", "algo": "dgst-sha256"},
    ) | {"developer": False}  # fmt: skip
    device = await join(gateway, serial, capabilities=said)
    await device.wait_for_configure(WAIT)
    shown = await gateway.device(serial)
    assert shown["restrictedDevice"] is True
    assert shown["restrictionDetails"] == {
        "dfs": True, "ssh": False, "rtty": False, "tty": False, "developer": False,
        "upgrade": True, "commands": False, "country": ["US"],
        "key_info": {"vendor": "acme", "algo": "dgst-sha256"},
    }  # fmt: skip
    device._capabilities = {k: v for k, v in said.items() if k != "restrictions"}
    device.reboot()
    shown = await gateway.wait_device(serial, restrictedDevice=False)
    assert shown["restrictionDetails"]["upgrade"] is False


async def test_a_restricted_device_is_upgraded_with_a_signature(start_gateway, join, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "acme.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    image = b"image" * 1000

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(image)
        writer.write(head + image)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{NEW}.bin"
    vendors = [{"vendor": "acme", "private_key": str(tmp_path / "acme.key")}]
    gateway = await start_gateway(**{"signatures.vendors": vendors})
    await set_minimum(gateway, uri=uri)
    info = {"vendor": "acme", "algo": "dgst-sha256"}
    said = capabilities(sysupgrade=True, key_info=info)
    device = await join(gateway, f"{BASE}11", capabilities=said)
    message = await device.wait_for("upgrade", WAIT)
    key.public_key().verify(
        base64.b64decode(message.params["signature"]), image, padding.PKCS1v15(), hashes.SHA256()
    )
    # Without a key of its vendor nothing is sent, and the operator sees why.
    said = capabilities(sysupgrade=True, key_info=info | {"vendor": "nobody"})
    other = await join(gateway, f"{BASE}12", capabilities=said)
    reason = (
        "upgrade: the firmware must be signed; "
        "there is no key of the vendor 'nobody' in signatures.vendors"
    )
    await gateway.wait_device(f"{BASE}12", hold=f"{held(sent=False)}: {reason}")
    assert not [one for one in other.received if one.method in ("upgrade", "configure")]
    server.close()


async def test_a_device_let_out_of_quarantine_is_upgraded_then(start_gateway, join):
    gateway = await start_gateway(**{"devices.unknown": "quarantine"})
    await set_minimum(gateway)
    serial = f"{BASE}07"
    device = await join(gateway, serial)
    await gateway.wait_device(serial, hold="the device is in quarantine")
    assert await upgrades(gateway, serial) == []
    answer = await gateway.configure(serial, {"unit": {"name": "approved"}})
    assert answer.json()["status"] == "pending"
    await device.wait_for("upgrade", WAIT)
    await device.wait_for_configure(WAIT)
    assert device.firmware == NEW
    assert device.config["unit"] == {"name": "approved"}
