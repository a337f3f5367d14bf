"""A signer's certificates and key: the user's, or ones that this computer makes for itself.

What a certificate must hold to sign manifests: Source: C2PA specification 2.2, certificate profile (key usage
digitalSignature, an extended key usage of its list, authority key identifier, not self-signed).
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from dubber.engine.unfinished import part_of
from dubber.errors import ConfigError, ToolMissingError

if TYPE_CHECKING:
    from cryptography import x509

logger = logging.getLogger(__name__)

OWN_NAME = "A computer's own certificate, made by dubber"
"""The common name in certificates that nobody vouches for."""

PASSWORD = "DUBBER_KEY_PASSWORD"  # noqa: S105 - the name of a variable
"""Environment variable with the password of the user's key."""

SIGNER = "DUBBER_SIGNER"
"""Environment variable with the folder of this computer's own certificate, or "none"."""

_ORGANISATION = "Unverified"
_LIFE = timedelta(days=3650)
_PURPOSES = ("1.3.6.1.4.1.62558.2.1", "1.3.6.1.5.5.7.3.4")
"""Extended key usages: signing C2PA claims, and email, which older readers ask for. Source: as above."""


@dataclass(frozen=True)
class Credentials:
    """What signs.

    Attributes:
        chain_pem: The signer's certificate, then those above it.
        key_pem: Its key, without password.
        algorithm: C2PA's name of the signature's algorithm.
        is_own: Whether this computer made them for itself.
    """

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    algorithm: str
    is_own: bool = False

    @property
    def certificate(self) -> x509.Certificate:
        """The signer's."""
        from cryptography import x509

        return x509.load_pem_x509_certificates(self.chain_pem)[0]

    @property
    def name(self) -> str:
        """What people call the signer."""
        from cryptography.x509.oid import NameOID

        subject = self.certificate.subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME) or list(subject)
        return str(names[0].value) if names else "a signer without a name"


def read_credentials(certificate: Path, private_key: Path) -> Credentials:
    """The user's own.

    Args:
        certificate: PEM, the signer's first.
        private_key: PEM; its password, if it has one, is in the environment variable `DUBBER_KEY_PASSWORD`.

    Raises:
        ConfigError: A file cannot be read, they do not belong together, or the certificate is out of date.
        ToolMissingError: The library that reads them is not installed.
    """
    x509, serialization = _cryptography()
    chain_pem, key_pem = _read(certificate), _read(private_key)
    password = os.environ.get(PASSWORD)
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem)[0]
    except (ValueError, IndexError) as error:
        raise ConfigError(
            "The file holds no PEM certificate.", where=str(certificate), advice=_PEM
        ) from error
    try:
        key = serialization.load_pem_private_key(key_pem, password.encode() if password else None)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"The private key cannot be read ({error}).",
            where=str(private_key),
            advice=f"It must be PEM; its password, if it has one, is taken from {PASSWORD}.",
        ) from error
    if key.public_key() != leaf.public_key():
        raise ConfigError(
            "The private key is not that of the first certificate.", where=str(private_key), advice=_PEM
        )
    _check_date(leaf, certificate)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Credentials(chain_pem, plain, _algorithm(key, private_key))


_PEM = "It is a text file: the signer's certificate first, then those above it."


def own_credentials(*, is_anew: bool = False) -> Credentials | None:
    """What this computer made for itself, made now where there is nothing or it is out of date.

    It is kept in the folder `DUBBER_SIGNER`, or the user's data folder; where nothing can be kept, it is good
    for this once.

    Args:
        is_anew: Make it anew in any case: what is kept cannot sign.

    Returns:
        None where `DUBBER_SIGNER` is "none": then only the user's own certificates sign.

    Raises:
        ToolMissingError: The library that makes it is not installed.
    """
    _cryptography()
    named = os.environ.get(SIGNER)
    if named == "none":
        return None
    default = platformdirs.user_data_path("dubber", appauthor=False) / "signer"
    path = (Path(named).expanduser() if named else default) / "own.pem"
    if not is_anew and (kept := _kept(path)) is not None:
        return kept
    made = _made()
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made.key_pem + made.chain_pem)
        if path.exists():
            part.replace(path)
        else:
            path.hardlink_to(part)
    except FileExistsError:  # another process was faster
        return _kept(path) or made
    except OSError as error:
        logger.warning("The certificate of this computer cannot be kept (%s): %s", path, error.strerror)
    finally:
        with suppress(OSError):
            part.unlink()
    return made


def _made() -> Credentials:
    """A new key with a certificate, vouched for by an authority whose key is forgotten at once."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    above, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = _certificate(key, above) + _certificate(above, above)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Credentials(chain, plain, "es256", is_own=True)


def _certificate(key: Any, above: Any) -> bytes:
    """A certificate for a key, PEM; an authority's where the key signs for itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID, ObjectIdentifier

    def name(common: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION)
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])

    is_authority = key is above
    usages = dict.fromkeys(_USAGES, False)
    usages["key_cert_sign" if is_authority else "digital_signature"] = True
    now = _now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(f"{OWN_NAME} (root)" if is_authority else OWN_NAME))
        .issuer_name(name(f"{OWN_NAME} (root)"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(x509.KeyUsage(**usages), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
    )
    if not is_authority:
        purposes = x509.ExtendedKeyUsage([ObjectIdentifier(purpose) for purpose in _PURPOSES])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(above, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _kept(path: Path) -> Credentials | None:
    """What `own_credentials` kept; None where there is nothing, or nothing that is good any more."""
    from cryptography import x509

    try:
        pem = path.read_bytes()
        start = pem.index(b"-----BEGIN CERTIFICATE")
        until = x509.load_pem_x509_certificates(pem[start:])[0].not_valid_after_utc
    except (OSError, ValueError):
        return None
    return Credentials(pem[start:], pem[:start], "es256", is_own=True) if until > _now() else None


def _algorithm(key: Any, path: Path) -> str:
    """C2PA's name for what a key signs with. Source: C2PA specification 2.2, digital signatures."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise ConfigError(
        "C2PA knows no signature with a key of this kind.",
        where=str(path),
        advice="Use a key for P-256, P-384, P-521, Ed25519 or RSA.",
    )


def _check_date(certificate: x509.Certificate, path: Path) -> None:
    if not certificate.not_valid_before_utc <= _now() <= certificate.not_valid_after_utc:
        raise ConfigError(
            f"The certificate is good from {certificate.not_valid_before_utc:%Y-%m-%d} "
            f"to {certificate.not_valid_after_utc:%Y-%m-%d} only.",
            where=str(path),
            advice="Ask its authority for a new one.",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The file cannot be read ({error.strerror}).", where=str(path), advice=_PEM
        ) from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ToolMissingError(
            "Signatures need the library cryptography, which is not installed.",
            advice="pip install 'dubber[c2pa]'",
        ) from error
    return x509, serialization


def _now() -> datetime:
    return datetime.now(timezone.utc)
