"""What every store does, whatever its database."""

import asyncio
import itertools
from collections import Counter

import msgspec
import pytest

from gw.api.device_document import configuration_state
from gw.protocol import configuration
from gw.store import interface as ops
from gw.store import rows
from gw.store.errors import BatchError, StoreError
from gw.store.interface import Batch, PositionConflictError, RingPosition

A, B, C = "aabbccddee01", "aabbccddee02", "00bbccddee12"


async def write(store, *given):
    await store.commit(Batch(list(given)))


def device(serial=A, **values):
    return rows.DeviceRow(serial_number=serial, **values)


def full(row_type, **key):
    """A row in which every column has a value of its own."""
    values = {}
    for index, field in enumerate(msgspec.structs.fields(row_type), start=1):
        values[field.name] = {str: f"text {index} é", int: 2**40 + index, bool: True}.get(
            field.type, 1.5
        )
    return row_type(**{**values, **key})


# devices


async def test_device_keeps_every_column(store):
    row = full(rows.DeviceRow, serial_number=A)
    await write(store, ops.PutDevice(row))
    assert await store.device(A) == row
    assert await store.device(B) is None


async def test_put_device_replaces_all_columns(store):
    await write(store, ops.PutDevice(full(rows.DeviceRow, serial_number=A)))
    await write(store, ops.PutDevice(device()))
    assert await store.device(A) == device()


async def test_put_device_twice_in_a_batch_keeps_the_last(store):
    await write(
        store,
        ops.PutDevice(device(configuration="{}", config_uuid=1)),
        ops.PutDevice(device(configuration='{"a":1}', config_uuid=2)),
    )
    found = await store.device(A)
    assert (found.configuration, found.config_uuid) == ('{"a":1}', 2)


async def test_shadows_have_the_columns_of_the_device(store):
    row = full(rows.DeviceRow, serial_number=A)
    await write(store, ops.PutDevice(row), ops.PutDevice(device(B)))
    found = await store.shadows([A, B, C])
    assert set(found) == {A, B}
    for name in rows.ShadowRow.__struct_fields__:
        assert getattr(found[A], name) == getattr(row, name)


async def test_shadows_of_very_many_devices(store):
    serials = [f"{n:012x}" for n in range(3000)]
    await write(store, *(ops.PutDevice(device(serial)) for serial in serials))
    assert sorted(await store.shadows(serials)) == serials
    assert await store.shadows([]) == {}


async def test_patch_device_changes_only_what_is_named(store):
    row = full(rows.DeviceRow, serial_number=A)
    await write(store, ops.PutDevice(row))
    await write(store, ops.PatchDevice(A, {"firmware": "new", "configuration": "{}"}))
    assert await store.device(A) == msgspec.structs.replace(row, firmware="new", configuration="{}")


async def test_patch_of_an_absent_device_has_no_effect(store):
    await write(store, ops.PatchDevice(A, {"firmware": "new", "configuration": "{}"}))
    assert await store.device(A) is None


async def test_patches_of_unlike_columns_in_one_batch(store):
    await write(
        store,
        ops.PutDevice(device(A)),
        ops.PutDevice(device(B)),
        ops.PatchDevice(A, {"firmware": "1"}),
        ops.PatchDevice(B, {"firmware": "2"}),
        ops.PatchDevice(A, {"model": "m", "firmware": "3"}),
        ops.PatchDevice(A, {}),
    )
    found = {row.serial_number: (row.firmware, row.model) for row in await store.devices()}
    assert found == {A: ("3", "m"), B: ("2", "")}


@pytest.mark.parametrize("name", ["serial_number", "no_such", "firmware = '' --", "data"])
async def test_patch_refuses_what_is_no_column(store, name):
    await write(store, ops.PutDevice(device()))
    with pytest.raises(BatchError):
        await write(store, ops.PatchDevice(A, {name: "x"}))


async def test_devices_are_paged_by_serial_number(store):
    await write(
        store, *(ops.PutDevice(device(serial, configuration=serial)) for serial in (A, B, C))
    )
    assert [row.serial_number for row in await store.devices()] == [C, A, B]
    page = await store.devices(offset=1, limit=1)
    assert [(row.serial_number, row.configuration) for row in page] == [(A, A)]
    assert await store.devices(limit=0) == []
    assert await store.devices(offset=3) == []


