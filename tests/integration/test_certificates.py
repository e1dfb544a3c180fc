"""The TLS material of the tests is good, or wrong in just the way its name says: OpenSSL's own verification judges."""

from __future__ import annotations

import hashlib
import ssl
import stat

import pytest

REASONS = {
    "expired": "certificate has expired",
    "wrong_host": "(Hostname|IP address) mismatch",
    "self_signed": "self-signed certificate",
}


def handshake(certificate, trusted, host: str = "localhost") -> None:
    """A whole TLS handshake in memory; raises what the client finds wrong."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=trusted.crt)
    server.load_cert_chain(certificate.crt, certificate.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    assert ends[0].version() and ends[1].version()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_good_one_is_accepted(certificates, host):
    handshake(certificates.good, certificates.ca, host)


@pytest.mark.parametrize("name", REASONS)
def test_the_others_are_refused_for_their_own_reason(certificates, name):
    with pytest.raises(ssl.SSLCertVerificationError, match=REASONS[name]):
        handshake(getattr(certificates, name), certificates.ca)


def test_the_other_authority_vouches_for_nothing(certificates):
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        handshake(certificates.good, certificates.other_ca)


def test_keys_are_private_and_fingerprints_are_of_the_whole_certificate(certificates):
    assert stat.S_IMODE(certificates.good.key.stat().st_mode) == 0o600
    der = ssl.PEM_cert_to_DER_cert(certificates.good.crt.read_text())
    assert certificates.good.sha256() == hashlib.sha256(der).hexdigest()
