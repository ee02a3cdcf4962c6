"""The TLS contexts of both listeners, made anew when their files change."""

from __future__ import annotations

import ssl

from gw.core.listeners import device_listeners
from gw.core.settings import Settings
from gw.core.watched_files import Signature, WatchedFiles
from gw.ops import logs
from gw.worker.tls import revoked as tls_revoked
from gw.worker.tls import server_context, trust

log = logs.get("rtty")


class Contexts:
    """The contexts for the next connections; those that are open stay as they are."""

    def __init__(self, settings: Settings) -> None:
        """Read the files. Raises OSError or ValueError if one cannot be used."""
        api = settings.api
        self._settings = settings
        self._listeners = device_listeners(settings.devices)
        files = [file for one in self._listeners for file in one.files]
        self._files = WatchedFiles((*files, api.certificate, api.key))
        self._refused: Signature | None = None
        self.revoked: frozenset[tuple[str, str]] = frozenset()
        """Certificates that are revoked, where OpenSSL is not told to look for that."""
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
        device = self._read_device()
        if not settings.rtty.require_certificate:
            # Whether this device must show one is known once it has said who it is.
            device.verify_mode = ssl.CERT_OPTIONAL
        viewer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        viewer.minimum_version = ssl.TLSVersion.TLSv1_2
        viewer.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        viewer.set_alpn_protocols(["http/1.1"])
        viewer.load_cert_chain(settings.api.certificate, settings.api.key)
        return device, viewer

    def _read_device(self) -> ssl.SSLContext:
        """Return the context for the devices of all listeners, which share this one port."""
        first, *further = self._listeners
        device = server_context(first)
        for one in further:
            trust(device, one)
        lists = [one.crl for one in self._listeners if one.crl]
        revoked: frozenset[tuple[str, str]] = frozenset()
        if lists and len(lists) < len(self._listeners):
            # OpenSSL would refuse all devices of a listener that has no lists.
            device.verify_flags &= ~ssl.VERIFY_CRL_CHECK_LEAF
            revoked = frozenset().union(*(tls_revoked(path).certificates for path in lists))
        self.revoked = revoked
        return device
