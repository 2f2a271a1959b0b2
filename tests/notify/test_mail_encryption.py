"""Mail servers that speak TLS and want a login: both ways to encrypt, and a certificate that nobody vouches for."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from charthouse.state.base import now
from tests.notify.receivers import MailServer, mail_controller

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's context for `localhost`; its certificate is in `tls.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "tls.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_mail_is_encrypted_and_logged_in_or_does_not_leave(
    tls, tmp_path, write, tell, drained, states, configure, monkeypatch
):
    def login(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"me@here", b"p:w/d"), handled=False)

    upgrading, wrapped = MailServer(), MailServer()
    starttls = mail_controller(
        upgrading, tls_context=tls, require_starttls=True, auth_required=True, authenticator=login
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
    smtps = mail_controller(wrapped, ssl_context=tls)
    write()
    try:
        configure(mail_from="records@charthouse.example")
        configure(smtp_url=f"smtp+starttls://me%40here:p%3Aw%2Fd@localhost:{starttls.port}")
        tell("confirmed")
        assert drained().counts == {("email", "sent"): 1}
        configure(smtp_url=f"smtps://localhost:{smtps.port}")
        tell("expired")
        assert drained().counts == {("email", "sent"): 1}
        assert (len(upgrading.mails), len(wrapped.mails)) == (1, 1)

        configure(smtp_url=f"smtp+starttls://me%40here:wrong@localhost:{starttls.port}")
        tell("reconnected")
        drained()
        monkeypatch.delenv("SSL_CERT_FILE")
        configure(smtp_url=f"smtps://localhost:{smtps.port}")
        tell("erased")
        drained()
        assert [state[2:] for state in states()[2:]] == [("waiting", "CH718")] * 2
        assert (len(upgrading.mails), len(wrapped.mails)) == (1, 1)
    finally:
        starttls.stop()
        smtps.stop()
