"""What the doctor says of rules of admission, keys of vendors and the provisioning service."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gw.core.settings import (
    CaPolicy,
    Devices,
    Provisioning,
    Settings,
    Signatures,
    VendorKey,
)
from gw.ops.health_policies import policy_findings
from gw.security import pki


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pki")
    pki.init(path)
    return path


def found(folder, *policies: CaPolicy, **sections: object) -> list[tuple[str, str, str]]:
    devices = Devices(ca=str(folder / "ca.pem"), ca_policies=list(policies))
    return [
        (one.topic, one.state, one.text)
        for one in policy_findings(Settings(devices=devices, **sections))
    ]


def test_nothing_to_say(folder):
    assert found(folder) == []


def test_rules_of_authorities_that_are_there(folder):
    issuing = x509.load_pem_x509_certificate((folder / "issuing.pem").read_bytes())
    policies = [
        CaPolicy(issuer="gw issuing CA"),
        CaPolicy(subject=issuing.subject.rfc4514_string()),
        CaPolicy(fingerprint=issuing.fingerprint(hashes.SHA256()).hex(":").upper()),
    ]
    assert found(folder, *policies) == [("admission", "good", "3 rules of authorities")]


@pytest.mark.parametrize(
    "policy",
    [CaPolicy(issuer="Issuing CA"), CaPolicy(subject="CN=x"), CaPolicy(fingerprint="ab" * 32)],
)
def test_a_rule_of_no_authority(folder, policy):
    ((topic, state, text),) = found(folder, CaPolicy(issuer="gw root CA"), policy)
    assert (topic, state) == ("admission", "warning")
    assert "devices.ca_policies[1]" in text


@pytest.mark.parametrize(
    ("sections", "topic", "state", "word"),
    [
        ({"provisioning": Provisioning(url="http://prov")}, "provisioning", "warning", "TLS"),
        (
            {"provisioning": Provisioning(url="https://prov", ca="/no/such.pem")},
            "provisioning", "fault", "/no/such.pem",
        ),
        ({"signatures": Signatures(static=True)}, "signatures", "warning", "static"),
        (
            {"signatures": Signatures(vendors=[VendorKey(vendor="a", private_key="/no/such.key")])},
            "signatures", "fault", "/no/such.key",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong(folder, sections, topic, state, word):
    ((found_topic, found_state, text),) = found(folder, **sections)
    assert (found_topic, found_state) == (topic, state)
    assert word in text
