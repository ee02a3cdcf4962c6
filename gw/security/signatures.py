"""Signatures for restricted devices: scripts and firmware signed by their vendor's key.

Source: southbound.md 6.8. The key files are read once; keys never leave this module.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from gw.core.settings import Signatures, VendorKey
from gw.protocol.restrictions import KeyInfo

DIGEST_SHA256: Final = "dgst-sha256"
"""RSA over SHA-256, PKCS #1 v1.5, in base64: what `openssl dgst -sha256 -sign` makes."""
STATIC: Final = "static"
_STATIC_SIGNATURE: Final = "aaaaaaaaaa"
_LEAST_BITS: Final = 2048


class SignatureError(Exception):
    """No signature can be made; the message says why, and which setting would help."""


class Signer:
    """Signs with the keys of `signatures.vendors`."""

    def __init__(self, settings: Signatures) -> None:
        """Read the keys. Raises ValueError, which names the setting and what is wrong."""
        self._static = settings.static
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        for place, entry in enumerate(settings.vendors):
            if entry.vendor in self._keys:
                raise ValueError(f"signatures.vendors[{place}]: {entry.vendor!r} is there twice")
            self._keys[entry.vendor] = _load(entry, f"signatures.vendors[{place}]")

    def may_sign(self, key: KeyInfo) -> bool:
        """Tell whether `sign` would make a signature."""
        return self._static if key.algo == STATIC else (
            key.algo == DIGEST_SHA256 and key.vendor in self._keys
        )  # fmt: skip

    def sign(self, key: KeyInfo, content: bytes) -> str:
        """Return the signature of `content` for a device with this `key_info`.

        Raises SignatureError if the vendor has no key here, or the algorithm is none of ours.
        """
        digest = hashes.Hash(hashes.SHA256())
        digest.update(content)
        return self.sign_digest(key, digest.finalize())

    def sign_digest(self, key: KeyInfo, digest: bytes) -> str:
        """As `sign`, for content of which only the SHA-256 is at hand."""
        if key.algo == STATIC:
            if not self._static:
                raise SignatureError("the device wants `static`, and signatures.static is off")
            return _STATIC_SIGNATURE
        if key.algo != DIGEST_SHA256:
            raise SignatureError(
                f"the device wants the algorithm {key.algo[:40]!r}; known is {DIGEST_SHA256}"
            )
        private = self._keys.get(key.vendor)
        if private is None:
            raise SignatureError(
                f"there is no key of the vendor {key.vendor[:40]!r} in signatures.vendors"
            )
        signature = private.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        return base64.b64encode(signature).decode()


def _load(entry: VendorKey, name: str) -> rsa.RSAPrivateKey:
    try:
        private = serialization.load_pem_private_key(Path(entry.private_key).read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{name}.private_key: {entry.private_key}: {_reason(error)}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < _LEAST_BITS:
        raise ValueError(
            f"{name}.private_key: {entry.private_key}: not an RSA key of {_LEAST_BITS} bits or more"
        )
    if entry.public_key:
        try:
            public = serialization.load_pem_public_key(Path(entry.public_key).read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(f"{name}.public_key: {entry.public_key}: {_reason(error)}") from None
        if public != private.public_key():
            raise ValueError(f"{name}.public_key: {entry.public_key}: not that of the private key")
    return private


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return "cannot be read as a PEM key without a password"
