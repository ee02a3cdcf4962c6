"""One pass over a message of a device: valid JSON, and where its members are. Twin: `envelope_py`.

Text given here must be UTF-8 already. Names of members are compared as they are written: a name
with an escape is another name.
"""

from typing import final

from gw._native.envelope_py import ScanError as ScanError

MAX_DEPTH: int
"""Objects and arrays inside one another, the root counted."""
MAX_MEMBERS: int
"""Members of an object whose places are kept."""

@final
class Members:
    """Text of an object, and the places of its members."""

    @property
    def text(self) -> bytes: ...
    @property
    def unreadable(self) -> str:
        """Why many readers stop at this text although it is JSON; empty: they do not.

        A number beyond a double (RFC 8259, section 6), or half of a surrogate pair (section 8.2).
        """
    def span(self, name: str) -> tuple[int, int] | None:
        """Return start and end of a member's value in `text`.

        None: it is not there, or it cannot be told, because names have escapes or come twice, or
        there are more than MAX_MEMBERS.
        """

@final
class Envelope:
    """Members of a message's root object (JSON-RPC 2.0; southbound.md 1.4)."""

    @property
    def jsonrpc(self) -> bool: ...
    @property
    def result(self) -> bool: ...
    @property
    def error(self) -> bool: ...
    @property
    def radius(self) -> bool: ...
    @property
    def method(self) -> bytes | None:
        """JSON text of the member, as of `id`. None: it is not there."""
    @property
    def id(self) -> bytes | None: ...
    @property
    def params(self) -> Members | None:
        """`Members` of nothing if `params` is no object."""
    @property
    def unreadable(self) -> str:
        """As of `Members`, for the whole message."""

def scan_message(text: bytes) -> Envelope:
    """Scan a message. Raises ScanError (`bad_json`, `depth`)."""

def scan_object(text: bytes) -> Members:
    """Scan an object that is not in a message, such as params that were compressed.

    Raises ScanError.
    """
