# SPDX-License-Identifier: Apache-2.0
"""nginx and HAProxy in front of a whole site, run from the files in deploy/ with other ports, names and paths.

with founded(tmp_path, proxy=Proxy("nginx", tmp_path / "proxy")) as site: ...
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from etymon.server import proxy_files
from etymon.server.demo.peers import programs
from etymon.server.demo.peers.daemons import Daemon, Log, answers
from support import patience
from support.peer_pki import PeerPKI

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ADDRESS: Final = "127.0.0.2"
"""Where the proxies of deploy/ come from."""

LISTENERS: Final = ("site", "certauth", "device", "status")
NGINX: Final = """
daemon off;
worker_processes 1;
user root root;  # the test's own directory opens to nobody else
pid nginx.pid;
error_log stderr info;
events {}
http {
    access_log off;
    client_body_temp_path temporary;
    proxy_temp_path temporary;
    fastcgi_temp_path temporary;
    uwsgi_temp_path temporary;
    scgi_temp_path temporary;
    include etymon.conf;
}
"""
UPSTREAM: Final = {"site": 9443, "certauth": 9444, "device": 9445, "status": 9080}
"""The ports behind the proxy in deploy/."""

HAPROXY: Final = "global\n    log stderr format raw local0\n"


class Proxy(ABC):
    """A proxy. `public` and `upstream` are the ports of each listener before and behind it."""

    program: str

    def __init__(self, directory: Path, *, host: str = "localhost", certauth_host: str = "") -> None:
        self.directory, self.host, self.certauth_host = directory, host, certauth_host or host
        self.public: Mapping[str, int] = {}
        self.upstream: Mapping[str, int] = {}
        self.log = Log(directory / "log")
        self._server_pem = directory / "server.pem"

    def settings(self, public: Mapping[str, int], upstream: Mapping[str, int]) -> Mapping[str, object]:
        """Make the proxy's certificate; return what a site behind it is told."""
        self.public, self.upstream = public, upstream
        self.directory.mkdir()
        server = PeerPKI(self.directory / "pki").server(self.host, self.certauth_host)
        self._server_pem.write_bytes(server.files.certificate.read_bytes())
        self._server_pem.with_suffix(".pem.key").write_bytes(server.files.key.read_bytes())
        return {
            "host": self.host,
            "site_url": f"https://{self.host}:{public['site']}",
            "certauth_url": f"https://{self.certauth_host}:{public['certauth']}",
            "device_url": f"https://{self.host}:{public['device']}",
            "status_url": f"http://127.0.0.1:{public['status']}",
            **{f"{name}_port": port for name, port in upstream.items()},
            "proxies": [ADDRESS],
            "tls_chain_file": str(self._server_pem),
        }

    @contextmanager
    def serving(self, data: Path) -> Iterator[None]:
        """Run in front of the organisation in `data` until the block ends."""
        self.learn(data)
        self._configure()
        daemon = Daemon(
            programs.required(self.program),
            self._arguments(),
            directory=self.directory,
            log=self.log,
            ready=lambda _: all(map(answers, self.public.values())),
        )
        daemon.start()
        self._daemon = daemon
        try:
            yield
        finally:
            daemon.stop()

    def learn(self, data: Path) -> tuple[str, ...]:
        """Have the files written anew, as an operator's timer does; return the names of those that changed."""
        return tuple(file.name for file in proxy_files.write(data, self.directory))

    def _rendered(self, file: Path, places: Mapping[str, str]) -> str:
        """Return a file of deploy/ with every place of it that is an example exchanged."""
        text = file.read_text()
        examples = {
            "/etc/etymon-proxy/": f"{self.directory}/",
            "/var/lib/etymon-proxy/": f"{self.directory}/",
            "etymon.agency.example": self.host,
            **{f"127.0.0.1:{UPSTREAM[name]}": f"127.0.0.1:{port}" for name, port in self.upstream.items()},
            **places,
        }
        for example, real in examples.items():
            text = text.replace(example, real)
        return text

    @property
    @abstractmethod
    def _reloads(self) -> tuple[signal.Signals, str]:
        """What has the program read its files again, and what it says when it has."""

    def reload(self) -> None:
        """Read the files again; return when new connections are answered from them."""
        number, done = self._reloads
        since = self.log.position()
        self._daemon.signal(number)
        patience.until(lambda: bool(self.log.lines(done, since=since)), "the proxy reads its files again")

    @abstractmethod
    def _configure(self) -> None:
        """Write the program's files."""

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Return the program's arguments."""


class Nginx(Proxy):
    program = "nginx"

    def _configure(self) -> None:
        (self.directory / "temporary").mkdir()
        (self.directory / "nginx.conf").write_text(NGINX)
        places = {
            "/etc/nginx/": f"{self.directory}/",
            "listen 443 ssl": f"listen 127.0.0.1:{self.public['site']} ssl",
            "listen 8444 ssl": f"listen 127.0.0.1:{self.public['certauth']} ssl",
            "listen 8445 ssl": f"listen 127.0.0.1:{self.public['device']} ssl",
            "listen 80;": f"listen 127.0.0.1:{self.public['status']};",
        }
        for name in ("etymon.conf", "etymon-upstream.conf"):
            (self.directory / name).write_text(self._rendered(DEPLOY / "nginx" / name, places))

    def _arguments(self) -> list[str]:
        return ["-p", f"{self.directory}/", "-c", "nginx.conf", "-e", "stderr"]

    @property
    def _reloads(self) -> tuple[signal.Signals, str]:
        return signal.SIGHUP, r"worker process \d+ exited"


class HAProxy(Proxy):
    program = "haproxy"

    def _configure(self) -> None:
        (self.directory / "haproxy.cfg").write_text(HAPROXY)
        places = {
            "bind :443 ": f"bind 127.0.0.1:{self.public['site']} ",
            "bind :8444 ": f"bind 127.0.0.1:{self.public['certauth']} ",
            "bind :8445 ": f"bind 127.0.0.1:{self.public['device']} ",
            "bind :80\n": f"bind 127.0.0.1:{self.public['status']}\n",
        }
        (self.directory / "etymon.cfg").write_text(self._rendered(DEPLOY / "haproxy" / "etymon.cfg", places))

    def _arguments(self) -> list[str]:
        return ["-W", "-db", "-f", "haproxy.cfg", "-f", "etymon.cfg"]

    @property
    def _reloads(self) -> tuple[signal.Signals, str]:
        return signal.SIGUSR2, "Loading success"
