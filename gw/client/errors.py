"""What can go wrong between a client and a gateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_NUMBERED: Final = re.compile(r"(\d{1,5}): ")
_FORBIDDEN: Final = 403
_LONGEST_TEXT: Final = 500


class ClientError(Exception):
    """Base of all errors of this client."""


class UnreachableError(ClientError):
    """No answer came, after all tries; whether the request was carried out is not known."""


class UnexpectedAnswerError(ClientError):
    """The answer is not what the API documents, or larger than allowed."""


class ApiError(ClientError):
    """The gateway refused a request (northbound.md 2.4)."""

    def __init__(
        self, number: int, text: str, status: int, *, retry_after: float = 0.0, body: bytes = b""
    ) -> None:
        """`number` is that of the error, `status` that of HTTP, `retry_after` in seconds.

        `body` is the answer as it came: a command that its device refused is one.
        """
        super().__init__(f"{text} (HTTP {status})")
        self.number = number
        self.text = text
        self.status = status
        self.retry_after = retry_after
        self.body = body


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error that an answer tells; any text counts as one."""
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        told = {}
    text = str(told.get("ErrorDescription") or body[:_LONGEST_TEXT].decode(errors="replace"))
    code, numbered = told.get("ErrorCode"), _NUMBERED.match(text)
    if status == _FORBIDDEN and isinstance(code, int):
        number = code
    else:
        number = int(numbered[1]) if numbered else status
    wait = headers.get("retry-after", "")
    return ApiError(
        number,
        text or f"HTTP {status}",
        status,
        retry_after=float(wait) if wait.isascii() and wait.isdigit() else 0.0,
        body=body,
    )