async def test_devices_behind_a_serial_number(store):
    await write(store, *(ops.PutDevice(device(serial)) for serial in (A, B, C)))
    assert [row.serial_number for row in await store.devices(after=C)] == [A, B]
    assert [row.serial_number for row in await store.devices(after=C, offset=1)] == [B]
    assert await store.devices(after=B, platform="ap") == []


async def test_devices_by_platform_selection_and_provisioning(store):
    await write(
        store,
        ops.PutDevice(device(A, device_type="ap", venue="v")),
        ops.PutDevice(device(B, device_type="switch")),
        ops.PutDevice(device(C, device_type="ap")),
    )

    async def serials(**given):
        return [row.serial_number for row in await store.devices(**given)]

    assert await serials(platform="ap") == [C, A]
    assert await serials(unprovisioned=True) == [C, B]
    assert await serials(select=[B, "ffffffffffff", A], offset=1, limit=1) == [A, B]
    assert await serials(select=[]) == []
    assert await store.count_devices() == 3
    assert await store.count_devices("ap") == 2
    assert await store.count_devices("none") == 0


async def test_devices_by_another_order(store):
    await write(
        store,
        ops.PutDevice(device(A, firmware="1", created=5)),
        ops.PutDevice(device(B, firmware="2", created=5)),
        ops.PutDevice(device(C, firmware="2", created=7)),
    )

    async def serials(*order):
        return [row.serial_number for row in await store.devices(order_by=list(order))]

    assert await serials(("firmware", True)) == [C, B, A]
    assert await serials(("created", False), ("firmware", True)) == [B, A, C]
    with pytest.raises(StoreError, match="order"):
        await serials(("firmware; DROP TABLE devices", False))


async def test_serial_numbers(store):
    await write(store, *(ops.PutDevice(device(serial)) for serial in (A, B, C)))
    assert await store.serial_numbers() == [C, A, B]
    assert await store.serial_numbers(prefix="aabb") == [A, B]
    assert await store.serial_numbers(suffix="2") == [C, B]
    assert await store.serial_numbers(prefix="aa", suffix="02") == [B]
    assert await store.serial_numbers(limit=1) == [C]
    assert await store.serial_numbers(prefix="%") == []


async def test_delete_device_takes_all_that_belongs_to_it(store):
    def everything(serial):
        return (
            ops.PutDevice(device(serial, configuration="{}")),
            ops.InsertStatistics(serial, 1, 10, b"{}"),
            ops.InsertHealthCheck(serial, 1, 100, 10, b"{}"),
            ops.InsertLog(serial, 1, 6, 0, 10, "line", b"{}"),
            ops.InsertEvent(serial, 10, "wifi.start", b"{}"),
            ops.PutCapabilities(serial, "{}", 10),
            ops.PutCommand(command(f"u-{serial}", serial)),
        )

    await write(
        store, *everything(A), *everything(B), ops.PutBlacklist(rows.BlacklistRow(serial_number=A))
    )
    await write(store, ops.DeleteDevice(A))
    for serial, left in ((A, 0), (B, 1)):
        assert (await store.device(serial) is not None) == bool(left)
        assert (await store.capabilities(serial) is not None) == bool(left)
        for query in (
            store.statistics, store.healthchecks, store.logs, store.commands, store.events,
        ):  # fmt: skip
            assert len(await query(serial)) == left
    assert await store.blacklisted(A) is not None
    await write(store, ops.PutDevice(device(A)))
    assert (await store.device(A)).configuration == ""


async def test_capabilities_keep_the_first_update(store):
    await write(store, ops.PutCapabilities(A, "{}", 5))
    await write(store, ops.PutCapabilities(A, '{"a":1}', 9))
    assert await store.capabilities(A) == rows.CapabilitiesRow(
        serial_number=A, capabilities='{"a":1}', first_update=5, last_update=9
    )
    await write(store, ops.DeleteCapabilities(A))
    assert await store.capabilities(A) is None


# telemetry


