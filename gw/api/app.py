"""The two applications: the gateway's and the security service's routes, each behind an Edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import ControllerRouterHandler

from gw.api import (
    blacklist,
    commands,
    configuration_history,
    configure,
    dashboard,
    default_configurations,
    default_firmwares,
    device,
    device_commands,
    device_deletion,
    device_events,
    devices,
    docs,
    files,
    fleet,
    lookups,
    models,
    node,
    packages,
    radius_pools,
    radius_sessions,
    rtty,
    scripts,
    system,
    system_configuration,
    telemetry,
    telemetry_records,
)
from gw.api.authentication import Authenticator, Caller
from gw.api.console import Console, WithSecurity
from gw.api.context import Context
from gw.api.edge import Edge, Observe, RouteMethods, unobserved
from gw.api.envelope import (
    Answer,
    AnyRequest,
    refuse,
    refuse_http,
    refuse_store,
    refuse_unexpected,
)
from gw.api.gatekeeper import Gatekeeper, guard
from gw.api.limits import Limits
from gw.api.live.hub import Hub
from gw.api.live.sockets import Route, Sockets
from gw.api.live.tail import TailRoute
from gw.api.live.telemetry import TelemetryRoute
from gw.api.live.ui import UiRoute
from gw.api.openapi import Other, handlers_of, openapi_document
from gw.api.owsec import action_pages, policies
from gw.api.owsec.parts import SecurityParts
from gw.api.owsec.routes import ROUTES
from gw.api.owsec.subscribers import twins
from gw.api.ui import Ui
from gw.core.errors import ApiError
from gw.store.errors import StoreError

BASE: Final = "/api/v1"
_FORBIDDEN: Final = 403

_GATEWAY: Final[tuple[BaseRouteHandler, ...]] = (
    devices.list_devices,
    device_deletion.delete_devices,
    device.read_device,
    device.create_device,
    device.change_device,
    device.delete_device,
    device.read_status,
    telemetry_records.read_statistics,
    telemetry_records.read_healthchecks,
    telemetry_records.read_logs,
    telemetry_records.read_capabilities,
    device_events.read_events,
    telemetry_records.delete_statistics,
    telemetry_records.delete_healthchecks,
    telemetry_records.delete_logs,
    telemetry_records.delete_capabilities,
    configure.configure,
    configuration_history.list_configurations,
    configuration_history.read_configuration,
    configuration_history.compare_configurations,
    configuration_history.restore_configuration,
    rtty.open_terminal,
    telemetry.telemetry,
    telemetry.ui_socket,
    telemetry.telemetry_socket,
    telemetry.tail_socket,
    device_commands.device_command,
    packages.list_packages,
    packages.install_packages,
    packages.delete_packages,
    scripts.list_scripts,
    scripts.read_script,
    scripts.create_script,
    scripts.change_script,
    scripts.delete_script,
    files.download,
    files.remove,
    commands.list_commands,
    commands.delete_commands,
    commands.read_command,
    commands.delete_command,
    commands.cancel_command,
    default_configurations.list_default_configurations,
    default_configurations.read_default_configuration,
    default_configurations.create_default_configuration,
    default_configurations.change_default_configuration,
    default_configurations.delete_default_configuration,
    default_firmwares.list_default_firmwares,
    default_firmwares.read_default_firmware,
    default_firmwares.create_default_firmware,
    default_firmwares.change_default_firmware,
    default_firmwares.delete_default_firmware,
    blacklist.list_blacklist,
    blacklist.read_blacklisted,
    blacklist.refuse_device,
    blacklist.change_reason,
    blacklist.allow_device,
    models.read_models,
    dashboard.read_dashboard,
    fleet.list_fleet,
    fleet.read_fleet,
    node.read_node,
    lookups.read_vendors,
    lookups.read_countries,
    lookups.read_regulatory,
    radius_pools.read_radius_pools,
    radius_pools.replace_radius_pools,
    radius_pools.delete_radius_pools,
    radius_sessions.list_radius_sessions,
    radius_sessions.end_radius_sessions,
    system.read_system,
    system.change_system,
    system_configuration.read_settings,
    system_configuration.refuse_settings,
    system_configuration.refuse_settings_reset,
)

_PUBLIC_ONLY: Final = frozenset(
    {"/system", "/systemConfiguration", "/deviceDashboard", "/capabilities", "/ws", "/ws_telemetry"}
)
"""Paths that the gateway does not serve on its private listener (northbound.md 1)."""


def gateway_app(
    context: Context,
    authentication: Authenticator,
    observe: Observe = unobserved,
    limits: Limits | None = None,
    *,
    internal_key: str = "",
    ui: Ui | None = None,
    console: Console | None = None,
    security: Edge | None = None,
) -> Edge:
    """Return the application of the api listener; with `internal_key`, of the private one.

    `ui` takes the place of the start page, else the console does. `security` is what the console
    signs in with, at the same origin.
    """
    other = Other("Security service", context.security_port)
    handlers = _GATEWAY
    if internal_key:
        handlers = tuple(one for one in _GATEWAY if not _PUBLIC_ONLY & set(one.paths))
    gatekeeper = Gatekeeper(authentication, "owgw", limits, internal_key=internal_key)
    dependencies = {
        "dashboard": _constant(dashboard.dashboard_of(context)),
        "summaries": _constant(fleet.Summaries(context, fleet.FRESH_SECONDS)),
    }
    more = docs.start_page(console is None) if ui is None else ui.routes()
    if console is not None:
        more += console.routes(start=ui is None)
    app = _documented(
        handlers, "gw", other, context, gatekeeper, authentication, dependencies, more
    )
    edge = _behind_edge(app, context, observe)
    if console is not None and security is not None:
        edge.app = WithSecurity(edge.app, security.app)
    return edge


def gateway_sockets(context: Context, authentication: Authenticator, hub: Hub) -> Sockets:
    """Return the WebSockets of the api listener."""
    routes: dict[str, Route] = {
        f"{BASE}/ws": UiRoute(authentication, context.reader, hub),
        f"{BASE}/ws_telemetry": TelemetryRoute(context, hub),
        f"{BASE}/device/{{serial}}/tail": TailRoute(context, authentication, hub),
    }
    return Sockets(context, hub, routes)


def security_sockets(context: Context, authentication: Authenticator, hub: Hub) -> Sockets:
    """Return the WebSockets of the security listener."""
    ui = UiRoute(authentication, context.reader, hub, devices=False)
    return Sockets(context, hub, {f"{BASE}/ws": ui})


def security_app(
    context: Context,
    authentication: Authenticator,
    parts: SecurityParts,
    observe: Observe = unobserved,
    limits: Limits | None = None,
    *,
    internal_key: str = "",
) -> Edge:
    """Return the application of the security listener; with `internal_key`, of the private one.

    `parts` are what both have in common.
    """
    other = Other("Gateway", context.api_port)
    authenticator, world = parts.subscribers
    app = _documented(
        (*ROUTES, *twins(world)),
        "gw security",
        other,
        context,
        Gatekeeper(
            authentication,
            "owsec",
            limits,
            internal_key=internal_key,
            subscribers=authenticator,
        ),
        authentication,
        {name: _constant(value) for name, value in parts.dependencies().items()},
        [*docs.start_page(), *policies.pages(context.settings.security), action_pages.account_css],
    )
    return _behind_edge(app, context, observe)


def _documented(
    handlers: Sequence[ControllerRouterHandler],
    title: str,
    other: Other,
    context: Context,
    gatekeeper: Gatekeeper,
    authentication: Authenticator,
    dependencies: dict[str, Provide],
    more: Sequence[ControllerRouterHandler] = (),
) -> Litestar:
    """Return an application of routes below BASE, with the pages that describe them."""
    state = {
        "authentication": authentication,
        "gatekeeper": gatekeeper,
        "note_refusal": context.note_refusal,
    }
    described = _litestar(context, state, [_router(handlers)], dependencies)
    document = openapi_document(described, title=title, other=other)
    pages = docs.pages(document)
    return _litestar(context, state, [_router(handlers), *pages, *more], dependencies)


def _router(handlers: Sequence[ControllerRouterHandler]) -> Router:
    return Router(BASE, route_handlers=handlers)


def _litestar(
    context: Context,
    state: dict[str, Any],
    handlers: Sequence[ControllerRouterHandler],
    dependencies: dict[str, Provide],
) -> Litestar:
    return Litestar(
        handlers,
        guards=[guard],
        dependencies={
            "context": _constant(context),
            "caller": Provide(_caller, sync_to_thread=False),
            **dependencies,
        },
        exception_handlers={
            ApiError: _refuse,
            HTTPException: refuse_http,
            StoreError: refuse_store,
            Exception: refuse_unexpected,
        },
        request_max_body_size=context.settings.api.max_body_bytes,
        state=State(state),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def _refuse(request: AnyRequest, error: ApiError) -> Answer:
    if error.http == _FORBIDDEN:
        request.app.state.note_refusal(error)
    return refuse(request, error)


def _behind_edge(app: Litestar, context: Context, observe: Observe) -> Edge:
    methods = RouteMethods((path, handler.http_methods) for path, handler in handlers_of(app))
    return Edge(app, methods, context.settings.api.cors_origins, observe)


def _constant(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False, use_cache=True)


def _caller(request: AnyRequest) -> Caller:
    found: Caller = request.scope["state"]["caller"]
    return found
