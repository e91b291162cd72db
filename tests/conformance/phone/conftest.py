# SPDX-License-Identifier: Apache-2.0
"""The stand-in services, and phones that talk to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.phone.phone import Phone
from support.clock import TurnedClock
from support.phone_services import Services, serving
from support.phones import enrolled, new_phone


@pytest.fixture(scope="session")
def escrowed_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def services(tmp_path: Path, escrowed_key: rsa.RSAPrivateKey) -> Iterator[Services]:
    directory = tmp_path / "services"
    directory.mkdir()
    with serving(Services(directory)) as services:
        services.issuer.escrowed.append(escrowed_key)
        yield services


@pytest.fixture
def phone(tmp_path: Path, clock: TurnedClock) -> Iterator[Phone]:
    with new_phone(tmp_path / "phone", clock=clock) as phone:
        yield phone


@pytest.fixture
def enrolled_phone(phone: Phone, services: Services) -> Phone:
    enrolled(phone, services)
    services.asked.clear()
    return phone
