"""200 malformed variants of every message over mTLS: each is counted for what it is, no session
stays behind, nothing is dropped on the way to the store, and what was stored can be read."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest
import southbound_vectors as vectors
from gateway import Gateway
from mutations import Mutator
from sessions import Model, Outcome, Silent

from gw.core.records import Kind
from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults
from gw.worker import session

pytestmark = pytest.mark.e2e

WAIT = 60.0
VARIANTS = 200
DEVICES = 64
"""Many, for a session that the gateway has closed takes a second to end."""
BATCH = 40
"""Messages between two looks whether the gateway has read them."""
EXAMPLES = [name for name in vectors.NAMES if vectors.direction(name) == "device"]


class Sender:
    """One device that sends bad messages, and a session in process that tells what is due."""

    def __init__(self, gateway: Gateway, serial: str) -> None:
        self.gateway = gateway
        self.serial = serial
        connect = {"serial": serial, "uuid": 1, "firmware": "f", "capabilities": {}}
        self.hello = json.dumps({"jsonrpc": "2.0", "method": "connect", "params": connect}).encode()
        self.model = Model(serial, self.hello)
        self.device = SimulatedDevice(
            serial, gateway.pki, "127.0.0.1", gateway.device_port,
            faults=Faults(silent=frozenset({"*"})), action_delay=3600, keep=0,
        )  # fmt: skip
        self.errors: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()

    async def run(self, messages: list[bytes]) -> None:
        """Send all, with a new session for each that is closed."""
        await self._open()
        for number, message in enumerate(messages):
            outcome = self.model.take(message)
            self._note(outcome, message)
            self.device.send_text(message)
            if outcome.closed:
                ended = await asyncio.wait_for(asyncio.shield(self.device.closed), WAIT)
                assert ended.code in (1007, 1008), (ended, message[:500])
                await self._open()
            elif number % BATCH == 0:
                await self.device.confirm(WAIT)
        await self.device.confirm(WAIT)
        await self.device.disconnect()

    async def _open(self) -> None:
        await self.device.connect(deadline=WAIT, announce=False)
        self.device.send_text(self.hello)

    def _note(self, outcome: Outcome, message: bytes) -> None:
        assert outcome.kind != "nothing", message[:500]
        if outcome.kind == "error":
            self.errors[outcome.reason] += 1
        if outcome.closed:
            end = "protocol_errors" if outcome.kind == "error" else outcome.reason
            self.ends[end] += 1
        for record in outcome.records:
            if record.kind == Kind.MESSAGE:
                for method in ("state", "healthcheck"):
                    self.stored[method] += method.encode() in record.head


async def test_each_is_counted_for_what_it_is(
    start_gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "log", Silent())
    gateway: Gateway = await start_gateway()
    serials = pki.numbered_serials("02a0ec", DEVICES)
    pki.device(gateway.pki, serials)
    messages = [
        variant
        for name in EXAMPLES
        for variant in Mutator(vectors.load(name), name).variants(VARIANTS)
    ]
    random.Random(4).shuffle(messages)
    senders = [Sender(gateway, serial) for serial in serials]
    await asyncio.gather(
        *(
            sender.run(
                [
                    one.replace(b"24f5a207a130", sender.serial.encode())
                    for one in messages[number::DEVICES]
                    if one
                ]
            )
            for number, sender in enumerate(senders)
        )
    )

    errors = sum((sender.errors for sender in senders), Counter())
    ends = sum((sender.ends for sender in senders), Counter())
    stored = sum((sender.stored for sender in senders), Counter())
    # It is a test of all of them.
    assert set(errors) >= {
        "not_jsonrpc", "unknown_method", "bad_params", "bad_compression", "number_range",
        "foreign_answer",
    }, errors  # fmt: skip
    assert set(ends) >= {"bad_json", "depth", "serial_mismatch", "protocol_errors"}, ends

    # No session stays behind, and each ended for its reason.
    await gateway.wait_metric("gw_session_ends_total", sum(ends.values()) + DEVICES)
    assert await gateway.metric("gw_connections") == 0
    counted = {
        reason: int(await gateway.metric("gw_session_ends_total", reason=reason)) for reason in ends
    }
    assert counted == dict(ends)
    counted = {
        reason: int(await gateway.metric("gw_protocol_errors_total", reason=reason))
        for reason in errors
    }
    assert counted == dict(errors)
    assert await gateway.metric("gw_protocol_errors_total") == sum(errors.values())

    # What was good among them is stored, once each; nothing was dropped on the way.
    for method, kind in (("state", "statistics"), ("healthcheck", "healthcheck")):
        await gateway.wait_metric("gw_store_records_committed_total", stored[method], kind=kind)
        found = await gateway.metric("gw_store_records_committed_total", kind=kind)
        assert found == stored[method]
    async with asyncio.timeout(WAIT):
        while await gateway.metric("gw_devices_connected"):
            await asyncio.sleep(0.05)
    lines = gateway.log().splitlines()
    assert [line for line in lines if "Traceback" in line] == []
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(entries) > 1000
    bad = [
        entry
        for entry in entries
        if entry["level"] in ("error", "critical") or "exception" in entry
    ]
    assert bad == []
    assert await gateway.metric("gw_store_errors_total") == 0

    # All of it can be read.
    for serial in serials:
        for what in (
            "", "/status", "/capabilities", "/statistics", "/healthchecks", "/logs",
            "/logs?logType=1", "/logs?logType=2",
        ):  # fmt: skip
            json.loads((await gateway.request("GET", f"device/{serial}{what}")).content)
            assert (await gateway.request("GET", f"device/{serial}{what}")).status_code == 200
        await gateway.get(f"commands?serialNumber={serial}")
