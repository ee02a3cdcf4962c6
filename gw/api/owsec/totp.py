"""/totp: setting up an authenticator app (security.md 5).

A set-up lives in the memory of the api process for a quarter of an hour.
"""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from typing import Final

import msgspec
import segno
from litestar import Response, get, put
from litestar.di import NamedDependency

from gw.api import query
from gw.api.authentication import Caller
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.mfa import Mfa
from gw.api.owsec.user_document import MFA_STEP, proprietary, rest_of
from gw.core.errors import ApiError
from gw.security import totp

_TAG = "Second factor"
_ISSUER: Final = "gw"
SETUP_SECONDS: Final = 900
MOST: Final = 1000
"""Set-ups at a time; the oldest is forgotten first."""
WRONG: Final = 20
"""Wrong codes after which a set-up is over."""


class SetUp(msgspec.Struct):
    """A secret that is not proven yet."""

    secret: str
    until: float
    step: int = 0
    """Of the first code; 0: none was shown yet."""
    wrong: int = 0


class SetUps:
    """The set-ups under way, by user. One per api process."""

    def __init__(self) -> None:
        self._by_user: OrderedDict[str, SetUp] = OrderedDict()

    def begin(self, user_id: str) -> SetUp:
        """Make a new secret."""
        self._by_user.pop(user_id, None)
        made = SetUp(totp.new_secret(), time.monotonic() + SETUP_SECONDS)
        self._by_user[user_id] = made
        if len(self._by_user) > MOST:
            self._by_user.popitem(last=False)
        return made

    def of(self, user_id: str) -> SetUp | None:
        """Return the set-up of a user, if it is not over."""
        found = self._by_user.get(user_id)
        if found is None or found.until <= time.monotonic() or found.wrong >= WRONG:
            self.end(user_id)
            return None
        return found

    def end(self, user_id: str) -> None:
        """Forget the set-up of a user."""
        self._by_user.pop(user_id, None)


class TotpQuery(query.Query):
    """Parameters of GET."""

    reset: bool = False
    """Make a new secret, whatever was begun."""


class ProofQuery(query.Query):
    """Parameters of PUT."""

    index: int = 0
    """1 for the first code, 2 for the second."""
    value: str = ""
    """The code."""


class ProofAnswer(msgspec.Struct, rename="camel"):
    """What is wanted next."""

    next_index: int
    more_codes: bool


@get(
    "/totp",
    **documented(
        "Begin to set up an authenticator app",
        tag=_TAG,
        query=TotpQuery,
        details="The answer is the QR image for the app.",
        media="image/svg+xml",
    ),
)
async def begin_totp(
    request: AnyRequest, caller: NamedDependency[Caller], set_ups: NamedDependency[SetUps]
) -> Answer:
    """Answer the image of a new secret, or of the one that was begun."""
    if not caller.id:
        raise ApiError(7)
    reset = query.read(request.scope, TotpQuery).reset
    present = None if reset else set_ups.of(caller.id)
    made = present or set_ups.begin(caller.id)
    image = io.BytesIO()
    uri = totp.uri(made.secret, caller.email, _ISSUER)
    # The text is for those who cannot scan the image.
    title = "QR code for an authenticator app"
    segno.make(uri, error="m").save(
        image, kind="svg", scale=6, border=3, light="white", xmldecl=False, title=title, desc=uri
    )
    return Response(image.getvalue(), media_type="image/svg+xml")


@put(
    "/totp",
    **documented(
        "Prove the codes of an authenticator app",
        tag=_TAG,
        answer=ProofAnswer,
        query=ProofQuery,
        details="First `index=1` with the code that the app shows, then `index=2` with the next "
        "one. Afterwards the method `authenticator` can be turned on by PUT /user/{id}.",
    ),
)
async def prove_totp(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    accounts: NamedDependency[Accounts],
    mfa: NamedDependency[Mfa],
    set_ups: NamedDependency[SetUps],
) -> Answer:
    """Take a code; with the second one the secret is the user's."""
    asked = query.read(request.scope, ProofQuery)
    made = set_ups.of(caller.id)
    if made is None:
        raise ApiError(1090)
    if asked.index not in (1, 2):
        raise ApiError(1087)
    if (asked.index == 2) != bool(made.step):
        raise ApiError(1089)
    step = totp.step_of(made.secret, asked.value, time.time())
    if not step:
        made.wrong += 1
        raise ApiError(1086)
    if asked.index == 1:
        made.step = step
        return document(ProofAnswer(2, more_codes=True))
    if step == made.step:
        raise ApiError(1088)
    set_ups.end(caller.id)
    async with accounts.change(caller.id) as row:
        rest = rest_of(row)
        info = proprietary(rest) | {"authenticatorSecret": mfa.seal(row.id, made.secret)}
        rest |= {"userTypeProprietaryInfo": info, MFA_STEP: max(step, made.step)}
        row.document = msgspec.json.encode(rest).decode()
    return document(ProofAnswer(0, more_codes=False))
