"""The web console in a real browser, on a gateway with 20,000 devices in its store.

Pictures of what is seen are left in build/screenshots.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyotp
import pytest
from browser import MILLISECONDS, open_browser, open_page
from gateway import PASSWORD, Gateway
from playwright.async_api import Page, expect

from gw.api.console import FOLDER
from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults, Rejection
from gw.store import rows
from gw.store.interface import Batch, PutDevice
from gw.store.sqlite import SqliteStore

pytestmark = pytest.mark.e2e
expect.set_options(timeout=MILLISECONDS)

WAIT = 60.0
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "screenshots"
AXE = ROOT / "gw" / "web" / "node_modules" / "axe-core" / "axe.min.js"
ROWS = 20_000
ALL = re.compile(r"20,0\d\d in the fleet")
"""Of those, and of the devices that other tests connect."""
LARGEST_BYTES = 500_000
MOST_REQUESTS = 15
START = "Start-Here-1!"
_NOT_BUILT = "the web console is not built: `make build` does so where node and npm are"
CHANNEL = " \u203a ".join(("radios", "0", "channel"))
"""As the console writes the path of a field."""
CONFIGURATION = {
    "unit": {"name": "lobby"},
    "radios": [{"band": "5G", "channel": 36}],
    "interfaces": [{"name": "WAN", "role": "upstream", "ethernet": [{"select-ports": ["WAN*"]}]}],
}


def needs_build() -> None:
    """Skip without a built console, and in CI fail."""
    if not (FOLDER / "index.html").is_file() or not AXE.is_file():
        if os.environ.get("CI"):
            pytest.fail(_NOT_BUILT, pytrace=False)
        pytest.skip(_NOT_BUILT)


async def fill(path: Path) -> None:
    """Put the fleet into a new store, as a gateway left them."""
    states = [{"applied_uuid": 5}, {"applied_uuid": 4}, {"rejected_hash": "h"}]
    async with SqliteStore(path) as store:
        await store.migrate()
        for start in range(0, ROWS, 2000):
            await store.commit(
                Batch(
                    [
                        PutDevice(
                            rows.DeviceRow(
                                serial_number=f"02a0ad{number * 7919 % 2**24:06x}",
                                device_type="ap",
                                compatible=("edgecore_eap101", "cig_wf188n")[number % 5 == 0],
                                firmware=f"TIP-v4.{number % 3}.0",
                                config_uuid=5,
                                config_hash="h",
                                applied_at=9,
                                last_recorded_contact=1_700_000_000,
                                **states[0 if number % 10 else number // 10 % 3],
                            )
                        )
                        for number in range(start, start + 2000)
                    ]
                )
            )


@pytest.fixture(scope="module")
def filled_gateway(tmp_path_factory: pytest.TempPathFactory, pki_dir: Path) -> Iterator[Gateway]:
    needs_build()
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "data").mkdir(mode=0o700)
    asyncio.run(fill(folder / "data" / "gw.db"))
    made = Gateway(folder, pki_dir)
    asyncio.run(made.start())
    yield made
    status = asyncio.run(made.stop())
    assert status == 0, made.log()[-4000:]


@pytest.fixture
async def gateway(filled_gateway: Gateway) -> Gateway:
    PICTURES.mkdir(parents=True, exist_ok=True)
    return filled_gateway


@pytest.fixture
async def page(gateway: Gateway) -> AsyncIterator[Page]:
    """The sign-in of the console; at the end it must not have complained of anything."""
    async with open_browser() as browser:
        made, complaints = await open_page(browser, viewport={"width": 1360, "height": 860})
        # That a request failed is written by the browser itself; what matters is what is shown.
        refused = re.compile(
            r"Failed to load resource: (the server responded with a status of 4|net::)"
        )
        await made.goto(address(gateway, "/"))
        yield made
        assert [one for one in complaints if not refused.search(one)] == []


Joined = Callable[..., Any]


@pytest.fixture
async def join(gateway: Gateway) -> AsyncIterator[Joined]:
    """Connect devices that are in step with what is stored for them."""
    made: list[SimulatedDevice] = []

    async def one(serial: str, **options: Any) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        await device.connect(deadline=WAIT)
        await gateway.wait_device(serial)
        answer = await gateway.configure(serial, CONFIGURATION)
        assert answer.json()["status"] == "completed", answer.text
        return device

    yield one
    for device in made:
        device.stop()


def address(gateway: Gateway, path: str) -> str:
    return str(gateway.ready["api"]).replace("localhost", "127.0.0.1") + "/console" + path


async def sign_in(page: Page, user: str = "admin@localhost", password: str = PASSWORD) -> None:
    await page.get_by_label("E-mail address").fill(user)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def signed_in(page: Page, gateway: Gateway, path: str) -> None:
    """Sign in, and go to a place."""
    await sign_in(page)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.goto(address(gateway, path))


async def serious(page: Page) -> list[str]:
    """Return what axe finds of serious and critical faults."""
    # The policy of the page lets nobody add scripts; the test may evaluate them.
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


async def make_user(gateway: Gateway, email: str, role: str, **more: Any) -> None:
    body = {"email": email, "userRole": role, "currentPassword": START, **more}
    made = await gateway.request("POST", "user/0", service="security", json=body)
    assert made.status_code == 200, made.text


async def test_first_sign_in(page, gateway):
    first = "first@localhost"
    await make_user(gateway, first, "root", changePassword=True)
    assert await serious(page) == []
    await page.screenshot(path=PICTURES / "sign-in.png")
    await sign_in(page, first, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("The address or the password is wrong.")
    await sign_in(page, first, START)
    await expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    for new, again, told in (
        ("Better-Horse-8!", "Better-Horse-9!", "are not the same"),
        ("short", "short", "does not follow the rules"),
        ("Better-Horse-8!", "Better-Horse-8!", ""),
    ):
        await page.get_by_label("New password", exact=True).fill(new)
        await page.get_by_label("New password again").fill(again)
        await page.get_by_role("button", name="Change and sign in").click()
        if told:
            await expect(page.get_by_role("alert")).to_contain_text(told)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto(address(gateway, "/devices"))
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_first_screen_is_small(page, gateway):
    await page.context.clear_cookies()
    session = await page.context.new_cdp_session(page)
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    requested: list[str] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(address(gateway, "/"))
    await sign_in(page)
    await expect(page.get_by_text(re.compile(r"of 20,0\d\d devices"))).to_be_visible()
    # Requests that follow later are the same ones again: what changes is looked at every few s.
    first = list(dict.fromkeys(requested))
    assert len(first) < MOST_REQUESTS, first
    assert sum(sizes) < LARGEST_BYTES
    assert all(url.startswith(address(gateway, "").removesuffix("/console")) for url in requested)


async def test_a_device_is_found_among_many(page, gateway):
    await signed_in(page, gateway, "/")
    await expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
    await page.get_by_role("heading", name="Overview").click()
    await page.keyboard.press("/")
    await expect(page.get_by_text(ALL)).to_be_visible()
    wanted = f"02a0ad{1234 * 7919 % 2**24:06x}"
    search = page.get_by_label("Search devices")
    await expect(search).to_be_focused()
    await search.press_sequentially(wanted[-6:], delay=20)
    table = page.get_by_role("table", name="Devices")
    await expect(table.get_by_role("row")).to_have_count(2)
    await expect(table).to_contain_text(wanted)
    await expect(page).to_have_url(re.compile(r"\?q="))
    await search.fill("ffffffffff")
    await expect(page.get_by_text("No device matches")).to_be_visible()
    await page.get_by_role("button", name="clear the filters").click()
    await page.get_by_label("Configuration").select_option(value="rejected")
    await expect(page.get_by_text(re.compile(r"^66\d match"))).to_be_visible()
    await expect(table.get_by_text("Rejected")).to_have_count(50)
    await page.get_by_role("button", name="Show 50 more").click()
    await expect(table.get_by_text("Rejected")).to_have_count(100)
    await page.screenshot(path=PICTURES / "devices.png")
    await page.get_by_role("button", name="Clear all").click()
    await search.fill(":".join(re.findall("..", wanted)))
    await expect(table.get_by_role("row")).to_have_count(2)
    await search.press("Enter")
    await expect(page.get_by_role("heading", name=wanted)).to_be_visible()


async def test_drift_is_seen_and_repaired_live(page, gateway, join):
    device = await join("02a0ae000001")
    await signed_in(page, gateway, f"/devices/{device.serial}")
    badges = page.locator(".badges")
    await expect(badges).to_contain_text("In step")
    # Answers that are late leave time to look.
    device.faults.silent = frozenset({"configure"})
    assert device.drift("older")
    device.send_state()
    await expect(badges).to_contain_text("Drifted")
    await page.screenshot(path=PICTURES / "drifted.png")
    device.faults.silent = frozenset()
    device.send_state()
    await expect(badges).to_contain_text("In step")


async def test_a_configuration_is_edited_refused_and_applied(page, gateway, join):
    refusing = Rejection(at="/radios/0/channel", value=165, reason="not allowed in this country")
    device = await join("02a0ae000002", faults=Faults(reject=[refusing], reject_as_objects=True))
    await signed_in(page, gateway, f"/devices/{device.serial}/configuration")
    await expect(page.get_by_text("exactly the stored configuration")).to_be_visible()
    await page.get_by_role("button", name="Edit configuration").click()
    editor = page.get_by_label("Configuration", exact=True)
    apply = page.get_by_role("button", name="Apply to the device")
    await expect(editor).to_be_focused()
    await expect(editor).to_have_value(re.compile(r'"channel": 36'))
    good = json.dumps(CONFIGURATION, indent=2)

    # Not JSON: at its line.
    await editor.fill(good.replace('"name": "lobby"', '"name": lobby'))
    problems = page.get_by_role("list", name="What is wrong")
    await expect(problems).to_contain_text("a value is expected here line 3")
    await expect(apply).to_be_disabled()

    # JSON, but not what the schema wants: at its field.
    await editor.fill(good.replace('"channel": 36', '"channel": "thirty-six"'))
    await expect(problems).to_contain_text(CHANNEL)
    line = good[: good.index('"channel"')].count("\n") + 1
    await expect(problems).to_contain_text(f"line {line}")
    await expect(page.locator(".mirror .line.bad")).to_contain_text("thirty-six")
    await expect(apply).to_be_disabled()
    assert await serious(page) == []
    await page.screenshot(path=PICTURES / "editor-error.png")
    await problems.get_by_role("button").first.click()
    await expect(editor).to_be_focused()

    # What the device refuses is explained.
    await editor.fill(good.replace('"channel": 36', '"channel": 165'))
    await expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    await apply.click()
    refused = page.get_by_role("alert")
    await expect(refused).to_contain_text("Refused by the device")
    await expect(refused).to_contain_text("not allowed in this country")
    await page.screenshot(path=PICTURES / "refused.png")

    # What is right is applied; before that it is shown what will change.
    await editor.fill(good.replace('"channel": 36', '"channel": 40'))
    changes = page.get_by_role("table", name="Changes")
    await expect(changes).to_contain_text("channel")
    await expect(changes).to_contain_text("40")
    await apply.click()
    await expect(page.get_by_text("The device confirmed the new configuration.")).to_be_visible()
    assert device.config["radios"][0]["channel"] == 40
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_text("exactly the stored configuration")).to_be_visible()
    await expect(page.get_by_label("Stored configuration")).to_contain_text('"channel": 40')
    history = page.get_by_role("table", name="Former configurations")
    await history.get_by_role("button", name="Compare").first.click()
    await expect(page.get_by_role("table", name=re.compile("^Since"))).to_contain_text("36")


async def test_a_rejection_is_explained_on_the_device_page(page, gateway, join):
    refusing = Rejection(at="/radios/0/channel", value=165, reason="not allowed in this country")
    device = await join("02a0ae000003", faults=Faults(reject=[refusing], reject_as_objects=True))
    wrong = json.loads(json.dumps(CONFIGURATION).replace("36", "165"))
    await gateway.put_device(device.serial, wrong)
    await gateway.wait_device(device.serial, configurationState="rejected")
    await signed_in(page, gateway, f"/devices/{device.serial}/configuration")
    await expect(page.locator(".badges")).to_contain_text("Rejected")
    explained = page.get_by_role("list", name="Refused by the device")
    await expect(explained).to_contain_text(CHANNEL)
    await expect(explained).to_contain_text("not allowed in this country")
    differs = page.get_by_role("table", name="Differences")
    await expect(differs).to_contain_text("165")
    await page.screenshot(path=PICTURES / "rejection.png")


async def test_a_command_is_followed_and_so_are_messages(page, gateway, join):
    device = await join("02a0ae000004", faults=Faults(answer_delay=2.0))
    await signed_in(page, gateway, f"/devices/{device.serial}/live")
    await expect(page.get_by_text("Following")).to_be_visible()
    messages = page.get_by_role("list", name="Messages, newest first")
    device.send_state()
    await expect(messages).to_contain_text("from the device")
    await expect(messages.get_by_text("state").first).to_be_visible()
    await page.get_by_role("button", name="Run a command").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Command", exact=True).select_option(label="Lights")
    await dialog.get_by_role("button", name="Lights").click()
    progress = dialog.get_by_role("list", name="Progress")
    await expect(progress).to_contain_text("Sent")
    await page.screenshot(path=PICTURES / "command.png")
    await expect(progress.locator("summary").first).to_contain_text("Done")
    assert await serious(page) == []
    await dialog.get_by_role("button", name="Close").last.click()
    await expect(messages).to_contain_text("to the device")
    await messages.get_by_text("leds", exact=True).click()
    await expect(messages).to_contain_text('"pattern": "blink"')
    await page.screenshot(path=PICTURES / "live.png")
    await page.get_by_role("link", name="Commands").click()
    await expect(page.locator(".commands").get_by_text("leds")).to_be_visible()


async def test_an_api_key_is_made_and_revoked(page, gateway):
    await signed_in(page, gateway, "/account")
    await page.get_by_label("Name", exact=True).fill("reports")
    await page.get_by_role("button", name="Make a key").click()
    key = await page.locator(".secret code").inner_text()
    headers = {"X-API-KEY": key}
    used = await gateway.request("GET", "fleet/summary", signed=False, extra_headers=headers)
    assert used.status_code == 200
    keys = page.get_by_role("table", name="API keys")
    await expect(keys).to_contain_text("reports")
    assert await serious(page) == []
    await keys.get_by_role("button", name="Revoke").click()
    await keys.get_by_role("button", name="Revoke now").click()
    await expect(page.get_by_text("No API key")).to_be_visible()
    used = await gateway.request("GET", "fleet/summary", signed=False, extra_headers=headers)
    assert used.status_code == 403


async def test_a_second_factor_is_set_up_and_asked_for(page, gateway):
    await make_user(gateway, "two@localhost", "admin")
    await sign_in(page, "two@localhost", START)
    await page.get_by_role("link", name="Your account").click()
    async with page.expect_response(re.compile("totp")) as answered:
        await page.get_by_role("button", name="Set up an app").click()
    image = await (await answered.value).text()
    found = re.search(r"otpauth://[^<]*secret=([A-Z2-7]+)", unquote(image))
    assert found
    totp, now = pyotp.TOTP(found[1]), time.time()
    for name, seconds in (("First code", -30), ("Next code", 0)):
        await page.get_by_label(name).fill(totp.at(int(now) + seconds))
        await page.get_by_role("button", name=re.compile("^(Next|Turn it on)$")).click()
    await expect(page.get_by_text("On, by authenticator")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await sign_in(page, "two@localhost", START)
    await page.get_by_label("Six digits").fill("000000")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("wrong")
    await page.get_by_label("Six digits").fill(totp.at(int(now) + 30))
    await page.get_by_role("button", name="Sign in").click()
    # Where somebody was signed out is where they are again.
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()


PAGES = {
    "overview": ("/", "Overview"),
    "device": ("/devices/{serial}", "{serial}"),
    "configuration": ("/devices/{serial}/configuration", "{serial}"),
    "state": ("/devices/{serial}/state", "{serial}"),
    "logs": ("/devices/{serial}/logs", "{serial}"),
    "blacklist": ("/blacklist", "Blacklist"),
    "configurations": ("/configurations", "Default configurations"),
    "firmware": ("/firmware", "Firmware"),
    "scripts": ("/scripts", "Scripts"),
    "users": ("/users", "Users"),
    "audit": ("/audit", "Audit log"),
    "node": ("/node", "Node"),
    "account": ("/account", "Your account"),
    "nothing": ("/nothing", ""),
}


@pytest.mark.parametrize(
    ("theme", "size"),
    [("light", (1360, 860)), ("dark", (390, 844))],
    ids=["light-desk", "dark-phone"],
)
async def test_every_page_can_be_read_by_everybody(page, gateway, join, theme, size):
    number = 5 if theme == "light" else 6
    device = await join(f"02a0ae00000{number}")
    for _ in range(3):
        device.send_state()
    device.send_healthcheck(80)
    device.send_log("radio 1 is up")
    await device.confirm(WAIT)
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await page.evaluate(f"localStorage.setItem('gw-theme', '{theme}')")
    await signed_in(page, gateway, "/")
    for name, (path, heading) in PAGES.items():
        await page.goto(address(gateway, path.format(serial=device.serial)))
        if heading:
            shown = page.get_by_role("heading", name=heading.format(serial=device.serial), level=1)
            await expect(shown).to_be_visible()
        await expect(page.locator(".loading")).to_have_count(0)
        assert await serious(page) == [], name
        wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is wider than the window"
        await page.screenshot(path=PICTURES / f"{name}-{theme}.png")


async def test_lists_are_kept_by_hand(page, gateway):
    """Blacklist, default configurations, firmware, scripts and users."""
    await signed_in(page, gateway, "/blacklist")
    await page.get_by_role("button", name="Refuse a device").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Serial number").fill("02:a0:ad")
    await expect(dialog.get_by_text("twelve hexadecimal digits")).to_be_visible()
    await dialog.get_by_label("Serial number").fill("02:A0:AD:FF:FF:FF")
    await dialog.get_by_label("Reason").fill("stolen")
    await dialog.get_by_role("button", name="Refuse it").click()
    await expect(page.get_by_role("table")).to_contain_text("stolen")
    await page.get_by_role("button", name="Allow again").click()
    await page.get_by_role("button", name="Allow it").click()
    await expect(page.get_by_text("Nobody is refused")).to_be_visible()

    await page.goto(address(gateway, "/configurations"))
    await page.get_by_role("button", name="New default").click()
    await dialog.get_by_label("Name", exact=True).fill("offices")
    text = dialog.get_by_label("Default configuration", exact=True)
    await text.fill('{"radios": [{"band": "9G"}]}')
    await expect(dialog.get_by_role("list", name="What is wrong")).to_contain_text("band")
    await text.fill(json.dumps(CONFIGURATION))
    await expect(dialog.get_by_text("Valid", exact=True)).to_be_visible()
    await dialog.get_by_role("button", name="Store").click()
    await expect(page.get_by_role("table")).to_contain_text("offices")

    await page.goto(address(gateway, "/firmware"))
    await page.get_by_role("button", name="New firmware").click()
    await dialog.get_by_label("Type").fill("edgecore_eap101")
    await dialog.get_by_label("Address of the image").fill("https://images.example/eap101.bin")
    await dialog.get_by_label("Revision", exact=True).fill("TIP-v4.2.0")
    await dialog.get_by_role("button", name="Store").click()
    table = page.get_by_role("table", name="Default firmware")
    await expect(table).to_contain_text("edgecore_eap101")

    await page.goto(address(gateway, "/scripts"))
    await page.get_by_role("button", name="New script").click()
    await dialog.get_by_label("Name", exact=True).fill("uptime")
    await dialog.get_by_label("Script", exact=True).fill("uptime\n")
    await dialog.get_by_role("button", name="Store").click()
    await expect(page.get_by_role("table")).to_contain_text("uptime")

    await page.goto(address(gateway, "/users"))
    await page.get_by_role("button", name="New user").click()
    await dialog.get_by_label("E-mail address").fill("noc@example.org")
    await dialog.get_by_label("Password", exact=True).fill("weak")
    await dialog.get_by_role("button", name="Store").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await dialog.get_by_label("Password", exact=True).fill("Quite-Strong-3!")
    await dialog.get_by_role("button", name="Store").click()
    await expect(page.get_by_role("table")).to_contain_text("noc@example.org")

    await page.goto(address(gateway, "/audit"))
    await expect(page.get_by_role("table")).to_contain_text("user.put")
    await page.get_by_label("By whom").fill("nobody@localhost")
    await expect(page.get_by_text("No entry matches")).to_be_visible()


async def test_the_gateway_that_goes_away_is_said_so(page, gateway):
    await signed_in(page, gateway, "/devices")
    await expect(page.get_by_text(ALL)).to_be_visible()
    await page.route("**/api/v1/**", lambda route: route.abort())
    await page.get_by_label("Search devices").fill("02a0ad")
    await expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer")
    await page.unroute("**/api/v1/**")
    await expect(page.get_by_role("alert")).to_have_count(0)
