"""A user interface in a real browser: served by the gateway, and by a server of another origin.

`ui_stand_in/` makes the calls of the community UI, whose own build is not at hand here, by
XMLHttpRequest and WebSocket. So the browser's own rules apply: preflights, what a page may read of
an answer, the content security policy of the served page, mixed content, TLS of the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import json
import re
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import open_browser, open_page
from gateway import Gateway
from playwright.async_api import Page, expect

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
PAGE = Path(__file__).parent / "ui_stand_in"
NEW_PASSWORD = "Right-Horse-7!"
SERIALS = {"gateway": "02a0aa0000b1", "elsewhere": "02a0aa0000b2"}


@contextlib.contextmanager
def another_origin(folder: Path, pki_dir: Path, security: str) -> Iterator[str]:
    """Serve the page by HTTPS from another port, as a web server beside the gateway does."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/env-config.js":
                super().do_GET()
                return
            told = json.dumps({"REACT_APP_UCENTRALSEC_URL": security})
            body = f"window._env_ = {told};".encode()
            self.send_response(200)
            self.send_header("content-type", "text/javascript")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki_dir / "server.pem", pki_dir / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
async def fresh(tmp_path: Path, pki_dir: Path) -> AsyncIterator[Gateway]:
    """A gateway at its first start, whose password is made up; it serves the page."""
    gateway = Gateway(tmp_path, pki_dir, **{"api.ui_dir": str(PAGE)})
    gateway.password = ""
    await gateway.start()
    yield gateway
    assert await gateway.stop() == 0, gateway.log()[-4000:]


async def first_sign_in(page: Page, gateway: Gateway) -> None:
    """Sign in with the password that was shown, and choose another, as it demands."""
    found = re.findall(r"^ *password +(\S+)$", gateway.log(), re.MULTILINE)
    assert len(found) == 1
    await page.fill("#user", "admin@localhost")
    await page.fill("#password", "wrong")
    await page.click("#sign-in")
    await expect(page.locator("#login-error")).to_contain_text("2:")
    await expect(page.locator("#change")).to_be_hidden()
    await page.fill("#password", found[0])
    await page.click("#sign-in")
    await expect(page.locator("#login-error")).to_contain_text("1:")
    await page.fill("#new-password", "weak")
    await page.click("#change-password")
    await expect(page.locator("#login-error")).to_contain_text("5:")
    await page.fill("#new-password", NEW_PASSWORD)
    await page.click("#change-password")
    await expect(page.locator("#me")).to_have_text("admin@localhost root 0")
    await expect(page.locator("#schema")).to_contain_text("definitions")


async def act(page: Page, name: str, status: int = 200) -> dict[str, object]:
    """Press a button, and return what was answered."""
    await page.click(f"#{name}")
    await expect(page.locator("#result")).to_contain_text(f"{status} {{")
    text = await page.locator("#result").text_content()
    assert text is not None
    found: dict[str, object] = json.loads(text.partition(" ")[2])
    return found


async def use_a_device(page: Page, device: SimulatedDevice) -> None:
    """The device page: live connection, actions, downloads, records."""
    await page.get_by_role("link", name=device.serial).click()
    await expect(page.locator("#status")).to_have_text("true")
    await expect(page.locator("#sanity")).to_have_text("97")
    await expect(page.locator("#logs li")).to_have_text(["a line of the log"])
    for _ in range(2):  # what arrives while the page is open is shown without a reload
        device.send_state()
        await expect(page.locator("#sequence")).to_have_text(str(device.sequence))
    await expect(page.locator("#states")).to_have_text(str(device.sequence))

    text = await page.input_value("#configuration")
    changed = json.loads(text) | {"services": {"lldp": {}}}
    await page.fill("#configuration", json.dumps(changed))
    done = await act(page, "configure")
    assert (done["status"], done["errorCode"]) == ("completed", 0)
    assert device.config["services"] == {"lldp": {}}
    assert str((await act(page, "ping"))["latency"]).endswith("ms.")
    assert (await act(page, "blink"))["status"] == "completed"
    scan = await act(page, "scan")
    assert scan["results"]["status"]["scan"][0]["ies"][0]["name"]
    for name, end in (("trace", "pcap"), ("diagnostics", "tgz")):
        async with page.expect_download() as caught:
            done = await act(page, name)
        download = await caught.value
        assert download.suggested_filename == f"{done['UUID']}.{end}"
        assert Path(await download.path()).stat().st_size > 0
    assert (await act(page, "script"))["results"]["status"]["result"]
    assert (await act(page, "note"))["notes"][-1]["note"] == "from the browser"
    # A service that is not there: the page can read why, though it is of another origin.
    assert (await act(page, "firmware", 400))["ErrorDescription"]
    assert "unit" in json.dumps(await act(page, "live"))
    await expect(page.locator("#commands li", has_text="wifiscan completed 0")).to_have_count(1)
    assert (await act(page, "reboot"))["status"] == "completed"
    await device.wait_for("reboot", WAIT)


@pytest.mark.parametrize("served_by", ["gateway", "elsewhere"])
async def test_from_the_first_sign_in_to_the_sign_out(fresh, pki_dir, served_by):
    serial = SERIALS[served_by]
    pki.device(pki_dir, [serial])
    device = SimulatedDevice(
        serial, pki_dir, "127.0.0.1", fresh.device_port, uploads=True, streams=True
    )
    async with contextlib.AsyncExitStack() as stack:
        browser = await stack.enter_async_context(open_browser())
        page, complaints = await open_page(browser, accept_downloads=True)
        origin = fresh.ready["api"]
        if served_by == "elsewhere":
            origin = stack.enter_context(another_origin(PAGE, pki_dir, fresh.ready["security"]))
            assert urlsplit(origin).port != urlsplit(fresh.ready["api"]).port
        await page.goto(f"{origin}/")
        await first_sign_in(page, fresh)
        await expect(page.locator("#socket")).to_have_text("open")
        await device.connect(deadline=WAIT)
        stack.callback(device.stop)
        # The list learns it by the socket; nobody asks again.
        row = page.locator(f"[id='{serial}']")
        await expect(row).to_contain_text("up")
        await device.wait_for_configure(WAIT)
        await fresh.wait_device(serial, configurationState="in_step")
        device.send_state()
        device.send_healthcheck(97)
        device.send_log("a line of the log", 5)
        async with asyncio.timeout(WAIT):
            while not (await fresh.get(f"device/{serial}/logs?logType=0"))["values"]:
                await asyncio.sleep(0.05)  # REST has no event to await
        await use_a_device(page, device)
        await expect(page.locator("#status")).to_have_text("false")
        await page.goto(f"{origin}/#/")
        await expect(row).to_contain_text("down")
        await page.click("#sign-out")
        await expect(page.locator("#login-error")).to_have_text("signed out, then 403 8")
    # Refusals that were asked for are written by the browser itself, by their status.
    refused = re.compile(r"console: Failed to load resource: .* (400|403) \(.*\)")
    assert [text for text in complaints if not refused.fullmatch(text)] == []
