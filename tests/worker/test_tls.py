"""Who a device is by its certificate, for whom it may speak, and why a handshake failed."""

import ssl

import pytest

from gw.core.records import PeerCertificate
from gw.core.settings import CaPolicy
from gw.worker import tls

ISSUER = "Issuing CA"
OWGW = CaPolicy(issuer=ISSUER, serial_mismatch_bits=2)
SIMULATORS = CaPolicy(issuer=ISSUER, simulator_prefix=True)
OTHER = CaPolicy(issuer="Another CA", serial_mismatch_bits=8, simulator_prefix=True)


def given_by_ssl(common_name: str | None, issuer: str = ISSUER) -> dict:
    """A certificate in the form of `getpeercert()`."""
    subject = ((("organizationName", "Acme"),),)
    if common_name is not None:
        subject += ((("commonName", common_name),),)
    return {
        "subject": subject,
        "issuer": ((("countryName", "XX"),), (("commonName", issuer),)),
        "serialNumber": "0ABC",
        "notBefore": "Jan  1 00:00:00 2025 GMT",
        "notAfter": "Jan  2 00:00:00 2035 GMT",
    }


def certificate(common_name: str, policies: list[CaPolicy]) -> PeerCertificate:
    return tls.peer_certificate(given_by_ssl(common_name), policies)


def test_peer_certificate():
    assert certificate("0A1B2C3D4E5F", []) == PeerCertificate(
        "0a1b2c3d4e5f", ISSUER, 1735689600, 2051308800, "0abc", tls.VERIFIED
    )


@pytest.mark.parametrize(
    "common_name",
    [None, "", "gateway.example", "0a1b2c3d4e5", "0a1b2c3d4e5f0", "0a:1b:2c:3d:4e:5f",
     "0a1b2c3d4e5g", "0a1b2c3d4e5\u0665", "*", "53494d"],
)  # fmt: skip
def test_common_name_that_is_no_serial_number(common_name):
    with pytest.raises(tls.IdentityError) as caught:
        tls.peer_certificate(given_by_ssl(common_name), [SIMULATORS])
    assert caught.value.reason == "bad_common_name"


def test_no_certificate_is_no_identity():
    with pytest.raises(tls.IdentityError):
        tls.peer_certificate({}, [])


@pytest.mark.parametrize(
    ("common_name", "policies", "verdict"),
    [
        ("53494d000001", [], tls.VERIFIED),
        ("53494d000001", [OWGW], tls.VERIFIED),
        ("53494d000001", [OTHER], tls.VERIFIED),
        ("53494d000001", [OTHER, SIMULATORS], tls.SIMULATED),
        ("53494D000001", [SIMULATORS], tls.SIMULATED),
        ("0a1b2c3d4e5f", [SIMULATORS], tls.VERIFIED),
        ("0053494d0001", [SIMULATORS], tls.VERIFIED),
    ],
)
def test_simulators_need_a_policy_of_their_issuer(common_name, policies, verdict):
    assert certificate(common_name, policies).verdict == verdict


@pytest.mark.parametrize(
    ("common_name", "serial", "policies", "allowed"),
    [
        # Without a policy: itself only.
        ("0a1b2c3d4e5c", "0a1b2c3d4e5c", [], True),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5d", [], False),
        ("53494d000001", "0a1b2c3d4e5d", [], False),
        # The low two bits, as owgw.
        ("0a1b2c3d4e5c", "0a1b2c3d4e5c", [OWGW], True),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5d", [OWGW], True),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5f", [OWGW], True),
        ("0a1b2c3d4e5f", "0a1b2c3d4e5c", [OWGW], True),
        ("0a1b2c3d4e5c", "0a1b2c3d4e60", [OWGW], False),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5b", [OWGW], False),
        ("0a1b2c3d4e5c", "1a1b2c3d4e5c", [OWGW], False),
        # A policy of another issuer, or one without bits, loosens nothing.
        ("0a1b2c3d4e5c", "0a1b2c3d4e5d", [OTHER], False),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5d", [OTHER, OWGW], True),
        ("0a1b2c3d4e5c", "0a1b2c3d4e5d", [SIMULATORS], False),
        # Simulators.
        ("53494d000001", "0a1b2c3d4e5d", [SIMULATORS], True),
        ("53494d000001", "0a1b2c3d4e5d", [OWGW], False),
        ("53494d000001", "0a1b2c3d4e5d", [OTHER], False),
    ],
)
def test_may_claim(common_name, serial, policies, allowed):
    assert tls.may_claim(certificate(common_name, policies), serial, policies) is allowed


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "text")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (verification(9), "not_yet_valid"),
        (verification(10), "expired"),
        (verification(18), "unknown_ca"),
        (verification(19), "unknown_ca"),
        (verification(20), "unknown_ca"),
        (verification(21), "unknown_ca"),
        (verification(23), "revoked"),
        (verification(3), "bad_certificate"),
        (verification(12), "bad_certificate"),
        (verification(26), "bad_certificate"),
        (ssl_error("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no_certificate"),
        (ssl_error("WRONG_VERSION_NUMBER"), "tls"),
        (TimeoutError(), "timeout"),
        (ConnectionAbortedError("SSL handshake is taking longer than 20.0 seconds"), "timeout"),
        (ConnectionResetError("reset by peer"), "reset"),
        (BrokenPipeError(), "reset"),
        (EOFError(), "reset"),
    ],
)
def test_failure_reason(error, label):
    assert tls.failure_reason(error) == label


def test_failure_reasons_are_labels_of_the_metric():
    from gw.ops.metrics_table import HANDSHAKE_FAILURES

    labels = {*tls._VERIFY_REASONS.values(), "no_certificate", "tls", "timeout", "reset"}
    assert labels | {"bad_certificate", "bad_common_name"} <= set(HANDSHAKE_FAILURES)
