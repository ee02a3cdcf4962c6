"""Several device listeners in one gateway: each with its own certificate, authorities, revocation
lists and policies. Both authorities bear the same names, so that only keys tell them apart."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
FIRST, SECOND, THIRD = "02a0a0000001", "02a0a0000002", "02a0a0000003"
SIGN = hashes.SHA256()

Start = Callable[..., Awaitable[Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The PKI of the second listener."""
    folder = tmp_path / "lab-pki"
    pki.init(folder)
    return folder


def listener(name: str, folder: Path, **more: object) -> dict[str, object]:
    """Settings of a further listener whose files are those of a PKI."""
    files = {"certificate": "server.pem", "key": "server.key", "ca": "ca.pem", "crl": "crl.pem"}
    paths = {key: str(folder / file) for key, file in files.items()}
    return {"name": name, "port": 0} | paths | more


def port_of(gateway: Any, name: str) -> int:
    return int(gateway.ready["device_listeners"][name].rpartition(":")[2])


def device(folder: Path, serial: str, port: int) -> SimulatedDevice:
    pki.device(folder, [serial])
    return SimulatedDevice(serial, folder, "127.0.0.1", port)


async def served(one: SimulatedDevice) -> None:
    await one.connect(deadline=WAIT)
    await one.wait_for_configure(WAIT)


async def refused(one: SimulatedDevice) -> None:
    """It does not get in. With TLS 1.3 it learns of that after its own handshake."""
    try:
        await one.connect(deadline=WAIT, announce=False)
    except (OSError, ConnectionError):
        return
    await closed(one)


async def closed(one: SimulatedDevice) -> Any:
    return await asyncio.wait_for(asyncio.shield(one.closed), WAIT)


