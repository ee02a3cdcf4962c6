"""TLS as the agents do it: client certificate, server's chain checked, server's name not."""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(pki: str | Path, serial: str) -> ssl.SSLContext:
    """Return the client's context of the device `serial`, from the files of `gw pki device`.

    Raises FileNotFoundError with the missing file, ssl.SSLError if one is damaged.
    """
    folder = Path(pki)
    certificate = folder / "devices" / f"{serial}.pem"
    key = certificate.with_suffix(".key")
    bundle = folder / "ca.pem"
    for file in (bundle, certificate, key):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; make it with: gw pki device --dir {pki}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(bundle)
    context.load_cert_chain(certificate, key)
    return context
