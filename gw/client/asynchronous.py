"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from gw.client.call import Call, Pages, Reply
from gw.client.calls import commands as command_calls
from gw.client.calls import devices as device_calls
from gw.client.calls import reports as report_calls
from gw.client.calls import tables as table_calls
from gw.client.errors import UnexpectedAnswerError
from gw.client.options import Options
from gw.client.session import Enter, Fault, Pause, Send, Session, Steps

P = ParamSpec("P")
T = TypeVar("T")
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class _Method(Generic[P, T]):
    """A call of `gw.client.calls` as a method that returns its answer, awaited."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...

    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Awaitable[T]]: ...

    def __get__(self, client: AsyncClient | None, owner: type) -> Self | Callable[P, Awaitable[T]]:
        if client is None:
            return self
        build = self._build

        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.send(build(*args, **kwargs))

        method.__doc__ = build.__doc__
        return method


class _Iterator(Generic[P, T]):
    """A list of `gw.client.calls` as a method that returns an iterator over its pages' items."""

    def __init__(self, build: Callable[P, Pages[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...

    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(
        self, client: AsyncClient | None, owner: type
    ) -> Self | Callable[P, AsyncIterator[T]]:
        if client is None:
            return self
        build = self._build

        async def method(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
            pages, offset = build(*args, **kwargs), 0
            while True:
                page = await client.send(pages.at(offset))
                for one in page:
                    yield one
                offset += len(page)
                if len(page) < pages.size:
                    return

        method.__doc__ = build.__doc__
        return method


class AsyncClient:
    """A client of one gateway; tasks of one event loop may share it. Its parameters are those of
    `Options`.
    """

    devices = _Method(device_calls.devices)
    all_devices = _Iterator(device_calls.all_devices)
    devices_with_status = _Method(device_calls.devices_with_status)
    all_devices_with_status = _Iterator(device_calls.all_devices_with_status)
    device_count = _Method(device_calls.device_count)
    serial_numbers = _Method(device_calls.serial_numbers)
    connection_statistics = _Method(device_calls.connection_statistics)
    device = _Method(device_calls.device)
    create_device = _Method(device_calls.create_device)
    update_device = _Method(device_calls.update_device)
    delete_device = _Method(device_calls.delete_device)
    status = _Method(device_calls.status)
    configure = _Method(device_calls.configure)
    validate_configuration = _Method(device_calls.validate_configuration)
    configurations = _Method(device_calls.configurations)
    former_configuration = _Method(device_calls.former_configuration)
    compare_configurations = _Method(device_calls.compare_configurations)
    restore_configuration = _Method(device_calls.restore_configuration)

    reboot = _Method(command_calls.reboot)
    factory = _Method(command_calls.factory)
    upgrade = _Method(command_calls.upgrade)
    leds = _Method(command_calls.leds)
    ping = _Method(command_calls.ping)
    request = _Method(command_calls.request)
    wifiscan = _Method(command_calls.wifiscan)
    eventqueue = _Method(command_calls.eventqueue)
    trace = _Method(command_calls.trace)
    script = _Method(command_calls.script)
    rrm = _Method(command_calls.rrm)
    powercycle = _Method(command_calls.powercycle)
    cable_diagnostics = _Method(command_calls.cable_diagnostics)
    reenroll = _Method(command_calls.reenroll)
    fixedconfig = _Method(command_calls.fixedconfig)
    certupdate = _Method(command_calls.certupdate)
    transfer = _Method(command_calls.transfer)
    packages = _Method(command_calls.packages)
    install_packages = _Method(command_calls.install_packages)
    delete_packages = _Method(command_calls.delete_packages)
    commands = _Method(command_calls.commands)
    all_commands = _Iterator(command_calls.all_commands)
    command = _Method(command_calls.command)
    cancel_command = _Method(command_calls.cancel_command)
    delete_command = _Method(command_calls.delete_command)
    file = _Method(command_calls.file)
    delete_file = _Method(command_calls.delete_file)

    statistics = _Method(report_calls.statistics)
    statistics_count = _Method(report_calls.statistics_count)
    last_state = _Method(report_calls.last_state)
    delete_statistics = _Method(report_calls.delete_statistics)
    healthchecks = _Method(report_calls.healthchecks)
    last_healthcheck = _Method(report_calls.last_healthcheck)
    delete_healthchecks = _Method(report_calls.delete_healthchecks)
    logs = _Method(report_calls.logs)
    delete_logs = _Method(report_calls.delete_logs)
    capabilities = _Method(report_calls.capabilities)

    default_configurations = _Method(table_calls.default_configurations)
    default_configuration = _Method(table_calls.default_configuration)
    create_default_configuration = _Method(table_calls.create_default_configuration)
    update_default_configuration = _Method(table_calls.update_default_configuration)
    delete_default_configuration = _Method(table_calls.delete_default_configuration)
    blacklist = _Method(table_calls.blacklist)
    blacklisted = _Method(table_calls.blacklisted)
    refuse_device = _Method(table_calls.refuse_device)
    change_reason = _Method(table_calls.change_reason)
    allow_device = _Method(table_calls.allow_device)
    system_info = _Method(table_calls.system_info)
    system_resources = _Method(table_calls.system_resources)

    def __init__(self, url: str, **options: Any) -> None:
        """Open nothing yet. Raises ValueError and TypeError for wrong options, OSError for `ca`."""
        self._options = Options(url=url, **options)
        self._session = Session(self._options)
        self._entering = asyncio.Lock()
        self._http = httpx.AsyncClient(verify=self._options.tls(), follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the session at the gateway stays: see `sign_out`."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Carry out a call of `gw.client.calls`.

        Raises ApiError, UnreachableError or UnexpectedAnswerError.
        """
        return await self._drive(self._session.perform(call))

    async def sign_in(self) -> None:
        """Sign in now, or refresh the session. Raises as `send` does."""
        await self._enter(self._session.access)

    async def sign_out(self) -> None:
        """End the session of this client at the gateway, if it has one."""
        await self._drive(self._session.leave())

    async def _enter(self, seen: str) -> None:
        async with self._entering:
            if self._session.access == seen:
                await self._drive(self._session.enter())

    async def _drive(self, steps: Steps[T]) -> T:
        told: Reply | Fault | None = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                found: T = end.value
                return found
            told = None
            if isinstance(step, Send):
                told = await self._exchange(step)
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Enter):
                await self._enter(step.seen)

    async def _exchange(self, step: Send) -> Reply | Fault:
        timeout = httpx.Timeout(step.timeout, connect=self._options.connect_timeout)
        try:
            async with self._http.stream(
                step.method, step.url, params=step.params, headers=step.headers,
                content=step.body or None, timeout=timeout,
            ) as answer:  # fmt: skip
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > self._options.largest_answer:
                        raise UnexpectedAnswerError("the answer is larger than largest_answer")
                return Reply(answer.status_code, answer.headers, bytes(content))
        except httpx.TransportError as error:
            return Fault(error, isinstance(error, _UNSENT))
        except httpx.DecodingError as error:
            raise UnexpectedAnswerError(f"the answer cannot be unpacked: {error}") from error
