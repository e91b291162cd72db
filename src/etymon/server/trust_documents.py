# SPDX-License-Identifier: Apache-2.0
"""Trust entries as an administrator writes them: YAML that names certificate files.

- name: agency-cards
  kind: card                      # card, derived or device
  anchors: [agency-root.pem]
  intermediates: [agency-issuing.pem]
  policies: ["2.16.840.1.101.3.2.1.3.13"]
  identifier: uuid                # fascn, uuid, edipi, upn or thumbprint
  statusHosts: [crl.agency.example, ocsp.agency.example]
  upnSuffixes: [agency.example]
  leniencies: []                  # ecdsa-null-parameters, for the anchors' files
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from cryptography import x509
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from etymon.kernel.errors import Malformed
from etymon.pki.certificate import load_anchors, load_many
from etymon.pki.leniency import Leniency
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind


class TrustDocument(BaseModel):
    """One trust entry of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str
    kind: TrustKind
    anchors: list[str]
    intermediates: list[str] = Field(default_factory=list)
    policies: list[str] = Field(default_factory=list)
    identifier: IdentifierKind
    status_hosts: list[str] = Field(default_factory=list, alias="statusHosts")
    upn_suffixes: list[str] = Field(default_factory=list, alias="upnSuffixes")
    leniencies: list[Leniency] = Field(default_factory=list)

    def to_entry(self, folder: Path) -> TrustEntry:
        """Read the certificates, relative to `folder`, and return the entry."""
        return TrustEntry(
            name=self.name,
            kind=self.kind,
            anchors=_certificates(folder, self.anchors, self._load_anchors),
            intermediates=_certificates(folder, self.intermediates),
            policies=frozenset(self.policies),
            identifier=self.identifier,
            status_hosts=frozenset(self.status_hosts),
            upn_suffixes=tuple(self.upn_suffixes),
        )

    def _load_anchors(self, data: bytes) -> tuple[x509.Certificate, ...]:
        """Read a file of anchors; of one with an unreadable anchor nothing counts, as without the leniency."""
        if Leniency.ECDSA_NULL_PARAMETERS not in self.leniencies:
            return load_many(data)
        anchors, unreadable = load_anchors(data)
        return anchors if not unreadable else load_many(data)


def read(file: Path) -> tuple[TrustEntry, ...]:
    """Read a file of trust entries; raise Malformed with what to change."""
    try:
        documents = TypeAdapter(list[TrustDocument]).validate_python(yaml.safe_load(file.read_text("utf-8")))
    except OSError as exc:
        raise Malformed("trust_file", f"{file} cannot be read.") from exc
    except yaml.YAMLError as exc:
        raise Malformed("trust_file", f"{file} is not YAML: {' '.join(str(exc).split())}") from exc
    except ValidationError as exc:
        raise Malformed("trust_file", f"{file}: {faults(exc.errors())}") from exc
    return tuple(document.to_entry(file.parent) for document in documents)


def faults(errors: Sequence[Mapping[str, object]]) -> str:
    """Return pydantic's findings as one line: where, and what is wrong."""
    return "; ".join(f"{'.'.join(map(str, _parts(error['loc']))) or 'the file'}: {error['msg']}" for error in errors)


def _parts(location: object) -> tuple[object, ...]:
    return location if isinstance(location, tuple) else (location,)


def _certificates(
    folder: Path, names: Sequence[str], load: Callable[[bytes], tuple[x509.Certificate, ...]] = load_many
) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    for name in names:
        try:
            found.extend(load((folder / name).read_bytes()))
        except OSError as exc:
            raise Malformed("trust_file", f"The certificate file {folder / name} cannot be read.") from exc
        except Malformed as exc:
            raise Malformed(exc.code, f"{folder / name}: {exc.detail}") from exc
    return tuple(found)
