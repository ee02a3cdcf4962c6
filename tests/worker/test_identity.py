"""Who a device is by its certificate, for whom it may speak, and why a handshake failed."""

import datetime
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from gw.core.records import PeerCertificate
from gw.core.settings import CaPolicy
from gw.security import certificates
from gw.worker import identity, tls

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


NOW = 1_750_000_000.0
FINGERPRINT = "ab" * 32


def identified(common_name, policies, issuer=ISSUER, fingerprint="", now=NOW) -> identity.Identity:
    return identity.identify(given_by_ssl(common_name, issuer), policies, fingerprint, now)


def certificate(common_name: str, policies: list[CaPolicy]) -> PeerCertificate:
    return identified(common_name, policies).certificate


def test_peer_certificate():
    assert certificate("0A1B2C3D4E5F", []) == PeerCertificate(
        "0a1b2c3d4e5f", ISSUER, 1735689600, 2051308800, "abc", identity.VERIFIED, -1
    )


@pytest.mark.parametrize("number", [0xABC, 0xABCD, 0x0F, 1 << 140])
def test_a_number_is_found_on_the_list_whichever_digit_it_begins_with(tmp_path, number):
    """OpenSSL prints a zero in front of some numbers, which lists do not have."""
    key = certificates.new_key()
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(now)
        .next_update(now + datetime.timedelta(days=1))
        .add_revoked_certificate(entry)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "crl.pem"
    file.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    text = f"{number:X}"
    printed = {"serialNumber": "0" * (len(text) % 2) + text, "issuer": ((("commonName", ISSUER),),)}
    found = identity.identify(given_by_ssl("0a1b2c3d4e5f") | printed, [], "", NOW)
    assert (found.issuer, found.certificate.serial_number) in tls.revoked(str(file)).certificates


@pytest.mark.parametrize(
    "common_name",
    [None, "", "gateway.example", "0a1b2c3d4e5", "0a1b2c3d4e5f0", "0a:1b:2c:3d:4e:5f",
     "0a1b2c3d4e5g", "0a1b2c3d4e5\u0665", "*", "53494d"],
)  # fmt: skip
def test_common_name_that_is_no_serial_number(common_name):
    with pytest.raises(identity.IdentityError) as caught:
        identified(common_name, [SIMULATORS])
    assert caught.value.reason == "bad_common_name"


def test_no_certificate_is_no_identity():
    with pytest.raises(identity.IdentityError):
        identity.identify({}, [], "", NOW)


