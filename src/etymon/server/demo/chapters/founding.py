# SPDX-License-Identifier: Apache-2.0
"""An agency hands out cards; an organisation is made from nothing, described in one file, and brought about."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca.policies import EXAMPLE_POLICY_OIDS
from etymon.server.demo import cast, processes
from etymon.server.demo.cast import ADMINISTRATOR, ALICE, BOB, OFFICER, Person
from etymon.server.demo.peers import openssl_status
from etymon.server.demo.story import Step, Story
from etymon.server.demo.world import (
    HOST,
    ORGANIZATION,
    World,
    card_issuer_running,
    founders_codes,
    organization_running,
)

CARDS_ENTRY: Final = "agency-cards"
SLOTS: Final = ("9A", "9C", "9D", "9E")
GROUP: Final = "Field staff"
SSID: Final = "EXAMPLE-AGENCY"
RADIUS_NAME: Final = "radius.agency.example"


@contextlib.contextmanager
def told(story: Story, world: World) -> Iterator[int]:
    """Tell the chapter and keep what it started running; yields the process id of the organisation's services."""
    with contextlib.ExitStack() as running:
        with story.step("An agency makes smart cards and hands them out") as step:
            _found_card_issuer(world)
            running.enter_context(card_issuer_running(world))
            cast.make_cards(world)
            told = _card_info(world)
            step.show(
                "a card has its four certificates", all(f" {slot} " in told for slot in SLOTS), "etymon card info"
            )
            answers = processes.answers(world.ports["cards"])
            step.show("the card issuer's status service is a process of its own", answers, "its port")
        with story.step("OpenSSL judges a card's certificate: path, policy, revocation") as step:
            _judge_a_card(step, world)
        with story.step("An organisation is made from nothing: keys, authorities, its first two people") as step:
            codes = founders_codes(_found_organization(world))
            step.show("an Administrator and an Officer have one-time codes", len(codes) == 2, "etymon init")
            left = list((world.data / "keys" / "authorities").glob("*-root.pem"))
            step.show("the root keys have left the data directory", not left, "the file system")
        with story.step("Its services run") as step:
            pid = running.enter_context(organization_running(world))
            answer = world.web.get(f"{world.site}/healthz")
            step.show("/healthz answers ok over TLS", answer.json()["status"] == "ok", "httpx, pinned to its CA")
        with story.step("Administrator and Officer each bind a card with their code") as step:
            for person in (ADMINISTRATOR, OFFICER):
                with cast.pc(world, person) as browser:
                    page = browser.get(f"{world.site}/idp/binding")
                    page = browser.submit(page.form(action="/idp/binding/proof"))
                    page = browser.submit(
                        page.form(action="/idp/binding/code"), {"code": codes[person.address].reveal()}
                    )
                    bound = person.display_name in page.words and page.status == 200
                    step.show(f"the card of {person.display_name} is bound", bound, "identity provider")
        yield pid
    world.web.close()


def bring_about(story: Story, world: World) -> None:
    """Tell how the organisation's file is applied, by each role its part."""
    file = _organization_file(world)
    with story.step("`etymon apply` brings the organisation about, the Administrator's part") as step:
        told = _apply(world, file, ADMINISTRATOR)
        step.show("the difference was shown and applied", ALICE.address in told, "administration API")
    with story.step("`etymon apply`, the Officer's part: who may have credentials") as step:
        told = _apply(world, file, OFFICER)
        step.show("the issuance rule is the Officer's", "field-staff" in told, "administration API")
    with story.step("Applied again, nothing is left to do") as step:
        for person in (ADMINISTRATOR, OFFICER):
            _apply(world, file, person, "--check")
            step.show(f"no difference for {person.display_name}", True, "etymon apply --check")  # noqa: FBT003 - it ended with 0


def _found_card_issuer(world: World) -> None:
    processes.run(
        *("card-issuer", "init", world.card_issuer, "--organization", "Example Card Agency"),
        *("--status-url", world.cards_status, "--passphrase-file", world.secret_file("card-issuer")),
    )


def _card_info(world: World) -> str:
    passphrase = world.secret_file(f"{ALICE.key}-card")
    return processes.run("card", "info", cast.card_file(world, ALICE), "--passphrase-file", passphrase)


def _judge_a_card(step: Step, world: World) -> None:
    certificate = cast.certificate_file(world, ALICE)
    root, intermediates = (world.card_issuer / name for name in ("root.pem", "intermediates.pem"))
    judgement = openssl_status.verify(
        certificate,
        anchors=root.read_bytes(),
        intermediates=intermediates.read_bytes(),
        crls=world.crls("card", "card-intermediate", "card-root", status=world.cards_status),
        policies=(EXAMPLE_POLICY_OIDS["piv-authentication"],),
        directory=world.folder("judges"),
    )
    step.judged("the authentication certificate of a card holds with its policy", judgement, accepted=True)


