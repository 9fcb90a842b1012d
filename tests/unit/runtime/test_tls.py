"""What is read of a folder of certificates, and when it is read again."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import HOUR_S, Authority, Secret
from vitrine.runtime import rereading
from vitrine.runtime.errors import ConfigError
from vitrine.runtime.tls import certificates_in, expiry_s, handshake_failure, page_context, pair_of, server_credentials


@pytest.fixture(autouse=True)
def look_at_every_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rereading, "LOOK_INTERVAL_S", 0.0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


# The first kind of time ends with the year 2049.
@pytest.mark.parametrize("valid_s", [HOUR_S, 40 * 365 * 24 * HOUR_S])
def test_the_expiry_is_that_of_the_certificate(authority: Authority, tmp_path: Path, valid_s: float) -> None:
    chain = (authority.issue(tmp_path, valid_s) / "tls.crt").read_bytes()
    said = x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()
    assert expiry_s(chain) == said
    assert expiry_s(chain + authority.pem) == said


@pytest.mark.parametrize("missing", ["ca.crt", "tls.crt", "tls.key"])
def test_a_missing_file_is_named(authority: Authority, tmp_path: Path, missing: str) -> None:
    (authority.issue(tmp_path) / missing).unlink()
    with pytest.raises(ConfigError, match=rf"^tls: .*/{missing} cannot be read"):
        certificates_in(tmp_path)


def test_what_is_no_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    (authority.issue(tmp_path) / "ca.crt").write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"^tls: .*/ca.crt holds no certificate in PEM"):
        certificates_in(tmp_path)


def test_a_key_of_another_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = authority.issue(tmp_path / "other")
    mine = authority.issue(tmp_path / "mine")
    (other / "tls.key").rename(mine / "tls.key")
    with pytest.raises(ConfigError, match=r"tls.key is not the key in PEM of the certificate"):
        certificates_in(mine)


def test_an_expired_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^tls: .*/tls.crt expired at"):
        certificates_in(authority.issue(tmp_path, -60))


def test_a_folder_to_trust_by_is_enough_for_a_client_and_not_for_a_server(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    trusted = certificates_in(tmp_path)
    assert trusted.current().pair is None
    with pytest.raises(ConfigError, match=r"^tls: a server needs tls.crt and tls.key"):
        server_credentials(trusted, True, lambda: None)
    with pytest.raises(ConfigError, match=r"^tls: a server needs tls.crt and tls.key"):
        page_context(tmp_path, False)


def test_a_secret_that_is_turned_is_read_again_once(authority: Authority, tmp_path: Path) -> None:
    secret = Secret(tmp_path / "secret")
    secret.show(authority.issue(secret.version(), HOUR_S))
    certificates = certificates_in(secret.folder)
    before = certificates.current()
    assert certificates.current() is before

    secret.show(authority.issue(secret.version(), 2 * HOUR_S))
    after = certificates.current()

    assert pair_of(certificates).expires_s > time.time() + 1.5 * HOUR_S
    assert after is not before
    assert certificates.current() is after
    assert (certificates.reloads, certificates.failed_reloads) == (1, 0)


def test_a_half_written_pair_leaves_the_old_one(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = authority.issue(tmp_path / "live")
    certificates = certificates_in(folder)
    before = certificates.current()
    new = authority.issue(tmp_path / "new", 2 * HOUR_S)

    (folder / "tls.key").write_bytes((new / "tls.key").read_bytes())
    assert certificates.current() is before
    assert certificates.current() is before
    assert certificates.failed_reloads == 2
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "certificates not reloaded, what was there stays"
    ]

    (folder / "tls.crt").write_bytes((new / "tls.crt").read_bytes())
    assert certificates.current() is not before
    assert certificates.reloads == 1


@pytest.mark.parametrize("taken", [("tls.crt",), ("tls.crt", "tls.key"), ("ca.crt",)])
def test_files_that_are_taken_away_leave_the_old_ones(
    authority: Authority, tmp_path: Path, taken: tuple[str, ...]
) -> None:
    certificates = certificates_in(authority.issue(tmp_path))
    before = certificates.current()
    for name in taken:
        (tmp_path / name).unlink()
    assert certificates.current() is before
    assert certificates.failed_reloads == 1


def test_files_are_not_looked_at_for_every_handshake(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "LOOK_INTERVAL_S", 60.0)
    certificates = certificates_in(authority.issue(tmp_path))
    before = certificates.current()
    authority.issue(tmp_path)
    assert certificates.current() is before


def test_a_page_shows_the_new_certificate_to_the_next_browser(authority: Authority, tmp_path: Path) -> None:
    context = page_context(authority.issue(tmp_path), False)
    first = _shown_to_a_browser(context, authority)
    assert _shown_to_a_browser(context, authority) == first
    authority.issue(tmp_path)
    assert _shown_to_a_browser(context, authority) != first


def test_only_connections_that_never_were_are_called_failed_handshakes() -> None:
    refused = "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed"
    assert "ended the connection at once" in handshake_failure(refused)
    distrusted = "failed to connect to all addresses; last error: UNKNOWN: ipv4:…: Tls handshake failed (…)"
    assert "is not trusted" in handshake_failure(distrusted)
    misnamed = (
        "failed to connect to all addresses; last error: … verification check failed with error: UNAUTHENTICATED: …"
    )
    assert "names another host" in handshake_failure(misnamed)
    gone = "failed to connect to all addresses; last error: UNKNOWN: ipv4:…: connect: Connection refused (111)"
    assert not handshake_failure(gone)
    assert not handshake_failure("Socket closed")
    # Where calls go to several servers in turn, gRPC has other words.
    for words in (refused, distrusted, misnamed, gone):
        of_several = words.replace("failed to connect to all addresses", "connections to all backends failing")
        assert of_several != words
        assert handshake_failure(of_several) == handshake_failure(words).replace(words, of_several)


def _shown_to_a_browser(server: ssl.SSLContext, authority: Authority) -> bytes:
    """The certificate that a handshake in memory shows."""
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    browser = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    page = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (browser, page):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = browser.getpeercert(binary_form=True)
    assert shown
    return shown
