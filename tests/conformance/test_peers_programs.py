# SPDX-License-Identifier: Apache-2.0
"""Outside programs: found or named, started and ended, and quoted without secrets; all of it without root."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

import etymon
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.daemons import Daemon, DidNotStart, Log, free_port, on_free_port
from etymon.server.demo.peers.programs import MissingProgram, Program, ProgramsMissing, Verdict
from support.peer_pki import PeerPKI

SHELL = Program("sh", Path("/bin/sh"))


def test_a_program_that_is_not_there_is_named_with_what_to_install() -> None:
    absent = MissingProgram("no-such-program", "no-such-program")
    assert programs.find("no-such-program") == absent
    assert programs.missing("sh", "no-such-program") == (absent,)
    with pytest.raises(ProgramsMissing, match="install no-such-program") as refused:
        programs.run("no-such-program", [], directory=Path("/"))
    assert refused.value.missing == (absent,)


@pytest.mark.needs("nginx", "freeradius")
def test_a_service_program_is_found_without_its_directory_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("nginx", "freeradius"):
        assert isinstance(programs.find(name), Program)


@pytest.mark.needs("curl", "eapol_test", "freeradius", "nginx", "openssl", "softhsm2-util")
def test_every_program_tells_its_version() -> None:
    for name, mark in (
        ("curl", "curl "),
        ("eapol_test", "v2."),
        ("freeradius", "FreeRADIUS Version"),
        ("nginx", "nginx/"),
        ("openssl", "OpenSSL 3."),
        ("softhsm2-util", "2."),
    ):
        assert mark in programs.required(name).version()


def test_a_judgement_holds_all_but_the_secrets(tmp_path: Path) -> None:
    done = programs.run("sh", ["-c", "echo said 1234; cat; exit 3"], directory=tmp_path, data=b"input")
    assert (done.exit_status, done.stdout) == (3, b"said 1234\ninput")
    judged = done.judgement(Verdict.REFUSED, reason="because of 1234", secrets=[Secret("1234")])
    document = judged.to_document()
    assert (document["verdict"], document["output"]) == ("refused", "said [removed]\ninput")
    assert document["command"].endswith("sh -c 'echo said [removed]; cat; exit 3'")
    assert "1234" not in str(document)


def test_a_program_runs_without_the_environment_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    done = programs.run("env", [], directory=tmp_path, settings={"EXTRA": "1"})
    names = {line.partition("=")[0] for line in done.output.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "LC_ALL", "EXTRA"}


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        programs.run("tail", ["-f", "/dev/null"], directory=tmp_path, limit=timedelta(milliseconds=50))
    assert refused.value.code == "program_too_slow"


def daemon(script: str, directory: Path, ready: str = "^ready") -> Daemon:
    log = Log(directory / "log")
    return Daemon(
        SHELL,
        ["-c", script],
        directory=directory,
        log=log,
        ready=lambda since: bool(log.lines(ready, since=since)),
    )


def alive(process_id: str) -> bool:
    return Path("/proc", process_id).exists()


def test_a_daemon_is_ended_by_its_process_id_and_can_start_again(tmp_path: Path) -> None:
    running = daemon("echo ready $$; exec tail -f /dev/null", tmp_path)
    for _ in range(2):
        since = running.log.position()
        running.start()
        process_id = running.log.lines("ready", since=since)[0].split()[1]
        assert alive(process_id)
        running.stop()
        assert not alive(process_id)
    running.stop()


def test_a_daemon_that_ends_before_it_is_ready_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="out of paper"):
        daemon("echo out of paper; exit 1", tmp_path).start()


def test_another_port_is_tried_when_somebody_was_faster(tmp_path: Path) -> None:
    tried: list[int] = []

    def start(port: int) -> int:
        tried.append(port)
        if len(tried) == 1:
            daemon("echo bind failed: Address already in use; exit 1", tmp_path).start()
        return port

    assert on_free_port(socket.SOCK_STREAM, start) == tried[1]

    def broken(_: int) -> None:
        tried.clear()
        daemon("echo broken; exit 1", tmp_path).start()

    with pytest.raises(DidNotStart, match="broken"):
        on_free_port(socket.SOCK_DGRAM, broken)
    assert tried == []


def test_a_free_port_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port(socket.SOCK_STREAM)))


UNPRIVILEGED = """
import os, pathlib, sys
from etymon.kernel.secret import Secret
from etymon.server.demo.peers import curl, eapol_test, freeradius, nginx
from etymon.server.demo.peers.credentials import PEMFiles
from etymon.server.demo.peers.revocation import ByCRL

assert os.geteuid() != 0
given, work, *files = map(pathlib.Path, sys.argv[1:])
server, client = PEMFiles(*files[:2]), PEMFiles(*files[2:])
crls = ByCRL((given / "crls.pem").read_bytes())
anchors = (given / "anchors.pem").read_bytes()
tls = given / "tls-ca.pem"
with nginx.serving(work / "nginx", server, anchors=anchors, revocation=crls) as site:
    answer = curl.get(site.url, server_anchors=tls, directory=work, credential=client)
    site.renew_crls(crls.crls)
    print(answer.status, site.judgement().verdict.value)
with freeradius.serving(work / "radius", server, anchors=anchors, revocation=crls, secret=Secret("testing")) as radius:
    block = eapol_test.network_block(
        "alice@agency.example", client, server_anchors=tls, server_name="localhost"
    )
    print(eapol_test.authenticate(block, radius, directory=work).succeeded, radius.judgement().verdict.value)
"""


def as_ordinary_user() -> list[str]:
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []


def ordinary_python() -> str:
    """Return a Python that an ordinary user may run; one in root's home directory may not be."""
    for python in (sys.executable, "/usr/bin/python3"):
        question = [*as_ordinary_user(), python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(question, cwd="/", capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("NOT RUN: no Python 3.11 that an ordinary user may run")


@pytest.mark.needs("setpriv", "nginx", "curl", "freeradius", "eapol_test")
def test_nginx_and_freeradius_need_no_root() -> None:
    """A test run by root has `nobody` start the peers, from a copy of the sources that `nobody` can read."""
    python = ordinary_python()
    with tempfile.TemporaryDirectory() as directory:
        given, work, sources = (Path(directory, name) for name in ("given", "work", "sources"))
        pki = PeerPKI(given)
        server, client = pki.server().files, pki.client("alice@agency.example").files
        (given / "anchors.pem").write_bytes(pki.anchors)
        (given / "crls.pem").write_bytes(pki.crls)
        work.mkdir()
        shutil.copytree(Path(etymon.__file__).parent, sources / "etymon", ignore=shutil.ignore_patterns("__pycache__"))
        if os.geteuid() == 0:
            for path in (Path(directory), *Path(directory).rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        done = subprocess.run(
            [
                *as_ordinary_user(),
                python,
                "-c",
                UNPRIVILEGED,
                given,
                work,
                server.certificate,
                server.key,
                client.certificate,
                client.key,
            ],
            cwd=work,
            env={"PATH": os.defpath, "PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("200 accepted\nTrue accepted\n", "")