async def test_statistics_in_order_with_bounds_and_pages(store):
    await write(
        store,
        *(
            ops.InsertStatistics(A, uuid, recorded, b'{"n": %d}' % uuid)
            for uuid, recorded in ((1, 30), (2, 10), (3, 20), (4, 20), (5, 20))
        ),
        ops.InsertStatistics(B, 9, 15, b"{}"),
    )

    async def uuids(**given):
        return [row.uuid for row in await store.statistics(A, **given)]

    assert await uuids() == [2, 3, 4, 5, 1]
    assert await uuids(newest=True) == [1, 5, 4, 3, 2]
    assert await uuids(start=20) == [3, 4, 5, 1]
    assert await uuids(end=20) == [2, 3, 4, 5]
    assert await uuids(start=11, end=20, offset=1, limit=1) == [4]
    assert await uuids(limit=0) == []
    assert (await store.statistics(A, limit=1))[0] == rows.StatisticsRow(
        uuid=2, recorded=10, data='{"n": 2}'
    )
    assert await store.count_statistics(A) == 5
    assert await store.count_statistics(A, start=20, end=29) == 3
    assert await store.count_statistics(C) == 0


async def test_data_is_kept_byte_for_byte(store):
    texts = ['{"é": "\U0001f600 \\u0000"}', "{}", ' {"a" :  1.0}\n', "x" * 100_000, "0\x00z", ""]
    await write(store, *(ops.InsertStatistics(A, 1, 1, text.encode()) for text in texts))
    assert [row.data for row in await store.statistics(A)] == texts


async def test_data_that_is_not_utf8_spoils_neither_batch_nor_list(store):
    await write(
        store,
        ops.InsertStatistics(A, 1, 1, b'{"a": "\xff"}'),
        ops.InsertStatistics(A, 2, 2, b"{}"),
    )
    assert [row.data for row in await store.statistics(A)] == ['{"a": "�"}', "{}"]


async def test_healthchecks(store):
    await write(
        store,
        ops.InsertHealthCheck(A, 7, 100, 10, b'{"a":1}'),
        ops.InsertHealthCheck(A, 8, 50, 20, b"{}"),
    )
    first = rows.HealthCheckRow(uuid=7, sanity=100, recorded=10, data='{"a":1}')
    assert await store.healthchecks(A, limit=1) == [first]
    assert [row.sanity for row in await store.healthchecks(A, newest=True)] == [50, 100]
    assert [row.uuid for row in await store.healthchecks(A, start=11)] == [8]


async def test_logs_are_newest_first_and_of_one_type(store):
    await write(
        store,
        ops.InsertLog(A, 3, 6, 0, 10, "a", b"{}"),
        ops.InsertLog(A, 3, 6, 0, 10, "b", b"{}"),
        ops.InsertLog(A, 3, 0, 1, 15, "crash", b'{"x":1}'),
        ops.InsertLog(A, 3, 6, 0, 20, "c", b"{}"),
    )
    assert [row.log for row in await store.logs(A)] == ["c", "b", "a"]
    assert [row.log for row in await store.logs(A, end=19, offset=1)] == ["a"]
    assert await store.logs(A, log_type=1) == [
        rows.LogRow(log="crash", severity=0, recorded=15, log_type=1, data='{"x":1}', uuid=3)
    ]


async def test_events_in_order_with_bounds_and_pages(store):
    await write(
        store,
        *(ops.InsertEvent(A, at, f"t{at}", b'{"n":1}') for at in (30, 10, 20)),
        ops.InsertEvent(B, 15, "other", b"{}"),
    )
    assert await store.events(A, limit=1) == [
        rows.EventRow(recorded=10, type="t10", data='{"n":1}')
    ]
    assert [row.recorded for row in await store.events(A, newest=True)] == [30, 20, 10]
    assert [row.recorded for row in await store.events(A, start=11, end=30, offset=1)] == [30]


async def test_what_the_summary_of_the_fleet_is_made_of(store):
    await write(
        store,
        ops.PutDevice(device(A, compatible="x", last_recorded_contact=7)),
        ops.PutDevice(device(B)),
        ops.PutDevice(device(C)),
        ops.InsertStatistics(A, 1, 10, b'{"n":1}'),
        ops.InsertStatistics(A, 1, 20, b'{"n":2}'),
        ops.InsertStatistics(A, 1, 20, b'{"n":3}'),
        ops.InsertStatistics(B, 1, 20, b'{"n":4}'),
        ops.PutCommand(command("u1", command="reboot")),
        ops.PutCommand(command("u2", command="reboot")),
        ops.PutCommand(command("u3", command="leds")),
    )
    assert [row.serial_number for row in await store.fleet(limit=2)] == [C, A]
    assert await store.fleet(after=C, limit=1) == [
        rows.FleetRow(serial_number=A, compatible="x", last_recorded_contact=7)
    ]
    assert await store.newest_states([A, C]) == {A: b'{"n":3}'}
    assert await store.count_commands() == {"leds": 1, "reboot": 2}


