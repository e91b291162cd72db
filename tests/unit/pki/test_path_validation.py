# SPDX-License-Identifier: Apache-2.0
"""Path validation: one path is accepted, and each thing that can be wrong with it is refused by name."""

import contextlib
import ipaddress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Malformed
from etymon.pki.certificate import load
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import ValidatedPath, validate
from etymon.pki.status import StatusEvidence
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.wire import der
from support import declared_pki
from support.declared_pki import CARD_POLICY, CARD_UUID, AllGood, Certified

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OTHER_POLICY = "2.999.7.6"
_GOOD_ROOT = declared_pki.root(NOW)
WEAK_RSA_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose


@pytest.fixture(scope="module")
def root() -> Certified:
    return declared_pki.root(NOW)


@pytest.fixture(scope="module")
def intermediate(root: Certified) -> Certified:
    return root.issue(NOW, "Card Intermediate", authority=True)


@pytest.fixture(scope="module")
def issuer(intermediate: Certified) -> Certified:
    return intermediate.issue(NOW, "Card CA", authority=True, path_length=0)


@pytest.fixture
def cards(root: Certified, intermediate: Certified, issuer: Certified) -> TrustEntry:
    return declared_pki.entry(root, intermediate, issuer)


def judged(leaf: Certified, entry: TrustEntry, *others: TrustEntry, at: datetime = NOW) -> ValidatedPath:
    return validate(leaf.certificate, entry, at=at, status=AllGood(), other_entries=others)


def refused(leaf: Certified, entry: TrustEntry, *others: TrustEntry, at: datetime = NOW) -> str:
    with pytest.raises(NotTrusted) as caught:
        judged(leaf, entry, *others, at=at)
    assert caught.value.detail.endswith(".")
    return caught.value.code


def test_a_good_path_says_whom_it_names_and_why(
    root: Certified, intermediate: Certified, issuer: Certified, cards: TrustEntry
) -> None:
    leaf, source = issuer.issue(NOW), AllGood()
    path = validate(leaf.certificate, cards, at=NOW, status=source)
    expected = [found.certificate for found in (leaf, issuer, intermediate, root)]
    assert list(path.certificates) == expected
    assert source.asked == list(pairwise(expected))  # everything but the anchor
    assert (path.identifier, path.policies) == (str(CARD_UUID), frozenset({CARD_POLICY}))
    assert (path.entry_name, path.validated_at, len(path.evidence)) == ("agency-cards", NOW, 3)
    assert path.leaf == leaf.certificate


