# SPDX-License-Identifier: Apache-2.0
"""The card is proved once more, now to the issuer; a QR code links the phone; certificates are issued to it."""

from etymon.phone.screen import Comparison
from etymon.phone.state import Purpose
from etymon.server.demo import camera, cast
from etymon.server.demo.chapters.enrollment import Acting, Held
from etymon.server.demo.story import Story
from etymon.server.demo.world import World


def told(story: Story, world: World, held: Held) -> None:
    """Tell how a phone gets its derived credential."""
    person, phone, hand = held.person, held.phone, held.hand
    with story.step(f"{person.display_name} proves the card to the issuer, links the phone and confirms") as step:
        phone.guide(hand)
        with cast.pc(world, person) as browser:
            page = browser.get(f"{world.site}/issuer/")
            page = browser.submit(page.form(action="/issuer/card"))
            step.show("the issuer knows who holds the card", person.display_name in page.words, "self-service page")
            page = browser.get(f"{world.site}/issuer/derivations/new")
            page = browser.submit(page.form(action="/issuer/derivations"), {"accepted": "yes"})
            qr = camera.photograph(page.text)
            link = next(url for url, _ in page.links if "/issuer/derivations/" in url)
            setting_up = Acting(lambda: phone.set_up_derived_credential(qr, hand))
            shown = hand.wait_for(Comparison, setting_up)
            digits = shown.digits if isinstance(shown, Comparison) else ""
            page = browser.get(link)
            step.show(
                "both screens show the same six digits",
                len(digits) == 6 and f"{digits[:3]} {digits[3:]}" in page.words,
                "phone and PC, each computed its own",
            )
            proved = "trusted environment, Etymon Simulated phone" in page.words
            step.show(
                "the PC shows where the phone's key is proved to be (a simulated phone: no hardware)", proved, "issuer"
            )
            step.show("the phone shows whose credential it is", person.display_name in str(shown), "the phone")
            browser.submit(page.form(action="/confirm"))
            setting_up.finish()
            page = browser.get(link)
            step.show("the PC says that the phone is set up", page.code == "completed", "self-service page")
        purposes = {certificate.purpose for certificate in phone.status().certificates}
        step.show("authentication, signature and encryption are on the phone", purposes == set(Purpose), "the phone")
        mail = world.mail.wait_for(person.address, lambda content: b"/issuer/undo/" in content)
        step.show("an e-mail tells, with a link that undoes it", mail is not None, "SMTP server")
    with story.step("The phone applies what waited for the credential and reports it") as step:
        phone.check_in(hand.show)
        phone.check_in(hand.show)
        results = {policy.type: result.state.value if result else "?" for policy, result in phone.status().policies}
        done = {kind for kind, state in results.items() if state in {"succeeded", "notApplicable"}}
        told = ", ".join(f"{kind} {state}" for kind, state in sorted(results.items()))
        step.show(told, done == set(results), "the phone")
