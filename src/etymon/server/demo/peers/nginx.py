# SPDX-License-Identifier: Apache-2.0
"""nginx as a relying party: a web site that only a client certificate opens (mutual TLS).

nginx refuses inside the TLS session, with HTTP status 400, and tells why in its error log at level `info`.
"""

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from etymon.server.demo.peers import programs
from etymon.server.demo.peers.credentials import PEMFiles
from etymon.server.demo.peers.daemons import LOOPBACK, Daemon, DidNotStart, Log, answers, on_free_port
from etymon.server.demo.peers.programs import Judgement, Verdict
from etymon.server.demo.peers.revocation import ByCRL, ByOCSP, Revocation

# Sessions are never resumed: a resumed one would skip the revocation check. `ssl_verify_depth` counts the
# intermediates, and its default of 1 leaves no room for a second one.
CONFIGURATION: Final = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr info;
events {{
}}
http {{
    log_format judged '{mark} $ssl_client_verify: status $status, serial $ssl_client_serial, "$ssl_client_s_dn"';
    access_log /dev/stderr judged;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    ssl_client_certificate anchors.pem;
    ssl_verify_client on;
    ssl_verify_depth 5;
    {revocation}
    server {{
        listen {host}:{port} ssl;
        location / {{
            return 200 "$ssl_client_verify $ssl_client_s_dn\\n";
        }}
    }}
}}
"""

MARK: Final = "client certificate"
REASONS: Final = r"\] .*(client sent no required|certificate verify error|certificate status|OCSP)"
"""Lines of the error log (they begin with a time and a `[level]`) that name a refusal."""

RELOAD_LIMIT: Final = timedelta(seconds=20)


class Nginx:
    """A running nginx. `log` has its error log and one line a request that says what it made of the certificate."""

    def __init__(self, directory: Path, daemon: Daemon, port: int) -> None:
        self.port = port
        self.log = daemon.log
        self._directory = directory
        self._daemon = daemon

    @property
    def url(self) -> str:
        """Where the site is; the server certificate has to name `localhost`."""
        return f"https://localhost:{self.port}/"

    def renew_crls(self, crls: bytes) -> None:
        """Put new PEM CRLs in force."""
        (self._directory / "crls.pem").write_bytes(crls)
        self.reload()

    def reload(self) -> None:
        """Read the files again; return when the process with the old ones is gone."""
        position = self.log.position()
        self._daemon.signal(signal.SIGHUP)
        ended = self.log.wait_for(r"worker process \d+ exited|\[emerg\]", since=position, limit=RELOAD_LIMIT)
        if not ended or "[emerg]" in ended[0]:
            raise DidNotStart("nginx", self.log.since(position))

    def judgement(self, *, since: int = 0) -> Judgement:
        """Return what nginx made of the last request after `since`, a position of its log."""
        lines = self.log.wait_for(rf"{MARK} \S", since=since)
        accepted = bool(lines) and f"{MARK} SUCCESS" in lines[-1]
        reasons = () if accepted else self.log.lines(REASONS, since=since)
        return Judgement(
            "nginx",
            self._daemon.program.version(),
            self._daemon.command,
            self.log.since(since),
            Verdict.ACCEPTED if accepted else Verdict.REFUSED,
            reasons[0] if reasons else "",
        )


@contextmanager
def serving(directory: Path, server: PEMFiles, *, anchors: bytes, revocation: Revocation) -> Iterator[Nginx]:
    """Run nginx in `directory` (new, or empty) until the block ends.

    `anchors` are the PEM certificates of every CA between a client's certificate and its root. Raises
    `ProgramsMissing` or `DidNotStart`.
    """
    program = programs.required("nginx")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "temporary").mkdir(exist_ok=True)
    shutil.copyfile(server.certificate, directory / "server.pem")
    _copy_key(server.key, directory / "server.key")
    (directory / "anchors.pem").write_bytes(anchors)
    if isinstance(revocation, ByCRL):
        (directory / "crls.pem").write_bytes(revocation.crls)

    def start(port: int) -> Nginx:
        (directory / "nginx.conf").write_text(
            CONFIGURATION.format(host=LOOPBACK, port=port, mark=MARK, revocation=_directives(revocation))
        )
        process_id = directory / "nginx.pid"
        process_id.unlink(missing_ok=True)
        daemon = Daemon(
            program,
            ["-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr"],
            directory=directory,
            log=Log(directory / "nginx.log"),
            # nginx writes its process id once its sockets are bound: before that, another program may answer.
            ready=lambda _: process_id.exists() and answers(port),
        )
        daemon.start()
        running.append(daemon)
        return Nginx(directory, daemon, port)

    running: list[Daemon] = []
    try:
        yield on_free_port(socket.SOCK_STREAM, start)
    finally:
        for daemon in running:
            daemon.stop()


def _directives(revocation: Revocation) -> str:
    match revocation:
        case ByCRL():
            return "ssl_crl crls.pem;"
        case ByOCSP(responder=None):
            return "ssl_ocsp leaf;"
        case ByOCSP(responder=responder):
            return f"ssl_ocsp leaf; ssl_ocsp_responder {responder};"


def _copy_key(source: Path, target: Path) -> None:
    target.touch(mode=0o600)
    shutil.copyfile(source, target)
