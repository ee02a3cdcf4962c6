"""The api process: `python -m gw.api`, started by the supervisor."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

import uvloop

from gw.api.app import gateway_app, gateway_sockets, security_app, security_sockets
from gw.api.authentication import Authentication
from gw.api.configuration_validation import ConfigurationValidation, CountValidation
from gw.api.console import Console
from gw.api.context import Context
from gw.api.coordinator_client import CoordinatorClient
from gw.api.edge import Edge, Observe, RouteMethods
from gw.api.external_security import OUTCOMES as QUESTIONS
from gw.api.external_security import ExternalSecurity
from gw.api.limits import LIMITS, Limits
from gw.api.live.hub import Hub
from gw.api.notes import Notes
from gw.api.oui import Vendors
from gw.api.owsec.logins import CountLogin
from gw.api.owsec.mailer import OUTCOMES, Mailer
from gw.api.owsec.parts import SecurityParts
from gw.api.owsec.sms_sender import OUTCOMES as SMS_OUTCOMES
from gw.api.owsec.sms_sender import SmsSender, WebhookProvider
from gw.api.server import BODY_SECONDS, UPLOAD_SECONDS, Certificate, Listener
from gw.api.sisters import Sisters
from gw.api.ui import Ui
from gw.core.bootstrap import Bootstrap, announce_ready, load
from gw.core.retention import keep_seconds
from gw.core.settings import Settings
from gw.files.kept import KeptFiles
from gw.files.upload import Uploads
from gw.ops import log_levels, logs, metrics
from gw.ops.metrics_table import API_LISTENER
from gw.ops.processes import Processes
from gw.security.internal_key import internal_key
from gw.security.passwords import Passwords
from gw.security.sealing import Sealer, sealing_key
from gw.security.tokens import token_hash
from gw.store.open import open_reader
from gw.store.sealed import sealed_reader
from gw.validation.schema import SchemaError
from gw.validation.schemas import Schemas

_log = logs.get("gw.api")

_DRAIN_SHARE: Final = 0.75
"""Of the time that SIGTERM may take, the part for requests under way."""
_GIVE_UP_SHARE: Final = 0.5
"""The part after which what still waits for the coordinator is answered 503."""
_NOT_FOUND: Final = b'{"filename":"","error":13,"errorText":"nothing is awaited here"}'


def main() -> None:
    """Run the api process until SIGTERM."""
    bootstrap = load()
    log = bootstrap.settings.log
    logs.configure(format=log.format, level=log.level, role=bootstrap.role)
    log_levels.follow(bootstrap.counters_memfd, "api")
    # Its starts and stops say nothing that ours do not, and its warnings of malformed requests
    # are for any stranger to cause: they are counted instead.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    uvloop.run(_serve(bootstrap))


async def _serve(bootstrap: Bootstrap) -> None:
    settings, data = bootstrap.settings, bootstrap.settings.run.data
    page = metrics.CounterPage(bootstrap.counters_memfd, bootstrap.counters_slot)
    certificate = _certificate(settings.api.certificate, settings.api.key, _reload_counter(page))
    validation = _validation(settings, page)
    sockets = {name: socket.socket(fileno=fd) for name, fd in bootstrap.sockets.items()}
    sealer = Sealer(_kept("security.sealing_key", sealing_key, settings.security.sealing_key, data))
    reader = sealed_reader(open_reader(settings.store, data), sealer)
    passwords = Passwords(settings.security)
    client = CoordinatorClient(bootstrap.rings[0], bootstrap.generation)
    client.start()
    notes = Notes(client)
    kept = KeptFiles(
        settings.files,
        settings.run.data,
        reader,
        client,
        keep_seconds(settings, "files"),
        lambda: page.add(metrics.index("gw_retention_removed_total", "files")),
    )
    sisters = Sisters(client, listening=bool(settings.kafka.bootstrap_servers))
    external = _external(settings, page, sockets["api"].getsockname()[1], sisters)
    authentication = external or Authentication(reader, notes.key_used)
    client.on_token_removed = lambda token: authentication.forget(token_hash(token))
    limits = Limits(settings.api, _counter(page, "gw_api_limited_total", LIMITS))
    context = Context(
        kept_files=kept,
        settings=settings,
        reader=reader,
        coordinator=client,
        sisters=sisters,
        api_port=sockets["api"].getsockname()[1],
        security_port=sockets["security"].getsockname()[1] if "security" in sockets else 0,
        files_port=sockets["files"].getsockname()[1] if "files" in sockets else 0,
        certificate=certificate,
        note_refusal=notes.refused,
        validation=validation,
        count_terminals=_terminal_counter(bootstrap.counters_memfd),
        vendors=_vendors(settings),
        log_levels=log_levels.LogLevels(page, settings.log.level),
        processes=Processes(bootstrap.counters_memfd, bootstrap.counters_names),
    )
    observe = _observer(page)
    mailer = Mailer(settings.mail, _counter(page, "gw_mails_total", OUTCOMES))
    provider = _sms_provider(settings)
    sms = SmsSender(settings.sms, provider, _counter(page, "gw_sms_total", SMS_OUTCOMES))
    parts = SecurityParts(
        context, authentication, passwords, sealer, mailer, _login_counter(page), sms=sms
    )
    key = _kept("security.internal_key", internal_key, settings.security.internal_key, data)
    apps: dict[str, Any] = {
        "private_api": gateway_app(context, authentication, observe, internal_key=key),
        "security": security_app(context, authentication, parts, observe, limits),
        "private_security": security_app(context, authentication, parts, observe, internal_key=key),
        "files": Edge(
            Uploads(
                reader,
                client,
                settings.files,
                kept,
            ),
            RouteMethods([("/v1/upload/{uuid}", ("POST",))]),
            settings.api.cors_origins,
            observe,
        ),
    }
    apps["api"] = gateway_app(
        context,
        authentication,
        observe,
        limits,
        ui=_ui(settings.api.ui_dir),
        console=_console(settings.security.external_url),
        security=None if external else apps["security"],
    )
    hub = Hub(client, bootstrap.generation, settings.streams, page)
    apps["api"].sockets = gateway_sockets(context, authentication, hub)
    apps["security"].sockets = security_sockets(context, authentication, hub)
    hub.start()
    drain = settings.run.drain_seconds * _DRAIN_SHARE
    listeners = [
        Listener(
            apps[name],
            sock,
            certificate,
            drain_seconds=drain,
            body_seconds=UPLOAD_SECONDS if name == "files" else BODY_SECONDS,
            observe=observe,
            streams=settings.streams if name in ("api", "security") else None,
        )
        for name, sock in sockets.items()
        if name in apps
    ]
    sending = [asyncio.create_task(one.run()) for one in (mailer, sms)]
    try:
        await _run(bootstrap, listeners, certificate, client, context)
    finally:
        for task in sending:
            task.cancel()
        await hub.close()
        client.close()
        if external is not None:
            await external.close()
        if provider is not None:
            await provider.close()
        await reader.close()
        passwords.close()
        page.close()


async def _run(
    bootstrap: Bootstrap,
    listeners: list[Listener],
    certificate: Certificate,
    client: CoordinatorClient,
    context: Context,
) -> None:
    """Serve until SIGTERM or SIGINT, or until a listener or a queue fails."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def reload() -> None:
        certificate.reload()
        context.validation.reload()
        context.vendors.reload()

    context.reload = reload
    loop.add_signal_handler(signal.SIGHUP, reload)
    serving = [asyncio.create_task(one.run_until_stopped()) for one in listeners]
    started = asyncio.gather(*(one.wait_started() for one in listeners))
    stopped = asyncio.create_task(stopping.wait())
    following = asyncio.create_task(certificate.follow(bootstrap.settings.devices.reload_seconds))
    assert client.failed is not None
    ends: list[asyncio.Future[Any]] = [*serving, stopped, client.failed]
    await asyncio.wait([started, *ends], return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        announce_ready(bootstrap)
        _log.info("serving", listeners=len(listeners))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    else:
        started.cancel()
    following.cancel()
    for one in listeners:
        one.stop()
    # Commands may wait for their device longer than we may: they get an answer in time.
    give_up = bootstrap.settings.run.drain_seconds * _GIVE_UP_SHARE
    loop.call_later(give_up, client.close)
    await asyncio.gather(*serving)
    if stopped.done():
        _log.info("stopped")
        return
    stopped.cancel()
    if client.failed.done():
        client.failed.result()
    raise SystemExit("a listener ended by itself")


def _certificate(file: str, key: str, reloaded: Callable[[bool], object]) -> Certificate:
    if not file or not key:
        raise SystemExit("api.certificate and api.key must be set: the API is served by TLS only")
    try:
        return Certificate(file, key, reloaded)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SystemExit(f"api.certificate {file} or api.key {key}: {error}") from None


def _ui(folder: str) -> Ui | None:
    try:
        return Ui(folder) if folder else None
    except OSError as error:
        raise SystemExit(f"api.ui_dir {folder}: {error}") from None


def _console(sign_in: str) -> Console | None:
    try:
        return Console(sign_in=sign_in)
    except FileNotFoundError:
        _log.info("the web console was not built: `make build` does so where npm is")
        return None


def _kept(setting: str, key_of: Callable[[str, str], str], configured: str, data: str) -> str:
    try:
        return key_of(configured, data)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{setting}: {error}") from None


def _vendors(settings: Settings) -> Vendors:
    try:
        return Vendors(settings.api.oui_file)
    except (OSError, ValueError) as error:
        raise SystemExit(f"api.oui_file {settings.api.oui_file}: {error}") from None


def _validation(settings: Settings, page: metrics.CounterPage) -> ConfigurationValidation:
    wanted = settings.configuration
    try:
        schemas = Schemas(wanted.schema, wanted.schema_switch)
    except SchemaError as error:
        raise SystemExit(f"configuration.schema or configuration.schema_switch: {error}") from None
    return ConfigurationValidation(schemas, wanted.schema_errors, _validation_counter(page))


def _validation_counter(page: metrics.CounterPage) -> CountValidation:
    by_result = {
        result: metrics.index("gw_configuration_validations_total", result)
        for result in ("valid", "invalid", "failed")
    }
    return lambda result: page.add(by_result[result])


def _terminal_counter(memfd: int) -> Callable[[], tuple[int, int]]:
    """Count in the pages of all processes: the rtty process writes its own."""
    slots = metrics.AllSlots(memfd)
    live, begun = metrics.index("gw_rtty_sessions"), metrics.index("gw_rtty_sessions_total")
    return lambda: (slots.total(live), slots.total(begun))


def _observer(page: metrics.CounterPage) -> Observe:
    by_class = {
        number: metrics.index("gw_api_requests_total", f"{number}xx") for number in (2, 3, 4, 5)
    }
    seconds_index = metrics.index("gw_api_request_seconds")

    def observe(status: int, seconds: float) -> None:
        page.add(by_class[status // 100])
        page.observe(seconds_index, seconds)

    return observe


def _reload_counter(page: metrics.CounterPage) -> Callable[[bool], object]:
    succeeded = metrics.index("gw_certificate_reloads_total", API_LISTENER, "success")
    failed = metrics.index("gw_certificate_reloads_total", API_LISTENER, "failure")
    return lambda good: page.add(succeeded if good else failed)


def _login_counter(page: metrics.CounterPage) -> CountLogin:
    succeeded = metrics.index("gw_logins_total", "success")
    failed = metrics.index("gw_logins_total", "failure")
    return lambda success: page.add(succeeded if success else failed)


def _counter(page: metrics.CounterPage, name: str, values: Iterable[str]) -> Callable[[str], None]:
    """Return what counts a metric by the value of its label."""
    indexes = {value: metrics.index(name, value) for value in values}
    return lambda value: page.add(indexes[value])


def _external(
    settings: Settings, page: metrics.CounterPage, port: int, sisters: Sisters
) -> ExternalSecurity | None:
    if not settings.security.external:
        return None
    url = settings.api.public_url.rstrip("/") or f"https://{socket.gethostname()}:{port}"
    count = _counter(page, "gw_security_questions_total", QUESTIONS)
    try:
        locate = sisters.security_service if settings.security.external_from_bus else None
        return ExternalSecurity(settings.security, url, count, locate)
    except (OSError, ssl.SSLError) as error:
        path = settings.security.external_ca
        raise SystemExit(f"security.external_ca {path}: {error}") from None


def _sms_provider(settings: Settings) -> WebhookProvider | None:
    if not settings.sms.url:
        return None
    try:
        return WebhookProvider(settings.sms)
    except (OSError, ssl.SSLError) as error:
        raise SystemExit(f"sms.ca {settings.sms.ca}: {error}") from None


if __name__ == "__main__":
    main()
