"""Hosts of a network in memory, for tests of lonnet's typed calls: they speak the wire's words, and share no code.

Each :class:`FakeLond` keeps what it is told in dictionaries, in the escaped form in which it came, as the original.
:class:`FakeNet` carries requests to them as :class:`lonnet.client.Lonnet` would, and notes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common.config import Config
from common.hosts_table import Host, HostsTable
from common.site import Site
from lonnet.homes import HomeCache

NOW = 1_700_000_000
SECRET = ("auth", "passwd", "makeuser", "changeuserauth", "currentauth", "rolesput", "rolesdel")


@dataclass
class FakeLond:
    """One host's records: user -> namespace -> key -> value, all escaped, users as ``DOMAIN:USER``."""

    id: str
    users: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    courses: dict[str, str] = field(default_factory=dict)
    temporary: dict[str, str] = field(default_factory=dict)
    posts: list[str] = field(default_factory=list)
    activity: list[str] = field(default_factory=list)

    def execute(self, line: str) -> str:
        """The reply to a request."""
        assert re.fullmatch("[ -~]*", line), "nothing else goes over the wire"
        encrypted = line.startswith("encrypt:")
        word, *arguments = line.removeprefix("encrypt:").split(":")
        if word in SECRET and not encrypted:
            return "refused"
        method: Callable[..., str] = getattr(self, f"do_{word}", lambda *_: "unknown_cmd")
        return method(*arguments)

    def _of(self, domain: str, user: str) -> dict[str, dict[str, str]] | None:
        return self.users.get(f"{domain}:{user}")

    def _read(self, domain: str, user: str, namespace: str) -> dict[str, str] | None:
        return (self._of(domain, user) or {}).get(namespace)

    def do_home(self, domain: str, user: str) -> str:
        return "found" if f"{domain}:{user}" in self.users else "not_found"

    def do_put(self, domain: str, user: str, namespace: str, pairs: str, about: str = "") -> str:
        records = self._of(domain, user)
        if records is None:
            return "error: 2 no such user"
        records.setdefault(namespace, {}).update(split(pairs))
        return "ok"

    def do_newput(self, domain: str, user: str, namespace: str, pairs: str) -> str:
        for key in split(pairs):
            if key in (self._read(domain, user, namespace) or {}):
                return f"key_exists: {key}"
        return self.do_put(domain, user, namespace, pairs)

    def do_inc(self, domain: str, user: str, namespace: str, pairs: str) -> str:
        records = self._of(domain, user)
        if records is None:
            return "error: 2 no such user"
        values = records.setdefault(namespace, {})
        for key, amount in split(pairs).items():
            values[key] = str(int(values.get(key) or 0) + int(amount.replace("%2d", "-")))
        return "ok"

    def do_del(self, domain: str, user: str, namespace: str, keys: str) -> str:
        records = self._of(domain, user)
        if records is None:
            return "error: 2 no such user"
        for key in keys.split("&"):
            records.setdefault(namespace, {}).pop(key, None)
        return "ok"

    def do_get(self, domain: str, user: str, namespace: str, keys: str) -> str:
        values = self._read(domain, user, namespace)
        if values is None:
            return "error: 2 no such namespace"
        return "&".join(values.get(key, "") for key in keys.split("&"))

    do_eget = do_get

    def do_keys(self, domain: str, user: str, namespace: str) -> str:
        values = self._read(domain, user, namespace)
        return "error: 2 no such namespace" if values is None else "&".join(values)

    def do_dump(self, domain: str, user: str, namespace: str, pattern: str, wanted: str = "0-999999999") -> str:
        values = self._read(domain, user, namespace)
        if values is None:
            return "error: 2 no such namespace"
        start, _, end = wanted.partition("-")
        matching = [f"{k}={v}" for k, v in values.items() if pattern == "%2e" or re.search(pattern, k)]
        return "&".join(matching[int(start) : int(end)])

    def do_store(self, domain: str, user: str, namespace: str, rid: str, pairs: str) -> str:
        records = self._of(domain, user)
        if records is None:
            return "error: 2 no such user"
        values = records.setdefault(namespace, {})
        number = int(values.get(f"version:{rid}", "0")) + 1
        stored = {**split(pairs), "timestamp": str(NOW + number)}
        values[f"version:{rid}"] = str(number)
        values[f"{number}:keys:{rid}"] = ":".join(stored)
        values.update({f"{number}:{rid}:{key}": value for key, value in stored.items()})
        return "ok"

    def do_restore(self, domain: str, user: str, namespace: str, rid: str) -> str:
        values = self._read(domain, user, namespace)
        if values is None:
            return "error: 2 no such namespace"
        count = int(values.get(f"version:{rid}", "0"))
        parts = [f"version={count}"]
        for number in range(1, count + 1):
            keys = values[f"{number}:keys:{rid}"]
            parts.append(f"{number}:keys={keys}")
            parts += [f"{number}:{key}=" + values[f"{number}:{rid}:{key}"] for key in keys.split(":")]
        return "&".join(parts)

    def do_currentdump(self, domain: str, user: str, namespace: str) -> str:
        values = self._read(domain, user, namespace)
        if values is None:
            return "error: 2 no such namespace"
        latest: dict[str, str] = {}
        for name, value in values.items():
            number, _, rest = name.partition(":")
            if number.isdigit() and not rest.startswith("keys:"):
                latest[rest] = value
        return "&".join(f"{name}={value}" for name, value in latest.items())

    def do_log(self, domain: str, user: str, text: str) -> str:
        self.activity.append(text)
        return "ok"

    def do_rolesput(self, exedom: str, exeuser: str, domain: str, user: str, pairs: str) -> str:
        return self.do_put(domain, user, "roles", pairs)

    def do_rolesdel(self, exedom: str, exeuser: str, domain: str, user: str, keys: str) -> str:
        return self.do_del(domain, user, "roles", keys)

    def do_idput(self, domain: str, pairs: str) -> str:
        self.ids.update(split(pairs))
        return "ok"

    def do_idget(self, domain: str, ids: str) -> str:
        if not self.ids:
            return "error: 2 nothing"
        return "&".join(self.ids.get(id, "") for id in ids.split("&"))

    def do_courseidput(self, domain: str, *rest: str) -> str:
        self.courses.update(split(":".join(rest)))
        return "ok"

    def do_courseiddump(self, domain: str, since: str, wanted: str) -> str:
        return "&".join(f"{id}={value}" for id, value in self.courses.items())

    def do_tmpput(self, *text: str) -> str:
        id = f"id_{len(self.temporary)}"
        self.temporary[id] = ":".join(text)
        return id

    def do_tmpget(self, id: str) -> str:
        return self.temporary.get(id, "error: 2 no such id")

    def do_tmpdel(self, id: str) -> str:
        return "error: 2 no such id" if self.temporary.pop(id, None) is None else "ok"

    def do_chatsend(self, domain: str, course: str, post: str) -> str:
        self.posts.append(post)
        return "ok"

    def do_chatretr(self, domain: str, course: str, member_domain: str, member: str) -> str:
        lines = [f"active_participant:{member}:{member_domain}"]
        lines += [f"{NOW}_{number:06}:{post}" for number, post in enumerate(self.posts)]
        return ":".join(re.sub("[^A-Za-z0-9_]", lambda found: f"%{ord(found[0]):02x}", line) for line in lines)

    def do_auth(self, domain: str, user: str, password: str, lane: str = "") -> str:
        if f"{domain}:{user}" not in self.passwords:
            return "unknown_user"
        return "authorized" if self.passwords[f"{domain}:{user}"] == password else "non_authorized"

    def do_passwd(self, domain: str, user: str, old: str, new: str, lane: str = "") -> str:
        verdict = self.do_auth(domain, user, old)
        if verdict != "authorized":
            return verdict
        self.passwords[f"{domain}:{user}"] = new
        return "ok" if new else "pwchange_failure"

    def do_makeuser(self, domain: str, user: str, kind: str, argument: str) -> str:
        if f"{domain}:{user}" in self.users:
            return "already_exists"
        self.users[f"{domain}:{user}"] = {}
        return self.do_changeuserauth(domain, user, kind, argument)

    def do_changeuserauth(self, domain: str, user: str, kind: str, argument: str) -> str:
        if kind == "krb4":
            return "auth_mode_error"
        if f"{domain}:{user}" not in self.users:
            return "unknown_user"
        self.passwords[f"{domain}:{user}"] = argument
        return "ok"

    def do_currentauth(self, domain: str, user: str) -> str:
        return "internal:" if f"{domain}:{user}" in self.passwords else "unknown_user"


