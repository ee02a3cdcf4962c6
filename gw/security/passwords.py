"""Passwords of users: the rules they obey, and their slow hash.

Hashing takes tens of milliseconds and 64 MiB, so it runs in a few threads of its own, and
so many sign-ins at a time that they would wait for seconds are refused instead.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import string
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from gw.core import settings
from gw.core.errors import ApiError
from gw.security.owsec_passwords import OwsecHash, unwrap, wrap

T = TypeVar("T")

MAX_LENGTH: Final = 512
"""Characters of a password, whatever the pattern allows: the pattern is not to run on more."""
GENERATED_LENGTH: Final = 24
THREADS: Final = 2
WAITING: Final = 32
"""Hashes that wait or are being computed; one more is refused."""

_ALPHABETS: Final = (
    string.ascii_letters + string.digits + "-_.+",
    string.ascii_letters + string.digits + "@!%*?&",
    string.ascii_letters + string.digits,
    string.ascii_lowercase + string.digits,
    string.ascii_uppercase + string.digits,
    string.digits,
)
"""Tried in turn. First what needs no quotes in a shell, then what other patterns ask for."""
_TRIES: Final = 200


def argon2() -> PasswordHasher:
    """Return the hasher for new passwords. It reads hashes made with other parameters too."""
    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


class PasswordRules:
    """What a new password must look like."""

    def __init__(self, rules: settings.Security) -> None:
        self._pattern = re.compile(rules.password_pattern)

    def is_acceptable(self, password: str) -> bool:
        """Tell whether a new password obeys the pattern of the settings."""
        return len(password) <= MAX_LENGTH and self._pattern.search(password) is not None

    def generate(self) -> str:
        """Return a new random password of at least 20 characters that obeys the pattern.

        Raises ValueError if none is found: a pattern may demand what we do not use.
        """
        for alphabet in _ALPHABETS:
            for _ in range(_TRIES):
                password = "".join(secrets.choice(alphabet) for _ in range(GENERATED_LENGTH))
                # It is copied out of a log: no end that looks like punctuation of the sentence.
                ends = password[0] + password[-1]
                if ends.isalnum() and self.is_acceptable(password):
                    return password
        raise ValueError(
            f"security.password_pattern: found no password of {GENERATED_LENGTH} characters "
            "that obeys it; set GW_ADMIN_PASSWORD, or loosen the pattern"
        )


class Passwords(PasswordRules):
    """Checks and hashes passwords. Belongs to one event loop.

    The coroutines raise ApiError 10 (retriable) if too many hashes are asked for at a time.
    """

    def __init__(self, rules: settings.Security, hasher: PasswordHasher | None = None) -> None:
        super().__init__(rules)
        self._history = rules.password_history
        self._hasher = hasher or argon2()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._busy = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """Return the hash to be kept, in PHC form."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def hash_of_owsec(self, stored: OwsecHash, email: str) -> str:
        """Return the hash to be kept of a password of which owsec's fast one is all there is."""
        return wrap(stored.salt, email, await self.hash(stored.digest))

    async def verify(self, stored: str, password: str) -> bool:
        """Tell whether `password` is the one of the hash `stored`.

        An empty `stored` (no such user) is never right but takes as long, so that the time of a
        sign-in does not tell who exists.
        """
        return await self._run(lambda: self._verify(stored, password))

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a hash that was just verified should be replaced by a present-day one."""
        return unwrap(stored) is not None or self._hasher.check_needs_rehash(stored)

    async def was_used(self, password: str, stored: Sequence[str]) -> bool:
        """Tell whether `password` is among the last ones: `stored` has their hashes, newest last.

        As many are looked at as `security.password_history` says.
        """
        for old in stored[-self._history :] if self._history else ():
            if await self.verify(old, password):
                return True
        return False

    def close(self) -> None:
        """End the threads; hashes that have not begun are cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        # At the first sign-in of all, whoever it is. Twice at most, if two threads meet here.
        self._nobody = self._nobody or self._hasher.hash(secrets.token_bytes(16))
        given = _bytes(password)
        if wrapped := unwrap(stored):
            stored, given = wrapped.slow, wrapped.digest_of(given)
        try:
            right = self._hasher.verify(stored or self._nobody, given)
        except (VerificationError, InvalidHashError):
            # The wrong password; or not a hash of ours, with which nobody signs in.
            return False
        return right and bool(stored)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._busy >= WAITING:
            raise ApiError(10)
        self._busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # Counted down when the work is over, not when its caller gave up.
        future.add_done_callback(self._finished)
        return await asyncio.shield(future)

    def _finished(self, future: asyncio.Future[T]) -> None:
        self._busy -= 1
        if not future.cancelled():
            future.exception()  # mark as seen: the caller may be gone


def _bytes(password: str) -> bytes:
    """Return what is hashed. Any text has bytes, a lone surrogate of careless JSON too."""
    return password.encode("utf-8", "surrogatepass")
