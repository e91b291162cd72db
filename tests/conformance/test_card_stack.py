# SPDX-License-Identifier: Apache-2.0
"""The card in a reader, judged by programs that others wrote: OpenSC, yubico-piv-tool, GnuTLS and curl.

pcscd with vpcd runs in namespaces of its own; see `support.card_reader`.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from etymon.card.private_keys import CURVES
from etymon.wire.piv import Algorithm, KeyReference
from support import card_reader
from support.card_issuer import PIN, CardIssuer, IssuedCard, authority, server_certificate
from support.card_reader import Reader
from support.page_commands import commands
from support.tls_server import server_context, tls_server, write_pem

pytestmark = [pytest.mark.serial, pytest.mark.needs(*card_reader.PROGRAMS)]

SLOTS = (
    KeyReference.AUTHENTICATION,
    KeyReference.SIGNATURE,
    KeyReference.KEY_MANAGEMENT,
    KeyReference.CARD_AUTHENTICATION,
)
PIN_TEXT = PIN.reveal()


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Reader]:
    with card_reader.reader(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def issuer() -> CardIssuer:
    return CardIssuer()


@pytest.fixture(scope="module")
def rsa_card(issuer: CardIssuer) -> IssuedCard:
    return issuer.card(algorithms=dict.fromkeys(SLOTS, Algorithm.RSA_2048))


@pytest.fixture(scope="module")
def ec_card(issuer: CardIssuer) -> IssuedCard:
    return issuer.card(algorithms=dict.fromkeys(SLOTS, Algorithm.P256))


@pytest.fixture(params=["rsa_card", "ec_card"])
def card(request: pytest.FixtureRequest, slot: Reader) -> Iterator[IssuedCard]:
    """A card of each kind, in the reader."""
    found: IssuedCard = request.getfixturevalue(request.param)
    with slot.inserted(found.applet):
        yield found


def _serial(card: IssuedCard) -> str:
    """Return the serial number by which OpenSC knows the token: the last half of the GUID."""
    return card.uuid.bytes[8:].hex()


@pytest.mark.needs("pkcs11-tool")
def test_opensc_finds_no_errors(slot: Reader, card: IssuedCard) -> None:
    said = slot.run("pkcs11-tool", "--login", "--pin", PIN_TEXT, "--test", seconds=120).stdout
    assert "No errors" in said
    assert card.applet.state.pin.remaining == 3


@pytest.mark.needs("pkcs11-tool")
def test_the_token_is_named_after_its_holder(slot: Reader, card: IssuedCard) -> None:
    said = slot.run("pkcs11-tool", "-L").stdout
    assert "token label        : Alice Adams" in said
    assert f"serial num         : {_serial(card)}" in said


@pytest.mark.needs("pkcs15-tool")
def test_opensc_lists_certificates_keys_and_the_pin(slot: Reader, card: IssuedCard) -> None:
    said = slot.run("pkcs15-tool", "--list-info", "--list-certificates", "--list-keys", "--list-pins").stdout
    for name in ("PIV Authentication", "Digital Signature", "Key Management", "Card Authentication"):
        assert f"Certificate for {name}" in said
    for key in ("PIV AUTH key", "SIGN key", "KEY MAN key", "CARD AUTH key"):
        assert key in said
    assert said.count("neverExtract") == 4
    assert card.uuid.hex.upper()[16:] in said.upper()


@pytest.mark.needs("pkcs15-tool", "yubico-piv-tool")
def test_each_certificate_is_read_as_it_was_issued(slot: Reader, ec_card: IssuedCard) -> None:
    with slot.inserted(ec_card.applet):
        read = [slot.run("pkcs15-tool", "--read-certificate", "01").stdout]
        for reference in SLOTS:
            words = ["-r", "Virtual", "-a", "read-certificate", "-s", f"{reference:x}"]
            read.append(slot.run("yubico-piv-tool", *words).stdout)
    issued = [ec_card.certificates[reference] for reference in (SLOTS[0], *SLOTS)]
    assert [x509.load_pem_x509_certificate(pem.encode()) for pem in read] == issued


@pytest.mark.needs("pkcs11-tool")
@pytest.mark.parametrize("key", ["01", "02", "04"])
def test_opensc_has_each_signing_key_sign(slot: Reader, ec_card: IssuedCard, key: str) -> None:
    reference = SLOTS[int(key) - 1]
    (slot.directory / "data").write_bytes(b"signed through a reader")
    words = ["--sign", "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl", "--id", key]
    with slot.inserted(ec_card.applet):
        slot.run(
            "pkcs11-tool", "--login", "--pin", PIN_TEXT, *words, "-i", "data", "-o", "signature", data=PIN_TEXT.encode()
        )
    public_key = ec_card.certificates[reference].public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    signature = (slot.directory / "signature").read_bytes()
    public_key.verify(signature, b"signed through a reader", ec.ECDSA(hashes.SHA256()))


@pytest.mark.needs("pkcs11-tool")
def test_a_card_in_a_reader_signs_a_ceremonys_statement_by_the_pages_command(slot: Reader, ec_card: IssuedCard) -> None:
    (command,) = (each for each in commands("key-ceremony.md") if each.startswith("pkcs11-tool "))
    (slot.directory / "ada.statement").write_bytes(b"what is confirmed")
    with slot.inserted(ec_card.applet):
        slot.run(*shlex.split(command), "--pin", PIN_TEXT)
    public_key = ec_card.certificates[KeyReference.AUTHENTICATION].public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify((slot.directory / "ada.signature").read_bytes(), b"what is confirmed", ec.ECDSA(hashes.SHA256()))


@pytest.mark.needs("pkcs11-tool")
def test_opensc_derives_a_shared_secret(slot: Reader, ec_card: IssuedCard) -> None:
    own = ec_card.applet.state.keys[KeyReference.KEY_MANAGEMENT]
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    peer = ec.generate_private_key(CURVES[Algorithm.P256])
    der = peer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    (slot.directory / "peer.der").write_bytes(der)
    words = ["--derive", "--mechanism", "ECDH1-COFACTOR-DERIVE", "--id", "03", "-i", "peer.der", "-o", "shared"]
    with slot.inserted(ec_card.applet):
        slot.run("pkcs11-tool", "--login", "--pin", PIN_TEXT, *words)
    assert (slot.directory / "shared").read_bytes() == own.exchange(ec.ECDH(), peer.public_key())


@pytest.mark.needs("pkcs15-tool", "yubico-piv-tool")
def test_wrong_pins_block_and_the_puk_helps(slot: Reader, issuer: CardIssuer) -> None:
    card = issuer.card(algorithms={KeyReference.AUTHENTICATION: Algorithm.P256})

    def verify(pin: str) -> str:
        return slot.run("yubico-piv-tool", "-r", "Virtual", "-a", "verify-pin", "-P", pin, check=False).stderr

    with slot.inserted(card.applet):
        assert "2 tries left" in verify("999999")
        assert "Successfully verified" in verify(PIN_TEXT)
        assert card.applet.state.pin.remaining == 3
        for left in (2, 1, 0):
            verify("999999")
            assert card.applet.state.pin.remaining == left
        assert "blocked" in verify(PIN_TEXT)
        slot.run("pkcs15-tool", "--unblock-pin", "--puk", "87654321", "--new-pin", "11223344")
        assert "Successfully verified" in verify("11223344")
        slot.run("pkcs15-tool", "--change-pin", "--pin", "11223344", "--new-pin", PIN_TEXT)
        assert "Successfully verified" in verify(PIN_TEXT)


@pytest.mark.needs("yubico-piv-tool")
def test_yubicos_tool_reads_the_card(slot: Reader, card: IssuedCard) -> None:
    said = slot.run("yubico-piv-tool", "-r", "Virtual", "-a", "status").stdout
    assert card.uuid.hex in said.replace(" ", "").lower()
    assert said.count("Subject DN:\tCN=Alice Adams") == 3
    for reference in SLOTS:
        fingerprint = card.certificates[reference].fingerprint(hashes.SHA256()).hex()
        assert fingerprint in said
    assert "PIN tries left:\t3" in said


@pytest.mark.needs("yubico-piv-tool")
@pytest.mark.parametrize(
    ("reference", "act"),
    [
        (SLOTS[0], "test-signature"),
        (SLOTS[1], "test-signature"),
        (SLOTS[2], "test-decipher"),
        (SLOTS[3], "test-signature"),
    ],
)
def test_yubicos_tool_uses_each_key(slot: Reader, card: IssuedCard, reference: KeyReference, act: str) -> None:
    pem = card.certificates[reference].public_bytes(Encoding.PEM)
    words = ["-a", "verify-pin", "-P", PIN_TEXT, "-a", act, "-s", f"{reference:x}"]
    said = slot.run("yubico-piv-tool", "-r", "Virtual", *words, data=pem)
    assert "Successfully verified PIN" in said.stderr
    assert "Successful" in said.stderr.split("PIN.")[1]


@pytest.fixture
def web(slot: Reader, issuer: CardIssuer) -> Iterator[tuple[str, Path, list[x509.Certificate | None]]]:
    """A TLS server inside that asks for a card: its address, its root's file, and whom it saw."""
    root = authority("TLS Root")
    leaf, key = server_certificate(root, dns=("localhost",), addresses=("127.0.0.1",))
    pem = write_pem(slot.directory / "server.pem", [leaf], key)
    cas = write_pem(slot.directory / "clients.pem", [issuer.root.certificate, issuer.issuing.certificate])
    ca = write_pem(slot.directory / "ca.pem", [root.certificate])
    with tls_server(slot.listen(), server_context(pem, cas)) as server:
        yield f"https://localhost:{server.port}/", ca, server.seen