async def shown_certificate(folder: Path, serial: str, port: int) -> bytes:
    """Return the fingerprint of the certificate that a listener shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(
        folder / "devices" / f"{serial}.pem", folder / "devices" / f"{serial}.key"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return x509.load_der_x509_certificate(der).fingerprint(SIGN)


async def test_each_listener_has_authorities_and_policies_of_its_own(
    start_gateway: Start, pki_dir: Path, lab: Path
) -> None:
    policies = [{"issuer": "gw issuing CA", "simulated": True, "unknown": "create"}]
    gateway = await start_gateway(**{
        "devices.unknown": "refuse",
        "devices.ca_policies": [{"issuer": "gw issuing CA", "unknown": "create"}],
        "devices.listeners": [listener("lab", lab, ca_policies=policies)],
    })  # fmt: skip
    lab_port = port_of(gateway, "lab")
    assert f"wss://{gateway.ready['device_listeners']['lab']}" in gateway.log()
    one, other = device(pki_dir, FIRST, gateway.device_port), device(lab, SECOND, lab_port)
    await served(one)
    await served(other)
    for serial, name, verdict in ((FIRST, "devices", "VERIFIED"), (SECOND, "lab", "SIMULATED")):
        status = await gateway.get(f"device/{serial}/status")
        assert (status["listener"], status["verifiedCertificate"]) == (name, verdict)
    assert await gateway.metric("gw_connections", listener="lab") == 1
    assert await gateway.metric("gw_connections", listener="devices") == 1

    # The device of the one is a stranger to the other. It trusts both servers.
    for folder, serial, port, name in (
        (pki_dir, "02a0a0000004", lab_port, "lab"),
        (lab, "02a0a0000005", gateway.device_port, "devices"),
    ):
        stranger = with_both_authorities(folder, pki_dir, lab, serial, port)
        await refused(stranger)
        failures = "gw_handshake_failures_total"
        await gateway.wait_metric(failures, 1, listener=name, reason="unknown_ca")
        assert gateway.logged("connection refused", listener=name, reason="unknown_ca")

    for folder, serial, port in ((pki_dir, FIRST, gateway.device_port), (lab, SECOND, lab_port)):
        own = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
        assert await shown_certificate(folder, serial, port) == own.fingerprint(SIGN)

    # A worker that starts anew takes the sockets of all listeners over.
    for slot in (0, 1):
        await gateway.kill("worker", slot)
    for again in (one, other):
        again.stop()
    await served(device(pki_dir, "02a0a0000006", gateway.device_port))
    await served(device(lab, "02a0a0000007", lab_port))


def with_both_authorities(
    folder: Path, first: Path, second: Path, serial: str, port: int
) -> SimulatedDevice:
    """A device of one PKI that trusts the servers of both."""
    pki.device(folder, [serial])
    target = second.parent / f"client-{serial}"
    (target / "devices").mkdir(parents=True)
    bundles = [(one / "ca.pem").read_bytes() for one in (first, second)]
    (target / "ca.pem").write_bytes(b"".join(bundles))
    for ending in (".pem", ".key"):
        source = folder / "devices" / f"{serial}{ending}"
        (target / "devices" / source.name).write_bytes(source.read_bytes())
    return SimulatedDevice(serial, target, "127.0.0.1", port)


async def test_what_is_revoked_for_one_listener_concerns_its_own_sessions_only(
    start_gateway: Start, tmp_path: Path, lab: Path
) -> None:
    """Two further listeners have the same authority; only one of them has its revocation list."""
    gateway = await start_gateway(**{
        "devices.reload_seconds": 0.2,
        "devices.listeners": [listener("strict", lab), listener("lax", lab, crl="")],
    })  # fmt: skip
    strict, lax = port_of(gateway, "strict"), port_of(gateway, "lax")
    ends, stays, bystander = (
        device(lab, SECOND, strict), device(lab, THIRD, lax), device(lab, FIRST, strict),
    )  # fmt: skip
    for one in (ends, stays, bystander):
        await served(one)
    pki.revoke(lab, SECOND)
    pki.revoke(lab, THIRD)
    assert (await closed(ends)).code == 1008
    reloads = "gw_certificate_reloads_total"
    await gateway.wait_metric(reloads, 2, listener="strict", result="success")
    assert await gateway.metric("gw_session_ends_total", listener="strict", reason="revoked") == 1
    assert await gateway.metric("gw_session_ends_total", listener="lax") == 0
    assert await gateway.metric(reloads, listener="lax") == 0
    assert await gateway.metric(reloads, listener="devices") == 0
    await refused(ends)
    await gateway.wait_metric("gw_handshake_failures_total", 1, listener="strict", reason="revoked")
    await served(device(lab, SECOND, lax))  # no list says anything there
    for one in (stays, bystander):
        await one.confirm(WAIT)
        assert one.counters.connects == 1, "another session was disturbed"


async def test_a_broken_file_of_one_listener_leaves_the_others_reload_alone(
    start_gateway: Start, pki_dir: Path, lab: Path
) -> None:
    gateway = await start_gateway(**{"devices.listeners": [listener("lab", lab)]})
    one, other = (
        device(pki_dir, FIRST, gateway.device_port), device(lab, SECOND, port_of(gateway, "lab")),
    )  # fmt: skip
    await served(one)
    await served(other)
    (lab / "crl.pem").write_text("no list\n")
    os.kill(gateway.ready["pids"]["supervisor"], signal.SIGHUP)
    reloads = "gw_certificate_reloads_total"
    await gateway.wait_metric(reloads, 2, listener="lab", result="failure")
    await gateway.wait_metric(reloads, 2, listener="devices", result="success")
    told = gateway.logged("certificates not reloaded, the former ones stay", listener="lab")
    assert "devices.listeners[0] (lab).crl" in told[0]["detail"]
    for connected in (one, other):
        await connected.confirm(WAIT)
        assert connected.counters.connects == 1
    await served(device(lab, THIRD, port_of(gateway, "lab")))  # the former list still counts


@pytest.mark.parametrize("fault", ["port", "file", "pair"])
def test_a_listener_that_cannot_start_is_named(
    fault: str, pki_dir: Path, lab: Path, tmp_path: Path
) -> None:
    settings = listener("lab", lab)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if fault == "port":
            settings["port"] = taken.getsockname()[1]
            expected = (
                f"devices.listeners[0] (lab): cannot listen on 127.0.0.1 port {settings['port']}"
            )
        elif fault == "file":
            settings["ca"] = str(lab / "nowhere.pem")
            expected = f"devices.listeners[0] (lab).ca: {lab}/nowhere.pem: No such file"
        else:
            settings["key"] = str(pki_dir / "server.key")
            expected = "devices.listeners[0] (lab).certificate and key"
        done = gw_run(pki_dir, tmp_path, settings)
    assert done.returncode != 0
    assert expected in done.stderr.decode(), done.stderr.decode()[-3000:]


def gw_run(
    folder: Path, data: Path, further: dict[str, object]
) -> subprocess.CompletedProcess[bytes]:
    """`gw run` with one further listener, which is expected to end by itself."""
    ports = ("devices", "api", "security", "files", "metrics", "private_api", "private_security",
             "security_check")  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "gw",
        "run",
        "--data",
        str(data / "data"),
        "--pki",
        str(folder),
    ]
    for section in ports:
        command += ["--set", f"{section}.port=0", "--set", f"{section}.host=127.0.0.1"]
    command += ["--set", "workers.count=1", "--set", f"devices.listeners={json.dumps([further])}"]
    environment = os.environ | {"GW_ADMIN_PASSWORD": "Right-Horse-7!"}
    return subprocess.run(command, capture_output=True, timeout=120, env=environment, check=False)


def test_the_doctor_looks_at_every_listener(pki_dir: Path, lab: Path, tmp_path: Path) -> None:
    further = listener("lab", lab, crl="", ca=str(lab / "nowhere.pem"))
    command = [sys.executable, "-m", "gw", "doctor", "--data", str(tmp_path / "data")]
    command += ["--pki", str(pki_dir), "--set", f"devices.listeners={json.dumps([further])}"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"{lab}/nowhere.pem does not exist" in done.stdout.decode()
