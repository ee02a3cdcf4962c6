"""`gw device` against the real program."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from gateway import PASSWORD

pytestmark = pytest.mark.e2e
SERIAL = "02a0f2c00001"


async def run(gateway, *arguments, given="", **environment):
    def local(url):
        return url.replace("//localhost:", "//127.0.0.1:")

    known = {name: one for name, one in os.environ.items() if not name.startswith("GW_")}
    known |= {
        "GW_URL": local(gateway.ready["api"]),
        "GW_SECURITY_URL": local(gateway.ready["security"]),
        "GW_CA": str(gateway.pki / "ca.pem"),
    }
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "gw", "device", *arguments],
        env=known | environment, input=given, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


async def test_devices_are_listed_shown_and_configured(shared_gateway):
    gateway = shared_gateway
    who = {"GW_USER": "admin@localhost", "GW_PASSWORD": PASSWORD}
    body = {"serialNumber": SERIAL, "configuration": {"interfaces": []}}
    made = await gateway.request("POST", f"device/{SERIAL}", json=body)
    assert made.status_code == 200, made.text
    listed = await run(gateway, "list", **who)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.split()[:3] == [SERIAL, "away", "unknown"]
    shown = await run(gateway, "show", SERIAL, **who)
    assert json.loads(shown.stdout)["configuration"]["interfaces"] == []

    text = '{"interfaces": [], "unit": {"name": "roof"}}'
    checked = await run(gateway, "configure", SERIAL, "-", "--check", given=text, **who)
    assert (checked.returncode, checked.stdout) == (0, "valid\n")
    bad = await run(gateway, "configure", SERIAL, "-", "--check", given='{"radios": 1}', **who)
    assert bad.returncode == 1
    assert "radios" in bad.stdout
    done = await run(gateway, "configure", SERIAL, "-", given=text, **who)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "pending"

    absent = await run(gateway, "show", "02a0f2cfffff", **who)
    assert absent.returncode == 1
    assert "404" in absent.stderr
    wrong = await run(gateway, "list", **(who | {"GW_PASSWORD": "Wrong-1!"}))
    assert wrong.returncode == 1
    assert "Unknown user or wrong password" in wrong.stderr
    nobody = await run(gateway, "list")
    assert nobody.returncode == 2
    assert "GW_API_KEY" in nobody.stderr