def every_state():
    """Devices in every combination of what decides the state of their configuration."""
    holds = ("", *(getattr(configuration, name) for name in dir(configuration)
                   if name.startswith("HOLD_")))  # fmt: skip
    cases = itertools.product((0, 5), (0, 6), ("", "h"), ("", "h", "g"), (0, 5, 4), (0, 9), holds)
    for number, (config, pending, rejected, applied_hash, applied, at, hold) in enumerate(cases):
        yield rows.DeviceRow(
            serial_number=f"{number:012x}",
            config_uuid=config,
            config_hash="h",
            pending_uuid=pending,
            rejected_hash=rejected,
            applied_uuid=applied,
            applied_hash=applied_hash,
            applied_at=at,
            hold=hold,
        )


async def test_state_of_the_configuration_is_the_api_s(store):
    made = list(every_state())
    await write(store, *(ops.PutDevice(row) for row in made))
    found = await store.find_devices(rows.FleetSearch(), limit=len(made) + 1)
    assert [one.configuration_state for one in found] == [configuration_state(one) for one in made]
    counts = await store.count_by("configuration_state")
    assert counts == Counter(map(configuration_state, made))
    assert len(counts) == 7
    some = await store.find_devices(
        rows.FleetSearch(state="drifted"), after=found[100].serial_number
    )
    assert {one.configuration_state for one in some} == {"drifted"}
    assert all(one.serial_number > found[100].serial_number for one in some)


async def test_state_of_the_configuration_follows_a_change(store):
    await write(store, ops.PutDevice(rows.DeviceRow(serial_number=A, config_uuid=5)))
    (row,) = await store.find_devices(rows.FleetSearch(state="unknown"))
    await write(store, ops.PatchDevice(A, {"applied_uuid": 5, "applied_at": 9}))
    assert await store.find_devices(rows.FleetSearch(state="unknown")) == []
    (row,) = await store.find_devices(rows.FleetSearch(state="in_step"))
    assert row.serial_number == A


async def test_searches_of_the_fleet(store):
    def device(serial, **columns):
        return ops.PutDevice(rows.DeviceRow(serial_number=serial, **columns))

    await write(
        store,
        device("02a0ad00beef", compatible="edgecore_eap101", firmware="OpenWrt 23"),
        device("02a0ad001234", compatible="cig_wf188n", firmware="TIP 4.2", certificate_expiry=50),
        device("beef00000000", compatible="Odd%Name_", firmware="x", device_type="switch"),
    )

    async def found(**wanted):
        search = rows.FleetSearch(**wanted)
        listed = [one.serial_number for one in await store.find_devices(search)]
        assert await store.count_found(search, most=1000) == len(listed)
        return listed

    assert await found() == ["02a0ad001234", "02a0ad00beef", "beef00000000"]
    assert await found(text="BEEF") == ["02a0ad00beef", "beef00000000"]
    assert await found(text="00be") == ["02a0ad00beef"]
    assert await found(text="be") == ["beef00000000"]
    assert await found(text="02:a0:ad:00:12:34") == ["02a0ad001234"]
    assert await found(text="edge") == ["02a0ad00beef"]
    assert await found(text="EDGECORE") == ["02a0ad00beef"]
    assert await found(text="TIP 4") == ["02a0ad001234"]
    assert await found(text="Odd%") == ["beef00000000"]
    assert await found(text="%") == []
    assert await found(text="'; DROP TABLE devices; --") == []
    assert await found(firmware="TIP 4.2", compatible="cig_wf188n") == ["02a0ad001234"]
    assert await found(firmware="TIP 4.2", compatible="other") == []
    assert await found(platform="switch") == ["beef00000000"]
    assert await found(certificate_before=51) == ["02a0ad001234"]
    assert await found(certificate_before=50) == []
    assert await store.count_certificates(51) == 1
    assert await store.count_found(rows.FleetSearch(), most=2) == 2
    assert await store.count_by("firmware") == {"OpenWrt 23": 1, "TIP 4.2": 1, "x": 1}
    with pytest.raises(ValueError, match="notes"):
        await store.count_by("notes")