def split(pairs: str) -> dict[str, str]:
    """``k=v&k=v`` as it is."""
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs.split("&") if pair)}


class FakeNet:
    """Carries requests to the hosts of one domain, msu; `own` is a host id.

    :param hosts: ids in the order of hosts.tab; ``l`` in the id makes it a library server.
    """

    def __init__(self, hosts: list[str], own: str = "", clock: Callable[[], float] = lambda: 0.0) -> None:
        self.londs = {id: FakeLond(id) for id in hosts}
        self.down: set[str] = set()
        self.answers: dict[tuple[str, str], str] = {}  # (host, command) -> reply instead of the host's own
        self.sent: list[tuple[str, str]] = []  # (host, line), critical messages with critical: in front
        self.delayed: list[tuple[str, str]] = []
        self.homes = HomeCache(clock)
        table = {
            id: Host(id, "msu", "library" if "l" in id else "access", f"{id}.example.org", f"127.0.0.{n}")
            for n, id in enumerate(hosts, 1)
        }
        self.site = Site(Config(host_id=own or hosts[0], tab_dir=Path("/none"), login_wait=0.0), HostsTable(table))

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        self.sent.append((host, command))
        return self._carry(command, host, timeout)

    def critical(self, command: str, host: str, timeout: float | None = None) -> str:
        self.sent.append((host, f"critical:{command}"))
        answer = self._carry(command, host, timeout)
        if answer == "con_lost":
            self.delayed.append((host, command))
            return "con_delayed"
        return answer

    def _carry(self, command: str, host: str, timeout: float | None) -> str:
        assert timeout is None or timeout > 0
        word = command.removeprefix("encrypt:").partition(":")[0]
        if (host, word) in self.answers:
            return self.answers[host, word]
        if host not in self.londs:
            return "no_such_host"
        return "con_lost" if host in self.down else self.londs[host].execute(command)

    def commands(self) -> list[str]:
        """Host and first word of what was sent, since the last call."""
        found = [
            f"{host} {line.removeprefix('critical:').removeprefix('encrypt:').partition(':')[0]}"
            for host, line in self.sent
        ]
        self.sent.clear()
        return found
