"""Entry of the coordinator process; started by the supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import uvloop

from gw.bus.envelopes import Envelope
from gw.bus.open import open_bus, open_service_events
from gw.coordinator import commands as states
from gw.coordinator.accounts import Accounts
from gw.coordinator.admission import Admission
from gw.coordinator.announcer import Announcer
from gw.coordinator.command_checks import CommandChecks
from gw.coordinator.commands import Commands
from gw.coordinator.countries import Countries
from gw.coordinator.country_providers import open_provider
from gw.coordinator.executor import Executor
from gw.coordinator.firmware import Firmwares
from gw.coordinator.handlers import Handlers
from gw.coordinator.intake import Intake
from gw.coordinator.janitor import Janitor
from gw.coordinator.keeper import Keeper
from gw.coordinator.links import Links
from gw.coordinator.overflow import Overflow
from gw.coordinator.patience import patiently
from gw.coordinator.presence import Presence
from gw.coordinator.provisioning import Provisioning
from gw.coordinator.provisioning import client_of as provisioning_client
from gw.coordinator.queues import Queue
from gw.coordinator.radius import Radius
from gw.coordinator.requests import Requests
from gw.coordinator.services import announcers, private_url
from gw.coordinator.shadow import Shadows
from gw.coordinator.sisters import Sisters
from gw.coordinator.store_spool import StoreSpool
from gw.coordinator.streams import Streams
from gw.coordinator.system_id import system_id
from gw.coordinator.tables import Tables
from gw.coordinator.telemetry import Telemetry
from gw.coordinator.venue_inventory import VenueInventory
from gw.coordinator.venues import Venues
from gw.coordinator.work import Committer
from gw.core.bootstrap import Bootstrap, announce_ready, load
from gw.core.settings import Settings
from gw.core.spool_file import SpoolError
from gw.ops import log_levels, logs, metrics
from gw.security.administrator import first_administrator
from gw.security.sealing import Sealer, sealing_key
from gw.store.errors import MigrationError, StoreError
from gw.store.interface import PositionConflictError, PutUser, Store
from gw.store.open import open_store
from gw.store.sealed import sealed_store

EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h: starting again would not help."""
_START_SECONDS: Final = 60.0
"""How long a start waits for a store that is away; then this process starts anew."""
_LEFTOVER_SECONDS: Final = 30.0
_HTTP_SECONDS: Final = 30.0
"""Limit for each step of a request to another server."""


async def make_first_administrator(store: Store, work: Committer, settings: Settings) -> None:
    """Add the first user and print the password once; nothing if users are, or are elsewhere."""
    given = os.environ.pop("GW_ADMIN_PASSWORD", None)
    if settings.security.external:
        return
    if await patiently(lambda: store.users(limit=1), _START_SECONDS):
        return
    row, generated = await asyncio.to_thread(first_administrator, settings.security, given)
    work.write(PutUser(row))
    await work.durable()
    if generated is not None:
        print(
            "\n"
            "  First start. The administrator, shown this once:\n\n"
            f"      user      {row.email}\n"
            f"      password  {generated}\n\n"
            "  A new password is asked for at the first sign-in.\n",
            flush=True,
        )


async def settle_leftovers(
    keeper: Keeper, shadows: Shadows, commands: Commands, before: int
) -> None:
    """End the configure commands of a predecessor that nobody will answer any more.

    An operator's `configure` that is still pending is none of them: the device settles it.
    """
    for one in commands.all():
        if one.name != "configure" or one.submitted >= before or keeper.flying(one.uuid):
            continue
        shadow = await patiently(lambda: shadows.get(one.serial))  # noqa: B023 - awaited here
        if one.run_at or (shadow is not None and shadow.row.pending_command == one.uuid):
            continue
        text = "the gateway restarted before an answer"
        commands.finish(one.uuid, states.TIMED_OUT, error_text=text)


async def housekeeping(
    keeper: Keeper,
    executor: Executor,
    shadows: Shadows,
    work: Committer,
    commands: Commands,
    settings: Settings,
) -> None:
    """Do what is due, once a second, for ever."""
    started, leftovers = time.time(), True
    leftovers_at = time.monotonic() + _LEFTOVER_SECONDS
    while True:
        await asyncio.sleep(min(1.0, settings.configuration.answer_seconds / 4))
        keeper.expire()
        commands.expire()
        executor.due()
        if not work.busy:
            shadows.tidy()
        if leftovers and time.monotonic() >= leftovers_at:
            leftovers = False
            await settle_leftovers(keeper, shadows, commands, int(started))