@pytest.mark.parametrize(
    ("code", "flaw"),
    [
        ("wrong_policy", {"policies": (OTHER_POLICY,)}),
        ("wrong_policy", {"policies": ()}),
        ("wrong_policy", {"policies": ("2.5.29.32.0",)}),
        ("expired", {"starts": timedelta(days=-9), "ends": timedelta(seconds=-1)}),
        ("not_yet_valid", {"starts": timedelta(seconds=1)}),
        ("wrong_certificate_kind", {"purposes": (ExtendedKeyUsageOID.EMAIL_PROTECTION,)}),
        ("wrong_certificate_kind", {"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}),
        ("wrong_certificate_kind", {"purposes": ()}),
        ("wrong_certificate_kind", {"digital_signature": False}),
        ("weak_key", {"hash_algorithm": hashes.SHA224()}),
        ("weak_key", {"subject_key": ec.generate_private_key(ec.SECP224R1())}),
        ("weak_key", {"subject_key": WEAK_RSA_KEY}),
        ("path_invalid", {"extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), b"\5\0"), True)]}),
    ],
)
def test_a_flawed_certificate_is_refused_by_name(
    code: str, flaw: dict[str, object], issuer: Certified, cards: TrustEntry
) -> None:
    assert refused(issuer.issue(NOW, **flaw), cards) == code  # type: ignore[arg-type]  # the flaws are named arguments


@pytest.mark.parametrize("seconds", [0, 1])
def test_both_ends_of_the_validity_are_inside_it(seconds: int, issuer: Certified, cards: TrustEntry) -> None:
    leaf = issuer.issue(NOW, starts=timedelta(0), ends=timedelta(seconds=seconds))
    assert judged(leaf, cards, at=NOW + timedelta(seconds=seconds)).leaf == leaf.certificate
    assert refused(leaf, cards, at=NOW + timedelta(seconds=seconds + 1)) == "expired"
    assert refused(leaf, cards, at=NOW - timedelta(seconds=1)) == "not_yet_valid"


def test_a_certificate_from_an_unknown_root_is_refused(cards: TrustEntry) -> None:
    stranger = declared_pki.root(NOW, "Another Root")
    assert refused(stranger.issue(NOW), cards) == "untrusted_root"


def test_a_certificate_that_only_names_a_trusted_issuer_is_refused(issuer: Certified, cards: TrustEntry) -> None:
    impostor = declared_pki.root(NOW, "Card CA")
    assert refused(impostor.issue(NOW), cards) == "untrusted_root"  # another key identifier
    forged = Certified(issuer.certificate, impostor.key)
    assert refused(forged.issue(NOW), cards) == "untrusted_root"
    same_identifier = _with_key_identifier_of(issuer, impostor)
    assert refused(same_identifier, cards) == "path_invalid"


def _with_key_identifier_of(issuer: Certified, impostor: Certified) -> Certified:
    key = declared_pki.key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cardholder")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(impostor.key, hashes.SHA256())
    )
    return Certified(certificate, key)


def test_a_card_cannot_act_as_an_authority(issuer: Certified, cards: TrustEntry) -> None:
    holder = issuer.issue(NOW)
    entry = replace(cards, intermediates=(*cards.intermediates, holder.certificate))
    assert refused(holder.issue(NOW, "Forged"), entry) == "path_invalid"


def test_a_path_longer_than_an_authority_allows_is_refused(issuer: Certified, cards: TrustEntry) -> None:
    below = issuer.issue(NOW, "Below", authority=True)
    entry = replace(cards, intermediates=(*cards.intermediates, below.certificate))
    assert refused(below.issue(NOW), entry) == "path_invalid"


def test_an_authority_that_has_expired_ends_its_path(root: Certified) -> None:
    issuer = root.issue(NOW, "Old CA", authority=True, ends=timedelta(days=2))
    leaf = issuer.issue(NOW)
    entry = declared_pki.entry(root, issuer)
    assert judged(leaf, entry).leaf == leaf.certificate
    assert refused(leaf, entry, at=NOW + timedelta(days=3)) == "expired"


def test_an_anchor_counts_only_while_it_is_valid(root: Certified) -> None:
    leaf = root.issue(NOW, ends=timedelta(days=9000))
    assert refused(leaf, declared_pki.entry(root), at=NOW + timedelta(days=4001)) == "expired"


def test_a_policy_must_hold_for_the_whole_path(root: Certified) -> None:
    issuer = root.issue(NOW, "CA", authority=True, policies=(OTHER_POLICY,))
    assert refused(issuer.issue(NOW), declared_pki.entry(root, issuer)) == "wrong_policy"


def test_any_policy_in_an_authority_does_not_stand_for_the_accepted_one(root: Certified) -> None:
    issuer = root.issue(NOW, "CA", authority=True, policies=("2.5.29.32.0",))
    assert refused(issuer.issue(NOW), declared_pki.entry(root, issuer)) == "wrong_policy"


def test_a_mapped_policy_is_accepted_in_the_anchors_domain(root: Certified) -> None:
    foreign = "2.999.8.1"
    pair = der.sequence(der.object_identifier(CARD_POLICY), der.object_identifier(foreign))
    mapping = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), der.sequence(pair))  # RFC 5280 §4.2.1.5
    bridge = root.issue(NOW, "Bridge", authority=True, extra=[(mapping, True)])
    leaf = bridge.issue(NOW, policies=(foreign,))
    assert judged(leaf, declared_pki.entry(root, bridge)).policies == {CARD_POLICY}


def test_name_constraints_are_kept(root: Certified) -> None:
    permitted = [x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE")]))]
    constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)
    issuer = root.issue(NOW, "CA", authority=True, extra=[(constraints, True)])
    assert refused(issuer.issue(NOW), declared_pki.entry(root, issuer)) == "path_invalid"


def test_a_certificate_of_another_kind_is_named_as_such(root: Certified, issuer: Certified, cards: TrustEntry) -> None:
    derived_root = declared_pki.root(NOW, "Derived Root")
    derived = declared_pki.entry(derived_root, kind=TrustKind.DERIVED, name="derived", policies=(OTHER_POLICY,))
    credential = derived_root.issue(NOW, policies=(OTHER_POLICY,))
    assert refused(credential, cards, derived) == "wrong_certificate_kind"
    assert refused(credential, cards) == "untrusted_root"
    assert refused(issuer.issue(NOW), derived, cards) == "wrong_certificate_kind"
    same_root = declared_pki.entry(root, kind=TrustKind.DERIVED, name="derived", policies=(OTHER_POLICY,))
    assert refused(root.issue(NOW, policies=(OTHER_POLICY,)), cards, same_root) == "wrong_certificate_kind"


def test_an_expired_certificate_of_another_kind_is_still_of_another_kind(cards: TrustEntry) -> None:
    derived_root = declared_pki.root(NOW, "Derived Root")
    derived = declared_pki.entry(derived_root, kind=TrustKind.DERIVED, name="derived")
    old = derived_root.issue(NOW, starts=timedelta(days=-9), ends=timedelta(days=-1))
    assert refused(old, cards, derived) == "wrong_certificate_kind"


def test_an_anchor_itself_is_no_credential(root: Certified, cards: TrustEntry) -> None:
    assert refused(root, cards) == "untrusted_root"


def test_an_authority_is_no_credential(issuer: Certified, cards: TrustEntry) -> None:
    assert refused(issuer, cards) == "wrong_certificate_kind"


def test_a_root_with_a_weak_key_signs_nothing() -> None:
    weak = declared_pki.root(NOW, own_key=WEAK_RSA_KEY)
    assert refused(weak.issue(NOW), declared_pki.entry(weak)) == "weak_key"


def test_devices_may_come_without_a_policy(root: Certified) -> None:
    entry = declared_pki.entry(root, kind=TrustKind.DEVICE, policies=(), identifier=IdentifierKind.THUMBPRINT)
    leaf = root.issue(NOW, policies=())
    path = judged(leaf, entry)
    assert path.identifier == leaf.certificate.fingerprint(hashes.SHA256()).hex()
    assert path.policies == frozenset()


@pytest.mark.parametrize(
    ("upn", "identifier"),
    [
        ("alice@agency.example", "alice@agency.example"),
        ("Alice@AGENCY.example", "alice@agency.example"),
        ("alice@other.example", None),
        ("alice@evil.agency.example", None),
        ("@agency.example", None),
        (None, None),
    ],
)
def test_a_user_principal_name_counts_under_an_allowed_suffix_only(
    upn: str | None, identifier: str | None, issuer: Certified, cards: TrustEntry
) -> None:
    entry = replace(cards, identifier=IdentifierKind.UPN, upn_suffixes=("agency.example",))
    leaf = issuer.issue(NOW, upn=upn)
    if identifier is None:
        assert refused(leaf, entry) == "identifier_missing"
    else:
        assert judged(leaf, entry).identifier == identifier


@pytest.mark.parametrize("kind", [IdentifierKind.FASCN, IdentifierKind.EDIPI])
def test_a_certificate_without_the_entrys_identifier_is_refused(
    kind: IdentifierKind, issuer: Certified, cards: TrustEntry
) -> None:
    assert refused(issuer.issue(NOW), replace(cards, identifier=kind)) == "identifier_missing"


def test_the_edipi_ends_the_common_name(issuer: Certified, cards: TrustEntry) -> None:
    leaf = issuer.issue(NOW, "DOE.JOHN.Q.JR.1234567890")
    assert judged(leaf, replace(cards, identifier=IdentifierKind.EDIPI)).identifier == "1234567890"


class Refusing:
    """A source that refuses one certificate of the path."""

    def __init__(self, certificate: x509.Certificate, code: str) -> None:
        self.certificate, self.code = certificate, code

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        if certificate == self.certificate:
            raise NotTrusted(self.code, "No.")
        return AllGood().status(certificate, issuer, at=at)


@pytest.mark.parametrize("code", ["revoked_by_crl", "revoked_by_ocsp", "status_unavailable"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_status_of_every_certificate_below_the_anchor_counts(
    code: str, place: int, intermediate: Certified, issuer: Certified, cards: TrustEntry
) -> None:
    leaf = issuer.issue(NOW)
    bad = (leaf, issuer, intermediate)[place].certificate
    with pytest.raises(NotTrusted) as caught:
        validate(leaf.certificate, cards, at=NOW, status=Refusing(bad, code))
    assert caught.value.code == code


def test_a_second_path_is_tried_when_the_first_fails(root: Certified) -> None:
    """Two certificates for one authority key: the one that expired comes first."""
    key = declared_pki.key()
    old = root.issue(NOW, "CA", authority=True, subject_key=key, starts=timedelta(days=-9), ends=timedelta(days=-1))
    new = root.issue(NOW, "CA", authority=True, subject_key=key)
    leaf = new.issue(NOW)
    for order in ((old, new), (new, old)):
        assert judged(leaf, declared_pki.entry(root, *order)).certificates[1] == new.certificate


def test_authorities_that_certify_each_other_end_the_search(root: Certified) -> None:
    one, two = declared_pki.key(), declared_pki.key()
    left = declared_pki.root(NOW, "Left", own_key=one)
    right = declared_pki.root(NOW, "Right", own_key=two)
    loop = (
        left.issue(NOW, "Right", authority=True, subject_key=two),
        right.issue(NOW, "Left", authority=True, subject_key=one),
    )
    assert refused(left.issue(NOW), declared_pki.entry(root, *loop)) == "untrusted_root"


def test_validation_asks_nobody_when_the_path_itself_is_bad(issuer: Certified, cards: TrustEntry) -> None:
    source = AllGood()
    with pytest.raises(NotTrusted):
        validate(issuer.issue(NOW, policies=()).certificate, cards, at=NOW, status=source)
    assert source.asked == []


_GOOD_LEAF = _GOOD_ROOT.issue(NOW, upn="alice@agency.example").certificate.public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Attribute's length")  # a name that became a country, two letters long
@pytest.mark.filterwarnings("ignore:The parsed certificate")  # a serial number that became zero or negative
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, len(_GOOD_LEAF) - 1), st.integers(1, 255))
def test_a_changed_certificate_is_refused_or_nothing_was_changed(position: int, change: int) -> None:
    data = bytearray(_GOOD_LEAF)
    data[position] ^= change
    with contextlib.suppress(Malformed, NotTrusted):
        path = validate(load(bytes(data)), declared_pki.entry(_GOOD_ROOT), at=NOW, status=AllGood())
        assert path.leaf.tbs_certificate_bytes in _GOOD_LEAF


def test_a_path_that_was_revoked_gives_way_to_another(root: Certified) -> None:
    """Two certificates for one authority key, of which one was revoked."""
    key = declared_pki.key()
    revoked = root.issue(NOW, "CA", authority=True, subject_key=key)
    other = root.issue(NOW, "CA", authority=True, subject_key=key)
    leaf = other.issue(NOW)
    source = Refusing(revoked.certificate, "revoked_by_crl")
    for order in ((revoked, other), (other, revoked)):
        path = validate(leaf.certificate, declared_pki.entry(root, *order), at=NOW, status=source)
        assert path.certificates[1] == other.certificate
    with pytest.raises(NotTrusted, match="revoked_by_crl"):
        validate(leaf.certificate, declared_pki.entry(root, revoked), at=NOW, status=source)


def test_a_dns_constraint_that_begins_with_a_dot_lets_no_dns_name_pass(root: Certified) -> None:
    """RFC 5280 §4.2.1.10 does not define it; the library finds no name in it, and so would exclude none."""
    excluded = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName(".evil.example")])
    upper = root.issue(NOW, "Upper", authority=True, extra=[(excluded, True)])
    assert judged(upper.issue(NOW), declared_pki.entry(root, upper)).identifier == str(CARD_UUID)
    names = x509.SubjectAlternativeName([x509.DNSName("host.evil.example")])
    lower = upper.issue(NOW, "Lower", authority=True, extra=[(names, False)])
    assert refused(lower.issue(NOW), declared_pki.entry(root, upper, lower)) == "path_invalid"


