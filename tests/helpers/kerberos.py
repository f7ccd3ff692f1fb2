"""A real Kerberos realm on a loopback address, made of Debian's krb5-kdc in a directory of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.helpers.waiting import eventually

REALM = "TEST.EXAMPLE"
PROGRAMS = ("krb5kdc", "kadmin.local", "kdb5_util")


def missing() -> list[str]:
    """Which of the programs this machine lacks."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


class Realm:
    """The realm; its key server runs between :meth:`start` and :meth:`stop`.

    :param directory: an empty one.
    :param address: a loopback address.
    :param hostname: the name of the host whose service ``host`` gets a key in the keytab.
    """

    port = 8888

    def __init__(self, directory: Path, address: str, hostname: str) -> None:
        self.directory, self.address = directory, address
        self.environment = {
            "KRB5_CONFIG": str(directory / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(directory / "kdc.conf"),
            "KRB5_KTNAME": str(directory / "keytab"),
            "KRB5CCNAME": "MEMORY:",
        }
        self._server: subprocess.Popen[bytes] | None = None
        place = f"{address}:{self.port}"
        (directory / "krb5.conf").write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
            f" dns_canonicalize_hostname = false\n rdns = false\n"
            f"[realms]\n {REALM} = {{\n  kdc = {place}\n }}\n[domain_realm]\n {hostname} = {REALM}\n"
        )
        (directory / "kdc.conf").write_text(
            f"[realms]\n {REALM} = {{\n  database_name = {directory}/principal\n  key_stash_file = {directory}/stash\n"
            f"  kdc_listen = {place}\n  kdc_tcp_listen = {place}\n }}\n[logging]\n kdc = FILE:{directory}/kdc.log\n"
        )
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        self._run("kadmin.local", "-q", f"addprinc -randkey host/{hostname}")
        self._run("kadmin.local", "-q", f"ktadd -k {directory}/keytab host/{hostname}")

    def add(self, user: str, password: str) -> None:
        """One more principal."""
        self._run("kadmin.local", "-q", f"addprinc -pw {password} {user}")

    def start(self) -> None:
        """Serve; returns when it does."""
        self._server = subprocess.Popen(
            ["krb5kdc", "-n"], env=self._env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers)

    def stop(self) -> None:
        """Serve no longer."""
        assert self._server is not None
        self._server.terminate()
        self._server.wait(10)

    def hang(self) -> None:
        """Answer nobody until :meth:`go_on`."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self._env(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