async def sum_up(announcer: Announcer, presence: Presence, settings: Settings) -> None:
    """Tell the number of connections now and then, for ever."""
    while True:
        await asyncio.sleep(settings.bus.update_seconds)
        announcer.update(presence)


async def live(streams: Streams, telemetry: Telemetry, sisters: Sisters) -> None:
    """End what nobody looks at any more, or whose lifetime is over, for ever."""
    while True:
        await asyncio.sleep(1.0)
        streams.expire()
        telemetry.due()
        sisters.expire()


def open_overflow(
    queues: list[Queue], settings: Settings, counters: metrics.CounterPage
) -> Overflow | None:
    """Return what moves the queues to disk while the store is away; None if it is not wanted."""
    folder = Path(settings.run.data) / "spool"
    if not settings.store.spool_bytes:
        if any(folder.glob("store-*/*.spool")):
            log = logs.get("spool")
            log.warning("a spool is not read, since store.spool_bytes is 0", folder=str(folder))
        return None
    try:
        spool = StoreSpool(folder, settings.store.spool_bytes)
    except (OSError, SpoolError) as error:
        raise ValueError(f"the spool in {folder} cannot be opened: {error}") from None
    return Overflow(queues, spool, settings, counters)


async def emptied(intake: asyncio.Task[None], work: Committer) -> None:
    """Wait until the queues are empty, and what was in them is in the store."""
    await intake
    await work.drained()


async def serve(bootstrap: Bootstrap) -> None:
    """Coordinate until SIGTERM, then empty the queues, commit and end."""
    counters = metrics.CounterPage(bootstrap.counters_memfd, bootstrap.counters_slot)
    queues = [Queue(ends) for ends in bootstrap.rings if ends.name.startswith("worker-")]
    overflow = open_overflow(queues, bootstrap.settings, counters)
    task = asyncio.current_task()
    assert task is not None
    # Until it is ready; a start may have to wait for the store.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    spooling = asyncio.create_task(overflow.run()) if overflow is not None else None
    try:
        await coordinate(bootstrap, counters, queues, overflow, spooling)
    except asyncio.CancelledError:
        logs.get("coordinator").warning("told to end before the store was there")
        if overflow is not None:
            await overflow.spill()
    finally:
        if overflow is not None and spooling is not None:
            spooling.cancel()
            await asyncio.gather(spooling, return_exceptions=True)
            await overflow.close()


