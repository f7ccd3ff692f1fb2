"""Real web servers of a test network's hosts: Apache with mod_wsgi as shipped, or waitress, which needs pip alone."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.helpers.federation import ROOT, Host
from tests.helpers.waiting import eventually, processes_in_session

PORT = 8080
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


class WebServer:
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

    def command(self) -> list[str]:
        """The command that runs it in the foreground."""
        raise NotImplementedError

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
        eventually(self._accepts, 30)

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
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"the web server of {self.host.id} did not end: {self.log[-2000:]}") from None
        eventually(lambda: not processes_in_session(process.pid), 20)


class Waitress(WebServer):
    """A WSGI server from PyPI."""

    def command(self) -> list[str]:
        listen = f"--listen={self.host.ip}:{self.port}"
        return [sys.executable, "-m", "waitress", listen, "--threads=8", "lonnet.handlers.wsgi:application"]


class Apache(WebServer):
    """Apache with mod_wsgi, as conf/apache2/loncapa.conf says."""

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
        return self.host.directory / "httpd.conf"

    @property
    def errors(self) -> str:
        """The error log."""
        return (self.host.directory / "web-error.log").read_text(errors="replace")

    def _write(self) -> None:
        here = self.host.directory
        modules = ("mpm_event", "authz_core", "alias", "env", "wsgi")
        account = self.host.federation.account
        user = account.name if account else pwd.getpwuid(os.getuid()).pw_name
        lines = [
            f"ServerRoot {here}",
            f"PidFile {here}/httpd.pid",
            f"WSGISocketPrefix {here}/wsgi",
            f"Listen {self.host.ip}:{self.port}",
            f"ServerName {self.host.id}.example.org",
            *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in modules),
            *([f"User {user}", f"Group {user}"] if os.getuid() == 0 else []),
            f"ErrorLog {here}/web-error.log",
            'LogFormat "%h %t \\"%r\\" %>s %b" requests',
            f"CustomLog {here}/web-access.log requests",
            f"Define LONCAPA_ROOT {ROOT}",
            f"Define LONCAPA_PACKAGES {sysconfig.get_path('purelib')}",
            f"Define LONCAPA_CONF {self.host.conf}",
            f"Define LONCAPA_USER {user}",
            f"Define LONCAPA_NAME {self.host.id}.example.org",
            f"Define LONCAPA_PORT {self.port}",
            "Define LONCAPA_PLAIN",
            f"Include {ROOT}/conf/apache2/loncapa.conf",
        ]
        self._conf.write_text("\n".join(lines) + "\n")

    def graceful(self) -> None:
        """Restart gracefully, and wait until it has."""
        assert self.process is not None
        before = self.errors.count("resuming normal operations")
        self.process.send_signal(signal.SIGUSR1)

        def restarted() -> None:
            assert self.errors.count("resuming normal operations") > before

        eventually(restarted, 30)

    def processes(self) -> list[int]:
        """The pids of the processes that run the handlers."""
        assert self.process is not None
        return [pid for pid in processes_in_session(self.process.pid) if _title(pid).startswith(b"(wsgi:loncapa)")]


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""
