"""TLS of the device listener on the socket itself. No twin: without it uvloop's TLS serves."""

import asyncio
import socket
from typing import Any, final

@final
class ServerContext:
    """Certificate, key and authorities of a listener; clients must have a certificate.

    TLS 1.2 and 1.3, no tickets in 1.3. An issuing authority in `ca` is enough of an anchor.
    """

    def __init__(self, certificate: str, key: str, ca: str, crl: str = "") -> None:
        """Paths of PEM files. Raises ssl.SSLError, which names the file."""

@final
class Connection(asyncio.Transport):
    """One TLS connection of a server: an asyncio transport for a buffered protocol.

    `connection` is an accepted, non-blocking socket, which belongs to this from then on.
    """

    def __init__(
        self, context: ServerContext, connection: socket.socket, loop: asyncio.AbstractEventLoop
    ) -> None: ...
    def handshake(self, protocol: asyncio.BufferedProtocol) -> asyncio.Future[None]:
        """Begin; the future is done, or has the error, when the handshake is over.

        Errors are ssl.SSLCertVerificationError, ssl.SSLError or ConnectionError. If it fails, or
        the future is cancelled, the socket is closed.
        """
    def version(self) -> str:
        """Return the version of TLS, such as `TLSv1.3`."""
    def getpeercert(self) -> dict[str, Any]:
        """Return subject, issuer, serialNumber, notBefore and notAfter, as `ssl` has them."""
    def get_verified_chain(self) -> list[bytes]:
        """Return the chain that was verified, leaf first, as DER; empty in a resumed session."""
