# SPDX-License-Identifier: Apache-2.0
"""What cannot be beaten on this machine: raw signatures, the library's build-and-sign, a bare answer, one commit."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import sqlalchemy as sa
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bench.measure import Bench
from bench.place import Place
from etymon.pki import keys
from etymon.pki.algorithms import KeyType

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
TBS: Final = b"t" * 1200


def hash_for(key: SigningKey) -> hashes.SHA256 | hashes.SHA384:
    """Return the hash that goes with a key (SP 800-78-5)."""
    return hashes.SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 384 else hashes.SHA256()


def measure_signing(name: str, kind: KeyType, bench: Bench, _place: Place) -> None:
    """Measure raw signatures, and a certificate of ten extensions' weight built and signed by the library."""
    key = keys.generate(kind)
    assert isinstance(key, SigningKey)
    bench.measure(f"limit.sign.{name}", lambda: _sign(key))
    builder = _builder(ec.generate_private_key(ec.SECP256R1()).public_key())
    bench.measure(f"limit.build_and_sign.{name}", lambda: builder.sign(key, hash_for(key)))


def measure_commit(bench: Bench, place: Place) -> None:
    """Measure one durable commit of one small row."""
    table = sa.Table(
        "bench_commits", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", sa.Text)
    )
    with place.empty() as database:
        table.create(database.engine)

        def commit() -> None:
            with database.transaction() as tx:
                tx.execute(table.insert().values(v="x"))

        bench.measure(f"limit.commit.{database.dialect}", commit)


def measure_http(bench: Bench, _place: Place) -> None:
    """Measure a bare answer of the HTTP stack over one kept connection."""

    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    with served(Starlette(routes=[Route("/", answer)])) as url, httpx.Client() as client:
        bench.measure("limit.http", lambda: client.get(url).raise_for_status())


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve `app` on loopback in a thread; yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off")
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def _sign(key: SigningKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(TBS, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(TBS, ec.ECDSA(hash_for(key)))


def _builder(public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ADAMS.ALICE")])
    now = datetime.now(UTC)
    description = x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.OCSP,
        x509.UniformResourceIdentifier("http://status.example/ocsp/derived"),
    )
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://status.example/crl/derived.crl")], None, None, None
    )
    policy = x509.PolicyInformation(x509.ObjectIdentifier("2.999.157.40"), None)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1000))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.CertificatePolicies([policy]), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.AuthorityInformationAccess([description]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6")]
            ),
            critical=False,
        )
    )
