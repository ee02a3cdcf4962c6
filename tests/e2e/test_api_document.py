"""Schemathesis over the whole API documents of both listeners, against the real program.

Every operation is called with data made from the document, valid and invalid, and every answer is
compared with the document: statuses, content types, schemas; no server error, nothing without a
token. What is switched off contradicts the interface that clients rely on, and is named with the
section that says so.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway import DEADLINE, Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

SERIAL = "02a0f1000010"
WAIT = 60.0
RUN_SECONDS = 280.0
EXAMPLES = 3

EXCLUDED = {
    # northbound.md 2.1: who shows no token is refused with 403, never 401. That they are refused
    # is looked at by `ignored_auth`, which is on.
    "missing_required_header": "2.1",
    # 2.2: a method that a path does not list is answered 400 with error 1004, not 405.
    "unsupported_method": "2.2",
    # 2.3 and 2.5: unknown members are ignored, a body without need is not read, and a number or
    # flag of the query that is none falls back to its default.
    "negative_data_rejection": "2.3, 2.5",
    # 2.4: what the state of the store or of a device refuses (a name taken, a device away) is
    # answered 400 as well, so a valid request may be.
    "positive_data_acceptance": "2.4",
}


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir):
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"),
        pki_dir,
        # Switched off, terminals are answered 503 (2.4), which is taken for a failure.
        **{"rtty.enabled": True, "rtty.port": 0, "rtty.viewer_port": 0},
    )
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


async def schemathesis(
    gateway: Gateway, service: str, folder: Path, *options: str, parameters: dict[str, str]
) -> str:
    """Run it over the document of a listener, and return what it printed. It must succeed."""
    lines = [f'"path.{name}" = "{value}"' for name, value in parameters.items()]
    (folder / "schemathesis.toml").write_text("[parameters]\n" + "\n".join(lines) + "\n")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.ready[service]}/openapi.json",
        "--header", f"Authorization: Bearer {await gateway.sign_in()}",
        "--tls-verify", str(gateway.pki / "ca.pem"),
        "--checks", "all", "--exclude-checks", ",".join(EXCLUDED),
        "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", str(EXAMPLES), "--generation-deterministic", "--continue-on-failure",
        "--request-timeout", "60", "--no-color", *options,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | {"HOME": str(folder), "COLUMNS": "100"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = printed.decode()
    assert process.returncode == 0, text[text.find("FAILURES") :][:8_000] + text[-2_000:]
    return text


def count(text: str, name: str) -> int:
    found = re.search(rf"{name}: (\d+)", text)
    assert found is not None, text[-3000:]
    return int(found[1])


async def operations(gateway: Gateway, service: str) -> int:
    """Number of operations of the document of a listener."""
    document = await gateway.get("../../openapi.json", service=service)
    return sum(len(methods) for methods in document["paths"].values())


@pytest.mark.parametrize("service", ["api", "security"])
async def test_every_operation(shared_gateway, tmp_path, service):
    text = await schemathesis(shared_gateway, service, tmp_path, parameters={})
    assert count(text, "Tested") == await operations(shared_gateway, service)
    assert await shared_gateway.metric("gw_api_requests_total", **{"class": "5xx"}) == 0


@pytest.fixture
async def things(shared_gateway: Gateway) -> dict[str, str]:
    """Something of each kind that a path can name: paths that are made up find nothing."""
    pki.device(shared_gateway.pki, [SERIAL])
    device = SimulatedDevice(SERIAL, shared_gateway.pki, "127.0.0.1", shared_gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await shared_gateway.wait_device(SERIAL, configurationState="in_step")
    device.send_state()
    device.send_healthcheck(90)
    device.send_log("a line")
    device.send_event("wifi.start", {"x": 1})
    await device.confirm(WAIT)

    async def make(path: str, **body: Any) -> Any:
        answer = await shared_gateway.request("POST", path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async with asyncio.timeout(DEADLINE):
        while not (await shared_gateway.get(f"device/{SERIAL}/events"))["events"]:
            await asyncio.sleep(0.05)  # REST has no event to await
    command = await make(f"device/{SERIAL}/leds", serialNumber=SERIAL, pattern="on", when=0)
    await make("default_configuration/one", name="one", modelIds=["x"], configuration={"uuid": 1})
    await make("default_firmware/x", deviceType="x", uri="https://h/x", revision="1")
    await make(f"blacklist/{SERIAL[:-1]}f", serialNumber=f"{SERIAL[:-1]}f", reason="test")
    script = await make("script/0", name="s", author="a", type="shell", content="true", version="1")
    user = await shared_gateway.get("oauth2?me=true", service="security")
    yield {
        "serialNumber": SERIAL,
        "commandUuid": command["UUID"],
        "uuid": command["UUID"],
        "name": "one",
        "deviceType": "x",
        "scriptId": script["id"],
        "id": user["id"],
    }
    await device.disconnect()


async def test_what_is_there(shared_gateway, tmp_path, things):
    for service in ("api", "security"):
        only_read = ("--include-method", "GET")
        text = await schemathesis(shared_gateway, service, tmp_path, *only_read, parameters=things)
        assert count(text, "Tested") > 5
    assert (await shared_gateway.device(SERIAL))["serialNumber"] == SERIAL


def test_the_exclusions_have_a_section():
    assert all(re.fullmatch(r"2\.[1-5](, 2\.[1-5])*", section) for section in EXCLUDED.values())