def _found_organization(world: World) -> str:
    trust = world.folder("files") / "trust.yaml"
    trust.write_text(yaml.safe_dump([_cards_entry(world)]), "utf-8")
    port = world.mail.port
    wanted = {
        "loopback_demo": "true",
        "host": HOST,
        "site_port": str(world.ports["site"]),
        "certauth_port": str(world.ports["certauth"]),
        "device_port": str(world.ports["device"]),
        "status_port": str(world.ports["status"]),
        "smtp_host": world.mail.host,
        "smtp_port": str(port),
        "smtp_tls": "none",
        "mail_from": f"etymon@{ADMINISTRATOR.address.partition('@')[2]}",
    }
    return processes.run(
        *("init", "--data", world.data, "--organization", ORGANIZATION, "--status-url", world.status),
        *("--root-keys", world.directory / "root-keys", "--root-passphrase-file", world.secret_file("root-keys")),
        *("--trust", trust, "--passphrase-file", world.secret_file("organization")),
        *("--administrator", _founder(ADMINISTRATOR), "--officer", _founder(OFFICER)),
        *(part for name, value in wanted.items() for part in ("--set", f"{name}={value}")),
    )


def _founder(person: Person) -> str:
    return f"{person.address},{person.display_name},{person.address}"


def _cards_entry(world: World) -> dict[str, object]:
    return {
        "name": CARDS_ENTRY,
        "kind": "card",
        "anchors": [str(world.card_issuer / "root.pem")],
        "intermediates": [str(world.card_issuer / "intermediates.pem")],
        "policies": [EXAMPLE_POLICY_OIDS["piv-authentication"]],
        "identifier": "uuid",
        "statusHosts": [world.cards_status.removeprefix("http://")],
    }


def _organization_file(world: World) -> Path:
    root = world.folder("files") / "tls-root.pem"
    root.write_bytes(world.anchors[0].public_bytes(Encoding.PEM))
    phones = world.folder("files") / "simulated-phones.pem"
    phones.write_bytes(world.phone_maker.root.public_bytes(Encoding.PEM))
    assigned = {"assignedTo": [GROUP]}
    document = {
        "organization": ORGANIZATION,
        "trustEntries": [_cards_entry(world)],
        "attestationAuthorities": [{"name": "simulated-phones", "roots": [phones.name]}],
        "users": [
            {
                "userPrincipalName": person.address,
                "displayName": person.display_name,
                "mail": person.address,
                "cards": [{"trustEntry": CARDS_ENTRY, "certificate": str(cast.certificate_file(world, person))}],
            }
            for person in (ALICE, BOB)
        ],
        "groups": [{"name": GROUP, "members": [ALICE.address, BOB.address]}],
        "branding": {"displayName": ORGANIZATION, "color": "#1d5c3a", "support": "+1 555 0100 (service desk)"},
        "derivedCredential": {"displayName": "Example Agency credentials", "url": f"{world.site}/issuer"},
        "enrollmentProfiles": [{"name": "Phones", "tokenDays": 30}],
        "configurations": [
            {"type": "trustedRoot", "name": "Agency root", "certificate": root.name, **assigned},
            {"type": "derivedCredential", "name": "Apps", "apps": ["org.example.browser"], **assigned},
            {
                "type": "wifi",
                "name": "Office Wi-Fi",
                "ssid": SSID,
                "serverNames": [RADIUS_NAME],
                "trustedRoots": ["Agency root"],
                "outerIdentity": "",
                **assigned,
            },
            {
                "type": "email",
                "name": "Mail",
                "accountName": "Agency mail",
                "host": "mail.agency.example",
                "signing": "derived",
                "encryption": "derived",
                "signByDefault": True,
                **assigned,
            },
        ],
        "issuanceRules": [
            {
                "name": "field-staff",
                "groups": [GROUP],
                "purposes": ["authentication", "signature", "encryption"],
                "lifetimeDays": 1000,
                "deviceModels": ["Etymon/Simulated phone"],
                "attestation": "required",
            }
        ],
    }
    file = world.folder("files") / "organization.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return file


def _apply(world: World, file: Path, person: Person, *options: str) -> str:
    return processes.run(
        *("apply", str(file), "--data", str(world.data), "--yes", *options),
        *("--card", str(cast.card_file(world, person)), "--pin-file", str(world.secret_file(f"{person.key}-pin"))),
        *("--passphrase-file", str(world.secret_file(f"{person.key}-card"))),
    )