def test_an_extension_that_comes_twice_is_refused_in_an_authority(root: Certified) -> None:
    """The library takes the last one, so that a second basicConstraints would undo the first (RFC 5280 §4.2)."""
    plain = root.issue(NOW, "CA", authority=True)
    certificate = plain.certificate.public_bytes(Encoding.DER)
    constraints = der.sequence(
        der.object_identifier("2.5.29.19"),
        der.boolean(value=True),
        der.octet_string(der.sequence(der.boolean(value=True))),
    )
    tbs, algorithm, _ = der.elements(der.only(certificate, der.SEQUENCE).content)
    *fields, extensions = der.elements(tbs.content)
    (listed,) = der.elements(extensions.content)
    doubled = der.explicit(3, der.sequence(listed.content, constraints))
    odd_tbs = der.sequence(*(each.encoded for each in fields), doubled)
    assert isinstance(root.key, ec.EllipticCurvePrivateKey)
    signature = der.bit_string(root.key.sign(odd_tbs, ec.ECDSA(hashes.SHA256())))
    odd = Certified(load(der.sequence(odd_tbs, algorithm.encoded, signature)), plain.key)
    assert judged(plain.issue(NOW), declared_pki.entry(root, plain)).identifier == str(CARD_UUID)
    assert refused(plain.issue(NOW), declared_pki.entry(root, odd)) == "untrusted_root"


