# SPDX-License-Identifier: Apache-2.0
"""A vault in PKCS#11 tokens (SoftHSM 2): keys are sensitive and never extractable, each compartment is a token.

The module runs in a process of its own (`token_process`). A token's PINs are computed from its compartment's key, so
that the activation secret opens the token of the activated keys and nothing else does.
"""

import base64
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from etymon.card.external_key import SignatureScheme
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import EtymonError, Malformed, NotFound, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone import document
from etymon.phone.document import Document
from etymon.phone.key_store.contract import (
    EncryptionPadding,
    KeyRecord,
    Protection,
    TokenReference,
    WrappedKey,
    load_public_key,
)
from etymon.phone.sealed_file import derive
from etymon.pki.algorithms import KeyType, PublicKey

MODULES: Final = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/softhsm/libsofthsm.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
"""Where distributions install SoftHSM 2."""

LABELS: Final = {Protection.DEVICE: "device", Protection.ACTIVATION: "credential"}
ID_BYTES: Final = 8
PIN_BYTES: Final = 21
"""As text 28 characters; OpenSSL's PKCS#11 engine cuts a PIN that it reads from a file after 31."""
STOP_LIMIT_SECONDS: Final = 10

_ERRORS: Final[Mapping[str, type[EtymonError]]] = {
    "not_decryptable": Malformed,
    "weak_key": Malformed,
    "key_not_found": NotFound,
    "token_locked": NotPermitted,
}


@dataclass(frozen=True, slots=True)
class _Pins:
    user: Secret[str]
    officer: Secret[str]


def find_module(candidates: Sequence[Path] = MODULES) -> Path | None:
    """Return where SoftHSM 2 is, or None."""
    return next((path for path in candidates if path.exists()), None)


