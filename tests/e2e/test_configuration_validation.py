"""Validation over the real program: nothing wrong reaches store or device; schema files change."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
SERIAL = "02a0e1000001"


@pytest.fixture
async def schema_file(tmp_path):
    file = tmp_path / "schema.json"
    write(file, {})
    return file


@pytest.fixture
async def gateway(start_gateway, schema_file):
    return await start_gateway(**{"configuration.schema": str(schema_file)})


@pytest.fixture
async def device(gateway):
    pki.device(gateway.pki, [SERIAL])
    made = SimulatedDevice(SERIAL, gateway.pki, "127.0.0.1", gateway.device_port)
    await made.connect(deadline=WAIT)
    await made.wait_for_configure(WAIT)
    await gateway.wait_device(SERIAL, configurationState="in_step")
    yield made
    made.stop()


def write(file, schema):
    """As an operator does it: beside, then renamed."""
    new = file.with_suffix(".new")
    new.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    new.rename(file)


async def until(condition):
    async with asyncio.timeout(WAIT):
        while not await condition():
            await asyncio.sleep(0.05)  # another process reads a file: there is no event to await


def paths(answer):
    assert answer.status_code == 400, answer.text
    text = answer.json()["ErrorDescription"]
    assert text.startswith("1008: The configuration is invalid. (")
    return [one["path"] for one in json.loads(text[text.index("(") + 1 : -1])]


async def test_what_is_wrong_is_neither_stored_nor_sent(gateway, device):
    before = await gateway.device(SERIAL)
    await gateway.mark()
    crash = {"interfaces": [{"ethernet": [{"select-ports": ["WAN*", 7]}]}]}
    place = "interfaces/0/ethernet/0/select-ports/1"
    assert paths(await gateway.configure(SERIAL, crash)) == [place]
    assert paths(await gateway.put_device(SERIAL, crash)) == [place]
    dry = await gateway.configure(SERIAL, crash, query="?validateOnly=true")
    assert dry.status_code == 200
    assert dry.json()["valid"] is False
    assert [one["path"] for one in dry.json()["errors"]] == [place]
    assert place in dry.json()["changes"]["added"]
    assert await gateway.device(SERIAL) == before
    assert gateway.logged("configuration sent", serial=SERIAL) == []
    assert await gateway.metric("gw_configuration_validations_total", result="invalid") == 2

    fine = {"unit": {"name": "lobby"}, "radios": [{"band": "6G"}]}
    dry = (await gateway.configure(SERIAL, fine, query="?validateOnly=true")).json()
    assert dry["valid"] is True
    assert dry["wouldChange"] is True
    assert (await gateway.device(SERIAL))["UUID"] == before["UUID"]
    sent = await gateway.configure(SERIAL, fine)
    assert sent.status_code == 200, sent.text
    assert sent.json()["status"] == "completed"
    assert [one["path"] for one in sent.json()["warnings"]] == ["radios/0/band"]
    assert device.config["unit"] == {"name": "lobby"}
    assert (await gateway.device(SERIAL))["configurationHash"] == dry["configurationHash"]
    dry = (await gateway.configure(SERIAL, fine, query="?validateOnly=true")).json()
    assert dry["wouldChange"] is False
    assert await gateway.metric("gw_configuration_validations_total", result="valid") == 1


async def test_schema_files_are_read_again_at_a_signal_and_when_they_change(
    gateway, device, schema_file
):
    async def valid():
        answer = await gateway.configure(SERIAL, {"a": 1}, query="?validateOnly=true")
        return answer.json()["valid"]

    async def invalid():
        return not await valid()

    assert await valid()
    write(schema_file, {"required": ["unit"]})
    os.kill(gateway.ready["pids"]["supervisor"], signal.SIGHUP)
    await until(invalid)
    write(schema_file, {"title": "lax again"})
    await until(valid)

    await gateway.mark()
    write(schema_file, "{")

    async def refused():
        assert await valid(), "a broken file took effect"
        return gateway.logged("schema file refused, the old one stays")

    await until(refused)
    answer = await gateway.configure(SERIAL, {"a": 1}, query="?validateOnly=true")
    assert answer.json()["schema"] == "lax again"
    write(schema_file, {"required": ["unit"]})
    await gateway.kill("api")
    assert not await valid(), "a successor reads the file as it is now"
