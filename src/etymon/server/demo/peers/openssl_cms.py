# SPDX-License-Identifier: Apache-2.0
"""OpenSSL as a mail correspondent: S/MIME (RFC 8551) signed, verified, encrypted and decrypted by `openssl cms`."""

import email
import email.policy
import email.utils
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from etymon.kernel.secret import Secret
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.credentials import Credential, PEMFiles, pkcs11_engine
from etymon.server.demo.peers.programs import Judgement, Verdict

VERIFIED: Final = "CMS Verification successful"


@dataclass(frozen=True, slots=True)
class Mail:
    """What a judgement of a mail brought to light: its inner text, empty when the mail was refused."""

    content: bytes
    judgement: Judgement


def sign(content: bytes, signer: Credential, *, directory: Path) -> Mail:
    """Return `content`, a MIME entity, signed (multipart/signed, SHA-256) by `signer`."""
    with ExitStack() as lent:
        key, settings, secrets = _key(signer, directory, lent)
        return _mail(
            ["cms", "-sign", "-md", "sha256", "-signer", signer.certificate, *_issuers(signer, directory), *key],
            content,
            directory=directory,
            settings=settings,
            secrets=secrets,
        )


def encrypt(
    content: bytes, recipient_certificate: Path, *, sender: str, recipient: str, subject: str, directory: Path
) -> Mail:
    """Return `content` as a mail that only the certificate's key opens (EnvelopedData, AES-256-CBC)."""
    addresses = ["-from", sender, "-to", recipient, "-subject", subject]
    return _mail(["cms", "-encrypt", "-aes-256-cbc", *addresses, recipient_certificate], content, directory=directory)


def decrypt(message: bytes, recipient: Credential, *, directory: Path) -> Mail:
    """Return what is inside an encrypted mail, opened with the recipient's key."""
    with ExitStack() as lent:
        key, settings, secrets = _key(recipient, directory, lent)
        return _mail(
            ["cms", "-decrypt", "-recip", recipient.certificate, *key],
            message,
            directory=directory,
            settings=settings,
            secrets=secrets,
        )


def verify(message: bytes, *, anchors: bytes, crls: bytes, sender: str, directory: Path) -> Mail:
    """Judge a signed mail: signature, path, purpose, revocation of the whole path, and who signed it.

    `anchors` are PEM certificates of roots and intermediates, `crls` PEM lists of each of these CAs. `sender` is the
    address the mail is from: `openssl cms` does not compare it, so it is looked for in the signer's certificate.
    """
    work = Path(tempfile.mkdtemp(prefix="verify-", dir=directory))
    trusted, signer = work / "anchors-and-crls.pem", work / "signer.pem"
    trusted.write_bytes(anchors + crls)  # `openssl cms` takes no CRL file of its own
    done = programs.run(
        "openssl",
        [
            *("cms", "-verify", "-CAfile", trusted, "-no-CAstore", "-no-CApath"),
            *("-crl_check_all", "-purpose", "smimesign", "-signer", signer),
        ],
        directory=work,
        data=message,
    )
    if done.exit_status != 0 or VERIFIED not in done.stderr:
        return Mail(b"", done.judgement(Verdict.REFUSED, reason=_complaint(done.stderr)))
    addresses = programs.run("openssl", ["x509", "-in", signer, "-noout", "-email"], directory=work)
    if sender.lower() not in addresses.output.lower().split():
        reason = f"the signer's certificate names {addresses.output.split()}, the mail is from {sender}"
        return Mail(b"", done.judgement(Verdict.REFUSED, reason=reason))
    return Mail(done.stdout, done.judgement(Verdict.ACCEPTED))


def sender_of(message: bytes) -> str:
    """Return the address in the From header, empty without one."""
    headers: EmailMessage = email.message_from_bytes(message, policy=email.policy.default)
    return email.utils.parseaddr(str(headers.get("From", "")))[1]


def _mail(
    arguments: list[str | Path],
    data: bytes,
    *,
    directory: Path,
    settings: dict[str, str] | None = None,
    secrets: tuple[Secret[str], ...] = (),
) -> Mail:
    done = programs.run("openssl", arguments, directory=directory, data=data, settings=settings)
    if done.exit_status != 0:
        return Mail(b"", done.judgement(Verdict.REFUSED, reason=_complaint(done.stderr), secrets=secrets))
    return Mail(done.stdout, done.judgement(Verdict.ACCEPTED, secrets=secrets))


def _issuers(signer: Credential, directory: Path) -> list[str | Path]:
    """Return the option for what follows the signer's certificate in its file; `-signer` reads the first only."""
    begin = "-----BEGIN CERTIFICATE-----"
    _, _, *issuers = signer.certificate.read_text().split(begin)
    if not issuers:
        return []
    file = Path(tempfile.mkdtemp(prefix="sign-", dir=directory)) / "issuers.pem"
    file.write_text("".join(begin + issuer for issuer in issuers))
    return ["-certfile", file]


def _key(
    credential: Credential, directory: Path, lent: ExitStack
) -> tuple[list[str | Path], dict[str, str], tuple[Secret[str], ...]]:
    if isinstance(credential, PEMFiles):
        return ["-inkey", credential.key], {}, ()
    pkcs11_engine()
    uri = lent.enter_context(credential.uri_with_pin(directory))
    return ["-engine", "pkcs11", "-keyform", "engine", "-inkey", uri], credential.engine_settings(), (credential.pin,)


def _complaint(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if "rror" in line]
    named = [line for line in lines if "Verify error" in line]
    return (named or lines or [""])[0]
