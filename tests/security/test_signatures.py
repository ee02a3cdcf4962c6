"""Signatures of scripts and firmware: openssl's verdict on them, and every reason there is none."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gw.core.settings import Signatures, VendorKey
from gw.protocol.restrictions import KeyInfo
from gw.security.signatures import SignatureError, Signer

ACME = KeyInfo("acme", "dgst-sha256")


def write(folder, name, key):
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = folder / f"{name}.pub"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """RSA keys of two vendors, and one that is too short."""
    folder = tmp_path_factory.mktemp("keys")
    for name, bits in (("acme", 2048), ("other", 2048), ("short", 1024)):
        write(folder, name, rsa.generate_private_key(public_exponent=65537, key_size=bits))
    write(folder, "curve", ec.generate_private_key(ec.SECP256R1()))
    return folder


def entry(keys, vendor="acme", **more):
    return VendorKey(vendor=vendor, private_key=str(keys / f"{vendor}.key"), **more)


def test_openssl_accepts_the_signature(keys, tmp_path):
    signer = Signer(
        Signatures(vendors=[entry(keys, "other"), entry(keys, public_key=str(keys / "acme.pub"))])
    )
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\nuptime\n")
    assert signer.may_sign(ACME)
    text = signer.sign(ACME, script.read_bytes())
    (tmp_path / "signature").write_bytes(base64.b64decode(text, validate=True))

    def verify(public):
        return subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", keys / public, "-signature",
             tmp_path / "signature", script],
            capture_output=True, check=False,
        ).returncode  # fmt: skip

    assert verify("acme.pub") == 0
    assert verify("other.pub") != 0


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (KeyInfo("nobody", "dgst-sha256"), ["nobody", "signatures.vendors"]),
        (KeyInfo("acme", "md5"), ["md5", "dgst-sha256"]),
        (KeyInfo("acme", ""), ["dgst-sha256"]),
        (KeyInfo("acme", "static"), ["signatures.static"]),
        (KeyInfo(), ["dgst-sha256"]),
    ],
)
def test_no_signature_without_key_and_algorithm(keys, key, words):
    signer = Signer(Signatures(vendors=[entry(keys)]))
    assert not signer.may_sign(key)
    with pytest.raises(SignatureError) as caught:
        signer.sign(key, b"x")
    assert all(word in str(caught.value) for word in words)


def test_the_static_algorithm_only_where_it_is_set():
    signer = Signer(Signatures(static=True))
    assert signer.may_sign(KeyInfo("any", "static"))
    assert signer.sign(KeyInfo("any", "static"), b"x") == "aaaaaaaaaa"


@pytest.mark.parametrize(
    ("vendors", "words"),
    [
        (lambda keys: [entry(keys, "missing")], ["vendors[0].private_key", "missing.key"]),
        (lambda keys: [entry(keys, "curve")], ["vendors[0].private_key", "RSA"]),
        (lambda keys: [entry(keys, "short")], ["vendors[0].private_key", "2048"]),
        (
            lambda keys: [VendorKey(vendor="x", private_key=str(keys / "acme.pub"))],
            ["vendors[0].private_key", "PEM"],
        ),
        (lambda keys: [entry(keys), entry(keys)], ["vendors[1]", "acme", "twice"]),
        (
            lambda keys: [entry(keys, public_key=str(keys / "other.pub"))],
            ["vendors[0].public_key", "not that of the private key"],
        ),
        (
            lambda keys: [entry(keys, public_key=str(keys / "acme.key"))],
            ["vendors[0].public_key", "PEM"],
        ),
    ],
)
def test_keys_that_cannot_be_used_are_named(keys, vendors, words):
    with pytest.raises(ValueError) as caught:
        Signer(Signatures(vendors=vendors(keys)))
    assert all(word in str(caught.value) for word in words)
