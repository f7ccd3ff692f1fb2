"""Real web servers of a test network's hosts: Apache with mod_wsgi as shipped, or waitress, which needs pip alone."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import sysconfig
from abc import ABC, abstractmethod
from pathlib import Path

from tests.helpers.federation import ROOT, Host
from tests.helpers.waiting import eventually, processes_in_session

PORT = 8080
SECONDS = 60.0  # only a test that fails waits so long
APACHE = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")


def web_settings(host: Host, port: int = PORT) -> dict[str, str]:
    """The settings of a host whose pages are at its own address, without https."""
    return {
        "lonHttpBase": f"http://{host.ip}:{port}",
        "lonSpareURL": f"http://IP:{port}",
        "lonSecureCookies": "off",
        "lonConstructionDir": str(host.directory / "construction"),
    }


class WebServer(ABC):
    """The web server of one host; in a session of its own."""

    def __init__(self, host: Host, port: int = PORT) -> None:
        self.host, self.port = host, port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """Where its pages are."""
        return f"http://{self.host.ip}:{self.port}"

    @property
    def log(self) -> str:
        """What it wrote so far, to standard error and its log files."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.host.directory.glob("web*.log")))

    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs it in the foreground."""

    def launch(self) -> None:
        """Start without waiting."""
        with (self.host.directory / "web.log").open("ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, "LONCAPA_CONF": str(self.host.conf)},
            )

    def wait(self) -> None:
        """Wait until it accepts connections."""
        eventually(self._accepts, SECONDS)

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        self.launch()
        self.wait()

    def _accepts(self) -> None:
        assert self.process is not None and self.process.poll() is None, f"the web server has ended: {self.log[-2000:]}"
        try:
            socket.create_connection((self.host.ip, self.port), 5).close()
        except OSError as error:
            raise AssertionError(f"{self.base}: {error}") from None

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and all its processes."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(number)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"the web server of {self.host.id} did not end: {self.log[-2000:]}") from None
        eventually(lambda: not processes_in_session(process.pid), SECONDS)


class Waitress(WebServer):
    """A WSGI server from PyPI."""

    def command(self) -> list[str]:
        listen = f"--listen={self.host.ip}:{self.port}"
        return [sys.executable, "-m", "waitress", listen, "--threads=8", "lonnet.handlers.wsgi:application"]


class Apache(WebServer):
    """Apache with mod_wsgi, as conf/apache2/loncapa.conf says.

    :param tls_port: where it serves people by https, as in production; 0: everything is plain.
    """

    def __init__(self, host: Host, port: int = PORT, tls_port: int = 0) -> None:
        super().__init__(host, port)
        self.tls_port = tls_port
        self._name = "web-tls" if tls_port else "web"

    @staticmethod
    def missing() -> str:
        """Why it can't run here; empty if it can."""
        for path in (Path(APACHE), MODULES / "mod_wsgi.so"):
            if not path.exists():
                return f"{path} is missing (apt install apache2 libapache2-mod-wsgi-py3)"
        return ""

    def command(self) -> list[str]:
        self._write()
        return [APACHE, "-f", str(self._conf), "-DFOREGROUND"]

    @property
    def _conf(self) -> Path:
        return self.host.directory / f"{self._name}-httpd.conf"

    @property
    def errors(self) -> str:
        """The error log."""
        return (self.host.directory / f"{self._name}-error.log").read_text(errors="replace")

    def _write(self) -> None:
        here, name = self.host.directory, self._name
        modules = ("mpm_event", "authz_core", "alias", "env", "wsgi", *(("ssl", "headers") if self.tls_port else ()))
        account = self.host.federation.account
        user = account.name if account else pwd.getpwuid(os.getuid()).pw_name
        lines = [
            f"ServerRoot {here}",
            f"PidFile {here}/{name}-httpd.pid",
            f"WSGISocketPrefix {here}/{name}-wsgi",
            f"Listen {self.host.ip}:{self.port}",
            f"ServerName {self.host.id}.example.org",
            *(f"LoadModule {module}_module {MODULES}/mod_{module}.so" for module in modules),
            *([f"User {user}", f"Group {user}"] if os.getuid() == 0 else []),
            f"ErrorLog {here}/{name}-error.log",
            'LogFormat "%h %t \\"%r\\" %>s %b" requests',
            f"CustomLog {here}/{name}-access.log requests",
            f"Define LONCAPA_ROOT {ROOT}",
            f"Define LONCAPA_PACKAGES {sysconfig.get_path('purelib')}",
            f"Define LONCAPA_CONF {self.host.conf}",
            f"Define LONCAPA_USER {user}",
            f"Define LONCAPA_NAME {self.host.id}.example.org",
            f"Define LONCAPA_PORT {self.port}",
            *(self._tls() if self.tls_port else ["Define LONCAPA_PLAIN"]),
            f"Include {ROOT}/conf/apache2/loncapa.conf",
        ]
        self._conf.write_text("\n".join(lines) + "\n")

    def _tls(self) -> list[str]:
        """What is defined for https, with a certificate of its own."""
        key, certificate = self.host.directory / "web.key", self.host.directory / "web.pem"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
        subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        defined = {"TLS_PORT": self.tls_port, "CERTIFICATE": certificate, "KEY": key}
        listen = f"Listen {self.host.ip}:{self.tls_port}"
        return [listen, "SSLSessionCache none", *(f"Define LONCAPA_{name} {value}" for name, value in defined.items())]

    def graceful(self) -> None:
        """Restart gracefully, and wait until it has, and nothing of before is left that might still answer."""
        assert self.process is not None
        times, old = self.errors.count("resuming normal operations"), set(self._children())
        self.process.send_signal(signal.SIGUSR1)

        def restarted() -> None:
            assert self.errors.count("resuming normal operations") > times
            assert not old & set(self._children())

        eventually(restarted, SECONDS)

    def _children(self) -> list[int]:
        assert self.process is not None
        return [pid for pid in processes_in_session(self.process.pid) if pid != self.process.pid]

    def processes(self) -> list[int]:
        """The pids of the processes that run the handlers."""
        return [pid for pid in self._children() if _title(pid).startswith(b"(wsgi:loncapa)")]


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""
