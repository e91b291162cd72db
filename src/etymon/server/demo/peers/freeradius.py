# SPDX-License-Identifier: Apache-2.0
"""FreeRADIUS as the network's door: EAP-TLS (RFC 5216, RFC 9190) for whom the certificate names.

FreeRADIUS alone accepts any identity with any certificate of its CA. The virtual server `check-cert` also asks that the
User-Name is the user principal name in the certificate and that the certificate is for TLS clients.
"""

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from etymon.kernel.secret import Secret
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.credentials import PEMFiles
from etymon.server.demo.peers.daemons import LOOPBACK, Daemon, Log, on_free_port
from etymon.server.demo.peers.programs import Judgement, Verdict
from etymon.server.demo.peers.revocation import ByCRL, Revocation

# One setting a line: the parser takes no more. The session cache stays off, its default, so that every login is
# checked in full. `proxy_requests` opens a socket on every address unless it is off.
CONFIGURATION: Final = r"""
prefix = /usr
confdir = {directory}
logdir = ${{confdir}}
run_dir = ${{confdir}}
libdir = /usr/lib/freeradius
proxy_requests = no
log {{
    destination = stdout
    auth = yes
}}
security {{
    allow_vulnerable_openssl = yes
}}
client demo {{
    ipaddr = {host}
    secret = {secret}
}}
modules {{
    eap {{
        default_eap_type = tls
        tls-config common {{
            private_key_file = ${{confdir}}/server.key
            certificate_file = ${{confdir}}/server.pem
            ca_file = ${{confdir}}/anchors.pem
            tls_min_version = "1.2"
            tls_max_version = "1.3"
            ecdh_curve = ""
            {revocation}
        }}
        tls {{
            tls = common
            virtual_server = check-cert
        }}
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = {host}
        port = {port}
    }}
    authorize {{
        eap
    }}
    authenticate {{
        eap
    }}
}}
server check-cert {{
    authorize {{
        if (!&TLS-Client-Cert-Subject-Alt-Name-Upn) {{
            update request {{
                Module-Failure-Message := "no user principal name in the certificate"
            }}
            update config {{
                Auth-Type := Reject
            }}
        }}
        elsif ("%{{TLS-Client-Cert-Subject-Alt-Name-Upn}}" != "%{{User-Name}}") {{
            update request {{
                Module-Failure-Message := "the certificate names somebody else than User-Name"
            }}
            update config {{
                Auth-Type := Reject
            }}
        }}
        elsif ("%{{TLS-Client-Cert-X509v3-Extended-Key-Usage-OID[*]}}" !~ /(^|,)1\.3\.6\.1\.5\.5\.7\.3\.2(,|$)/) {{
            update request {{
                Module-Failure-Message := "the certificate is not for TLS clients"
            }}
            update config {{
                Auth-Type := Reject
            }}
        }}
        else {{
            update config {{
                Auth-Type := Accept
            }}
        }}
    }}
}}
"""

OUTCOME: Final = r"Login (OK|incorrect)(?!.*via TLS tunnel)"
"""The line in which FreeRADIUS tells how a login ended; before it, `check-cert` tells its own part."""

REFUSAL: Final = "Login incorrect"
SESSION_KEY: Final = re.compile(r"(MS-MPPE-(?:Send|Recv)-Key = )0x[0-9a-f]+")


class FreeRADIUS:
    """A running FreeRADIUS. `log` is its debug output, one outcome line a login among it."""

    def __init__(self, directory: Path, daemon: Daemon, port: int, secret: Secret[str]) -> None:
        self.host = LOOPBACK
        self.port = port
        self.secret = secret
        self.log = daemon.log
        self._directory = directory
        self._daemon = daemon

    def renew_crls(self, crls: bytes) -> None:
        """Put new PEM CRLs in force. FreeRADIUS 3.2 reads them at its start only, so it is started again."""
        (self._directory / "anchors.pem").write_bytes((self._directory / "cas.pem").read_bytes() + crls)
        self._daemon.stop()
        self._daemon.start()

    def judgement(self, *, since: int = 0) -> Judgement:
        """Return what FreeRADIUS decided about the last login after `since`, a position of its log."""
        outcomes = self.log.wait_for(OUTCOME, since=since)
        accepted = bool(outcomes) and "Login OK" in outcomes[-1]
        reasons = () if accepted else self.log.lines(REFUSAL, since=since)
        return Judgement(
            "freeradius",
            self._daemon.program.version(),
            self._daemon.command,
            SESSION_KEY.sub(rf"\1{programs.REMOVED}", programs.without([self.secret.reveal()], self.log.since(since))),
            Verdict.ACCEPTED if accepted else Verdict.REFUSED,
            reasons[0] if reasons else "",
        )


@contextmanager
def serving(
    directory: Path, server: PEMFiles, *, anchors: bytes, revocation: Revocation, secret: Secret[str]
) -> Iterator[FreeRADIUS]:
    """Run FreeRADIUS in `directory` (new, or empty) until the block ends.

    `anchors` are the PEM certificates of every CA between a client's certificate and its root; `secret` is shared with
    the supplicant's access point. Raises `ProgramsMissing` or `DidNotStart`.
    """
    program = programs.required("freeradius")
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(server.certificate, directory / "server.pem")
    (directory / "server.key").touch(mode=0o600)
    shutil.copyfile(server.key, directory / "server.key")
    (directory / "cas.pem").write_bytes(anchors)
    crls = revocation.crls if isinstance(revocation, ByCRL) else b""
    (directory / "anchors.pem").write_bytes(anchors + crls)

    def start(port: int) -> FreeRADIUS:
        configuration = directory / "radiusd.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            CONFIGURATION.format(
                directory=directory,
                host=LOOPBACK,
                port=port,
                secret=secret.reveal(),
                revocation=_settings(revocation),
            )
        )
        log = Log(directory / "freeradius.log")
        daemon = Daemon(
            program,
            ["-d", str(directory), "-n", "radiusd", "-fX"],
            directory=directory,
            log=log,
            ready=lambda since: bool(log.lines("Ready to process requests", since=since)),
        )
        daemon.start()
        running.append(daemon)
        return FreeRADIUS(directory, daemon, port, secret)

    running: list[Daemon] = []
    try:
        yield on_free_port(socket.SOCK_DGRAM, start)
    finally:
        for daemon in running:
            daemon.stop()


def _settings(revocation: Revocation) -> str:
    if isinstance(revocation, ByCRL):
        # Not `check_all_crl`: FreeRADIUS ends a path at the first CA it was given (OpenSSL's partial chain), and
        # OpenSSL then checks the list of that CA's own issuer by the wrong key.
        return "check_crl = yes"
    # No nonce: a responder may answer with responses signed beforehand (RFC 5019 §2.2.1). An unknown status is a no.
    settings = ["ocsp {", "enable = yes", "use_nonce = no", "softfail = no", "timeout = 3"]
    if revocation.responder is not None:
        settings += ["override_cert_url = yes", f'url = "{revocation.responder}"']
    return "\n".join([*settings, "}"])
