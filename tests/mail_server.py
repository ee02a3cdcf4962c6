"""An SMTP server for tests: takes mails by STARTTLS, and can be told to fail."""

from __future__ import annotations

import email
import queue
import socket
import ssl
from email import policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

DEADLINE = 60.0


class MailServer:
    """Listens on a free loopback port; a context manager."""

    def __init__(self, pki: Path) -> None:
        self.refusals = 0
        """So many mails are refused for now (451) before one is taken."""
        self._mails: queue.Queue[Any] = queue.Queue()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "server.pem", pki / "server.key")
        server = self

        class Starttls(Controller):
            def factory(self) -> SMTP:
                return SMTP(self.handler, tls_context=context, require_starttls=True)

        class Handler:
            async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
                self, _server: Any, _session: Any, envelope: Any
            ) -> str:
                if server.refusals:
                    server.refusals -= 1
                    return "451 not now"
                message = email.message_from_bytes(envelope.content, policy=policy.default)
                server._mails.put(message)
                return "250 taken"

        with socket.socket() as probe:
            # The controller cannot take a free one by itself: it connects to the port it is told.
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._controller = Starttls(Handler(), hostname="127.0.0.1", port=self._port)
        self._pki = pki

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def settings(self) -> dict[str, object]:
        """Settings of a gateway that sends by this server."""
        return {
            "mail.host": "localhost",
            "mail.port": self._port,
            "mail.ca": str(self._pki / "ca.pem"),
            "mail.sender": "gw@example.org",
            "mail.retry_seconds": 0.05,
        }

    def next(self) -> Any:
        """Wait for the next mail."""
        return self._mails.get(timeout=DEADLINE)

    @property
    def empty(self) -> bool:
        """Tell whether no mail waits to be looked at."""
        return self._mails.empty()