async def test_delete_records(store):
    def fill(recorded):
        return (
            ops.InsertStatistics(A, 1, recorded, b"{}"),
            ops.InsertHealthCheck(A, 1, 1, recorded, b"{}"),
            ops.InsertLog(A, 1, 1, 0, recorded, "l", b"{}"),
            ops.InsertLog(A, 1, 1, 2, recorded, "l", b"{}"),
        )

    await write(store, *fill(10), *fill(20), *fill(30), ops.InsertStatistics(B, 1, 20, b"{}"))
    await write(
        store,
        ops.DeleteRecords("statistics", A, 20, 20),
        ops.DeleteRecords("logs", A, end=20, log_type=2),
    )
    assert [row.recorded for row in await store.statistics(A)] == [10, 30]
    assert [row.recorded for row in await store.logs(A, log_type=2)] == [30]
    assert len(await store.logs(A)) == 3
    await write(store, ops.DeleteRecords("healthchecks", A), ops.DeleteRecords("logs", A, start=20))
    assert await store.healthchecks(A) == []
    assert [row.recorded for row in await store.logs(A)] == [10]
    assert await store.count_statistics(B) == 1


# commands


def command(uuid, serial=A, **values):
    return rows.CommandRow(
        uuid=uuid, serial_number=serial, **{"command": "reboot", "status": "pending", **values}
    )


async def test_command_keeps_every_column(store):
    row = full(rows.CommandRow, uuid="u1", serial_number=A)
    await write(store, ops.PutCommand(row))
    assert await store.command("u1") == row
    await write(store, ops.PutCommand(command("u1")))
    assert await store.command("u1") == command("u1")
    assert await store.command("u2") is None


async def test_patch_command(store):
    await write(store, ops.PutCommand(command("u1", submitted=5)))
    changes = {"status": "completed", "execution_ms": 12, "deferred": True}
    await write(store, ops.PatchCommand("u1", changes), ops.PatchCommand("u9", changes))
    expected = command("u1", submitted=5, status="completed", execution_ms=12.0, deferred=True)
    assert await store.command("u1") == expected
    with pytest.raises(BatchError):
        await write(store, ops.PatchCommand("u1", {"uuid": "u2"}))


async def test_commands_by_submission(store):
    await write(
        store,
        *(
            ops.PutCommand(command(uuid, submitted=submitted))
            for uuid, submitted in (("z", 10), ("y", 10), ("x", 5), ("w", 20))
        ),
        ops.PutCommand(command("other", B, submitted=1)),
    )
    # A change does not move a command among those of the same second.
    await write(store, ops.PutCommand(command("z", submitted=10, status="executed")))

    async def uuids(**given):
        return [row.uuid for row in await store.commands(A, **given)]

    assert await uuids() == ["x", "z", "y", "w"]
    assert await uuids(newest=True, limit=2) == ["w", "y"]
    assert await uuids(start=10, end=10) == ["z", "y"]
    assert await uuids(offset=3) == ["w"]


async def test_unfinished_commands(store):
    statuses = ["pending", "executing", "executed", "completed", "failed", "timedout", "expired"]
    await write(
        store,
        *(
            ops.PutCommand(command(status, submitted=10 - n, status=status))
            for n, status in enumerate(statuses)
        ),
        ops.PutCommand(command("other", command="configure")),
    )
    found = [row.uuid for row in await store.unfinished_commands("reboot")]
    assert found == ["executed", "executing", "pending"]


async def test_delete_commands(store):
    await write(store, *(ops.PutCommand(command(f"u{n}", submitted=n)) for n in range(1, 6)))
    await write(store, ops.DeleteCommands(uuid="u3"), ops.DeleteCommands(serial=B))
    await write(store, ops.DeleteCommands(serial=A, start=4, end=4))
    assert [row.uuid for row in await store.commands(A)] == ["u1", "u2", "u5"]
    with pytest.raises(BatchError):
        await write(store, ops.DeleteCommands())
    await write(store, ops.DeleteCommands(serial=A))
    assert await store.commands(A) == []


async def test_files_go_with_their_commands(store):
    for n in range(1, 7):
        row = command(f"u{n}", B if n == 6 else A, submitted=n)
        row.attach_date = 9 * (n != 5)
        await write(store, ops.PutCommand(row), ops.PutFilePart(f"u{n}", 0, 1, b"x"))
    assert await store.commands_with_files(A) == ["u1", "u2", "u3", "u4"]
    assert await store.commands_with_files(A, start=2, end=3) == ["u2", "u3"]

    async def left():
        return [n for n in range(1, 7) if await store.has_file(f"u{n}")]

    assert await left() == [1, 2, 3, 4, 5, 6]
    await write(store, ops.DeleteCommands(uuid="u3"))
    assert await left() == [1, 2, 4, 5, 6]
    await write(store, ops.DeleteCommands(serial=A, start=2, end=4))
    assert await left() == [1, 5, 6]
    await write(store, ops.DeleteDevice(A))
    assert await left() == [6]
    await write(store, ops.DeleteCommands(serial=B))
    assert await left() == []


