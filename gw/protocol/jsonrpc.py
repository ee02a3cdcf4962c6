"""JSON-RPC 2.0 framing of uCentral: one text message to one classified envelope, and back.

Behaviour: southbound.md 1.4 (dispatch), 3.1 (requests).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec
import orjson

MAX_RPC_ID: Final = 2**31 - 1
"""Largest id that every agent echoes unchanged (agents.md, id)."""


class MalformedMessageError(Exception):
    """The message is not a JSON object; the session ends (southbound.md 1.4)."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """`bad_json` or `depth`: label of gw_session_ends_total."""


class ProtocolError(Exception):
    """The message breaks the protocol; it is counted, and the session ends at the limit."""

    def __init__(self, reason: str, text: str, *, tolerated: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        """Label of gw_protocol_errors_total."""
        self.tolerated = tolerated
        """Ends no session: owgw only warns of it (southbound.md 1.4, 1.5, 1.6, 2.2, 2.12)."""


class Form(Enum):
    """What a message is."""

    EVENT = "event"
    """A method call of the device; never answered."""
    ANSWER = "answer"
    """A result or error for one of our requests."""
    RADIUS = "radius"
    """A tunnelled RADIUS packet, which is not JSON-RPC."""


class Envelope(msgspec.Struct):
    """Members of the root object that matter; unknown ones are skipped without a copy.

    Quirk: extra-members.
    """

    jsonrpc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: int | float | str | bool | msgspec.UnsetType | None = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    radius: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_BLANK: Final = b" \t\r\n"


def parse(message: bytes) -> Envelope:
    """Decode one message.

    Raises MalformedMessageError if it is not a JSON object, and ProtocolError if `method` or
    `id` has a wrong type.
    """
    try:
        return _decode_envelope(message)
    except msgspec.ValidationError as error:
        if not message.lstrip(_BLANK).startswith(b"{"):
            raise MalformedMessageError("bad_json", "the message is not a JSON object") from error
        raise ProtocolError("not_jsonrpc", f"the envelope is not JSON-RPC: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessageError("bad_json", f"the message is not JSON: {error}") from error
    except RecursionError as error:
        raise MalformedMessageError("depth", "the message is nested too deeply") from error


def form_of(envelope: Envelope) -> Form:
    """Tell what a decoded message is, in the order of southbound.md 1.4.

    Raises ProtocolError for a message that is none of the known forms.
    """
    if envelope.jsonrpc is msgspec.UNSET:
        if envelope.radius is not msgspec.UNSET:
            return Form.RADIUS
        raise ProtocolError("not_jsonrpc", "the message has neither `jsonrpc` nor `radius`")
    if envelope.method is not msgspec.UNSET and envelope.params is not msgspec.UNSET:
        return Form.EVENT
    answered = envelope.result is not msgspec.UNSET or envelope.error is not msgspec.UNSET
    if answered and envelope.id is not msgspec.UNSET:
        return Form.ANSWER
    if envelope.method is not msgspec.UNSET:
        text = f"`{envelope.method[:40]}` has no params"
        raise ProtocolError("bad_params", text, tolerated=True)
    text = "the message is neither a method call nor an answer"
    raise ProtocolError("not_jsonrpc", text, tolerated=True)


def check_values(text: bytes | msgspec.Raw) -> None:
    """Check that whoever reads JSON text that is passed on whole can read all of it.

    Raises ProtocolError for a number beyond a double, which is JSON and yet stops many readers
    (RFC 8259, 6), and MalformedMessageError for more than 1,024 levels.
    """
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg or "ecursion" in error.msg:
            raise MalformedMessageError("depth", "the message is nested too deeply") from error
        raise ProtocolError("number_range", f"a value that cannot be read: {error.msg}") from error


def storable(text: str, limit: int = 8192) -> str:
    """Return text for a column: without NUL, which not every database takes, and not too long."""
    return text.replace("\0", "\ufffd")[:limit] if "\0" in text else text[:limit]


def rpc_id(envelope: Envelope) -> int:
    """Return the id of an answer, or 0 if it is not a number that we can have sent."""
    value = envelope.id
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if not 0 < value <= MAX_RPC_ID:
        return 0
    number = int(value)
    return number if number == value else 0


def request(rpc_id: int, method: str, params: bytes) -> bytes:
    """Return the text of a request. `params` is the JSON text of an object."""
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}' % (
        rpc_id,
        method.encode("ascii"),
        params,
    )


def event(method: str, params: bytes) -> bytes:
    """Return the text of a message that is not answered: it has no id (southbound.md 2.14)."""
    return b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method.encode("ascii"), params)


class Answer(msgspec.Struct):
    """What an answer holds: a result, or an error."""

    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def text(self) -> str:
        """The result as JSON text, as commands keep it; an error as {"error": ...}."""
        if self.result is not msgspec.UNSET:
            return bytes(self.result).decode()
        if self.error is not msgspec.UNSET:
            return '{"error":' + bytes(self.error).decode() + "}"
        return "{}"


read_answer = msgspec.json.Decoder(Answer).decode
"""Decode an answer that `parse` has accepted."""
