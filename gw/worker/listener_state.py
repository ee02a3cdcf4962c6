"""What a session keeps in mind of the listener it came in by."""

from __future__ import annotations

from typing import Any

from gw.core.listeners import ListenerSettings
from gw.ops import metrics
from gw.ops.metrics_table import HANDSHAKE_FAILURES, LISTENERS, SESSION_ENDS
from gw.worker import identity


class ListenerState:
    """One per listener and worker: its rules, what is revoked there, its series of metrics."""

    def __init__(self, settings: ListenerSettings) -> None:
        self.settings = settings
        self.revoked: frozenset[tuple[str, str]] = frozenset()
        """Certificates of lists just read: handshakes that began before know only the former."""
        self.sessions = 0
        """Sessions open now."""
        self._by_fingerprint = any(one.fingerprint for one in settings.ca_policies)
        label = LISTENERS[settings.place]
        self.connections = metrics.index("gw_connections", label)
        self.handshakes = metrics.index("gw_handshakes_total", label)
        self.expired = metrics.index("gw_sessions_expired_certificate", label)
        self.reloads = {
            result: metrics.index("gw_certificate_reloads_total", label, result)
            for result in ("success", "failure")
        }
        self.failures = {
            reason: metrics.index("gw_handshake_failures_total", label, reason)
            for reason in HANDSHAKE_FAILURES
        }
        self.ends = {
            reason: metrics.index("gw_session_ends_total", label, reason) for reason in SESSION_ENDS
        }

    def issuer_fingerprint(self, transport: Any) -> str:
        """Return the fingerprint of who issued the peer's certificate, if a policy asks for it."""
        if not self._by_fingerprint:
            return ""
        return identity.issuer_fingerprint(transport.get_extra_info("ssl_object"))