# documents, users, tokens


async def test_default_firmwares(store):
    one = full(rows.DefaultFirmwareRow, device_type="b")
    two = rows.DefaultFirmwareRow(device_type="a", uri="https://x/", revision="v1")
    await write(store, ops.PutDefaultFirmware(one), ops.PutDefaultFirmware(two))
    assert await store.default_firmwares() == [two, one]
    assert await store.default_firmwares(offset=1, limit=1) == [one]
    assert await store.default_firmware("b") == one
    await write(store, ops.DeleteDefaultFirmware("b"))
    assert await store.default_firmware("b") is None


async def test_default_configurations(store):
    one = full(rows.DefaultConfigurationRow, name="b")
    two = rows.DefaultConfigurationRow(name="a", configuration="{}")
    await write(store, ops.PutDefaultConfiguration(one), ops.PutDefaultConfiguration(two))
    assert await store.default_configurations() == [two, one]
    assert await store.default_configurations(offset=1, limit=1) == [one]
    assert await store.default_configuration("b") == one
    await write(store, ops.DeleteDefaultConfiguration("b"))
    assert await store.default_configuration("b") is None


async def test_telemetry_subscriptions(store):
    def subscription(uuid, until, **values):
        return rows.TelemetrySubscriptionRow(
            uuid=uuid, serial_number=A, seconds=5, types='["state"]', until=until,
            **({"kafka": False} | values),
        )  # fmt: skip

    late, soon = subscription("l", 9), subscription("s", 3, kafka=True)
    await write(store, ops.PutTelemetrySubscription(late), ops.PutTelemetrySubscription(soon))
    assert await store.telemetry_subscriptions() == [soon, late]
    await write(store, ops.DeleteTelemetrySubscription("s"))
    assert await store.telemetry_subscriptions() == [late]


async def test_devices_of_a_venue(store):
    for serial, venue in ((B, "v1"), (A, "v1"), ("aabbccddee09", "v2"), ("aabbccddee08", "")):
        await write(store, ops.PutDevice(rows.DeviceRow(serial_number=serial, venue=venue)))
    assert await store.devices_of_venue("v1") == [A, B]
    assert await store.devices_of_venue("v1", limit=1) == [A]
    assert await store.devices_of_venue("") == []


async def test_blacklist(store):
    one, two = full(rows.BlacklistRow, serial_number=B), full(rows.BlacklistRow, serial_number=A)
    await write(store, ops.PutBlacklist(one), ops.PutBlacklist(two))
    assert await store.blacklist() == [two, one]
    assert await store.blacklist(limit=1) == [two]
    assert await store.blacklisted(B) == one
    await write(store, ops.DeleteBlacklist(B))
    assert await store.blacklisted(B) is None


async def test_radius_pools(store):
    assert await store.radius_pools() is None
    one, two = (rows.RadiusPoolsRow(document=text, modified=1) for text in ("{}", "[]"))
    await write(store, ops.PutRadiusPools(one))
    assert await store.radius_pools() == one
    await write(store, ops.PutRadiusPools(two))
    assert await store.radius_pools() == two
    await write(store, ops.DeleteRadiusPools())
    assert await store.radius_pools() is None


async def test_users_and_their_tokens(store):
    one = full(rows.UserRow, id="1", email="b@x")
    two = rows.UserRow(id="2", email="a@x")
    token = full(rows.TokenRow, access_hash="h1", refresh_hash="r1", user_id="1")
    other = full(rows.TokenRow, access_hash="h2", refresh_hash="r2", user_id="2")
    await write(store, ops.PutUser(one), ops.PutUser(two), ops.PutToken(token), ops.PutToken(other))
    assert await store.users() == [two, one]
    assert await store.users(offset=1) == [one]
    assert await store.user("1") == one
    assert await store.user_by_email("b@x") == one
    assert await store.token("h1") == token
    assert await store.token_by_refresh("r1") == token
    await write(store, ops.DeleteUser("1"))
    assert await store.user("1") is None
    assert await store.token("h1") is None
    assert await store.token("h2") == other


