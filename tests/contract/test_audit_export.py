# SPDX-License-Identifier: Apache-2.0
"""The trail as it is taken elsewhere, and verified there."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.audit import export
from etymon.audit.examination import Fault, Report
from etymon.audit.verification import verify_exports
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import DecodeError
from etymon.storage.database import Database
from support.audit_office import Office
from support.clock import TurnedClock


@pytest.fixture
def office(database: Database, clock: TurnedClock, entropy: Entropy) -> Office:
    return Office(database, clock, entropy)


@pytest.fixture
def sealed(office: Office) -> Office:
    """Ten events under two checkpoints: after the fifth and after the tenth."""
    for _ in range(2):
        office.record(5)
        office.seal()
    return office


def test_an_export_says_what_the_trail_says(sealed: Office) -> None:
    sealed.record()  # not signed yet: left to the next export
    lines = list(export.lines(sealed.database))
    assert len(lines) == 1 + 10 + 2
    assert verify_exports([lines], sealed.signer.public_key) == Report(10, 2, 10, ())


def test_an_export_goes_on_where_the_last_one_ended(sealed: Office) -> None:
    known = sealed.last_checkpoint()
    sealed.record(3)
    sealed.seal()
    lines = list(export.lines(sealed.database, after=known))
    assert verify_exports([lines], sealed.signer.public_key) == Report(3, 1, 13, ())


def test_an_export_with_an_edited_or_missing_line_is_found(sealed: Office) -> None:
    lines = list(export.lines(sealed.database))
    edited = [line.replace("derivation:2", "derivation:7") for line in lines]
    assert {finding.fault for finding in verify_exports([edited], sealed.signer.public_key).findings} == {Fault.ALTERED}
    shorter = lines[:3] + lines[4:]
    assert Fault.GAP in {finding.fault for finding in verify_exports([shorter], sealed.signer.public_key).findings}


@pytest.mark.parametrize("line", ["", "{", "[]", "null", '{"event":{}}', '{"start":{}}', '"start"', "[" * 100_000])
def test_a_line_that_is_none_of_an_export_is_refused(line: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(DecodeError):
        verify_exports([[line]], key)


@pytest.mark.needs("openssl")
def test_an_export_is_verified_with_nothing_but_sha_256_and_openssl(sealed: Office, tmp_path: Path) -> None:
    """The rules of the chain are written out again, and OpenSSL checks the signatures."""
    key = tmp_path / "key.pem"
    key.write_bytes(sealed.signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    digest, judged = bytes(32), 0
    for line in list(export.lines(sealed.database))[1:]:
        document = json.loads(line)
        if "event" in document:
            text = json.dumps(document["event"], sort_keys=True, separators=(",", ":")).encode()
            digest = hashlib.sha256(b"etymon audit event v1\n" + digest + text).digest()
            assert digest.hex() == document["digest"]
            continue
        statement = document["checkpoint"]
        (tmp_path / "signature").write_bytes(base64.b64decode(statement.pop("signature")))
        text = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        (tmp_path / "statement").write_bytes(b"etymon audit checkpoint v1\n" + text)
        assert statement["digest"] == digest.hex()
        command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "statement"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout == "Verified OK\n", done.stderr
        judged += 1
    assert judged == 2
