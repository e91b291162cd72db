# SPDX-License-Identifier: Apache-2.0
"""Certificates that were made to keep a validator busy: each ends in a code of its own, after bounded work."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from etymon.kernel.errors import DecodeError
from etymon.pki import path_building, path_verification
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import LONGEST_PATH, LONGEST_SECONDS, MOST_CANDIDATES, Effort
from etymon.pki.path_material import DEEPEST_NESTING, Material
from etymon.pki.path_validation import validate
from etymon.pki.path_walk import PathParameters
from etymon.wire import der
from support import declared_pki
from support.declared_pki import CARD_POLICY, AllGood, Certified

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = declared_pki.root(NOW)


def judged(
    leaf: x509.Certificate,
    intermediates: Sequence[Certified],
    *,
    effort: Callable[[], Effort] = Effort,
) -> str:
    """Return the code both ways to validate end in, empty where both accept."""
    material = Material.of([ROOT.certificate], [found.certificate for found in intermediates])
    verdict = path_verification.verify(leaf, material, PathParameters(), at=NOW, revocation=None, effort=effort)
    code = verdict.refusal.code if verdict.refusal else ""
    try:
        validate(leaf, declared_pki.entry(ROOT, *intermediates), at=NOW, status=AllGood())
        online = ""
    except NotTrusted as refused:
        online = refused.code
    assert effort is not Effort or online == code
    return code


def chain(length: int, **more: object) -> list[Certified]:
    """Return authorities, one below the other, the topmost first."""
    found = [ROOT]
    for number in range(length):
        found.append(found[-1].issue(NOW, f"CA {number}", authority=True, **more))  # type: ignore[arg-type]  # as named there
    return found[1:]


def unrecognized(content: bytes) -> list[tuple[x509.ExtensionType, bool]]:
    return [(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), content), False)]


@pytest.mark.parametrize(("authorities", "code"), [(LONGEST_PATH - 2, ""), (LONGEST_PATH - 1, "path_too_long")])
def test_a_path_has_a_greatest_length(authorities: int, code: str) -> None:
    found = chain(authorities)
    assert judged(found[-1].issue(NOW).certificate, found) == code


def anonymous_leaf(issuer: Certified) -> x509.Certificate:
    """Return a certificate that does not say which of its issuer's keys signed it."""
    plain = issuer.issue(NOW).certificate
    builder = x509.CertificateBuilder(
        plain.issuer, plain.subject, plain.public_key(), 7, plain.not_valid_before_utc, plain.not_valid_after_utc
    )
    for extension in plain.extensions:
        if extension.oid != ExtensionOID.AUTHORITY_KEY_IDENTIFIER:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(issuer.key, hashes.SHA256())


def test_many_intermediates_of_one_name_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = declared_pki.key(), declared_pki.key()
    real = ROOT.issue(NOW, "CA", authority=True, subject_key=one)
    others = [ROOT.issue(NOW, "CA", authority=True, subject_key=other) for _ in range(40)]
    leaf = anonymous_leaf(real)
    assert judged(leaf, [*others, real]) == ""
    monkeypatch.setattr(path_building, "MOST_CANDIDATES", 40)
    assert judged(leaf, [*others, real]) == "path_too_complex"


def test_authorities_that_all_certify_each_other_end_the_search() -> None:
    """Eight keys, each with a certificate from each other: thousands of paths, none to the anchor."""
    keys = [declared_pki.key() for _ in range(8)]
    roots = [declared_pki.root(NOW, f"Mesh {number}", own_key=key) for number, key in enumerate(keys)]
    mesh = [
        issuer.issue(NOW, f"Mesh {number}", authority=True, subject_key=keys[number])
        for issuer in roots
        for number in range(8)
        if roots[number] is not issuer
    ]
    assert judged(roots[0].issue(NOW).certificate, mesh) == "path_too_complex"
    assert MOST_CANDIDATES <= 1000


def test_a_mesh_does_not_hide_the_way_to_the_anchor() -> None:
    keys = [declared_pki.key() for _ in range(6)]
    roots = [declared_pki.root(NOW, f"Mesh {number}", own_key=key) for number, key in enumerate(keys)]
    mesh = [
        issuer.issue(NOW, f"Mesh {number}", authority=True, subject_key=keys[number])
        for issuer in roots
        for number in range(6)
        if roots[number] is not issuer
    ]
    bridge = ROOT.issue(NOW, "Mesh 0", authority=True, subject_key=keys[0])
    assert judged(roots[0].issue(NOW).certificate, [bridge, *mesh]) == ""


def test_only_so_many_paths_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    key = declared_pki.key()
    expired = [
        ROOT.issue(
            NOW, "CA", authority=True, subject_key=key, starts=timedelta(days=-9), ends=timedelta(days=-number - 1)
        )
        for number in range(3)
    ]
    leaf = Certified(expired[0].certificate, key).issue(NOW).certificate
    assert judged(leaf, expired) == "expired"
    monkeypatch.setattr(path_building, "MOST_PATHS", 2)
    assert judged(leaf, expired) == "path_too_complex"


