"""JSON-RPC 2.0 framing of uCentral: one text message to one classified envelope, and back.

Behaviour: southbound.md 1.4 (dispatch), 3.1 (requests).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from gw._native import Envelope, ScanError, scan_message

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


def parse(message: bytes) -> Envelope:
    """Scan one message; members of the root that nobody needs are passed over.

    Raises MalformedMessageError if it is not a JSON object in UTF-8, and ProtocolError if `method`
    or `id` has a wrong type. Quirk: extra-members.
    """
    try:
        if not message.isascii():
            message.decode()
        envelope = scan_message(message)
    except UnicodeDecodeError as error:
        text = f"the message is not UTF-8: {error.reason}"
        raise MalformedMessageError("bad_json", text) from error
    except ScanError as error:
        raise MalformedMessageError(error.reason, f"the message is no JSON: {error}") from error
    if envelope.method is not None and not envelope.method.startswith(b'"'):
        raise ProtocolError("not_jsonrpc", "`method` is not a string")
    if envelope.id is not None and envelope.id.startswith((b"{", b"[")):
        raise ProtocolError("not_jsonrpc", "`id` is neither a number nor a string")
    return envelope


def form_of(envelope: Envelope) -> Form:
    """Tell what a message is, in the order of southbound.md 1.4.

    Raises ProtocolError for a message that is none of the known forms.
    """
    if not envelope.jsonrpc:
        if envelope.radius:
            return Form.RADIUS
        raise ProtocolError("not_jsonrpc", "the message has neither `jsonrpc` nor `radius`")
    if envelope.method is not None and envelope.params is not None:
        return Form.EVENT
    if (envelope.result or envelope.error) and envelope.id is not None:
        return Form.ANSWER
    if envelope.method is not None:
        text = f"`{method_of(envelope)[:40]}` has no params"
        raise ProtocolError("bad_params", text, tolerated=True)
    text = "the message is neither a method call nor an answer"
    raise ProtocolError("not_jsonrpc", text, tolerated=True)


def method_of(envelope: Envelope) -> str:
    """Return the method of a message that has one."""
    assert envelope.method is not None
    if b"\\" not in envelope.method:
        return envelope.method[1:-1].decode()
    try:
        name: str = msgspec.json.decode(envelope.method, type=str)
    except msgspec.DecodeError:  # half of a surrogate pair
        return envelope.method.decode()
    return name


def check_readable(unreadable: str) -> None:
    """Refuse JSON that is passed on whole and that not every reader can read.

    `unreadable` is what the scan says of it. Raises ProtocolError for a number beyond a double
    (RFC 8259, section 6) and for half of a surrogate pair (section 8.2).
    """
    if unreadable:
        raise ProtocolError("number_range", f"a value that cannot be read: {unreadable}")


def storable(text: str, limit: int = 8192) -> str:
    """Return text for a column: without NUL, which not every database takes, and not too long."""
    return text.replace("\0", "\ufffd")[:limit] if "\0" in text else text[:limit]


def rpc_id(envelope: Envelope) -> int:
    """Return the id of an answer, or 0 if it is not a number that we can have sent."""
    if envelope.id is None:
        return 0
    try:
        value = msgspec.json.decode(envelope.id)
    except (msgspec.DecodeError, ValueError):  # a number that none of ours can be
        return 0
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