@pytest.mark.needs("curl")
def test_curl_proves_the_card(
    slot: Reader, card: IssuedCard, web: tuple[str, Path, list[x509.Certificate | None]]
) -> None:
    card_reader.library("*/engines-3/pkcs11.so", "libengine-pkcs11-openssl")
    address, ca, seen = web
    token = f"pkcs11:serial={_serial(card)};id=%01"
    words = ["--engine", "pkcs11", "--cert-type", "ENG", "--cert", f"{token};type=cert", "--key-type", "ENG"]
    words += ["--key", f"{token};type=private;pin-value={PIN_TEXT}", "--cacert", str(ca), "--silent", "--show-error"]
    said = slot.run("curl", *words, address, env={"PKCS11_MODULE_PATH": str(card_reader.pkcs11_module())})
    assert said.stdout.startswith("client: CN=Alice Adams; TLSv1.3;")
    assert seen == [card.certificates[KeyReference.AUTHENTICATION]]


@pytest.mark.needs("curl")
def test_curl_with_a_wrong_pin_proves_nothing(
    slot: Reader, issuer: CardIssuer, web: tuple[str, Path, list[x509.Certificate | None]]
) -> None:
    card_reader.library("*/engines-3/pkcs11.so", "libengine-pkcs11-openssl")
    address, ca, seen = web
    card = issuer.card(algorithms={KeyReference.AUTHENTICATION: Algorithm.P256})
    token = f"pkcs11:serial={_serial(card)};id=%01"
    words = ["--engine", "pkcs11", "--cert-type", "ENG", "--cert", f"{token};type=cert", "--key-type", "ENG"]
    words += ["--key", f"{token};type=private;pin-value=999999", "--cacert", str(ca)]
    with slot.inserted(card.applet):
        assert slot.run("curl", *words, address, check=False).returncode
    assert not [certificate for certificate in seen if certificate]
    assert card.applet.state.pin.remaining < 3


