"""What a worker tells a new coordinator of a session."""

import time
from types import SimpleNamespace

from gw.core.records import RECORD_VERSION, Connect, PeerCertificate
from gw.worker.outstanding import Outstanding
from gw.worker.session import Session


def test_requests_whose_time_is_up_are_told():
    """They have reached the device: a coordinator that did not know would send them again."""
    session = Session(SimpleNamespace(), 1, "192.0.2.1:1", 0.0, SimpleNamespace())
    certificate = PeerCertificate("0a1b2c3d4e5f", "CA", 0, 0, "", "VERIFIED")
    session.connect_head = Connect(
        version=RECORD_VERSION, address="192.0.2.1:1", certificate=certificate, uuid=1,
        config_hash="", connected_at=0, connected_ns=1, completion_ms=0.0,
    )  # fmt: skip
    sent = time.monotonic_ns() - 60_000_000_000
    session.outstanding = {4: Outstanding("c1", "reboot", sent, 35_000, 0, "", True)}
    [told] = session.snapshot().unanswered
    assert told.command == "c1"
    assert told.left_ms <= -25_000
