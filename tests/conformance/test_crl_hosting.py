# SPDX-License-Identifier: Apache-2.0
"""docs/operations/crl-hosting.md as it stands: its nginx serves files and keeps OCSP, its commands look at that."""

import base64
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from etymon.ca import crl, publication
from etymon.ca.model import IssuedCertificate
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.daemons import LOOPBACK, Daemon, Log, answers, on_free_port
from support.ca_status import status_listener
from support.databases import SQLiteDatabases
from support.judged_authorities import Judged

pytestmark = pytest.mark.needs("nginx", "openssl", "curl")

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "crl-hosting.md").read_text("utf-8")
STATUS_URL = "http://status.agency.example"
MAIN = """
user {user};
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr info;
events {{
}}
http {{
    access_log off;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    {page}
}}
"""


def block(language: str, begins: str = "") -> str:
    found = re.search(rf"^```{language}\n({begins}.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def judged(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    directory = tmp_path_factory.mktemp("hosted")
    with status_listener() as listener:
        found = Judged(sqlite_databases.migrated(), directory, listener)
        found.site.deps = replace(found.site.deps, public_directory=directory / "public")
        found.listener.serve(found.site.deps)
        publication.write_all(found.site.deps)
        yield found


@pytest.fixture(scope="module")
def nginx(judged: Judged) -> Iterator[str]:
    """Run the page's server with places and ports of this run; give its address."""
    folder = judged.directory / "nginx"
    (folder / "temporary").mkdir(parents=True)
    running: list[Daemon] = []

    def start(port: int) -> str:
        page = block("nginx")
        for written, here in (
            ("listen 80;", f"listen {LOOPBACK}:{port};"),
            ("/srv/etymon-public", str(judged.site.deps.public_directory)),
            ("/var/cache/nginx/etymon-ocsp", str(folder / "cache")),
            ("http://127.0.0.1:9080", judged.listener.url),
        ):
            assert written in page
            page = page.replace(written, here)
        (folder / "nginx.conf").write_text(MAIN.format(user=pwd.getpwuid(os.geteuid()).pw_name, page=page))
        daemon = Daemon(
            programs.required("nginx"),
            ["-p", f"{folder}/", "-c", "nginx.conf", "-e", "stderr"],
            directory=folder,
            log=Log(folder / "nginx.log"),
            ready=lambda _: (folder / "nginx.pid").exists() and answers(port),
        )
        daemon.start()
        running.append(daemon)
        return f"http://{LOOPBACK}:{port}"

    try:
        yield on_free_port(socket.SOCK_STREAM, start)
    finally:
        for daemon in running:
            daemon.stop()


def asked(issued: IssuedCertificate) -> str:
    request = ocsp.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA256()).build()
    return f"/ocsp/derived/{quote(base64.b64encode(request.public_bytes(serialization.Encoding.DER)), safe='')}"


def test_files_come_from_the_directory_and_follow_it(judged: Judged, nginx: str) -> None:
    for path in ("/crl/derived.crl", "/certificates/derived.p7c", "/certificates/derived.cer"):
        hosted, own = httpx.get(f"{nginx}{path}"), judged.get(path)
        assert hosted.headers["Server"].startswith("nginx")
        assert hosted.headers["Cache-Control"] == "public, max-age=300"
        assert (hosted.content, hosted.headers["Content-Type"]) == (own.content, own.headers["Content-Type"])
        assert hosted.headers["Last-Modified"]
        again = httpx.get(f"{nginx}{path}", headers={"If-None-Match": hosted.headers["ETag"]})
        assert again.status_code == 304
    judged.revoke(judged.site.issue())
    assert httpx.get(f"{nginx}/crl/derived.crl").content == crl.current(judged.site.deps, "derived").der
    assert httpx.get(f"{nginx}/crl/nobody.crl").status_code == 404


def test_answers_in_the_address_are_kept_and_others_are_not(judged: Judged, nginx: str) -> None:
    issued = judged.site.issue()
    path = asked(issued)
    first = httpx.get(f"{nginx}{path}").content
    judged.revoke(issued)
    assert httpx.get(f"{nginx}{path}").content == first  # for five minutes, as the page says
    posted = httpx.post(
        f"{nginx}/ocsp/derived",
        content=base64.b64decode(httpx.URL(path).path.removeprefix("/ocsp/derived/")),
        headers={"Content-Type": "application/ocsp-request"},
    )
    assert ocsp.load_der_ocsp_response(posted.content).certificate_status is ocsp.OCSPCertStatus.REVOKED


def test_the_commands_of_the_page_see_that_it_works(judged: Judged, nginx: str, tmp_path: Path) -> None:
    assert judged.site.authorities  # the root and the authority below it are what the commands fetch
    commands = block("sh", "curl")
    assert STATUS_URL in commands
    done = subprocess.run(
        ["bash", "-euxc", commands.replace(STATUS_URL, nginx)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "verify OK" in told
    assert "0x1234: unknown" in told
    assert "Response verify OK" in told