@pytest.mark.needs("gnutls-cli")
def test_gnutls_proves_the_card(
    slot: Reader, card: IssuedCard, web: tuple[str, Path, list[x509.Certificate | None]]
) -> None:
    address, ca, seen = web
    port = address.rsplit(":", 1)[1].strip("/")
    token = f"pkcs11:serial={_serial(card)};id=%01"
    words = [f"--x509certfile={token};type=cert", f"--x509keyfile={token};type=private", f"--x509cafile={ca}"]
    words += [f"--provider={card_reader.pkcs11_module()}", f"--port={port}", "localhost"]
    request = b"GET / HTTP/1.0\r\n\r\n"
    said = slot.run("gnutls-cli", *words, data=request, env={"GNUTLS_PIN": PIN_TEXT}, check=False)
    assert "client: CN=Alice Adams" in said.stdout, said.stderr
    assert seen == [card.certificates[KeyReference.AUTHENTICATION]]


@pytest.mark.needs("opensc-tool")
def test_a_card_comes_and_goes(slot: Reader, ec_card: IssuedCard) -> None:
    with slot.inserted(ec_card.applet):
        assert "Personal Identity Verification Card" in slot.run("opensc-tool", "--name").stdout
    assert "Card not present" in slot.run("opensc-tool", "--name", check=False).stderr
    with slot.inserted(ec_card.applet):
        assert "3b:80:01:81" in slot.run("opensc-tool", "--atr").stdout
