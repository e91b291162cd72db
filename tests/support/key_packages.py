# SPDX-License-Identifier: Apache-2.0
"""Server-made keys in CMS as OpenSSL makes them: a judge of what the phone opens."""

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from etymon.wire import der
from support.card_issuer import Authority, authority, common_name, key_usage
from support.programs import required

KEY_PACKAGE: Final = "2.16.840.1.101.2.1.2.78.5"
KEY_GENERATION_AUTHORITY: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")


@dataclass(slots=True)
class KeyGenerator:
    """Makes RSA keys for others and sends them the way RFC 7030 §4.4.2 says, with OpenSSL's CMS."""

    directory: Path
    ca: Authority = field(default_factory=lambda: authority("Key generation CA"))
    purpose: x509.ObjectIdentifier = KEY_GENERATION_AUTHORITY
    lifetime: timedelta = timedelta(days=30)

    def envelope(self, recipient: rsa.RSAPublicKey, private_key: rsa.RSAPrivateKey) -> bytes:
        """Return a private key, signed and enveloped to `recipient` by its subject key identifier."""
        pkcs8 = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        signer, key = self._signer()
        transport = self._recipient(recipient)
        signing = ["-sign", "-nodetach", "-econtent_type", KEY_PACKAGE, "-md", "sha256"]
        signed = self._cms([*signing, "-signer", str(signer), "-inkey", str(key)], der.sequence(pkcs8))
        oaep = ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"]
        options = [part for option in oaep for part in ("-keyopt", option)]
        enveloping = ["-encrypt", "-aes-256-cbc", "-keyid", "-recip", str(transport), *options]
        return self._cms(enveloping, signed)

    def _cms(self, arguments: list[str], content: bytes) -> bytes:
        command = [str(required("openssl")), "cms", *arguments, "-binary", "-outform", "DER"]
        return subprocess.run(command, input=content, capture_output=True, check=True).stdout

    def _signer(self) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name("Key generation"))
            .public_key(key.public_key())
            .add_extension(key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([self.purpose]), critical=False)
        )
        certificate = self.ca.issue(builder, end=datetime.now(UTC).replace(microsecond=0) + self.lifetime)
        files = self.directory / "signer.pem", self.directory / "signer.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _recipient(self, key: rsa.RSAPublicKey) -> Path:
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name("Transport"))
            .public_key(key)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        file = self.directory / "transport.pem"
        file.write_bytes(self.ca.issue(builder).public_bytes(Encoding.PEM))
        return file
