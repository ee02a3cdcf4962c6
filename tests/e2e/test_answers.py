"""The answer to each operation that clients know, compared member by member.

With the shapes of northbound.md and security.md (`tests/answers.py`), and with what our own
OpenAPI document says of the same operation.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pyotp
import pytest
from answers import FILE, NOTHING, PAGE, ROWS, Row
from gateway import DEADLINE, Gateway
from shapes import names, problems

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

LIST = Path(__file__).resolve().parents[1] / "vectors" / "endpoints.tsv"
WAIT = 60.0
AP, SWITCH, NEW = "02a0aa0001a1", "02a0aa0001a2", "02a0aa0001a3"
FORM = {"file": ("me.png", b"\x89PNG\r\n\x1a\n" + b"x" * 50)}
RESTARTS = ("upgrade", "factory", "transfer", "fixedconfig", "reboot")


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir):
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"), pki_dir,
        **{"rtty.enabled": "true", "rtty.host": "127.0.0.1", "rtty.port": 0,
           "rtty.viewer_port": 0, "radius.enabled": "true", "radius.host": "127.0.0.1",
           "radius.auth_port": 0, "radius.acct_port": 0, "radius.coa_port": 0},
    )  # fmt: skip
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


class Session:
    """Makes the calls, with what earlier ones brought."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.things = {"ap": AP, "switch": SWITCH, "new": NEW, "port": str(gateway.device_port)}

    def filled(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: self.things[found[1]], text)

    async def call(self, row: Row) -> httpx.Response:
        service, _, method, path = self.place(row)
        url = f"{self.gateway.ready[service]}{path}".replace("//localhost:", "//127.0.0.1:")
        token = self.things[row.by] if row.by else await self.gateway.sign_in()
        headers = {"Authorization": f"Bearer {token}"}
        body: dict[str, Any] = {}
        if row.body == "a form":
            body = {"files": FORM}
        elif isinstance(row.body, str):
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = {"content": row.body}
        elif row.body is not None:
            headers["Content-Type"] = "application/json"
            body = {"content": self.filled(json.dumps(row.body)) if row.body else "{}"}
        async with httpx.AsyncClient(verify=self.gateway._tls, timeout=DEADLINE) as client:
            answer = await client.request(method, url, headers=headers, **body)
            while answer.status_code == 202:
                await asyncio.sleep(0.05)  # a file that is on its way: clients ask again
                answer = await client.request(method, url, headers=headers)
        self.keep(row, answer)
        return answer

    def place(self, row: Row) -> tuple[str, str, str, str]:
        """Return listener, operation, method and path."""
        name = row.operation
        service = "api"
        for prefix, listener in (("owsec ", "security"), ("owgw-upload ", "files")):
            if name.startswith(prefix):
                service, name = listener, name.removeprefix(prefix)
        method, _, pattern = name.partition(" ")
        path = self.filled(row.path)
        return service, pattern, method, path if path.startswith("/") else f"/api/v1/{path}"

    def keep(self, row: Row, answer: httpx.Response) -> None:
        if row.keep == "qr=":
            uri = re.search(r"otpauth://[^<]+", answer.text)
            assert uri
            self.things["code"] = pyotp.parse_uri(uri[0].replace("&amp;", "&")).now()
        elif row.keep and answer.status_code == row.status:
            name, _, member = row.keep.partition("=")
            found = answer.json()
            for part in member.split("."):
                found = found[int(part) if part.isdigit() else part]
            self.things[name] = found


def faults(row: Row, answer: httpx.Response) -> list[str]:
    """Compare an answer with its row."""
    if answer.status_code != row.status:
        return [f"answered {answer.status_code}, not {row.status}: {answer.text:.300}"]
    shapes = row.shape if isinstance(row.shape, tuple) else (row.shape,)
    if NOTHING in shapes and not answer.content:
        return []
    kind = answer.headers.get("content-type", "")
    if FILE in shapes or PAGE in shapes:
        expected = "text/html" if PAGE in shapes else ("image/", "application/octet-stream",
                                                       "application/vnd")  # fmt: skip
        return [] if kind.startswith(expected) and answer.content else [f"is of type {kind!r}"]
    if kind != "application/json":
        return [f"is of type {kind!r}: {answer.text:.100}"]
    found = problems(answer.json(), tuple(one for one in shapes if one != NOTHING))
    if row.status >= 400 and not found:
        told = answer.json()
        if told.get("ErrorCode", row.status) != row.status:
            found.append(f"ErrorCode {told['ErrorCode']} in an answer of status {row.status}")
    return found