def test_two_signature_algorithms_in_one_certificate_are_refused(root: Certified) -> None:
    """RFC 5280 §4.1.1.2: the signed and the unsigned identifier are the same."""
    plain = root.issue(NOW)
    tbs, algorithm, _ = der.elements(der.only(plain.certificate.public_bytes(Encoding.DER), der.SEQUENCE).content)
    other = der.sequence(der.object_identifier("1.2.840.10045.4.3.3"))  # ecdsa-with-SHA384
    odd_tbs = der.sequence(tbs.content.replace(algorithm.encoded, other, 1))
    assert isinstance(root.key, ec.EllipticCurvePrivateKey)
    signature = der.bit_string(root.key.sign(odd_tbs, ec.ECDSA(hashes.SHA256())))
    odd = Certified(load(der.sequence(odd_tbs, algorithm.encoded, signature)), plain.key)
    assert refused(odd, declared_pki.entry(root)) == "path_invalid"


def test_a_constraint_on_addresses_is_not_judged_and_so_lets_no_address_pass(root: Certified) -> None:
    subtree = x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))
    for permitted, excluded in (([subtree], None), (None, [subtree])):
        constraints = x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded)
        upper = root.issue(NOW, "Upper", authority=True, extra=[(constraints, True)])
        assert judged(upper.issue(NOW), declared_pki.entry(root, upper)).identifier == str(CARD_UUID)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
        lower = upper.issue(NOW, "Lower", authority=True, extra=[(names, False)])
        with pytest.raises(NotTrusted, match=r"a form .* that is not judged here") as refusal:
            judged(lower.issue(NOW), declared_pki.entry(root, upper, lower))
        assert refusal.value.code == "path_invalid"