async def test_two_users_cannot_have_one_address(store):
    await write(store, ops.PutUser(rows.UserRow(id="1", email="a@x")))
    with pytest.raises(BatchError) as caught:
        await write(
            store,
            ops.PutBlacklist(rows.BlacklistRow(serial_number=A)),
            ops.PutUser(rows.UserRow(id="2", email="a@x")),
        )
    assert caught.value.index == 1
    assert not caught.value.retriable
    assert await store.blacklist() == []


async def test_delete_tokens(store):
    await write(
        store,
        *(
            ops.PutToken(
                full(rows.TokenRow, access_hash=f"h{n}", refresh_hash=f"r{n}", user_id=user)
            )
            for n, user in enumerate("aabb")
        ),
    )
    await write(store, ops.DeleteTokens(access_hash="h0"), ops.DeleteTokens(user_id="b"))
    left = [n for n in range(4) if await store.token(f"h{n}")]
    assert left == [1]
    with pytest.raises(BatchError):
        await write(store, ops.DeleteTokens())


# transactions


async def test_positions_go_with_the_batch(store):
    assert await store.positions() == {}
    await store.commit(
        Batch(positions=[RingPosition("up0", 3, 0, 250), RingPosition("up1", 4, 7, 9)])
    )
    assert await store.positions() == {"up0": (3, 250), "up1": (4, 9)}
    await store.commit(
        Batch(positions=[RingPosition("up0", 3, 250, 300), RingPosition("up0", 3, 300, 301)])
    )
    assert (await store.positions())["up0"] == (3, 301)


async def test_a_conflict_writes_nothing(store):
    await store.commit(Batch(positions=[RingPosition("up0", 3, 0, 250)]))
    batch = Batch(
        [ops.InsertStatistics(A, 1, 1, b"{}")],
        [RingPosition("up1", 1, 0, 5), RingPosition("up0", 3, 0, 250)],
    )
    with pytest.raises(PositionConflictError, match="up0"):
        await store.commit(batch)
    assert await store.statistics(A) == []
    assert await store.positions() == {"up0": (3, 250)}


async def test_another_incarnation_begins_anew(store):
    await store.commit(Batch(positions=[RingPosition("up0", 3, 0, 250)]))
    await store.commit(Batch(positions=[RingPosition("up0", 4, 0, 10)]))
    assert await store.positions() == {"up0": (4, 10)}


@pytest.mark.parametrize(
    "bad",
    [
        ops.InsertStatistics(A, 2**63, 1, b"{}"),
        ops.InsertStatistics(A, "x", 1, b"{}"),
        ops.InsertStatistics(A, None, 1, b"{}"),
        ops.InsertStatistics("\ud800", 1, 1, b"{}"),
        ops.InsertLog(A, 1, 1, 0, 1, object(), b"{}"),
        ops.DeleteRecords("commands", A),
        ops.PutDevice(device(created="x")),
        ops.PutDevice(device(pending_configuration=5j)),
        ops.PatchDevice(A, {"created": 2**63}),
        ops.DeleteUser("\ud800"),
        ops.DeleteDevice("\ud800"),
        ops.DeleteCommands(),
    ],
    ids=lambda op: type(op).__name__,
)
async def test_a_faulty_operation_is_pointed_out_and_nothing_is_written(store, bad):
    good = ops.InsertStatistics(A, 1, 1, b"{}")
    with pytest.raises(BatchError) as caught:
        await store.commit(
            Batch(
                [ops.DeleteBlacklist(A), good, bad, ops.DeleteBlacklist(A)],
                [RingPosition("r", 1, 0, 1)],
            )
        )
    assert caught.value.index == 2
    assert not caught.value.retriable
    assert await store.statistics(A) == []
    assert await store.positions() == {}
    await write(store, good)
    assert await store.count_statistics(A) == 1


async def test_the_faulty_one_of_a_run_is_pointed_out(store):
    users = [ops.PutUser(rows.UserRow(id=str(n), email=f"{n % 7}@x")) for n in range(10)]
    with pytest.raises(BatchError) as caught:
        await write(store, *users)
    assert caught.value.index == 7
    del users[7:]
    await write(store, *users)
    assert len(await store.users()) == 7