def test_a_large_certificate_is_not_looked_at() -> None:
    (issuer,) = chain(1)
    assert judged(issuer.issue(NOW, extra=unrecognized(bytes(60_000))).certificate, [issuer]) == ""
    assert judged(issuer.issue(NOW, extra=unrecognized(bytes(66_000))).certificate, [issuer]) == "certificate_too_large"
    large = ROOT.issue(NOW, "Large CA", authority=True, extra=unrecognized(bytes(66_000)))
    assert judged(large.issue(NOW).certificate, [large]) == "untrusted_root"


def nested(levels: int) -> bytes:
    found = b""
    for _ in range(levels):
        found = der.sequence(found)
    return found


def test_deep_nesting_is_not_looked_at() -> None:
    (issuer,) = chain(1)
    around = 6  # certificate, tbs, [3], extensions, extension, octet string
    fitting = issuer.issue(NOW, extra=unrecognized(nested(DEEPEST_NESTING - around)))
    assert judged(fitting.certificate, [issuer]) == ""
    for levels in (DEEPEST_NESTING - around + 1, 15_000):
        deep = issuer.issue(NOW, extra=unrecognized(nested(levels)))
        assert judged(deep.certificate, [issuer]) == "der_too_deep"


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x80\x00\x00", b"\x1f\x81\x01\x00", b"\x30\x84\xff\xff\xff\xff"])
def test_what_is_no_der_is_left_to_the_reader_after_the_depth(data: bytes) -> None:
    der.require_depth(data, 1)


def test_depth_is_counted_between_siblings_too() -> None:
    data = der.sequence(der.sequence(), der.sequence(der.sequence()))
    der.require_depth(data, 3)
    with pytest.raises(DecodeError, match="der_too_deep"):
        der.require_depth(data, 2)


def mapping(*pairs: tuple[str, str]) -> list[tuple[x509.ExtensionType, bool]]:
    """Return policy mappings (RFC 5280 §4.2.1.5)."""
    encoded = [der.sequence(der.object_identifier(one), der.object_identifier(other)) for one, other in pairs]
    return [(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), der.sequence(*encoded)), True)]


def test_mappings_that_double_at_every_level_cost_no_more_than_their_number() -> None:
    """A tree of policies (RFC 5280) would have 2**8 times 4 leaves under every policy; the graph does not grow."""
    both = (CARD_POLICY, "2.999.7.14", "2.999.7.15", "2.999.7.16")
    everything = mapping(*((one, other) for one in both for other in both))
    found = chain(LONGEST_PATH - 2, policies=both, extra=everything)
    assert judged(found[-1].issue(NOW, policies=both).certificate, found) == ""


def test_a_crowd_of_policies_ends_the_walk() -> None:
    crowd = tuple(f"2.999.8.{number}" for number in range(600))
    found = chain(2, policies=(CARD_POLICY, *crowd))
    leaf = found[-1].issue(NOW, policies=(CARD_POLICY, *crowd))
    assert judged(leaf.certificate, found) == "policies_too_complex"


def test_a_crowd_of_names_under_a_crowd_of_constraints_ends_the_walk() -> None:
    def issued(count: int) -> str:
        trees: list[x509.GeneralName] = [x509.DNSName(f"{number}.example") for number in range(count)]
        constraints = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=trees)
        upper = ROOT.issue(NOW, "Upper", authority=True, extra=[(constraints, True)])
        names = x509.SubjectAlternativeName([x509.DNSName(f"{number}.other") for number in range(count)])
        lower = upper.issue(NOW, "Lower", authority=True, extra=[(names, False)])
        return judged(lower.issue(NOW).certificate, [upper, lower])

    assert issued(100) == ""
    assert issued(200) == "names_too_complex"


def _ending_after(looks: int) -> Effort:
    """Return what a validation may spend, whose time is up after so many looks at the clock."""
    ticks = iter([0.0, *[LONGEST_SECONDS] * looks, LONGEST_SECONDS + 0.1])
    return Effort(monotonic=lambda: next(ticks))


def test_time_is_bounded() -> None:
    (issuer,) = chain(1)
    leaf = issuer.issue(NOW).certificate
    for before in (2, 3):  # the second time it is up when the path was walked and judged
        assert judged(leaf, [issuer], effort=partial(_ending_after, before)) == "took_too_long"
    assert judged(leaf, [issuer], effort=lambda: Effort(monotonic=lambda: 0.0)) == ""


def test_octets_that_begin_like_an_element_are_no_depth() -> None:
    digest = bytes([0x30, 18]) + bytes([0x30, 100]) * 9  # a key's digest, as one in some thousands is
    data = der.encode(der.SEQUENCE, der.encode(der.OCTET_STRING, digest))
    signature = der.encode(0x03, b"\x00" + b"\x30\x40\x30\x3e" * 20)
    der.require_depth(der.encode(der.SEQUENCE, data + signature), 4)
    deep = b""
    for _ in range(40):
        deep = der.encode(der.SEQUENCE, deep)
    with pytest.raises(DecodeError, match="der_too_deep"):
        der.require_depth(der.encode(der.SEQUENCE, data + deep), 32)