async def coordinate(
    bootstrap: Bootstrap,
    counters: metrics.CounterPage,
    queues: list[Queue],
    overflow: Overflow | None,
    spooling: asyncio.Task[None] | None,
) -> None:
    """Open the store and take what is in the queues; see `serve`."""
    log = logs.get("coordinator")
    settings = bootstrap.settings
    sealer = Sealer(sealing_key(settings.security.sealing_key, settings.run.data))
    store = sealed_store(open_store(settings.store, settings.run.data), sealer)
    await patiently(store.migrate, _START_SECONDS)
    number = system_id(settings.run.data)
    bus = open_bus(settings, counters, number)
    work = Committer(store, settings.store, counters, bus)
    committing = asyncio.create_task(work.run())
    await make_first_administrator(store, work, settings)

    links = Links(bootstrap.rings)
    presence = Presence()
    shadows = Shadows(store)
    commands = Commands(work, counters)
    await patiently(lambda: commands.load(store), _START_SECONDS)
    streams = Streams(work, links, counters)
    envelope = Envelope(number, private_url(settings))
    announcer = Announcer(work, store, bus, envelope, streams)
    streams.joined = lambda: announcer.notify_connections(presence)
    telemetry = Telemetry(work, store, links, presence, streams, announcer, counters)
    await patiently(telemetry.load, _START_SECONDS)
    keeper = Keeper(
        work, store, links, presence, commands, settings.configuration, counters, announcer
    )
    client = httpx.AsyncClient(timeout=_HTTP_SECONDS, trust_env=False)
    checks = CommandChecks(settings.signatures, client)
    executor = Executor(work, store, links, presence, shadows, commands, checks, settings)
    executor.load()
    inventory = provisioning_client(settings.provisioning)
    provisioning = Provisioning(settings.provisioning, inventory, counters)
    venues = None
    if settings.devices.venue_broadcast:
        outside = settings.provisioning.url and VenueInventory(settings.provisioning, inventory)
        venues = Venues(store, links, presence, counters, outside or None)
    country_provider = open_provider(settings.iptocountry, counters)
    countries = Countries(
        settings.iptocountry, settings.devices.default_country, country_provider, counters
    )
    admission = Admission(settings, provisioning, links, shadows, counters, countries)
    proxy = next((ends for ends in bootstrap.rings if ends.name == "radius"), None)
    radius = Radius(proxy, links, presence, work, store, settings.radius, counters)
    firmwares = Firmwares(work, shadows, commands, executor, counters)
    for firmware in await store.default_firmwares(limit=100_000):
        firmwares.rows[firmware.device_type] = firmware
    handlers = Handlers(
        settings,
        work,
        links,
        presence,
        shadows,
        keeper,
        executor,
        announcer,
        admission,
        streams,
        telemetry,
        venues,
        radius,
        firmwares,
        countries,
        counters,
        bootstrap.generation,
    )
    for row in await patiently(lambda: store.default_configurations(limit=100_000), _START_SECONDS):
        handlers.defaults[row.name] = row
    for entry in await patiently(lambda: store.blacklist(limit=1_000_000), _START_SECONDS):
        handlers.blacklist[entry.serial_number] = entry
    intake = Intake(queues, store, work, handlers, counters, overflow)
    await patiently(intake.start, _START_SECONDS)
    reloading = asyncio.Event()
    services = announcers(settings, bus, number)
    sisters = Sisters({one.id for one in services}, links.forget_token, counters)
    listener = open_service_events(settings, counters, sisters.heard)
    tasks = [
        asyncio.create_task(intake.run()),
        asyncio.create_task(housekeeping(keeper, executor, shadows, work, commands, settings)),
        asyncio.create_task(Janitor(work, settings, counters).run()),
        asyncio.create_task(sum_up(announcer, presence, settings)),
        asyncio.create_task(countries.follow(settings.devices.reload_seconds, reloading)),
        asyncio.create_task(live(streams, telemetry, sisters)),
        *(asyncio.create_task(one.run()) for one in services),
    ]
    if listener is not None:
        tasks.append(asyncio.create_task(listener.run()))
    if proxy is not None:
        tasks.append(asyncio.create_task(radius.run()))
    for ends in bootstrap.rings:
        if ends.name == "api":
            requests = Requests(
                ends,
                store,
                work,
                links,
                presence,
                commands,
                keeper,
                executor,
                handlers,
                settings.configuration.answer_seconds,
                areas=[
                    Tables(work, links, presence, handlers),
                    Accounts(work, services[0].remove_token),
                    sisters,
                    streams,
                    telemetry,
                    radius,
                    firmwares,
                    countries,
                ],
            )
            tasks.append(asyncio.create_task(requests.run()))
    links.hello(bootstrap.generation)

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, reloading.set)
    announce_ready(bootstrap)
    log.info("ready", generation=bootstrap.generation)

    waiting = asyncio.create_task(stopping.wait())
    watched = [*tasks, committing, waiting, *([spooling] if spooling is not None else [])]
    done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    if waiting not in done:
        for task in done:
            task.result()  # raises what ended it
        raise RuntimeError("a part of the coordinator ended by itself")
    log.info("draining")
    intake.stop()
    drained = asyncio.ensure_future(emptied(tasks[0], work))
    here = overflow is None or await overflow.outlasts(drained)
    if here:
        await drained
    else:
        drained.cancel()
        log.warning("the store takes nothing: what it did not take stays in the spool")
        tasks.append(committing)
    await admission.close()
    await countries.close()
    await firmwares.close()
    await inventory.aclose()
    await keeper.close()
    if venues is not None:
        await venues.close()
    for task in tasks[here:]:
        task.cancel()
    await asyncio.gather(*tasks[here:], return_exceptions=True)
    if here:
        work.stop()
        await committing
    await bus.close()
    await client.aclose()
    await store.close()


def main() -> int:
    """Run the coordinator; returns the exit status."""
    bootstrap = load()
    settings = bootstrap.settings.log
    logs.configure(format=settings.format, level=settings.level, role="coordinator")
    log_levels.follow(bootstrap.counters_memfd, "coordinator")
    log = logs.get("coordinator")
    for library in ("httpx", "httpcore"):  # they tell every request, and tokens with them
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        uvloop.run(serve(bootstrap))
    except PositionConflictError as error:
        log.error("another coordinator has taken over", detail=str(error))
        return 1
    except (MigrationError, ValueError) as error:
        log.error("the coordinator cannot start", detail=str(error))
        return EXIT_CONFIGURATION
    except StoreError as error:
        log.error("the store cannot be used", detail=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