class Documents:
    """The OpenAPI documents of both listeners."""

    def __init__(self, documents: dict[str, dict[str, Any]]) -> None:
        self._documents = documents

    def faults(self, service: str, pattern: str, method: str, answer: httpx.Response) -> list[str]:
        """Compare an answer with what the document says of its operation."""
        if service not in self._documents or not pattern.startswith(("/", "/api")):
            return []
        document = self._documents[service]
        operation = self._operation(document, pattern, method)
        if operation is None:
            return [] if "/ws" in pattern or not answer.request.url.path.startswith("/api/") else [
                "is not in the document"
            ]  # fmt: skip
        told = operation["responses"].get(str(answer.status_code))
        if told is None:
            return [f"the document has no answer of status {answer.status_code}"]
        content = told.get("content", {})
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if not answer.content or "application/json" not in content:
            return []
        if kind != "application/json":
            return [f"the document says JSON, and the answer is {kind}"]
        schema = content["application/json"]["schema"] | {"components": document["components"]}
        validator = jsonschema_rs.validator_for(schema)
        return [
            f"the document: {error.message:.200} at {'/'.join(map(str, error.instance_path))}"
            for error in validator.iter_errors(answer.json())
        ]

    @staticmethod
    def _operation(document: dict[str, Any], pattern: str, method: str) -> dict[str, Any] | None:
        wanted = f"/api/v1{pattern}".split("/")
        best: tuple[int, dict[str, Any]] | None = None
        for path, operations in document["paths"].items():
            ours = path.split("/")
            if len(ours) != len(wanted) or method.lower() not in operations:
                continue
            if all(a.startswith("{") or a == b for a, b in zip(ours, wanted, strict=True)):
                open_parts = sum(part.startswith("{") for part in ours)
                if best is None or open_parts < best[0]:
                    best = open_parts, operations[method.lower()]
        return best[1] if best else None


async def join(gateway: Gateway, serial: str, **options: Any) -> SimulatedDevice:
    """A device that has said something of each kind."""
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, uploads=True, **options
    )
    await device.connect(deadline=WAIT)
    if device.platform == "ap":
        await device.wait_for_configure(WAIT)
        await gateway.wait_device(serial, configurationState="in_step")
    device.send_state()
    device.send_healthcheck(95)
    device.send("crashlog", {"uuid": device.uuid, "loglines": ["panic"]})
    device.send_log("the last of all")
    async with asyncio.timeout(DEADLINE):
        while not (await gateway.get(f"device/{serial}/logs"))["values"]:
            await asyncio.sleep(0.05)  # REST has no event to await
    return device


async def test_each_answer(shared_gateway):
    gateway = shared_gateway
    documents = Documents({
        service: await gateway.get("../../openapi.json", service=service)
        for service in ("api", "security")
    })  # fmt: skip
    devices = [await join(gateway, AP), await join(gateway, SWITCH, platform="switch")]
    session = Session(gateway)
    found: list[str] = []
    try:
        for row in ROWS:
            answer = await session.call(row)
            service, pattern, method, _ = session.place(row)
            told = faults(row, answer)
            if row.status == 200 or row.status >= 400:
                told += documents.faults(service, pattern, method, answer)
            found += [f"{row.operation} ({row.path}): {text}" for text in told]
            if row.path.endswith(RESTARTS):
                await comes_back(gateway, devices[0])
    finally:
        for device in devices:
            await device.end_terminals()
            device.stop()
    assert not found, "\n".join(found)


async def comes_back(gateway: Gateway, device: SimulatedDevice) -> None:
    """Let a device connect again after what restarts it."""
    async with asyncio.timeout(DEADLINE):
        await asyncio.shield(device.closed)
        while (await gateway.get(f"device/{AP}/status"))["connected"]:
            await asyncio.sleep(0.05)  # REST has no event to await
    await device.connect(deadline=WAIT)
    async with asyncio.timeout(DEADLINE):
        while not (await gateway.get(f"device/{AP}/status"))["connected"]:
            await asyncio.sleep(0.05)  # REST has no event to await


def test_every_operation_has_a_row():
    listed = set()
    for line in LIST.read_text("utf-8").splitlines():
        service, method, path, *_ = line.split("\t")
        if not service.endswith("(external)"):
            prefix = "" if service == "owgw" else f"{service} "
            listed.add(f"{prefix}{method} {path.removeprefix('/api/v1')}")
    assert {row.operation for row in ROWS} == listed


def test_a_row_that_does_not_fit_is_found():
    row = ROWS[0]
    request = httpx.Request("GET", "https://gw/api/v1/devices")
    answer = httpx.Response(200, json={"devices": [{"serialNumber": "x"}]}, request=request)
    assert any("serialNumber" in text for text in faults(row, answer))
    assert any("configuration is absent" in text for text in faults(row, answer))
    assert names({"a": int, "b?": str}) == {"a", "b"}
