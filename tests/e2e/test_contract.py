"""The outside contract (design.md, section 13), used from outside: commands, files, HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from gateway import DEADLINE, PASSWORD, sum_of

from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

LISTENERS = (
    "devices", "api", "security", "private_api", "private_security", "files", "metrics",
    "security_check",
)  # fmt: skip
FREE_PORTS = [text for name in LISTENERS for text in ("--set", f"{name}.port=0")]
SERIAL = "02a0c9c0ffee"
ADMINISTRATOR = "admin@localhost"
DAY = datetime.timedelta(days=1)


def environment(**more: str) -> dict[str, str]:
    """The environment without anything that a setting could come from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GW_")}
    return kept | {"NO_COLOR": "1"} | more


def gw(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gw", *map(str, arguments)],
        env=environment(**more), capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip


def well(*arguments: object, **more: str) -> str:
    """Run a command that must succeed; returns what it printed."""
    done = gw(*arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Program:
    """A `gw run` with just what a test says."""

    def __init__(self, folder: Path, pki: Path) -> None:
        self.pki = pki
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.out, self.err = folder / "out", folder / "err"
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}
        self.tls = ssl.create_default_context(cafile=str(pki / "ca.pem"))

    def start(self, *options: str, ports: list[str] = FREE_PORTS, **more: str) -> dict[str, Any]:
        """Start, and wait for the ready file, whose content is returned."""
        command = [sys.executable, "-m", "gw", "run", "--data", str(self.data)]
        command += ["--pki", str(self.pki), "--ready-file", str(self.ready_file), *ports, *options]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, env=environment(**more)
            )
        return self.wait_ready(lambda ready: True)

    def wait_ready(self, sound: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a ready file as wanted. At no time does it hold half of its content."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.err.read_text()[-4000:]
            with contextlib.suppress(FileNotFoundError):
                self.ready = json.loads(self.ready_file.read_text())
                if sound(self.ready):
                    return self.ready
            time.sleep(0.01)  # a file appears: there is no event to wait for
        raise AssertionError(f"no such ready file in time; the last one: {self.ready}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask for the end; returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process = None

    def call(self, method: str, url: str, **more: Any) -> httpx.Response:
        """One HTTPS request, with the host name as the ready file has it."""
        with httpx.Client(verify=self.tls, timeout=DEADLINE) as client:
            return client.request(method, url, **more)

    def sign_in(self, password: str, **more: str) -> httpx.Response:
        """POST oauth2."""
        body = {"userId": ADMINISTRATOR, "password": password} | more
        return self.call("POST", f"{self.ready['security']}/api/v1/oauth2", json=body)

    def api(self, method: str, path: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        """One request of the administrator."""
        token = self.sign_in(password).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return self.call(method, f"{self.ready['api']}/api/v1/{path}", headers=headers, **more)

    def scrape(self) -> str:
        """Return the metrics."""
        return httpx.get(f"{self.ready['metrics']}/metrics", timeout=DEADLINE).text

    def port(self, name: str) -> int:
        """Return the port of a listener."""
        return int(self.ready[name].rpartition(":")[2])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKI as a user makes it."""
    folder = tmp_path_factory.mktemp("contract") / "pki"
    well("pki", "init", "--dir", folder)
    well("pki", "device", "--dir", folder, SERIAL)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Iterator[Program]:
    """A gateway with nothing set but data, PKI and ports, and what it showed at once."""
    program = Program(tmp_path_factory.mktemp("served"), pki)
    program.start(GW_ADMIN_PASSWORD=PASSWORD)
    program.first_scrape = program.scrape()
    yield program
    assert program.stop() == 0, program.err.read_text()[-4000:]


@pytest.fixture
def program(tmp_path: Path, pki: Path) -> Iterator[Program]:
    """A gateway that the test starts."""
    made = Program(tmp_path, pki)
    yield made
    if made.process is not None:
        assert made.stop() == 0, made.err.read_text()[-4000:]


# -- gw pki


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def load(file: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(file.read_bytes())


def test_pki_init_is_repeatable(tmp_path):
    well("pki", "init", "--dir", tmp_path / "D")
    first = contents(tmp_path / "D")
    assert {"ca.pem", "crl.pem", "server.pem", "server.key"} <= set(first)
    names = load(tmp_path / "D" / "server.pem")[0].extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value  # fmt: skip
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert {"127.0.0.1", "::1"} <= set(map(str, names.get_values_for_type(x509.IPAddress)))
    well("pki", "init", "--dir", tmp_path / "D")
    assert contents(tmp_path / "D") == first
    for name in first:
        if name.endswith(".key"):
            assert (tmp_path / "D" / name).stat().st_mode & 0o077 == 0


def test_pki_device_is_repeatable(tmp_path):
    folder = tmp_path / "D"
    well("pki", "init", "--dir", folder)
    well("pki", "device", "--dir", folder, SERIAL, "02a0c9000001")
    files = contents(folder / "devices")
    assert set(files) == {f"{s}.{e}" for s in (SERIAL, "02a0c9000001") for e in ("pem", "key")}
    leaf, issuing = load(folder / "devices" / f"{SERIAL}.pem")
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == SERIAL
    leaf.verify_directly_issued_by(issuing)
    assert issuing in load(folder / "ca.pem")
    well("pki", "device", "--dir", folder, SERIAL)
    assert contents(folder / "devices") == files


def test_pki_device_expired_and_back(tmp_path):
    folder = tmp_path / "D"
    well("pki", "init", "--dir", folder)
    file = folder / "devices" / f"{SERIAL}.pem"
    now = datetime.datetime.now(datetime.UTC)
    for options, ended in (([], False), (["--expired"], True), (["--expired"], True), ([], False)):
        well("pki", "device", "--dir", folder, SERIAL, *options)
        assert (load(file)[0].not_valid_after_utc < now) == ended


def test_pki_revoke_is_repeatable(tmp_path):
    folder = tmp_path / "D"
    well("pki", "init", "--dir", folder)
    well("pki", "device", "--dir", folder, SERIAL)
    number = load(folder / "devices" / f"{SERIAL}.pem")[0].serial_number
    end = b"-----END X509 CRL-----"
    for _ in range(2):
        well("pki", "revoke", "--dir", folder, SERIAL)
        parts = (folder / "crl.pem").read_bytes().split(end)[:-1]
        lists = [x509.load_pem_x509_crl(part + end) for part in parts]
        assert any(one.get_revoked_certificate_by_serial_number(number) for one in lists)


@pytest.mark.parametrize("command", ["device", "revoke"])
def test_pki_commands_without_a_pki_say_what_to_do(tmp_path, command):
    done = gw("pki", command, "--dir", tmp_path / "D", SERIAL)
    assert done.returncode == 1
    assert f"gw pki init --dir {tmp_path / 'D'}" in done.stderr
    assert "Traceback" not in done.stderr


# -- gw run: ready file, listeners


def test_ready_file(served):
    ready = served.ready
    assert set(ready) == {
        "devices", "api", "security", "private_api", "private_security", "files", "metrics",
        "security_check", "pids",
    }  # fmt: skip
    names = load(served.pki / "server.pem")[0].extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value  # fmt: skip
    known = {*names.get_values_for_type(x509.DNSName)}
    known |= {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    patterns = {"devices": "()", "metrics": "(http://)", "security_check": "(http://)"}
    for name in LISTENERS:
        pattern = patterns.get(name, "(https://)") + r"([^:/]+):(\d+)"
        found = re.fullmatch(pattern, ready[name])
        assert found, (name, ready[name])
        assert found[2] in known
        assert 0 < int(found[3]) < 65536
    pids = ready["pids"]
    assert {"supervisor", "coordinator", "api", "workers"} <= set(pids)
    assert len(pids["workers"]) == len(os.sched_getaffinity(0))
    assert served.process is not None
    assert pids["supervisor"] == served.process.pid
    others = [pids["coordinator"], pids["api"], *pids["workers"]]
    assert len({*others, pids["supervisor"]}) == len(others) + 1
    assert all(psutil.Process(pid).ppid() == pids["supervisor"] for pid in others)


def test_everything_that_the_ready_file_names_answers(served):
    for name in ("api", "security"):
        assert served.call("GET", f"{served.ready[name]}/api/v1/devices").status_code >= 400
    served.call("GET", f"{served.ready['files']}/")  # an answer of any kind, over TLS that is ours
    context = ssl.create_default_context(cafile=str(served.pki / "ca.pem"))
    folder = served.pki / "devices"
    context.load_cert_chain(folder / f"{SERIAL}.pem", folder / f"{SERIAL}.key")
    host, _, port = served.ready["devices"].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname=host) as link,
    ):
        link.sendall(
            b"GET / HTTP/1.1\r\nHost: gw\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert link.recv(4096).startswith(b"HTTP/1.1 101 ")


def test_an_unknown_device_is_refused_unless_set_otherwise(served):
    assert served.api("GET", f"device/{SERIAL}").status_code == 404
    shown = json.loads(well("config", "show", "--json"))
    assert shown["devices"]["unknown"] == "refuse"


def test_metrics_are_there_from_the_start(served):
    text = served.first_scrape
    for name, label in (
        ("gw_device_messages_received_total", "method"),
        ("gw_store_records_committed_total", "kind"),
        ("gw_config_pushes_total", "cause"),
        ("gw_config_rejections_total", None),
    ):
        series = re.findall(rf"^{name}({{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert series, name
        for labels, value in series:
            if label is None:
                assert labels == ""
            else:
                assert re.fullmatch(rf'{{{label}="[^"]+"}}', labels)
            # The first user is a record too.
            assert float(value) == 0 or labels in ('{kind="other"}', '{kind="user"}'), (
                name,
                labels,
            )
    for method in ("connect", "state", "healthcheck", "log", "event", "ping", "recovery"):
        assert f'gw_device_messages_received_total{{method="{method}"}} 0' in text
    for kind in ("statistics", "healthcheck", "log"):
        assert f'gw_store_records_committed_total{{kind="{kind}"}} 0' in text


def test_metrics_are_on_loopback_only_and_plain(served):
    port = served.port("metrics")
    listening = [
        c.laddr.ip
        for c in psutil.Process(served.ready["pids"]["supervisor"]).net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1"}
    for name in ("api", "security", "files"):
        assert served.call("GET", f"{served.ready[name]}/metrics").status_code in (400, 403, 404)


def test_console_and_api_document(served):
    for path in ("/", "/docs"):
        answer = served.call("GET", served.ready["api"] + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
    # Where the page finds the document is in the page or its script.
    page = served.call("GET", f"{served.ready['api']}/docs").text
    sources = re.findall(r'src="([^"]+\.js)"', page)
    base = httpx.URL(f"{served.ready['api']}/docs")
    texts = [page, *(served.call("GET", str(base.join(source))).text for source in sources)]
    links = {
        link for text in texts for link in re.findall(r'["\']([^"\']*openapi\.json)["\']', text)
    }
    assert links
    document = served.call("GET", str(base.join(links.pop()))).json()
    assert document["openapi"].startswith("3.")
    for path in ("/devices", "/device/{serialNumber}", "/device/{serialNumber}/configure"):
        assert any(known.endswith(path) for known in document["paths"]), path


def test_the_password_of_the_environment_needs_no_change(served):
    assert served.sign_in(PASSWORD).status_code == 200
    assert "password" not in served.out.read_text().lower()
    for file in (served.out, served.err):
        assert PASSWORD not in file.read_text()


def test_doctor_finds_the_running_gateway_well(served):
    assert "FAULT" not in well("doctor", "--data", served.data, "--pki", served.pki, *FREE_PORTS)
    ports = [f"--set={name}.port={served.port(name)}" for name in LISTENERS]
    assert "FAULT" not in well("doctor", "--data", served.data, "--pki", served.pki, *ports)


def test_two_gateways_do_not_share_a_data_directory(served):
    done = gw("run", "--data", served.data, "--pki", served.pki, *FREE_PORTS)
    assert done.returncode not in (0, -signal.SIGTERM)
    assert f"pid {served.ready['pids']['supervisor']}" in done.stderr
    assert "Traceback" not in done.stderr
    assert served.sign_in(PASSWORD).status_code == 200


def test_simulate_reports_as_json(served, tmp_path):
    serials = [f"02a0c900000{number}" for number in range(3)]
    for serial in serials:
        body = {"serialNumber": serial, "deviceType": "edgecore_eap101", "configuration": {}}
        answer = served.api("POST", f"device/{serial}", json=body)
        assert answer.status_code == 200, answer.text
    host, _, port = served.ready["devices"].rpartition(":")
    where = ("--host", host, "--port", port, "--pki", served.pki)
    how = ("--state-interval", 0.5, "--duration", 4, "--report", tmp_path / "report.json")
    well("simulate", "--devices", 3, *where, *how)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["devices"], report["connected"]) == (3, 3)
    assert set(report["states_sent"]) == set(serials)
    assert report["errors"] == {}
    assert all(sent > 0 for sent in report["states_sent"].values())
    listed = served.api("GET", "devices?limit=1000")
    assert listed.status_code == 200
    assert {d["serialNumber"] for d in listed.json()["devices"]} >= set(serials)
    assert served.api("GET", "devices?limit=1001").status_code == 400


@pytest.mark.parametrize("role", ["api", "coordinator", "worker"])
def test_the_ready_file_follows_a_killed_process(served, role):
    before = served.ready
    pids = before["pids"]
    killed = pids["workers"][-1] if role == "worker" else pids[role]
    os.kill(killed, signal.SIGKILL)
    after = served.wait_ready(lambda ready: ready["pids"] != pids)
    assert {k: v for k, v in after.items() if k != "pids"} == {
        k: v for k, v in before.items() if k != "pids"
    }
    changed = {
        name for name in pids
        if (pids[name] if name != "workers" else pids["workers"][:-1])
        != (after["pids"][name] if name != "workers" else after["pids"]["workers"][:-1])
    }  # fmt: skip
    if role == "worker":
        assert changed == set()
        assert after["pids"]["workers"][-1] not in (0, killed)
    else:
        assert changed == {role}
    assert served.api("GET", "devices").status_code == 200
    assert psutil.pid_exists(after["pids"]["supervisor"])


# -- settings


def test_settings_of_file_environment_and_command_line(program, tmp_path):
    file = tmp_path / "gw.toml"
    ports = "\n".join(f"[{name}]\nport = 0\nhost = '127.0.0.1'" for name in LISTENERS)
    file.write_text(f"{ports}\n[workers]\ncount = 3\n[log]\nformat = 'json'\nlevel = 'error'\n")
    ready = program.start(
        "--config", str(file), "--set", "workers.count=1",
        ports=[], GW_ADMIN_PASSWORD=PASSWORD, GW_WORKERS__COUNT="2", GW_LOG__LEVEL="info",
    )  # fmt: skip
    assert len(ready["pids"]["workers"]) == 1
    assert ready["devices"].startswith("127.0.0.1:")
    lines = [line for line in program.err.read_text().splitlines() if line]
    assert lines, "GW_LOG__LEVEL beats the file"
    assert all("event" in json.loads(line) for line in lines)
    assert program.stop() == 0


@pytest.mark.parametrize(
    ("how", "name", "nearest"),
    [
        (["--set", "devices.unknwon=create"], "devices.unknwon", "unknown"),
        (["--set", "device.port=1"], "device", "devices"),
        ({"GW_STORE__ULR": "sqlite:///x"}, "store.ulr", "url"),
        ("[kafka]\nbootstrap_server = 'x'", "kafka.bootstrap_server", "bootstrap_servers"),
    ],
    ids=["set", "section", "environment", "file"],
)
def test_an_unknown_setting_is_an_error_that_names_the_nearest(pki, tmp_path, how, name, nearest):
    arguments: list[object] = ["run", "--data", tmp_path / "d", "--pki", pki, *FREE_PORTS]
    variables: dict[str, str] = {}
    if isinstance(how, str):
        (tmp_path / "gw.toml").write_text(how)
        arguments += ["--config", tmp_path / "gw.toml"]
    elif isinstance(how, dict):
        variables = how
    else:
        arguments += how
    done = gw(*arguments, **variables)
    assert done.returncode not in (0, -signal.SIGKILL)
    assert name in done.stderr
    assert f"did you mean '{nearest}'" in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["kafka.bootstrap_servers=localhost"], "kafka.bootstrap_servers: 'localhost' is not"),
        (["kafka.bootstrap_servers=localhost:9092", "bus.file=events"], "only one of them"),
        (['bus.skip_topics=["states"]'], "bus.skip_topics: 'states'"),
    ],
)
def test_a_bus_that_cannot_be_is_refused_by_name(pki, tmp_path, settings, named):
    chosen = [word for one in settings for word in ("--set", one)]
    for command, status in (("run", 78), ("doctor", 1)):
        done = gw(command, "--data", tmp_path / "d", "--pki", pki, *FREE_PORTS, *chosen)
        assert done.returncode == status, done.stdout + done.stderr
        # Tables fold long lines.
        assert named.split()[0] in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


# -- first start


def password_in(text: str) -> str:
    found = re.findall(r"^ *password +(\S+)$", text, re.MULTILINE)
    assert len(found) == 1, text
    return found[0]


def test_a_generated_password_is_shown_once_and_must_be_changed(program):
    program.start()
    password = password_in(program.out.read_text())
    assert ADMINISTRATOR in program.out.read_text()
    assert password not in program.err.read_text()
    answer = program.sign_in(password)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 1)
    assert program.sign_in(password, newPassword=PASSWORD).status_code == 200
    assert program.sign_in(password).status_code == 403
    assert program.sign_in(PASSWORD).status_code == 200
    assert program.stop() == 0

    # Nothing of it at the second start, and the variable of the environment changes nothing.
    program.start(GW_ADMIN_PASSWORD="Another-Horse-9!")
    said = program.out.read_text() + program.err.read_text()
    assert password not in said
    assert not re.search(r"^ *password ", program.out.read_text(), re.MULTILINE)
    assert program.sign_in(PASSWORD).status_code == 200

    # Lost administrator, while the gateway runs.
    shown = well("user", "reset-password", "--data", program.data)
    new = re.search(rf"New password of {ADMINISTRATOR}: (\S+)", shown)
    assert new
    assert program.sign_in(PASSWORD).status_code == 403
    answer = program.sign_in(new[1])
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 1)
    assert program.sign_in(new[1], newPassword="Changed-Horse-3!").status_code == 200

    # And while it does not.
    assert program.stop() == 0
    well("doctor", "--data", program.data, "--pki", program.pki, *FREE_PORTS)
    shown = well("user", "reset-password", "--data", program.data)
    new = re.search(rf"New password of {ADMINISTRATOR}: (\S+)", shown)
    assert new
    program.start()
    answer = program.sign_in(new[1])
    assert (answer.status_code, answer.json()["ErrorCode"]) == (403, 1)


# -- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_with_devices_connected_keeps_all_that_was_sent(program, number):
    ready = await asyncio.to_thread(
        program.start, "--set", "devices.unknown=create", GW_ADMIN_PASSWORD=PASSWORD
    )
    serials = [f"02a0c90000{number:02x}" for number in range(20)]
    await asyncio.to_thread(well, "pki", "device", "--dir", program.pki, *serials)
    port = int(ready["devices"].rpartition(":")[2])
    devices = [SimulatedDevice(s, program.pki, "127.0.0.1", port, keep=0) for s in serials]
    try:
        await asyncio.gather(*(device.connect(deadline=DEADLINE) for device in devices))
        await asyncio.gather(*(device.confirm(DEADLINE) for device in devices))
        for _ in range(50):
            for device in devices:
                device.send_state()
        for device in devices:
            await device.drain()
        stopping = asyncio.create_task(asyncio.to_thread(program.stop, number))
        # As `timeout` and a terminal do: the signal comes twice at once.
        await asyncio.sleep(0.05)
        if program.process is not None:
            program.process.send_signal(number)
        assert await stopping == 0, program.err.read_text()[-4000:]
        assert "did not end in time" not in program.err.read_text()
    finally:
        for device in devices:
            device.stop()
    assert not program.ready_file.exists()
    with contextlib.closing(sqlite3.connect(program.data / "gw.db")) as store:
        rows = store.execute("SELECT serial_number, data FROM statistics ORDER BY id").fetchall()
    stored: dict[str, list[int]] = {serial: [] for serial in serials}
    for serial, data in rows:
        stored[serial].append(json.loads(data)["unit"]["sequence"])
    assert stored == {serial: list(range(1, 51)) for serial in serials}


# -- gw doctor: one precise line per fault


@pytest.fixture
def node(pki: Path, tmp_path: Path) -> Path:
    """A folder with `pki` of its own, and `data` with a database of this version."""
    shutil.copytree(pki, tmp_path / "pki")
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


def faults(node: Path, *more: str, data: Path | None = None) -> list[str]:
    """The lines of the doctor's faults; each is followed by what to do."""
    done = gw("doctor", "--data", data or node / "data", "--pki", node / "pki", *FREE_PORTS, *more)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for line, following in itertools.pairwise(lines):
        if line.split()[:1] == ["FAULT"]:
            assert following.split()[0] == "->", done.stdout
    return [line for line in lines if line.split()[:1] == ["FAULT"]]


def server_certificate(node: Path, *, begin: datetime.timedelta, end: datetime.timedelta) -> bytes:
    """The server's certificate with other dates."""
    old = load(node / "pki" / "server.pem")[0]
    issuing = load(node / "pki" / "issuing.pem")[0]
    key = serialization.load_pem_private_key((node / "pki" / "issuing.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuing.subject, old.subject, old.public_key(), x509.random_serial_number(),
        now + begin, now + end,
    )  # fmt: skip
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    form = serialization.Encoding.PEM
    made = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return made.public_bytes(form) + issuing.public_bytes(form)


def test_doctor_on_a_sound_node(node):
    text = well("doctor", "--data", node / "data", "--pki", node / "pki", *FREE_PORTS)
    assert "All is well." in text


def test_doctor_missing_key(node):
    (node / "pki" / "server.key").unlink()
    found = faults(node)
    assert len(found) == 1, found
    assert "server.key" in found[0]
    assert "does not exist" in found[0]


def test_doctor_expired_server_certificate(node):
    (node / "pki" / "server.pem").write_bytes(server_certificate(node, begin=-9 * DAY, end=-DAY))
    found = faults(node)
    assert len(found) == 1, found
    assert "server.pem ended on" in found[0]


def test_doctor_port_taken(node):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = faults(node, "--set=api.host=127.0.0.1", f"--set=api.port={port}")
    assert len(found) == 1, found
    assert f"port {port}" in found[0]
    assert "in use" in found[0]


def test_doctor_unwritable_data_directory(node):
    (node / "file").touch()  # also root cannot write below a file
    found = faults(node, data=node / "file" / "data")
    assert len(found) == 1, found
    assert "cannot be written" in found[0]


def broken_head(file: Path) -> None:
    file.write_bytes(b"not a database " * 1000)


def broken_middle(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as out:
        out.seek(size // 3)
        out.write(os.urandom(size // 3))


def cut_off(file: Path) -> None:
    with file.open("r+b") as out:
        out.truncate(file.stat().st_size // 2)


@pytest.fixture(scope="module")
def database(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of a gateway that has ended."""
    program = Program(tmp_path_factory.mktemp("database"), pki)
    program.start(GW_ADMIN_PASSWORD=PASSWORD)
    assert program.stop() == 0
    assert not (program.data / "gw.db-wal").exists()
    return (program.data / "gw.db").read_bytes()


@pytest.mark.parametrize("damage", [broken_head, broken_middle, cut_off])
def test_doctor_broken_database(node, database, damage):
    file = node / "data" / "gw.db"
    file.write_bytes(database)
    assert "FAULT" not in well(
        "doctor", "--data", node / "data", "--pki", node / "pki", *FREE_PORTS
    )
    damage(file)
    found = faults(node)
    assert len(found) == 1, found
    assert "gw.db" in found[0]


def test_doctor_wrong_ca(node, tmp_path):
    well("pki", "init", "--dir", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "ca.pem", node / "pki" / "ca.pem")
    found = faults(node)
    assert len(found) == 1, found
    assert "ca.pem" in found[0]


def test_doctor_names_every_fault(node):
    (node / "pki" / "crl.pem").write_text("nothing")
    (node / "pki" / "server.pem").write_bytes(server_certificate(node, begin=-9 * DAY, end=-DAY))
    (node / "data" / "gw.db").write_bytes(b"not a database " * 1000)
    found = "\n".join(faults(node, "--set=kafka.bootstrap_servers=somewhere:9092"))
    for part in ("crl.pem", "server.pem ended", "gw.db", "kafka.bootstrap_servers"):
        assert part in found


def test_sum_of_the_helpers_reads_what_prometheus_reads(served):
    """The other suites trust it."""
    text = served.scrape()
    assert sum_of(text, "gw_process_starts_total", {"process": "supervisor"}) == 1
