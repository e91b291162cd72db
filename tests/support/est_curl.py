# SPDX-License-Identifier: Apache-2.0
"""curl and OpenSSL as a client of EST."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from support import programs
from support.issuer_listeners import RunningIssuer
from support.tls_files import PrivateKey, certificates_pem, key_pem


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Curl:
    """curl and openssl with a directory of their own."""

    issuer: RunningIssuer
    directory: Path

    def openssl(self, *arguments: str | Path, given: bytes = b"") -> bytes:
        command = [str(programs.required("openssl")), *map(str, arguments)]
        return subprocess.run(command, input=given, capture_output=True, check=True, cwd=self.directory).stdout

    def identity(self, certificate: x509.Certificate, key: PrivateKey) -> tuple[str, ...]:
        (self.directory / "client.pem").write_text(certificates_pem([certificate]))
        (self.directory / "client.key").write_bytes(key_pem(key))
        return "--cert", "client.pem", "--key", "client.key"

    def csr(self, name: str, common_name: str = "ignored") -> bytes:
        """Make a key and return a request for it."""
        self.openssl("genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)
        return self.openssl("req", "-new", "-key", name, "-subj", f"/CN={common_name}", "-outform", "DER")

    def ask(self, path: str, *arguments: str, body: bytes | None = None, at: str = "") -> Answer:
        """Send a request to the device listener, or to another one."""
        url = f"{at or self.issuer.site.deps.device_url}{path}"
        data = () if body is None else ("--data-binary", "@-")
        command = [
            str(programs.required("curl")),
            *("--disable", "--silent", "--show-error", "--include", "--http1.1", "--noproxy", "*", "--max-time", "60"),
            *("--cacert", str(self.issuer.anchor), *arguments, *data, url),
        ]
        done = subprocess.run(command, input=body, capture_output=True, check=True, cwd=self.directory)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, content)


def certificate_in(curl: Curl, answer: Answer) -> x509.Certificate:
    assert answer.status == 200, answer
    pem = curl.openssl("pkcs7", "-inform", "DER", "-print_certs", given=base64.b64decode(answer.body))
    return x509.load_pem_x509_certificate(pem)
