# SPDX-License-Identifier: Apache-2.0
"""CRLs as files: which lists count, beyond what PKITS asks."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Malformed, TooLarge
from etymon.pki import path_verification, path_walk, revocation_lists
from etymon.pki.crl_validation import CRLJudge
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import LONGEST_SECONDS, Effort
from etymon.pki.path_material import Material, Node
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_lists import LARGEST_LIST_BYTES, RevocationLists
from support import declared_pki
from support.declared_pki import Certified

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = declared_pki.root(NOW)
ISSUER = ROOT.issue(NOW, "CA", authority=True)
LEAF = ISSUER.issue(NOW)
ROOT_LIST = ROOT.crl(NOW)


def code(*lists: bytes, leaf: Certified = LEAF, others: tuple[Certified, ...] = (), at: datetime = NOW) -> str:
    material = Material.of([ROOT.certificate], [found.certificate for found in (ISSUER, *others)])
    read = RevocationLists.of(found for data in lists for found in revocation_lists.load_many(data))
    verdict = path_verification.verify(leaf.certificate, material, PathParameters(), at=at, revocation=read)
    return verdict.refusal.code if verdict.refusal else ""


def test_time_that_a_list_takes_counts() -> None:
    """The clock stands still until the last list was looked through, which nothing interrupts."""
    (at_root,), (slow,) = (tuple(revocation_lists.load_many(data)) for data in (ROOT_LIST, ISSUER.crl(NOW)))
    material = Material.of([ROOT.certificate], [ISSUER.certificate])
    effort = Effort(monotonic=lambda: LONGEST_SECONDS + 0.1 if "is_usable" in vars(slow) else 0.0)
    lists = RevocationLists.of([at_root, slow])
    judge = CRLJudge(lists, material, at=NOW, effort=effort).require_not_revoked
    with pytest.raises(NotTrusted, match="took_too_long"):
        path_walk.find(Node(LEAF.certificate), material, PathParameters(), judge, at=NOW, effort=effort)


def test_every_certificate_below_the_anchor_needs_a_list() -> None:
    good = ISSUER.crl(NOW)
    assert code(ROOT_LIST, good) == ""
    assert code(ROOT_LIST) == code(good) == code() == "status_unavailable"


def test_a_listed_certificate_is_revoked_wherever_it_stands() -> None:
    assert code(ROOT_LIST, ISSUER.crl(NOW, LEAF.certificate)) == "revoked_by_crl"
    assert code(ROOT.crl(NOW, ISSUER.certificate), ISSUER.crl(NOW)) == "revoked_by_crl"


@pytest.mark.parametrize(("seconds", "expected"), [(-301, "status_unavailable"), (-300, ""), (86399, "")])
def test_a_list_counts_from_its_beginning_to_its_end(seconds: int, expected: str) -> None:
    lists = (ROOT.crl(NOW - timedelta(days=3), lasts=timedelta(days=9)), ISSUER.crl(NOW))
    assert code(*lists, at=NOW + timedelta(seconds=seconds)) == expected


def test_an_outdated_list_is_none() -> None:
    assert code(ROOT_LIST, ISSUER.crl(NOW - timedelta(days=2))) == "status_unavailable"


def test_a_newer_list_of_the_same_scope_takes_the_place_of_the_older() -> None:
    older = ISSUER.crl(NOW - timedelta(hours=1), LEAF.certificate)
    assert code(ROOT_LIST, older, ISSUER.crl(NOW)) == ""
    forged = ISSUER.crl(NOW, signer=declared_pki.key())
    assert code(ROOT_LIST, older, forged) == "revoked_by_crl"


def signing_certificate(issuer: Certified = ROOT, name: str = "CA") -> Certified:
    """Return a certificate for signing the CRLs of a CA with a key of its own."""
    return issuer.issue(NOW, name, authority=True)


def test_another_key_of_the_issuers_name_may_sign_its_list() -> None:
    signer = signing_certificate()
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=signer.key), others=(signer,)) == ""
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=signer.key)) == "status_unavailable"


def test_a_signer_that_was_revoked_or_comes_from_another_root_signs_nothing() -> None:
    signer = signing_certificate()
    by_signer = ISSUER.crl(NOW, signer=signer.key)
    assert code(ROOT.crl(NOW, signer.certificate), by_signer, others=(signer,)) == "status_unavailable"
    stranger = signing_certificate(declared_pki.root(NOW, "Another Root"))
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=stranger.key), others=(stranger,)) == "status_unavailable"


def test_a_signer_under_another_anchor_signs_nothing() -> None:
    """The path of a list's signer ends at the anchor of the certificate's (RFC 5280 §6.3.3 (f))."""
    second = declared_pki.root(NOW, "Second Root")
    signer = signing_certificate(second)
    material = Material.of([ROOT.certificate, second.certificate], [ISSUER.certificate, signer.certificate])
    lists = [ROOT_LIST, second.crl(NOW), ISSUER.crl(NOW, signer=signer.key)]
    read = RevocationLists.of(found for data in lists for found in revocation_lists.load_many(data))
    verdict = path_verification.verify(LEAF.certificate, material, PathParameters(), at=NOW, revocation=read)
    assert verdict.refusal is not None
    assert verdict.refusal.code == "status_unavailable"


def test_lists_that_nobody_signed_are_none_while_their_signers_own_status_is_asked() -> None:
    """The validation library takes the second of two forged lists for genuine here; it is not asked."""
    signer = ISSUER.issue(NOW, "CA", authority=True)  # its own status stands in the lists of its own name
    forged = [ISSUER.crl(NOW + timedelta(seconds=number), signer=declared_pki.key()) for number in range(3)]
    assert code(ROOT_LIST, *forged, others=(signer,)) == "status_unavailable"
    assert code(ROOT_LIST, *forged, leaf=signer, others=(signer,)) == "status_unavailable"
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=signer.key), leaf=signer, others=(signer,)) == ""


def test_an_authority_that_may_not_sign_lists_signs_none() -> None:
    holder = ISSUER.issue(NOW, "CA")
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=holder.key), others=(holder,)) == "status_unavailable"


def test_a_weak_key_signs_no_list() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    signer = ROOT.issue(NOW, "CA", authority=True, subject_key=weak)
    assert code(ROOT_LIST, ISSUER.crl(NOW, signer=weak), others=(signer,)) == "status_unavailable"


UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), b"\x05\x00"), True)


def test_what_is_critical_and_unknown_makes_a_list_unusable_even_in_anothers_entry() -> None:
    assert code(ROOT_LIST, ISSUER.crl(NOW, extra=[UNKNOWN])) == "status_unavailable"
    somebody = ISSUER.issue(NOW).certificate
    assert code(ROOT_LIST, ISSUER.crl(NOW, somebody, entry_extra=[UNKNOWN])) == "status_unavailable"
    assert code(ROOT_LIST, ISSUER.crl(NOW, somebody)) == ""


def delta(
    base: int,
    number: int,
    *listed: tuple[x509.Certificate, x509.ReasonFlags],
    signer: declared_pki.Key | None = None,
    begins: timedelta = timedelta(0),
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ISSUER.name)
        .last_update(NOW + begins)
        .next_update(NOW + begins + timedelta(days=1))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.DeltaCRLIndicator(base), critical=True)
    )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    for certificate, reason in listed:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(NOW)
        builder = builder.add_revoked_certificate(entry.add_extension(x509.CRLReason(reason), critical=False).build())
    return builder.sign(signer or ISSUER.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_delta_adds_to_the_list_it_fits_and_to_no_other() -> None:
    """The complete list has number 1; a delta begins there or before, and ends after it (RFC 5280 §5.2.4)."""
    compromised = (LEAF.certificate, x509.ReasonFlags.key_compromise)
    removed = (LEAF.certificate, x509.ReasonFlags.remove_from_crl)
    complete, listing = ISSUER.crl(NOW), ISSUER.crl(NOW, LEAF.certificate)
    assert code(ROOT_LIST, complete, delta(1, 2, compromised)) == "revoked_by_crl"
    assert code(ROOT_LIST, complete, delta(1, 1, compromised)) == ""
    assert code(ROOT_LIST, complete, delta(2, 3, compromised)) == ""
    assert code(ROOT_LIST, listing, delta(1, 2, removed)) == ""
    assert code(ROOT_LIST, delta(1, 2)) == "status_unavailable"


def test_a_delta_that_is_forged_outdated_unusable_or_of_another_scope_removes_nobody() -> None:
    listing = ISSUER.crl(NOW, LEAF.certificate)
    removed = (LEAF.certificate, x509.ReasonFlags.remove_from_crl)
    users = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    for unfit in (
        delta(1, 2, removed, signer=declared_pki.key()),
        delta(1, 2, removed, begins=timedelta(days=-2)),
        delta(1, 2, removed, begins=timedelta(minutes=6)),
        delta(1, 2, removed, extra=(UNKNOWN,)),
        delta(1, 2, removed, extra=((users, True),)),
    ):
        assert code(ROOT_LIST, listing, unfit) == "revoked_by_crl"


def test_a_negative_serial_number_is_found() -> None:
    """PKITS has one; what searches a list for the online check shares this."""
    number = LEAF.certificate.serial_number
    (found,) = revocation_lists.load_many(ISSUER.crl(NOW, LEAF.certificate))
    assert found.reason(number, found.issuer) is x509.ReasonFlags.unspecified
    assert found.reason(-number, found.issuer) is None
    assert found.reason(number, "another issuer") is None


def test_a_file_of_lists_is_pem_or_der_and_bounded() -> None:
    lists = (ROOT_LIST, ISSUER.crl(NOW))
    pem = b"".join(x509.load_der_x509_crl(found).public_bytes(Encoding.PEM) for found in lists)
    for data in (pem, b"".join(lists)):
        assert tuple(found.der for found in revocation_lists.load_many(data)) == lists
    for data in (b"", b"no list", b"\x30\x00", pem[:-40], b"-----BEGIN X509 CRL-----\nAAA\n-----END X509 CRL-----\n"):
        with pytest.raises(Malformed, match="crl_malformed"):
            revocation_lists.load_many(data)
    with pytest.raises(Malformed, match="crl_malformed"):  # in time that grows with its length alone
        revocation_lists.load_many(b"-----BEGIN X509 CRL-----".ljust(2**20, b"\n"))
    with pytest.raises(TooLarge, match="crl_too_large"):
        revocation_lists.load_many(bytes(LARGEST_LIST_BYTES + 1))


_LIST = ISSUER.crl(NOW, LEAF.certificate)


def test_a_signature_that_is_not_made_of_whole_octets_is_none() -> None:
    even = next(made for made in iter(lambda: ISSUER.crl(NOW), None) if not made[-1] & 1)  # so that a bit may be unused
    changed = bytearray(even)
    changed[-len(x509.load_der_x509_crl(even).signature) - 1] = 1
    assert code(ROOT_LIST, bytes(changed)) == "status_unavailable"


@pytest.mark.filterwarnings("ignore:Attribute's length")  # a name that became a country, two letters long
@given(st.integers(0, len(_LIST) - 1), st.integers(1, 255))
def test_a_changed_list_is_none(position: int, change: int) -> None:
    changed = bytearray(_LIST)
    changed[position] ^= change
    with contextlib.suppress(Malformed):
        assert code(ROOT_LIST, bytes(changed)) == "status_unavailable"
