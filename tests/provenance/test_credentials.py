from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("c2pa")

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from dubber.errors import ConfigError
from dubber.provenance import Provenance, credentials
from dubber.provenance.credentials import OWN_NAME, own_credentials, read_credentials
from dubber.provenance.signing import credentials_for
from tests.provenance.signed import NOW, write_certificate


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this computer's own certificate."""
    monkeypatch.setenv("DUBBER_SIGNER", str(tmp_path / "signer"))
    return tmp_path / "signer"


def test_a_computer_keeps_the_certificate_that_it_makes(signer: Path) -> None:
    made = own_credentials()
    assert made is not None and made.is_own and made.name == OWN_NAME
    assert own_credentials() == made
    (kept,) = signer.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"PRIVATE KEY" in kept.read_bytes()


def test_an_old_or_damaged_certificate_is_made_anew(signer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_credentials()
    (signer / "own.pem").write_bytes(b"nothing")
    second = own_credentials()
    monkeypatch.setattr(credentials, "_now", lambda: NOW + timedelta(days=4000))
    third = own_credentials()
    assert first and second and third and len({first.key_pem, second.key_pem, third.key_pem}) == 3


@pytest.mark.parametrize("damage", ["another key", "no key", "no purpose"])
def test_an_own_certificate_that_is_refused_is_made_anew(signer: Path, damage: str) -> None:
    first = own_credentials()
    assert first is not None
    kept = signer / "own.pem"
    if damage == "no purpose":
        chain, key, _ = write_certificate(signer / "c", is_for_signing=False)
        kept.write_bytes(key.read_bytes() + chain.read_bytes())
    else:
        other = credentials._made().key_pem if damage == "another key" else b"nothing\n"
        kept.write_bytes(other + first.chain_pem)
    found = credentials_for(Provenance())
    assert found is not None and found.is_own and found.key_pem != first.key_pem
    assert credentials_for(Provenance()) == found
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.usefixtures("signer")
def test_where_no_own_certificate_signs_nobody_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(credentials, "_PURPOSES", ("1.3.6.1.5.5.7.3.1",))  # a web server's
    assert credentials_for(Provenance()) is None
    assert "in its metadata alone" in caplog.text


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    chain, key, _ = write_certificate(tmp_path / "c")
    assert "PRIVATE" not in repr(read_credentials(chain, key))


def test_where_nothing_can_be_kept_there_still_is_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DUBBER_SIGNER", str(tmp_path / "file" / "signer"))
    assert own_credentials() is not None
    assert "cannot be kept" in caplog.text


def test_a_computer_can_be_told_to_make_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBBER_SIGNER", "none")
    assert own_credentials() is None


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "es256"),
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ec.generate_private_key(ec.SECP521R1()), "es512"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_certificates_with_all_usual_keys_sign(tmp_path: Path, key: object, algorithm: str) -> None:
    chain, private, _ = write_certificate(tmp_path / "c", key=key)
    found = credentials_for(Provenance(chain, private))
    assert found is not None and found.algorithm == algorithm and found.name == "Studio Ltd"


def test_a_password_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, private, _ = write_certificate(tmp_path / "c", password=b"secret")
    with pytest.raises(ConfigError, match="DUBBER_KEY_PASSWORD"):
        read_credentials(chain, private)
    monkeypatch.setenv("DUBBER_KEY_PASSWORD", "secret")
    assert b"ENCRYPTED" not in read_credentials(chain, private).key_pem


def test_what_cannot_sign_is_refused_with_the_reason(tmp_path: Path) -> None:
    chain, private, _ = write_certificate(tmp_path / "good")
    others, other, _ = write_certificate(tmp_path / "other")
    late, late_key, _ = write_certificate(tmp_path / "late", days=-1)
    web, web_key, _ = write_certificate(tmp_path / "web", is_for_signing=False)
    odd, odd_key, _ = write_certificate(tmp_path / "odd", key=dsa.generate_private_key(2048))
    for certificate, key, reason in (
        (chain, None, "go together"),
        (None, private, "go together"),
        (chain, other, "not that of the first certificate"),
        (private, private, "no PEM certificate"),
        (others, others, "private key cannot be read"),
        (tmp_path / "absent", private, "cannot be read"),
        (late, late_key, "is good from"),
        (web, web_key, "cannot sign"),
        (odd, odd_key, "of this kind"),
    ):
        with pytest.raises(ConfigError, match=reason):
            credentials_for(Provenance(certificate, key))
