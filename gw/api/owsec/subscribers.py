"""The twins of the account operations for subscribers (security.md 2.5 and 5).

Subscribers are customers of an operator. Their accounts work as those of users do, in a table of
their own: the same handlers are given a view of the store in which subscribers are the users.
No token of a subscriber is valid anywhere else.
"""

from __future__ import annotations

import dataclasses
from types import FunctionType
from typing import Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from gw.api.context import Context, Coordinator
from gw.api.coordinator_client import DEFAULT_SECONDS, Answer
from gw.api.documented import description_of, documented
from gw.api.envelope import Answer as HttpAnswer
from gw.api.envelope import Success
from gw.api.owsec import avatars, oauth2, preferences, totp, user_changes, users, validation
from gw.core.errors import ApiError
from gw.store.interface import Reader
from gw.store.rows import UserRow

_DECORATORS: Final[dict[str, Any]] = {"GET": get, "POST": post, "PUT": put, "DELETE": delete}

TWINS: Final[tuple[tuple[HTTPRouteHandler, str], ...]] = (
    (oauth2.sign_in, "/suboauth2"),
    (oauth2.read_caller, "/suboauth2"),
    (oauth2.sign_out, "/suboauth2/{token:str}"),
    (users.list_users, "/subusers"),
    (users.read_user, "/subuser/{id:str}"),
    (user_changes.create_user, "/subuser/{id:str}"),
    (user_changes.change_user, "/subuser/{id:str}"),
    (user_changes.delete_user, "/subuser/{id:str}"),
    (avatars.read_avatar, "/subavatar/{id:str}"),
    (avatars.replace_avatar, "/subavatar/{id:str}"),
    (avatars.delete_avatar, "/subavatar/{id:str}"),
    (preferences.read_preferences, "/subpreferences"),
    (preferences.replace_preferences, "/subpreferences"),
    (totp.begin_totp, "/subtotp"),
    (totp.prove_totp, "/subtotp"),
    (validation.validate_token, "/validateSubToken"),
)
"""Handlers of users, and the paths of their twins."""

_RENAMED: Final = {"user.put": "subscriber.put", "user.delete": "subscriber.delete"}


class SubscriberReader:
    """A reader in which subscribers are the users; all else is as it is."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def user(self, id: str) -> UserRow | None:
        """One subscriber."""
        return await self._reader.subscriber(id)

    async def user_by_email(self, email: str) -> UserRow | None:
        """One subscriber."""
        return await self._reader.subscriber_by_email(email)

    async def users(self, *, offset: int = 0, limit: int = 100) -> list[UserRow]:
        """By e-mail."""
        return await self._reader.subscribers(offset=offset, limit=limit)


class SubscriberCoordinator:
    """Writes subscribers where users were to be written."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    async def request(
        self,
        operation: str,
        arguments: dict[str, Any],
        body: bytes = b"",
        *,
        timeout: float = DEFAULT_SECONDS,  # noqa: ASYNC109 - it is a part of the request
    ) -> Answer:
        """Ask the coordinator."""
        renamed = _RENAMED.get(operation, operation)
        return await self._coordinator.request(renamed, arguments, body, timeout=timeout)


def subscriber_context(context: Context) -> Context:
    """Return the context in which subscribers are the users."""
    reader: Any = SubscriberReader(context.reader)
    return dataclasses.replace(
        context, reader=reader, coordinator=SubscriberCoordinator(context.coordinator)
    )


def twins(dependencies: dict[str, Any]) -> list[HTTPRouteHandler]:
    """Return the routes of subscribers; `dependencies` are those of their world."""
    provided = {name: _constant(value) for name, value in dependencies.items()}
    return [_twin(handler, path, provided) for handler, path in TWINS]


def _constant(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False, use_cache=True)


def _twin(
    handler: HTTPRouteHandler, path: str, dependencies: dict[str, Provide]
) -> HTTPRouteHandler:
    described = description_of(handler)
    assert described is not None
    description = msgspec.structs.replace(
        described, tag="Subscribers", summary=f"{described.summary}: subscribers"
    )
    (method,) = {str(one) for one in handler.http_methods} - {"OPTIONS", "HEAD"}
    made: HTTPRouteHandler = _DECORATORS[method](
        path,
        opt={**handler.opt, "description": description, "subscribers": True},
        status_code=200,
        include_in_schema=False,
        dependencies=dependencies,
        request_max_body_size=handler.request_max_body_size,
    )(_copy(handler.fn))
    return made


def _copy(fn: Any) -> Any:
    """Return the same function under another name: operations are told apart by theirs."""
    copied = FunctionType(fn.__code__, fn.__globals__, f"subscriber_{fn.__name__}")
    copied.__annotations__ = fn.__annotations__
    copied.__kwdefaults__ = fn.__kwdefaults__
    copied.__module__ = fn.__module__
    return copied


def _absent(method: str, path: str, name: str, instead: str) -> HTTPRouteHandler:
    async def refuse() -> HttpAnswer:
        raise ApiError(1062, instead)

    refuse.__name__ = name
    description = documented(
        "Not offered",
        tag="Subscribers",
        answer=Success,
        details=f"Always refused with 1062: {instead}.",
    )
    # A subscriber is to learn that it is not offered, not that the token is invalid.
    description["opt"]["subscribers"] = True
    made: HTTPRouteHandler = _DECORATORS[method](path, **description)(refuse)
    return made


ABSENT: Final = (
    _absent("GET", "/submfa", "read_submfa", "a second factor is set by PUT /subuser/{id}"),
    _absent("PUT", "/submfa", "change_submfa", "a second factor is set by PUT /subuser/{id}"),
    _absent("POST", "/signup", "sign_up", "subscribers are made by POST /subuser/0"),
    _absent("PUT", "/signup", "advance_sign_up", "subscribers are made by POST /subuser/0"),
)
"""What is answered, but not done."""