async def test_operations_take_effect_in_the_order_given(store):
    await write(
        store,
        ops.PutDevice(device(A)),
        ops.DeleteDevice(A),
        ops.InsertStatistics(A, 1, 1, b"{}"),
        ops.PutDevice(device(A, firmware="second")),
        ops.PatchDevice(A, {"firmware": "third"}),
    )
    assert (await store.device(A)).firmware == "third"
    assert await store.count_statistics(A) == 1


async def test_commits_at_the_same_time_are_kept_apart(store):
    await asyncio.gather(
        *(
            store.commit(
                Batch([ops.InsertStatistics(A, n, n, b"{}")], [RingPosition("r", 1, n, n + 1)])
            )
            for n in range(20)
        )
    )
    assert await store.positions() == {"r": (1, 20)}
    assert [row.uuid for row in await store.statistics(A)] == list(range(20))


async def test_an_empty_batch_is_nothing(store):
    await store.commit(Batch())


async def test_migrate_may_be_repeated(store):
    await write(store, ops.PutDevice(device()))
    await store.migrate()
    assert await store.count_devices() == 1


async def test_a_closed_store_says_so(store):
    await store.device(A)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.device(A)
    with pytest.raises(StoreError, match="closed"):
        await write(store, ops.DeleteBlacklist(A))


async def test_adopt_pending(store):
    row = device(
        configuration="old",
        config_uuid=1,
        config_hash="h1",
        pending_configuration="new",
        pending_uuid=2,
        pending_hash="h2",
        pending_command="c",
    )
    await write(store, ops.PutDevice(row), ops.PutDevice(device(B, configuration="keep")))
    await write(store, ops.AdoptPending(A, 3, 50), ops.AdoptPending(B, 0, 50))
    assert await store.device(A) == row
    assert await store.device(B) == device(B, configuration="keep")
    await write(store, ops.AdoptPending(A, 2, 50))
    assert await store.device(A) == device(
        configuration="new", config_uuid=2, config_hash="h2", last_configuration_change=50
    )


async def test_command_has_one_final_status(store):
    row = rows.CommandRow(
        uuid="u7", serial_number="02a0d5000001", command="leds", status="executing"
    )
    await write(store, ops.PutCommand(row))
    await write(store, ops.PatchCommand("u7", {"status": "failed", "error_text": "away"}))
    await write(store, ops.PatchCommand("u7", {"status": "completed", "error_text": ""}))
    await write(store, ops.PatchCommand("u7", {"attach_size": 5}))
    found = await store.command("u7")
    assert (found.status, found.error_text, found.attach_size) == ("failed", "away", 5)


async def test_how_an_upgrade_goes_on_is_kept_with_the_newest(store):
    for number, (uuid, command, status, serial) in enumerate(
        (
            ("v1", "upgrade", "completed", A),
            ("v2", "upgrade", "completed", A),
            ("v3", "upgrade", "failed", A),
            ("v4", "leds", "completed", A),
            ("v5", "upgrade", "completed", B),
        )
    ):
        row = rows.CommandRow(
            uuid=uuid, serial_number=serial, command=command, status=status, submitted=number
        )
        await write(store, ops.PutCommand(row))
    await write(store, ops.PutUpgradeStatus(A, '{"operation":"install"}'))
    await write(store, ops.PutUpgradeStatus(A, '{"operation":"fail"}'))
    found = {
        uuid: (await store.command(uuid)).late_answer for uuid in ("v1", "v2", "v3", "v4", "v5")
    }
    assert found == {"v1": "", "v2": '{"operation":"fail"}', "v3": "", "v4": "", "v5": ""}


async def test_what_a_request_asked_for_is_its_result_and_no_second_status(store):
    for uuid, command, status, serial in (
        ("r1", "request", "completed", A),
        ("r2", "request", "timedout", A),
        ("r3", "request", "executing", A),
        ("r4", "trace", "completed", A),
        ("r5", "request", "completed", B),
    ):
        row = rows.CommandRow(
            uuid=uuid, serial_number=serial, command=command, status=status, completed=5
        )
        await write(store, ops.PutCommand(row))
        await write(store, ops.PutRequestResult(uuid, A, '{"unit":1}', 90))
        found = await store.command(uuid)
        mine = uuid in ("r1", "r2", "r3")
        assert found.status == status
        assert found.results == ('{"unit":1}' if mine else "{}")
        assert found.completed == (90 if uuid == "r1" else 5)
