# SPDX-License-Identifier: Apache-2.0
"""A certified key of somebody in escrow, without a phone that asked for it."""

from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from etymon.directory.model import Person
from etymon.escrow import delivery, deposit
from etymon.escrow.dependencies import Dependencies
from etymon.escrow.model import EscrowedKey, GeneratedKey
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Transaction
from support.vault import certificate_of, made


def kept(deps: Dependencies, person: Person, number: int = 0) -> EscrowedKey:
    """Keep a certified key of a person; one database takes each number once."""
    key_id, private_key = uuid4(), made(number, KeyType.RSA2048)
    public_key = private_key.public_key()
    plain = Secret(private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    wrapped = deps.key_encryption_key.wrap(plain, delivery.context(key_id, person.id, public_key))
    generated = GeneratedKey(key_id, person.id, KeyType.RSA2048, public_key, wrapped, deps.key_encryption_key.id)
    with deps.database.transaction() as tx:
        deposit.deposit(tx, deps, generated)
        deposit.certify(tx, deps, key_id, certificate_of(public_key, ec.generate_private_key(ec.SECP256R1())))
        return deposit.history(tx, person.id)[0]


def of(tx: Transaction, person: Person) -> list[EscrowedKey]:
    """Return a person's keys, the newest first."""
    return deposit.history(tx, person.id)
