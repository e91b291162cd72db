# SPDX-License-Identifier: Apache-2.0
"""`/etymon/managedCertificates`: what SCEP connectors gave out, listed for readers, ended by officers."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.ca import certificates
from etymon.directory.model import Person
from etymon.graph.http import answers
from etymon.graph.http.answers import ItemOptions, ListOptions, Options
from etymon.graph.http.gate import Officer, Reader, Services, Source
from etymon.graph.http.users import anybody, people_by_id
from etymon.graph.representations import managed_certificates as shown
from etymon.graph.representations.body import place
from etymon.graph.representations.derivations import EndBody
from etymon.graph.representations.managed_certificates import EndEnrolledBody
from etymon.issuer import revoked_authorities
from etymon.issuer.scep import managed_certificates
from etymon.issuer.scep.model import Enrollment
from etymon.storage.database import Transaction
from etymon.wire import odata

router = APIRouter(tags=["etymon"])

PATH: Final = "/etymon/managedCertificates"


@router.get(PATH)
def list_managed_certificates(request: Request, deps: Services, _: Reader, options: ListOptions) -> Response:
    """List what connectors gave out, ended or not."""
    with deps.database.snapshot() as tx:
        return _page(request, deps, tx, options, options.condition)


@router.get("/users/{user}/managedCertificates")
def list_managed_certificates_of(
    request: Request, deps: Services, _: Reader, user: str, options: ListOptions
) -> Response:
    """List what connectors gave a person, also one whose account has ended (then by id)."""
    with deps.database.snapshot() as tx:
        theirs = odata.Comparison("userId", "eq", str(anybody(tx, user).id))
        return _page(request, deps, tx, options, odata.And(theirs, options.condition) if options.condition else theirs)


@router.get(PATH + "/{certificate:uuid}")  # `endEnrolled` is an action beside them
def get_managed_certificate(
    request: Request, deps: Services, _: Reader, certificate: UUID, options: ItemOptions
) -> Response:
    """Get what a connector gave out, with the certificate and its names."""
    with deps.database.snapshot() as tx:
        found = managed_certificates.load(tx, certificate)
        item = _shown(tx, [found])[0] | shown.details(certificates.find(tx, found.certificate))
    return answers.entity(request, deps, PATH[1:], item, options=options)


@router.post(PATH + "/{certificate}/end")
def end_managed_certificate(
    deps: Services, caller: Officer, source: Source, certificate: UUID, body: EndBody
) -> Response:
    """End what a connector gave out."""
    order = body.order(caller.person, source)
    return answers.answer({"certificates": managed_certificates.end_one(deps.issuer, certificate, order)})


@router.post(PATH + "/endEnrolled")
def end_enrolled(deps: Services, caller: Officer, source: Source, body: EndEnrolledBody) -> Response:
    """End the next batch of what a connector has enrolled since a time."""
    order = body.order(caller.person, source)
    after = place(body.cursor)
    done = managed_certificates.end_enrolled(deps.issuer, body.connector, body.beginning(), order, after=after)
    return answers.answer(shown.progress(done))


def _page(
    request: Request, deps: Services, tx: Transaction, options: Options, narrowed: odata.Expression | None
) -> Response:
    return answers.page(
        request,
        deps,
        PATH[1:],
        options,
        fetch=lambda limit: managed_certificates.page(tx, narrowed=narrowed, after=options.after_id(), limit=limit),
        key=lambda enrollment: enrollment.id,
        show=lambda found: _shown(tx, found),
    )


def _shown(tx: Transaction, found: Sequence[Enrollment]) -> list[dict[str, Any]]:
    people = people_by_id(tx, {each.holder.person for each in found if each.holder and each.holder.person})
    revoked = revoked_authorities.of_enrollments(tx, found)

    def holder(each: Enrollment) -> Person | None:
        return people.get(each.holder.person) if each.holder and each.holder.person else None

    return [shown.managed_certificate(each, holder(each), revoked.get(each.id)) for each in found]
