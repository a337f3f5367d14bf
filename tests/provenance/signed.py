"""Certificates and signed films as the tests of provenance need them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dubber.media.edits import Edits
from dubber.output import publish
from dubber.provenance.credentials import Credentials
from dubber.provenance.manifest import Facts
from dubber.provenance.signing import SignedCopy
from dubber.types import SourceFile

NOW = datetime.now(timezone.utc)
EDITS = Edits(
    dubber="9.9",
    duration_s=2.0,
    pictures=((0.5, 1.25),),
    sound=((0.0, 2.0),),
    length="cut_off",
    consent="Ann",
)


def facts_of(source: Path, edits: Edits = EDITS) -> Facts:
    """What is signed of a film made from a source."""
    return Facts(
        edits, SourceFile(source, "5" * 64), (SourceFile(Path("line.wav"), "a" * 64),), (), {"net": "e" * 64}
    )


def sign(
    finished: Path, output: Path, credentials: Credentials, source: Path, *, is_overwrite: bool = False
) -> None:
    """Bring a finished film, signed, to a name."""
    publish(finished, output, is_overwrite=is_overwrite, copy=SignedCopy(facts_of(source), credentials))


def write_certificate(
    folder: Path,
    *,
    name: str = "Studio Ltd",
    days: int = 30,
    is_for_signing: bool = True,
    password: bytes | None = None,
    key: Any = None,
) -> tuple[Path, Path, Path]:
    """A certificate of an authority: paths of the chain, of the key, and of the authority."""
    above, key = ec.generate_private_key(ec.SECP384R1()), key or ed25519.Ed25519PrivateKey.generate()
    root = _certificate("Test authority", above, "Test authority", above, 365, [])
    purposes = [ExtendedKeyUsageOID.EMAIL_PROTECTION] if is_for_signing else [ExtendedKeyUsageOID.SERVER_AUTH]
    leaf = _certificate(name, key, "Test authority", above, days, purposes)
    pem = serialization.Encoding.PEM
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    folder.mkdir(exist_ok=True)
    paths = folder / "chain.pem", folder / "key.pem", folder / "root.pem"
    paths[0].write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    paths[2].write_bytes(root.public_bytes(pem))
    return paths


def _certificate(
    name: str, key: Any, issuer: str, above: Any, days: int, purposes: list[Any]
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, text)])

    end = NOW + timedelta(days=days)
    usages = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    usages += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    wanted = "digital_signature" if purposes else "key_cert_sign"
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=400))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(not purposes, None), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage == wanted for usage in usages}), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(above, hashes.SHA256())
