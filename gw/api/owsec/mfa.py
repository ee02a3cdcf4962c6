"""The second factor of a sign-in: by mail, text or an authenticator app (security.md 2.2).

Challenges live in the memory of the api process: whoever is asked when it ends signs in again.
"""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from gw.api.owsec import mail_texts
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.sms_sender import SmsSender
from gw.api.owsec.user_document import MFA_STEP, proprietary, rest_of
from gw.core.errors import ApiError
from gw.security import totp
from gw.security.sealing import Sealer, SealError
from gw.store.rows import UserRow

CHALLENGE_SECONDS: Final = 300
_MINUTES: Final = CHALLENGE_SECONDS // 60
MOST: Final = 10_000
"""Challenges at a time; the oldest is forgotten first."""
ATTEMPTS: Final = 5
"""Wrong answers after which a challenge is over."""
RESENDS: Final = 3
_CODE_DIGITS: Final = 6
_AUTHENTICATOR: Final = "authenticator"
_EMAIL: Final = "email"
_SMS: Final = "sms"
_SENT: Final = frozenset({_EMAIL, _SMS})


class Challenge(msgspec.Struct, kw_only=True):
    """A sign-in that waits for its second factor."""

    uuid: str
    user_id: str
    method: str
    created: int
    until: float
    """Monotonic."""
    verified: str
    """Password hash that was verified: it must still be the user's."""
    new_hash: str = ""
    """Takes the place of it once the second factor is shown; empty: it stays."""
    changes: bool = False
    """The user asked for that new password."""
    code: str = ""
    wrong: int = 0
    resent: int = 0


class ChallengeDocument(msgspec.Struct):
    """Answer to a sign-in that needs a second factor."""

    uuid: str
    created: int
    method: str
    question: str = "mfa challenge"


def number_of(user: UserRow) -> str:
    """Return the phone number that a user has proven. Raises ApiError 1115 if there is none."""
    for mobile in proprietary(rest_of(user)).get("mobiles", ()):
        if isinstance(mobile, dict) and mobile.get("verified") and mobile.get("number"):
            return str(mobile["number"])
    raise ApiError(1115)


class Mfa:
    """Asks and judges. One per api process."""

    def __init__(
        self,
        mailer: Mailer,
        sms: SmsSender,
        sealer: Sealer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mailer = mailer
        self._sms = sms
        self._sealer = sealer
        self._clock = clock
        self._challenges: OrderedDict[str, Challenge] = OrderedDict()

    def method_of(self, user: UserRow) -> str:
        """Return the method that a user has to use; empty: none."""
        mfa = proprietary(rest_of(user)).get("mfa")
        if not isinstance(mfa, dict) or not mfa.get("enabled"):
            return ""
        return str(mfa.get("method", ""))

    def check(self, method: str) -> None:
        """Raise ApiError 1084, 1085 or 1045 for a method that this gateway does not offer."""
        if method == _SMS and not self._sms.enabled:
            raise ApiError(1084)
        if method == _EMAIL and not self._mailer.enabled:
            raise ApiError(1085)
        if method not in (_SMS, _EMAIL, _AUTHENTICATOR):
            raise ApiError(1045)

    def ask(self, user: UserRow, method: str, *, new_hash: str, changes: bool) -> ChallengeDocument:
        """Begin a challenge, send its code, and return what the client is told.

        Raises ApiError 12 if the code cannot be sent: nobody gets in without.
        """
        code = ""
        if method in _SENT:
            code = self._send_code(user, method)
        elif method != _AUTHENTICATOR:
            raise ApiError(12, f"the method {method!r} is not offered: ask an administrator")
        challenge = Challenge(
            uuid=str(uuid.uuid4()),
            user_id=user.id,
            method=method,
            created=int(time.time()),
            until=self._clock() + CHALLENGE_SECONDS,
            verified=user.password,
            new_hash=new_hash,
            changes=changes,
            code=code,
        )
        for id in [c.uuid for c in self._challenges.values() if c.user_id == user.id]:
            del self._challenges[id]  # the newest only
        self._challenges[challenge.uuid] = challenge
        if len(self._challenges) > MOST:
            self._challenges.popitem(last=False)
        return ChallengeDocument(challenge.uuid, challenge.created, challenge.method)

    def find(self, id: str) -> Challenge:
        """Return a challenge that is open. Raises ApiError 11."""
        challenge = self._challenges.get(id)
        if challenge is None:
            raise ApiError(11)
        if challenge.until <= self._clock():
            del self._challenges[id]
            raise ApiError(11)
        return challenge

    def resend(self, challenge: Challenge, user: UserRow) -> None:
        """Send another code in place of the first. Raises ApiError 11 or 12."""
        if challenge.method not in _SENT or challenge.resent >= RESENDS:
            text = f"a code is sent {RESENDS} times again at most, by mail or text"
            raise ApiError(11, text)
        challenge.resent += 1
        challenge.code = self._send_code(user, challenge.method)

    def judge(self, challenge: Challenge, answer: str, user: UserRow) -> int:
        """Check an answer; a right one ends the challenge. Raises ApiError 12.

        Returns the step of the app's code, to be kept: it is good once. 0 for a mailed code.
        """
        step = 0
        if challenge.method == _AUTHENTICATOR:
            rest = rest_of(user)
            used = rest.get(MFA_STEP, 0)
            secret = self.secret_of(user)
            step = totp.step_of(secret, answer, time.time(), after=used) if secret else 0
            right = bool(step)
        else:
            right = hmac.compare_digest(
                challenge.code.encode(), answer.strip().encode("utf-8", "surrogatepass")
            )
        if not right:
            challenge.wrong += 1
            if challenge.wrong >= ATTEMPTS:
                self._challenges.pop(challenge.uuid, None)
            raise ApiError(12)
        self._challenges.pop(challenge.uuid, None)
        return step

    def secret_of(self, user: UserRow) -> str:
        """Return the secret of a user's app; empty if there is none that can be used."""
        stored = str(proprietary(rest_of(user)).get("authenticatorSecret", ""))
        try:
            return self._sealer.open(stored, totp.secret_purpose(user.id)) if stored else ""
        except SealError:
            return ""

    def seal(self, user_id: str, secret: str) -> str:
        """Return how the secret of a user's app is stored."""
        return self._sealer.seal(secret, totp.secret_purpose(user_id))

    def _send_code(self, user: UserRow, method: str) -> str:
        code = f"{secrets.randbelow(10**_CODE_DIGITS):0{_CODE_DIGITS}}"
        try:
            if method == _SMS:
                self._sms.send(number_of(user), mail_texts.sign_in_sms(code, _MINUTES))
            else:
                text = mail_texts.sign_in_code(user, code, _MINUTES)
                self._mailer.send(user.email, text.subject, text.body)
        except ApiError as error:
            raise ApiError(12, "the code cannot be sent: ask an administrator") from error
        return code
