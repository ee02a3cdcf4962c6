"""The private PKI: chains that OpenSSL accepts, repeatable calls, expiry, revocation."""

from __future__ import annotations

import datetime
import ssl
import stat

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gw.cli.pki import pki as pki_commands
from gw.security import pki

SERIAL = "02a0c9000001"


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "pki"
    pki.init(folder)
    return folder


def snapshot(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def leaf(file):
    return x509.load_pem_x509_certificate(file.read_bytes())


def handshake(folder, serial, *, host="localhost", crl=False):
    """Do a TLS handshake in memory; raises what either side raises."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    server.load_verify_locations(folder / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    if crl:
        server.load_verify_locations(folder / "crl.pem")
        server.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.load_cert_chain(
        folder / "devices" / f"{serial}.pem", folder / "devices" / f"{serial}.key"
    )
    c_in, c_out, s_in, s_out = (ssl.MemoryBIO() for _ in range(4))
    near = client.wrap_bio(c_in, c_out, server_hostname=host)
    far = server.wrap_bio(s_in, s_out, server_side=True)
    waiting = {near, far}
    for _ in range(10):
        for side, out, to in ((near, c_out, s_in), (far, s_out, c_in)):
            if side in waiting:
                try:
                    side.do_handshake()
                    waiting.discard(side)
                except ssl.SSLWantReadError:
                    pass
            to.write(out.read())
    assert not waiting
    return far.getpeercert()


def test_init_is_repeatable_and_says_so(made):
    before = snapshot(made)
    report = pki.init(made)
    assert not report.changed
    assert snapshot(made) == before
    assert {"localhost", "127.0.0.1", "::1"} <= set(report.hosts)


def test_keys_are_private(made):
    pki.device(made, [SERIAL])
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    keys = list(made.rglob("*.key"))
    assert len(keys) == 4
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert not list(made.rglob(".*.????????"))


def test_new_host_renews_the_certificate_and_no_key(made):
    before = snapshot(made)
    report = pki.init(made, ["gw.example", "10.1.2.3"])
    assert report.renewed == ["server.pem"]
    after = snapshot(made)
    assert {name for name in before if before[name] != after[name]} == {
        (made / "server.pem").relative_to(made)
    }
    # A later call without the names keeps them.
    assert not pki.init(made).changed
    pki.device(made, [SERIAL])
    handshake(made, SERIAL, host="gw.example")
    handshake(made, SERIAL, host="10.1.2.3")


def test_expired_server_certificate_is_issued_again(made):
    from gw.security import certificates

    key = certificates.load_key(made / "issuing.key")
    issuing = certificates.Authority(certificates.load_certificate(made / "issuing.pem"), key)
    server_key = certificates.load_key(made / "server.key")
    names = certificates.alternative_names(leaf(made / "server.pem"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "_SERVER_LIFE", datetime.timedelta(days=-1))
        (made / "server.pem").write_bytes(
            certificates.certificate_pem(issuing.server(names, server_key)) + issuing.pem
        )
    assert pki.init(made).renewed == ["server.pem"]
    assert leaf(made / "server.pem").not_valid_after_utc > datetime.datetime.now(datetime.UTC)


def test_init_completes_what_was_cut_short(made):
    for name in ("ca.pem", "server.pem", "crl.pem"):
        (made / name).unlink()
    assert sorted(pki.init(made).created) == ["ca.pem", "crl.pem", "server.pem"]
    pki.device(made, [SERIAL])
    handshake(made, SERIAL, crl=True)


def test_copy_without_issuing_key_is_not_replaced(made):
    (made / "issuing.key").unlink()
    before = snapshot(made)
    with pytest.raises(pki.PkiError, match="issuing key"):
        pki.init(made)
    assert snapshot(made) == before


def test_device_certificate_is_what_agents_and_gateway_expect(made):
    report = pki.device(made, ["02:A0:C9:00:00:01", SERIAL])
    assert report.issued == [SERIAL]
    certificate = leaf(made / "devices" / f"{SERIAL}.pem")
    assert [(a.oid, a.value) for a in certificate.subject] == [
        (NameOID.ORGANIZATION_NAME, "TIP"),
        (NameOID.COMMON_NAME, SERIAL),
    ]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert len(x509.load_pem_x509_certificates((made / "devices" / f"{SERIAL}.pem").read_bytes()))
    peer = handshake(made, SERIAL, crl=True)
    assert peer["subject"][-1] == (("commonName", SERIAL),)


def test_device_is_repeatable(made):
    pki.device(made, [SERIAL])
    before = snapshot(made)
    assert pki.device(made, [SERIAL]).kept == [SERIAL]
    assert snapshot(made) == before


def test_expired_certificate_replaces_and_is_replaced(made):
    pki.device(made, [SERIAL])
    assert pki.device(made, [SERIAL], expired=True).issued == [SERIAL]
    assert pki.device(made, [SERIAL], expired=True).kept == [SERIAL]
    with pytest.raises(ssl.SSLError, match="expired"):
        handshake(made, SERIAL)
    assert pki.device(made, [SERIAL]).issued == [SERIAL]
    handshake(made, SERIAL)


def test_revocation_reaches_every_certificate_of_the_device(made):
    pki.device(made, [SERIAL, "02a0c9000002"])
    old = snapshot(made / "devices")
    (made / "devices" / f"{SERIAL}.pem").unlink()
    pki.device(made, [SERIAL])
    assert pki.revoke(made, SERIAL).added == 2
    again = pki.revoke(made, SERIAL)
    assert (again.added, again.total) == (0, 2)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(made, SERIAL, crl=True)
    for name, data in old.items():
        (made / "devices" / name).write_bytes(data)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(made, SERIAL, crl=True)
    handshake(made, "02a0c9000002", crl=True)
    # The call that makes certificates does not let a revoked device in again.
    assert pki.device(made, [SERIAL]).kept == [SERIAL]


def test_number_of_the_list_grows(made):
    def numbers():
        lists = (made / "crl.pem").read_bytes().split(b"-----END X509 CRL-----\n")[:-1]
        loaded = [x509.load_pem_x509_crl(c + b"-----END X509 CRL-----\n") for c in lists]
        assert len({crl.issuer for crl in loaded}) == 2
        return [c.extensions.get_extension_for_class(x509.CRLNumber).value for c in loaded]

    before = numbers()
    pki.device(made, [SERIAL])
    pki.revoke(made, SERIAL)
    assert [n.crl_number for n in numbers()] == [n.crl_number + 1 for n in before]


def test_damaged_list_of_revoked_is_not_taken_for_an_empty_one(made):
    pki.device(made, [SERIAL])
    (made / "revoked.json").write_text("{")
    with pytest.raises(pki.PkiError, match="damaged"):
        pki.revoke(made, SERIAL)


def test_progress_is_told(made):
    told = []
    pki.device(made, pki.numbered_serials("02a0c9", 3), progress=lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("prefix", "count", "expected"),
    [("02a0c9", 2, ["02a0c9000000", "02a0c9000001"]), ("02:A0", 1, ["02a000000000"])],
)
def test_numbered_serials(prefix, count, expected):
    assert pki.numbered_serials(prefix, count) == expected


@pytest.mark.parametrize(("prefix", "count"), [("xyz", 1), ("02a0c900000", 17), ("0" * 12, 1)])
def test_numbered_serials_that_do_not_fit(prefix, count):
    with pytest.raises(pki.PkiError, match="prefix"):
        pki.numbered_serials(prefix, count)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["device", SERIAL], "gw pki init --dir"),
        (["revoke", SERIAL], "gw pki init --dir"),
        (["init", "--host", "not a host"], "neither a host name nor an address"),
    ],
)
def test_command_errors_are_one_line(tmp_path, arguments, text):
    result = CliRunner().invoke(
        pki_commands, [arguments[0], "--dir", str(tmp_path), *arguments[1:]]
    )
    assert result.exit_code == 1
    assert text in result.output
    assert "Traceback" not in result.output


def test_commands(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(pki_commands, [*arguments, "--dir", str(tmp_path)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "Made in" in run("init")
    assert "Nothing to do" in run("init")
    assert f"{SERIAL}.pem" in run("device", SERIAL)
    assert "Made 60 and kept 0" in run("device", "--count", "60", "--prefix", "02a0ca")
    assert "Revoked 1" in run("revoke", SERIAL)
    assert "Nothing to do" in run("revoke", SERIAL)


def test_command_names_an_unknown_serial(made):
    result = CliRunner().invoke(pki_commands, ["revoke", "--dir", str(made), "02a0c9ffffff"])
    assert result.exit_code == 1
    assert "no certificate of 02a0c9ffffff" in result.output