class PKCS11Vault:
    """Keys in two tokens under one directory; the reference of a key is its CKA_ID."""

    def __init__(self, directory: Path, module: Path, entropy: Entropy) -> None:
        self._directory = directory
        self._module = module
        self._entropy = entropy
        self._process: subprocess.Popen[bytes] | None = None
        self._pins: dict[Protection, _Pins] = {}

    @property
    def configuration(self) -> Path:
        """The file that `SOFTHSM2_CONF` names."""
        return self._directory / "softhsm2.conf"

    def unlock(self, protection: Protection, key: Secret[bytes]) -> None:
        """Log in to the compartment's token; it is made at the first time."""
        pins = _Pins(_pin(key, "user"), _pin(key, "officer"))
        self._log_in(protection, pins)
        self._pins[protection] = pins

    def lock(self, protection: Protection) -> None:
        """Log out of the compartment's token."""
        if self._pins.pop(protection, None) is not None:
            self._ask("lock", protection)

    def generate(self, protection: Protection, alias: str, kind: KeyType) -> tuple[bytes, PublicKey]:
        """Make a key inside the token."""
        reference = self._entropy.octets(ID_BYTES)
        answer = self._ask("generate", protection, id=document.base64_text(reference), alias=alias, keyType=kind.value)
        return reference, load_public_key(answer.octets("publicKey"))

    def import_wrapped(
        self, protection: Protection, alias: str, package: WrappedKey, transport: KeyRecord
    ) -> tuple[bytes, PublicKey]:
        """Open the package in the token's process and create its key in the token."""
        reference = self._entropy.octets(ID_BYTES)
        answer = self._ask(
            "import",
            protection,
            id=document.base64_text(reference),
            alias=alias,
            envelope=document.base64_text(package.envelope),
            issuers=[document.base64_text(issuer) for issuer in package.issuers],
            receivedAt=document.time_text(package.received_at),
            transportToken=LABELS[transport.protection],
            transportId=document.base64_text(transport.reference),
        )
        return reference, load_public_key(answer.octets("publicKey"))

    def sign_digest(self, record: KeyRecord, digest: bytes, scheme: SignatureScheme) -> bytes:
        """Return the token's signature over a digest."""
        key = load_public_key(record.public_key)
        if isinstance(key, ec.EllipticCurvePublicKey):
            digest = digest[: (key.curve.key_size + 7) // 8]  # ECDSA reads no more of it (FIPS 186-5 §6.4.1)
        answer = self._ask(
            "sign",
            record.protection,
            id=document.base64_text(record.reference),
            digest=document.base64_text(digest),
            hash=scheme.hash.name,
            padding=scheme.padding.value,
        )
        return answer.octets("signature")

    def decrypt(self, record: KeyRecord, ciphertext: bytes, padding: EncryptionPadding) -> bytes:
        """Return what was encrypted to an RSA key."""
        answer = self._ask(
            "decrypt",
            record.protection,
            id=document.base64_text(record.reference),
            ciphertext=document.base64_text(ciphertext),
            padding=padding.value,
        )
        return answer.octets("plain")

    def certify(self, record: KeyRecord) -> None:
        """Put the certificate beside its key, where engines look for it."""
        self._ask(
            "certify",
            record.protection,
            id=document.base64_text(record.reference),
            alias=record.alias,
            certificate=document.base64_text(record.certificate or b""),
        )

    def delete(self, record: KeyRecord) -> None:
        """Destroy a key; one in a locked token is out of reach at once and destroyed by the next `sweep`."""
        if record.protection in self._pins:
            self._ask("destroy", record.protection, id=document.base64_text(record.reference))

    def sweep(self, protection: Protection, keep: frozenset[bytes]) -> None:
        """Destroy keys nobody has a record of: made or deleted while the phone stopped, or while locked."""
        self._ask("sweep", protection, keep=[document.base64_text(reference) for reference in keep])

    def destroy(self, protection: Protection) -> None:
        """Remove the compartment's token with everything in it."""
        if not self.configuration.exists():
            return
        self._pins.pop(protection, None)
        answer = self._ask("serial", protection)
        if "serial" not in answer:
            return
        self._stop()  # the module holds the token's files open
        for path in self._tokens.iterdir():
            if path.name.replace("-", "").endswith(answer.text("serial")):
                shutil.rmtree(path)

    def token_reference(self, record: KeyRecord) -> TokenReference | None:
        """Return how other programs reach the key of an unlocked compartment."""
        pins = self._pins.get(record.protection)
        if pins is None:
            raise NotPermitted("activation_required", "Enter your activation secret first.")
        return TokenReference(self._module, self.configuration, LABELS[record.protection], record.reference, pins.user)

    def close(self) -> None:
        """Log out and stop the token's process."""
        self._pins.clear()
        self._stop()

    @property
    def _tokens(self) -> Path:
        return self._directory / "tokens"

    def _ask(self, act: str, protection: Protection, **members: object) -> Document:
        process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise _lost()
        line = document.encode({"act": act, "token": LABELS[protection], **members})
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError as exc:
            self._stop()  # the next request starts another
            raise _lost() from exc
        if not answer:
            self._stop()
            raise _lost()
        read = Document.parse(answer)
        if "error" in read:
            code = read.text("error")
            kind = Malformed if read.members().get("malformed") is True else _ERRORS.get(code, Unavailable)
            raise kind(code, read.text("detail"))
        return read

    def _log_in(self, protection: Protection, pins: _Pins) -> None:
        self._ask("unlock", protection, pin=pins.user.reveal(), soPin=pins.officer.reveal())

    def _start(self) -> subprocess.Popen[bytes]:
        self._tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.configuration.write_text(
            f"directories.tokendir = {self._tokens}\n"
            "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        )
        self._process = subprocess.Popen(  # noqa: S603 - our own module, and arguments nobody else chooses
            [sys.executable, "-I", "-m", "etymon.phone.key_store.token_process", str(self._module)],
            env={"SOFTHSM2_CONF": str(self.configuration)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for protection, pins in self._pins.items():  # a process that was lost is followed by one in the same state
            self._log_in(protection, pins)
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pin(key: Secret[bytes], role: str) -> Secret[str]:
    octets = derive(key, f"token pin {role}").reveal()[:PIN_BYTES]
    return Secret(base64.urlsafe_b64encode(octets).decode("ascii"))


def _lost() -> Unavailable:
    return Unavailable("token_lost", "The phone's key token does not answer. Try again.")
