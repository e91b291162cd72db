# SPDX-License-Identifier: Apache-2.0
"""A mail address names one mailbox to whoever reads it: here, in a header, on an SMTP command line."""

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.directory import mailbox
from etymon.kernel.errors import Malformed

LABEL = "b" * 63
LONGEST = f"a@{'.'.join([LABEL] * 3)}.{'c' * 60}"
assert len(LONGEST) == mailbox.LIMIT


@pytest.mark.parametrize(
    "address",
    [
        "alice@agency.example",
        "a@b",
        "first.last+tag@mail.agency.example",
        "o'hara@agency.example",
        "!#$%&'*+-/=?^_`{|}~@agency.example",
        "a" * 64 + "@agency.example",
        f"a@{LABEL}.example",
        "alice@xn--bcher-kva.example",
        "1@1.example",
        LONGEST,
    ],
)
def test_one_mailbox_is_taken(address: str) -> None:
    mailbox.check(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "@agency.example",
        "alice@",
        "alice@@agency.example",
        "alice@agency@eve.example",
        # lists, groups, names, comments, routes
        "alice@agency.example,eve@eve.example",
        "alice@agency.example, eve@eve.example",
        "alice@agency.example; eve@eve.example",
        "friends:alice@agency.example,eve@eve.example;",
        "friends:;",
        "Alice <alice@agency.example>",
        "<alice@agency.example>",
        "alice@agency.example>",
        "alice(eve@eve.example)@agency.example",
        "alice@agency.example (Alice)",
        "@eve.example:alice@agency.example",
        # lines and commands
        "alice@agency.example\nBcc: eve@eve.example",
        "alice@agency.example\r\nRCPT TO:<eve@eve.example>",
        "alice@agency.example\n",
        "\nalice@agency.example",
        "alice@agency.example SIZE=1",
        "alice\t@agency.example",
        "alice\x00@agency.example",
        # quoted strings, address literals
        '"alice"@agency.example',
        '"a@b,eve"@agency.example',
        "al\\ice@agency.example",
        "alice@[127.0.0.1]",
        # no Dot-string, no Domain
        ".alice@agency.example",
        "alice.@agency.example",
        "al..ice@agency.example",
        "alice@.agency.example",
        "alice@agency.example.",
        "alice@agency..example",
        "alice@-agency.example",
        "alice@agency-.example",
        "alice@agen_cy.example",
        # too long
        "a" * 65 + "@agency.example",
        f"a@b{LABEL}.example",
        f"a{LONGEST}",
        # letters beyond ASCII (RFC 6531), some of which fold to it
        "zoë@agency.example",
        "alice@bücher.example",
        "alice@agency\u3002example",
        "alice@agency.example\u200b",
        "\u017fam@agency.example",
        "alice\uff20agency.example",
    ],
)
def test_what_is_more_or_less_than_one_mailbox_is_refused(address: str) -> None:
    with pytest.raises(Malformed, match="names one mailbox") as refusal:
        mailbox.check(address)
    assert refusal.value.code == "mail_addresses"


PIECES = ("a", "b@c", "@", ".", "-", "%", "!", ",", ";", ":", "<", ">", "(", ")", '"', "\\", " ", "\r\n", "[", "]", "é")


@given(st.lists(st.sampled_from(PIECES), max_size=7).map("".join))
def test_what_is_taken_is_one_recipient_to_others_too(address: str) -> None:
    if mailbox.is_one(address):
        message = EmailMessage(policy=SMTP)
        message["To"] = address
        assert [one.addr_spec for one in message["To"].addresses] == [address]
        assert getaddresses([address]) == [("", address)]
