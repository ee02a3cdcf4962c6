"""/sms: proving a phone number, and sending a text (security.md 5).

A code, and the proof that it was shown, live in the memory of the api process.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
from litestar import post
from litestar.di import NamedDependency

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, Success, success
from gw.api.owsec.sms_sender import SmsSender, phone_number
from gw.core.errors import ApiError
from gw.security.roles import Operation

CODE_SECONDS: Final = 600
PROVEN_SECONDS: Final = 3600
"""Within them a proven number can be made the second factor."""
MOST: Final = 1000
"""Numbers that are being proven, or are and not yet used; the oldest is forgotten first."""
WRONG: Final = 5
"""Wrong codes after which another one must be asked for."""
_TEXT_LENGTH: Final = 1600
_CODE_DIGITS: Final = 6


class _Proof(msgspec.Struct):
    """A number that a user says to have."""

    number: str
    code: str
    until: float
    wrong: int = 0
    proven: bool = False


class Phones:
    """Numbers that users prove to have. One per api process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_user: OrderedDict[str, _Proof] = OrderedDict()

    def begin(self, user_id: str, number: str) -> str:
        """Return a new code for a number; another one that was begun is forgotten."""
        code = f"{secrets.randbelow(10**_CODE_DIGITS):0{_CODE_DIGITS}}"
        self._by_user.pop(user_id, None)
        self._by_user[user_id] = _Proof(number, code, self._clock() + CODE_SECONDS)
        if len(self._by_user) > MOST:
            self._by_user.popitem(last=False)
        return code

    def complete(self, user_id: str, number: str, code: str) -> None:
        """Take the code that was sent to a number. Raises ApiError 1057."""
        proof = self._of(user_id, number)
        if proof is None or proof.proven or proof.wrong >= WRONG:
            raise ApiError(1057)
        if not hmac.compare_digest(proof.code.encode(), code.strip().encode("utf-8", "replace")):
            proof.wrong += 1
            raise ApiError(1057)
        proof.proven = True
        proof.until = self._clock() + PROVEN_SECONDS

    def proven(self, user_id: str, number: str) -> bool:
        """Tell whether a user has proven a number lately."""
        proof = self._of(user_id, number)
        return proof is not None and proof.proven

    def _of(self, user_id: str, number: str) -> _Proof | None:
        proof = self._by_user.get(user_id)
        if proof is None or proof.number != number:
            return None
        if proof.until <= self._clock():
            del self._by_user[user_id]
            return None
        return proof


class SmsBody(msgspec.Struct, kw_only=True):
    """A number, and what to send to it."""

    to: str = ""
    """With the country's code: +15551234567."""
    text: str = ""
    """Only without query."""


class SmsQuery(query.Query):
    """Parameters of POST."""

    validate_number: bool = False
    """Send a code to the number."""
    complete_validation: bool = False
    """Take the code that was sent."""
    validation_code: str = ""


@post(
    "/sms",
    **documented(
        "Prove a phone number, or send a text",
        tag="Second factor",
        answer=Success,
        query=SmsQuery,
        body=SmsBody,
        details="With `validateNumber` a code is sent to the number, with `completeValidation` it "
        "is taken; then the method `sms` can be turned on by PUT /user/{id} with this number. "
        "Without either the text is sent: root, partner and admin. 1084 without a provider.",
    ),
)
async def send_sms(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    sms: NamedDependency[SmsSender],
    phones: NamedDependency[Phones],
) -> Answer:
    """Send a code, take one, or send a text."""
    asked = query.read(request.scope, SmsQuery)
    proving = asked.validate_number or asked.complete_validation
    if not proving:
        caller.require(Operation.SEND_SMS)
    elif not caller.id:
        raise ApiError(7)
    if not sms.enabled:
        raise ApiError(1084)
    message = await body.read(request, SmsBody)
    number = phone_number(message.to)
    if asked.validate_number:
        code = phones.begin(caller.id, number)
        await sms.send_now(number, f"{code} is your code to confirm this phone number.")
        return success(request.method, "code sent")
    if asked.complete_validation:
        if not asked.validation_code:
            raise ApiError(1096)
        phones.complete(caller.id, number, asked.validation_code)
        return success(request.method, "number confirmed")
    if not message.text or len(message.text) > _TEXT_LENGTH:
        raise ApiError(1018, f"text has 1 to {_TEXT_LENGTH} characters")
    await sms.send_now(number, message.text)
    return success(request.method)