@pytest.mark.parametrize(
    ("common_name", "policies", "verdict"),
    [
        ("53494d000001", [], identity.VERIFIED),
        ("53494d000001", [OWGW], identity.VERIFIED),
        ("53494d000001", [OTHER], identity.VERIFIED),
        ("53494d000001", [OTHER, SIMULATORS], identity.SIMULATED),
        ("53494D000001", [SIMULATORS], identity.SIMULATED),
        ("0a1b2c3d4e5f", [SIMULATORS], identity.VERIFIED),
        ("0053494d0001", [SIMULATORS], identity.VERIFIED),
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
    found = identified(common_name, policies)
    assert identity.may_claim(found.certificate, serial, found.policy) is allowed


def test_certificate_that_has_ended():
    with pytest.raises(identity.IdentityError) as caught:
        identified("0a1b2c3d4e5f", [], now=2051308801)
    assert caught.value.reason == "expired"


@pytest.mark.parametrize("text", ["0A:1B:2C:3D:4E:5F", "0a-1b-2c-3d-4e-5f", "0a1b2c3d4e5f"])
def test_separators_in_the_common_name_are_a_policy(text):
    policy = CaPolicy(issuer=ISSUER, common_name="mac")
    assert certificate(text, [policy]).common_name == "0a1b2c3d4e5f"


def test_an_authority_of_simulators_speaks_for_each_of_them_only():
    found = identified("0a1b2c3d4e5f", [CaPolicy(issuer=ISSUER, simulated=True)])
    assert found.certificate.verdict == identity.SIMULATED
    assert identity.may_claim(found.certificate, "0a1b2c3d4e5f", found.policy)
    assert not identity.may_claim(found.certificate, "0a1b2c3d4e5e", found.policy)


SUBJECT = f"CN={ISSUER},C=XX"


@pytest.mark.parametrize(
    ("policies", "place"),
    [
        ([], -1),
        ([CaPolicy(issuer=ISSUER)], 0),
        ([OTHER, CaPolicy(issuer=ISSUER)], 1),
        ([CaPolicy(subject=SUBJECT)], 0),
        ([CaPolicy(subject=f"CN={ISSUER}")], -1),
        ([CaPolicy(fingerprint=FINGERPRINT)], 0),
        ([CaPolicy(fingerprint=":".join(["AB"] * 32))], 0),
        ([CaPolicy(fingerprint="cd" * 32)], -1),
        # All that are set must fit; the first that fits counts.
        ([CaPolicy(issuer=ISSUER, fingerprint="cd" * 32), CaPolicy(issuer=ISSUER)], 1),
        ([CaPolicy(issuer="Another CA", fingerprint=FINGERPRINT)], -1),
        ([CaPolicy(issuer=ISSUER, subject=SUBJECT, fingerprint=FINGERPRINT)], 0),
    ],
)
def test_whose_policy_it_is(policies, place):
    found = identified("0a1b2c3d4e5f", policies, fingerprint=FINGERPRINT)
    assert found.certificate.policy == place
    assert found.policy is (policies[place] if place >= 0 else None)


def test_without_a_verified_chain_no_fingerprint_fits():
    found = identified("0a1b2c3d4e5f", [CaPolicy(fingerprint=FINGERPRINT)])
    assert found.policy is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (((("organizationName", "gw"),), (("commonName", "a,b+c"),)), r"CN=a\,b\+c,O=gw"),
        (((("commonName", "#x "),),), r"CN=\#x\ "),
        (((("commonName", "A"), ("userId", "b")),), "UID=b+CN=A"),
        (((("1.2.3.4", 'q"'),),), r"1.2.3.4=q\""),
        ((), ""),
    ],
)
def test_names_as_rfc_4514_writes_them(name, text):
    assert identity.name_text(name) == text


def test_names_are_those_that_the_documented_command_prints(tmp_path):
    special = 'v,a+l"\\<>; #\u00e9'
    plain = {NameOID.COUNTRY_NAME: "XX", NameOID.SERIAL_NUMBER: "a b", NameOID.EMAIL_ADDRESS: "a@b",
             NameOID.DOMAIN_COMPONENT: "x", NameOID.DN_QUALIFIER: "a b",
             NameOID.JURISDICTION_COUNTRY_NAME: "YY"}  # fmt: skip
    kinds = [
        *plain, NameOID.STATE_OR_PROVINCE_NAME, NameOID.LOCALITY_NAME, NameOID.STREET_ADDRESS,
        NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.USER_ID,
        NameOID.GIVEN_NAME, NameOID.SURNAME, NameOID.TITLE, NameOID.POSTAL_CODE,
        NameOID.PSEUDONYM, NameOID.BUSINESS_CATEGORY, NameOID.COMMON_NAME,
    ]  # fmt: skip
    single = [
        x509.RelativeDistinguishedName([x509.NameAttribute(kind, plain.get(kind, special))])
        for kind in kinds
    ]
    pair = x509.RelativeDistinguishedName(
        [x509.NameAttribute(NameOID.COMMON_NAME, "#b "), x509.NameAttribute(NameOID.USER_ID, " c")]
    )
    name, key = x509.Name([*single, pair]), certificates.new_key()
    now = certificates.now()
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(5)
        .public_key(key.public_key()).not_valid_before(now).not_valid_after(now)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "ca.pem"
    file.write_bytes(certificates.certificate_pem(made))
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb,utf8", "-in", file],
        capture_output=True, text=True, check=True,
    ).stdout.removeprefix("subject=").rstrip("\n")  # fmt: skip
    decoded = ssl._ssl._test_decode_cert(str(file))  # what getpeercert() makes of it
    assert identity.name_text(decoded["issuer"]) == printed


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
        (verification(3), "no_crl"),
        (verification(12), "crl_expired"),
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
