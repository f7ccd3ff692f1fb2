"""Network namespaces for the hosts of a test network, joined by a router that can stop forwarding.

From then on packets vanish on their way: nobody hears an end of file, a reset or an ICMP error, as when a cable is cut
between two sites. No packet leaves the namespaces.

A namespace lives as long as a ``cat`` that reads from a pipe of this process, and whatever else was started in it. The
kernel removes it with its interfaces when they have ended, also when the tests were killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
FIN_WAIT1 = "04"  # in /proc/net/tcp
COMMANDS = ("ip", "nsenter", "unshare")


class Unavailable(Exception):
    """Why there can be no namespaces here."""


class Namespace:
    """One network namespace.

    :raises Unavailable: it can't be made.
    """

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._holder.stdout is not None
        words = self._holder.stdout.readline().decode().strip()
        if words:
            self.close()
            raise Unavailable(words)

    @property
    def pid(self) -> int:
        """Of a process in it."""
        return self._holder.pid

    @property
    def entrance(self) -> tuple[str, ...]:
        """What a command begins with that shall run in it."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    def run(self, *command: str) -> None:
        """Run a command in it.

        :raises Unavailable: the command failed.
        """
        ran = subprocess.run([*self.entrance, *command], capture_output=True, text=True)
        if ran.returncode:
            raise Unavailable(f"{' '.join(command)}: {ran.stderr.strip()}")

    def enter(self) -> None:
        """Let the calling thread, and the threads that it starts, make their sockets in it from now on."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{self.pid}/ns/net").open("rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def close(self) -> None:
        """End the process that holds it."""
        self._holder.communicate()


class CuttableNetwork:
    """One namespace for each host, with a router between them; a context manager.

    :param hosts: their ids.
    :raises Unavailable: a command, a privilege or a kind of interface is missing.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        if missing := [command for command in COMMANDS if shutil.which(command) is None]:
            raise Unavailable(f"no {' and no '.join(missing)} (Debian: iproute2, util-linux)")
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._router = self._namespace(stack)
            self.namespaces: Mapping[str, Namespace] = {id: self._namespace(stack) for id in hosts}
            self.addresses = {id: f"10.77.{number}.2" for number, id in enumerate(hosts)}
            for number, id in enumerate(hosts):
                self._connect(number, self.namespaces[id])
            self._threads = {
                id: stack.enter_context(ThreadPoolExecutor(initializer=namespace.enter))
                for id, namespace in self.namespaces.items()
            }
            self.heal()
            self._stack = stack.pop_all()

    def __enter__(self) -> CuttableNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def _namespace(stack: ExitStack) -> Namespace:
        made = Namespace()
        stack.callback(made.close)
        made.run("ip", "link", "set", "lo", "up")
        return made

    def _connect(self, number: int, namespace: Namespace) -> None:
        here, there, gateway = f"host{number}", "uplink", f"10.77.{number}.1"
        self._router.run(
            *("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(namespace.pid))
        )
        self._router.run("ip", "address", "add", f"{gateway}/24", "dev", here)
        self._router.run("ip", "link", "set", here, "up")
        namespace.run("ip", "address", "add", f"10.77.{number}.2/24", "dev", there)
        namespace.run("ip", "link", "set", there, "up")
        namespace.run("ip", "route", "add", "default", "via", gateway)

    def cut(self) -> None:
        """From now on no packet arrives from another host."""
        self._forward(0)

    def heal(self) -> None:
        """From now on packets arrive again."""
        self._forward(1)

    def _forward(self, value: int) -> None:
        self._router.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_forward")

    def at(self, host: str, call: Callable[[], T]) -> Future[T]:
        """Call it in a thread on a host."""
        return self._threads[host].submit(call)

    def still_sending(self, host: str) -> list[str]:
        """The connections of a host that were closed, but whose kernel goes on sending what was written to them."""
        lines = Path(f"/proc/{self.namespaces[host].pid}/net/tcp").read_text().splitlines()[1:]
        return [line for line in lines if line.split()[3] == FIN_WAIT1]
