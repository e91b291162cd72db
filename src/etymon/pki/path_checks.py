# SPDX-License-Identifier: Apache-2.0
"""What is asked of a path before the library walks it: form that RFC 5280 demands, and sizes that bound the walk."""

from collections.abc import Sequence
from typing import Final

from asn1crypto import x509 as asn1_x509
from cryptography import x509

from etymon.pki.errors import NotTrusted
from etymon.pki.path_material import Node

MOST_NAME_COMPARISONS: Final = 20_000
"""Names under an authority times the subtrees it names, summed over a path."""


_NOT_JUDGED: Final = {
    x509.IPAddress: "ip_address",
    x509.OtherName: "other_name",
    x509.RegisteredID: "registered_id",
}
"""Forms of names whose constraints are refused where they matter, and what the library calls them."""


def check(path: Sequence[Node]) -> None:
    """Check a path from leaf to anchor; the anchor counts as name and key only. Raises `NotTrusted`."""
    for node in path[:-1]:
        _check_algorithm(node)
    _check_names(path[:-1])


def _check_algorithm(node: Node) -> None:
    """Both algorithm identifiers are the same (RFC 5280 §4.1.1.2), which the library does not compare."""
    if node.parsed["tbs_certificate"]["signature"].dump() != node.parsed["signature_algorithm"].dump():
        raise NotTrusted("path_invalid", "A certificate names two signature algorithms. Ask for a new one.")


def _check_names(below_anchor: Sequence[Node]) -> None:
    """Bound the comparisons of names, and refuse those that are not made.

    RFC 5280 §4.2.1.10 has no DNS subtree that begins with a dot; the library finds no name in one, so that excluding it
    excludes none. It judges no subtrees of the forms in `_NOT_JUDGED`.
    """
    subtrees = comparisons = 0
    is_undefined = False
    not_judged = set[str]()
    for node in reversed(below_anchor):
        names: asn1_x509.GeneralNames = node.parsed.subject_alt_name_value or ()
        comparisons += subtrees * (1 + len(node.parsed.subject.chosen) + len(names))
        if is_undefined and any(name.name == "dns_name" for name in names):
            raise NotTrusted(
                "path_invalid",
                "An authority constrains DNS names by one that begins with a dot. Ask it for a certificate without.",
            )
        if not not_judged.isdisjoint(name.name for name in names):
            raise NotTrusted(
                "path_invalid",
                "An authority constrains names of a form (an IP address, a name of another kind) that is not judged "
                "here, and a certificate below it has such a name. Choose another one.",
            )
        found = _subtrees(node)
        subtrees += len(found)
        is_undefined |= any(isinstance(tree, x509.DNSName) and tree.value.startswith(".") for tree in found)
        not_judged |= {form for kind, form in _NOT_JUDGED.items() if any(isinstance(tree, kind) for tree in found)}
    if comparisons > MOST_NAME_COMPARISONS:
        raise NotTrusted(
            "names_too_complex",
            f"Judging the path's names takes more than {MOST_NAME_COMPARISONS} comparisons. Use a simpler path.",
        )


def _subtrees(node: Node) -> Sequence[x509.GeneralName]:
    try:
        constraints = node.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    return (*(constraints.permitted_subtrees or ()), *(constraints.excluded_subtrees or ()))
