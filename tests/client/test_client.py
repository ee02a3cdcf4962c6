"""Both clients against the real program."""

import asyncio
import inspect
import json
import time

import msgspec
import pytest
from gateway import PASSWORD, Gateway

from gw.client import ApiError, AsyncClient, Client, UnreachableError
from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
ROOT = "11111111-0000-0000-6666-999999999999"
EMPTY = {"interfaces": []}


class InThread:
    """The blocking client with the face of the other one, so that one test serves both."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, name: str):
        method = getattr(self.client, name)

        async def call(*args, **more):
            return await asyncio.to_thread(method, *args, **more)

        return call


async def items(client, name: str, *args, **more) -> list:
    """Everything that an iterating method yields."""
    if isinstance(client, InThread):
        return await asyncio.to_thread(lambda: list(getattr(client.client, name)(*args, **more)))
    return [one async for one in getattr(client, name)(*args, **more)]


def options(gateway: Gateway, **more: object) -> dict[str, object]:
    def local(url):
        return url.replace("//localhost:", "//127.0.0.1:")

    given = {
        "url": local(gateway.ready["api"]),
        "security_url": local(gateway.ready["security"]),
        "ca": gateway.pki / "ca.pem",
        "timeout": 60.0,
    }
    if not more.keys() & {"api_key", "token", "user"}:
        given |= {"user": "admin@localhost", "password": PASSWORD}
    return given | more


@pytest.fixture(params=["blocking", "asyncio"])
async def connect(request, shared_gateway: Gateway):
    """Make clients of one kind, closed at the end."""
    made = []

    def make(**more: object):
        kind = Client if request.param == "blocking" else AsyncClient
        client = kind(**options(shared_gateway, **more))
        made.append(client)
        return InThread(client) if kind is Client else client

    make.serials = [f"02a0f2{'0' if request.param == 'blocking' else '1'}0000{n}" for n in range(9)]
    yield make
    for client in made:
        done = client.close()
        if inspect.isawaitable(done):
            await done


async def refused(awaitable) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


async def test_devices_are_created_listed_changed_and_deleted(connect):
    client = connect()
    serials = connect.serials[:5]
    for serial in serials:
        made = await client.create_device(serial, EMPTY, venue="v-1", notes=["new"])
        assert (made.serial_number, made.venue, made.connect_reason) == (serial, "v-1", "")
    assert await client.device_count() >= 5
    listed = await items(client, "all_devices", page=2)
    assert [one.serial_number for one in listed if one.serial_number in serials] == serials
    both = await items(client, "all_devices_with_status", page=3)
    pairs = {one.device.serial_number: one.connection.connected for one in both}
    assert pairs[serials[0]] is False
    assert await client.serial_numbers(limit=1) == [listed[0].serial_number]
    chosen = await client.devices(select=[serials[3], serials[1]])
    assert {one.serial_number for one in chosen} == {serials[3], serials[1]}

    text = '{"interfaces": [], "unit": {"beacon": 1.50}}'
    changed = await client.update_device(serials[0], text, owner="o-2")
    assert (changed.owner, changed.venue) == ("o-2", "v-1")
    assert b"1.50" in bytes(changed.configuration)
    history = await client.configurations(serials[0])
    assert len(history) == 2
    former = await client.former_configuration(serials[0], history[1].id)
    assert "unit" not in msgspec.json.decode(former.configuration)
    difference = await client.compare_configurations(serials[0], history[1].id)
    assert difference.added == ["unit"]

    assert (await client.connection_statistics()).connected_devices == 0
    assert (await client.status(serials[0])).connection.connected is False
    for serial in serials:
        await client.delete_device(serial)
    assert (await refused(client.device(serials[0]))).status == 404


async def test_errors_have_number_text_and_status(connect):
    client = connect()
    serial = connect.serials[5]
    error = await refused(client.devices(limit=1_000_000))
    assert (error.number, error.status) == (1018, 400)
    assert "limit may be 1000" in error.text
    await client.create_device(serial, EMPTY)
    error = await refused(client.create_device(serial, EMPTY))
    assert (error.number, error.status) == (1011, 500)
    error = await refused(client.reboot(serial))
    assert (error.number, error.status) == (1033, 400)
    await client.delete_device(serial)
    wrong = connect(token="nobody")
    error = await refused(wrong.device_count())
    assert (error.number, error.status) == (8, 403)
    error = await refused(connect(user="admin@localhost", password="Wrong-1!").device_count())
    assert (error.number, error.status) == (2, 403)


async def test_a_device_is_configured_and_commanded(connect, shared_gateway):
    client, gateway, serial = connect(), shared_gateway, connect.serials[6]
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, uploads=True)
    await device.connect(deadline=WAIT)
    try:
        await device.wait_for_configure(WAIT)
        await gateway.wait_device(serial, configurationState="in_step")
        valid = await client.validate_configuration(serial, {"unit": {"name": "x"}} | EMPTY)
        assert valid.valid
        assert valid.would_change
        done = await client.configure(serial, {"unit": {"name": "roof"}} | EMPTY)
        assert (done.status, done.error_code, done.command) == ("completed", 0, "configure")
        status = await client.status(serial)
        assert status.connection.connected
        assert status.configuration.configuration_state == "in_step"
        leds = await client.leds(serial, "blink", duration=2)
        assert (leds.status, leds.command) == ("completed", "leds")
        assert "latency" in await client.ping(serial)
        asked = await client.request(serial, "state")
        assert asked.status == "completed"
        error = await refused(client.leds(serial, "disco"))
        assert error.status == 400
        assert "pattern" in error.text
        scan = await client.wifiscan(serial)
        assert "scan" in json.loads(bytes(scan.results))["status"]

        kept = await items(client, "all_commands", serial, page=2)
        assert [one.command for one in kept][-2:] == ["request", "wifiscan"]
        newest = await client.commands(serial, newest=True, limit=1)
        assert newest[0].uuid == scan.uuid == (await client.command(scan.uuid)).uuid
        assert (await refused(client.cancel_command(scan.uuid))).status == 409
        await client.delete_command(scan.uuid)
        assert (await refused(client.command(scan.uuid))).status == 404

        assert (await client.capabilities(serial)).capabilities
        assert await client.statistics_count(serial) >= 1
        states = await client.statistics(serial, newest=True, limit=1)
        assert "unit" in states[0].data
        assert await client.logs(serial) == []
        assert isinstance(await client.healthchecks(serial), list)

        captured = await client.trace(serial, network="up", packets=5)
        deadline = time.monotonic() + WAIT
        file = None
        while file is None and time.monotonic() < deadline:
            file = await client.file(captured.uuid, serial)
            await asyncio.sleep(0.05)  # REST has no event to await
        assert file is not None
        assert file.name.startswith(captured.uuid)
        assert file.content
        await client.delete_file(captured.uuid, serial)
    finally:
        device.stop()


async def test_tables_and_system(connect):
    client, serial = connect(), connect.serials[7]
    await client.create_default_configuration("of clients", EMPTY, ["edgecore_x"], platform="ap")
    found = await client.default_configuration("of clients")
    assert (found.model_ids, found.configuration) == (["edgecore_x"], EMPTY)
    changed = await client.update_default_configuration("of clients", description="d")
    assert changed.description == "d"
    assert [one.name for one in await client.default_configurations()] == ["of clients"]
    await client.delete_default_configuration("of clients")
    assert await client.default_configurations() == []

    assert (await client.refuse_device(serial, "stolen")).author == "admin@localhost"
    assert (await client.change_reason(serial, "lost")).reason == "lost"
    assert [one.reason for one in await client.blacklist()] == ["lost"]
    await client.allow_device(serial)
    assert (await refused(client.blacklisted(serial))).status == 404
    assert (await client.system_info()).processors >= 1
    assert (await client.system_resources()).curr_real_mem > 0


async def test_an_ended_session_is_renewed_without_notice(connect, shared_gateway):
    client, other = connect(), connect()
    await client.sign_in()
    inner = client.client if isinstance(client, InThread) else client
    first = inner._session.access
    ended = await shared_gateway.request(
        "DELETE",
        f"oauth2/{first}",
        service="security",
        signed=False,
        extra_headers={"Authorization": f"Bearer {first}"},
    )
    assert ended.status_code == 204, ended.text
    counts = await asyncio.gather(*(client.device_count() for _ in range(8)))
    assert len(set(counts)) == 1
    second = inner._session.access
    assert second != first
    await client.sign_in()  # by the refresh token
    assert inner._session.access not in (first, second)
    assert (await refused(connect(token=second).device_count())).number == 8
    last = inner._session.access
    await client.sign_out()
    assert (await refused(connect(token=last).device_count())).number == 8
    assert await other.device_count() == counts[0]


async def test_an_api_key_is_enough(connect, shared_gateway):
    name = f"client{connect.serials[0]}"
    body = {"name": name, "expiresOn": int(time.time()) + 86_400, "description": "test"}
    answer = await shared_gateway.request("POST", f"apiKey/{ROOT}", service="security", json=body)
    assert await connect(api_key=answer.json()["apiKey"]).device_count() >= 0


async def test_an_unknown_authority_and_a_closed_port_are_unreachable(connect, tmp_path):
    with pytest.raises(UnreachableError, match="certificate"):
        await connect(ca=None, token="t", retries=0).device_count()
    closed = connect(url="https://127.0.0.1:1", token="t", retries=1)
    with pytest.raises(UnreachableError):
        await closed.delete_device("02a0f2000000")
