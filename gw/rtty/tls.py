"""The TLS contexts of both listeners, made anew when their files change."""

from __future__ import annotations

import ssl

from gw.core.settings import Settings
from gw.core.watched_files import Signature, WatchedFiles
from gw.ops import logs
from gw.worker.tls import server_context

log = logs.get("rtty")


class Contexts:
    """The contexts for the next connections; those that are open stay as they are."""

    def __init__(self, settings: Settings) -> None:
        """Read the files. Raises OSError or ssl.SSLError if one cannot be used."""
        devices, api = settings.devices, settings.api
        self._settings = settings
        self._files = WatchedFiles(
            (devices.certificate, devices.key, devices.ca, devices.crl, api.certificate, api.key)
        )
        self._refused: Signature | None = None
        self.device, self.viewer = self._read()

    def look(self) -> None:
        """Read the files if they have changed."""
        if self._files.changed() and self._files.signature() != self._refused:
            self.reload()

    def reload(self) -> None:
        """Read the files now; keep what there is if one of them cannot be used."""
        signature = self._files.signature()
        try:
            self.device, self.viewer = self._read()
        except (OSError, ValueError) as error:
            self._refused = signature
            log.error("certificates not reloaded, the former ones stay", detail=str(error))
            return
        self._refused = None
        self._files.take(signature)
        log.info("certificates reloaded")

    def _read(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        settings = self._settings
        device = server_context(settings.devices)
        if not settings.rtty.require_certificate:
            # Whether this device must show one is known once it has said who it is.
            device.verify_mode = ssl.CERT_OPTIONAL
        viewer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        viewer.minimum_version = ssl.TLSVersion.TLSv1_2
        viewer.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        viewer.set_alpn_protocols(["http/1.1"])
        viewer.load_cert_chain(settings.api.certificate, settings.api.key)
        return device, viewer
