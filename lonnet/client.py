"""Requests and critical messages to the hosts of the network, for web handlers and everybody else.

A :class:`Lonnet` is made once per process (before or after its forks) and used by all its threads. Each thread of
each process keeps connections of its own to the lonc children's sockets; nothing is shared, nothing is locked.

Promises: every call ends, at its limit at the latest (storing a critical message may take longer, see
:mod:`lonnet.delayed`). A request is sent again only when it was certainly not executed, so that a rolling restart of
lonc costs no answer. A reply always belongs to its request. A critical message is on disk or answered, or the
caller hears ``con_failed``. No signals, no fork, no atexit, no output: fit for mod_wsgi.

`reply` and `critical` raise ValueError and TypeError for what can't be a request line or a time, making a Lonnet raises
ConfigError for a bad configuration; else nothing: what can't be had is answered with the classic strings. The typed
calls above them (`user`, `course`, `domain`, ...) raise what :mod:`lonnet.errors` says instead. Logs a warning when
sockets can't be reached for a reason of this machine (permission, descriptors), once for each reason.

Known limits: changes of the configuration are noticed when a connection is made or an unknown host is named
(:mod:`lonnet.site_watch`); hosts without an IP in hosts.tab that are new are then looked up in DNS within the call.
Commands and replies are str: UTF-8, other bytes as surrogates (surrogateescape).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import weakref
from os import getpid
from pathlib import Path
from time import monotonic, time_ns

from common.config import config_path
from common.delayed import Message
from common.errors import PeerUnavailable
from common.frames import frame_length
from common.permlog import carries_password
from common.site import Site, load_site
from lonnet.connection import Connection, NotExecuted, Unusable, seconds_left, socket_path
from lonnet.connections import Connections
from lonnet.courses import Course
from lonnet.deadline import LONGEST_TIMEOUT as LONGEST_TIMEOUT
from lonnet.deadline import Deadline
from lonnet.deadline import limit as limit_of
from lonnet.delayed import OwnStore
from lonnet.domains import Domain
from lonnet.errors import NoSuchHost
from lonnet.homes import HomeCache, UserName, home_server
from lonnet.reconnect import reconlonc
from lonnet.resources import Resources
from lonnet.site_watch import SiteWatch
from lonnet.temporary import Temporary
from lonnet.users import User
from lonnet.wire import TEXT

log = logging.getLogger(__name__)

CON_LOST, CON_FAILED, NO_SUCH_HOST = "con_lost", "con_failed", "no_such_host"

TRIES = 5  # connections that one call may use up: one left from before a rolling restart, and some to spare

_LINE_BREAKER = re.compile("[\n\r\0]").search
_CRITICAL, _ENCRYPT = "critical:", "encrypt:"


class Lonnet:
    """The network, as one host's callers see it.

    :param site: configuration and tables.
    :param path: the configuration file they came from: it and the tables are read again when they change;
        None: they stay as they are.
    """

    def __init__(self, site: Site, path: Path | None = None) -> None:
        self._watch = SiteWatch(site, path)
        self._store = OwnStore()
        self._local = threading.local()
        self._all: weakref.WeakValueDictionary[int, Connections] = weakref.WeakValueDictionary()
        self._last_trouble = ""
        self._resources: Resources | None = None
        self.homes = HomeCache()

    @classmethod
    def from_conf(cls, path: str | os.PathLike[str] | None = None) -> Lonnet:
        """Load the configuration file; None: ``$LONCAPA_CONF``, else /etc/loncapa/loncapa.conf.

        :raises ConfigError: it or a table is missing or wrong.
        """
        file = config_path(None if path is None else os.fspath(path), os.environ)
        return cls(load_site(file), file)

    @property
    def site(self) -> Site:
        """Configuration and tables as they are in force now."""
        return self._watch.site

    def refresh(self) -> None:
        """Read configuration and tables again if they have changed, after some seconds at most.

        New connections do so by themselves; for who goes by :attr:`site` and may need none for a long time.
        """
        self._watch.refresh()

    def reply(self, command: str, host: str, timeout: float | None = None) -> str:
        """Send a request to `host` and wait for its reply.

        :param command: the request line without LF; ``encrypt:`` before it: it travels encrypted.
        :param timeout: seconds; None: lonRequestTimeout, and a little more for lonc's own answer.
        :returns: the reply; ``con_lost``: none came, it may have been executed; ``no_such_host``.
        :raises ValueError: the command is empty, more than one line or longer than lonMaxRequest (encrypted, it takes
            twice its bytes), or the timeout is not a time; nothing was sent.

        Source: classic-protocol, section 3.
        """
        line = self._request_line(command, "")
        limit = limit_of(timeout, self._watch.site.config.request_timeout)
        try:
            return self._ask(host, line, limit).decode("utf-8", "surrogateescape")
        except NoSuchHost:
            return NO_SUCH_HOST
        except PeerUnavailable:
            return CON_LOST

    def critical(self, command: str, host: str, timeout: float | None = None) -> str:
        """Send a critical message to `host`: it is executed now, or stored and delivered later.

        :param command: as for :meth:`reply`.
        :param timeout: seconds; None: lonCriticalTimeout, and a little more for lonc's own answer.
        :returns: the reply; ``con_delayed``: it is on disk; ``con_failed``: it is nowhere; ``no_such_host``.
        :raises ValueError: as :meth:`reply`, or the command carries a password; nothing was sent or stored.

        Source: design, section 4.
        """
        message_id = new_message_id()
        line = self._request_line(command, f"{_CRITICAL}{message_id}:")
        if command.startswith(_CRITICAL):
            raise ValueError("command begins with critical: already; pass what comes behind its id")
        if carries_password(_encoded(command)):
            raise ValueError("a command with a password must not be stored; send it with reply()")
        limit = limit_of(timeout, self._watch.site.config.critical_timeout)
        try:
            answer = self._ask(host, line, limit).decode("utf-8", "surrogateescape")
        except NoSuchHost:
            return NO_SUCH_HOST
        except PeerUnavailable:
            answer = CON_LOST
        if answer not in (CON_LOST, CON_FAILED):
            return answer
        return self._without_child(host, Message(message_id, _encoded(command)), answer)

    def user(self, name: str, domain: str, home: str | None = None) -> User:
        """The user's account and records; nothing is sent.

        :param home: host id of what was the home server at some time, as a session knows it: a critical message goes
            there while nobody can say whether it still is.
        :raises ValueError: name or domain is not a name.
        """
        return User(self, name, domain, home)

    def course(self, name: str, domain: str) -> Course:
        """The course's records and chat room, as :meth:`user`."""
        return Course(self, name, domain)

    def domain(self, name: str) -> Domain[str]:
        """The domain's institutional ids and its list of courses, as :meth:`user`."""
        return Domain(self, name, TEXT)

    @property
    def resources(self) -> Resources:
        """The published resources."""
        if self._resources is None:
            self._resources = Resources(self)
        return self._resources

    def temporary(self, host: str | None = None) -> Temporary[str]:
        """The temporary texts of a host; None: of this one."""
        return Temporary(self, self.site.own.id if host is None else host, TEXT)

    def homeserver(self, user: str, domain: str, timeout: float | None = None) -> str:
        """The host id of a user's home server.

        :raises NoSuchUser: there is none.
        :raises HostUnreachable: a library server of the domain could not be asked, and no other one is it.
        """
        deadline = Deadline(limit_of(timeout, self.site.config.request_timeout))
        return home_server(self, UserName(user, domain), deadline)

    def reconlonc(self, host: str | None = None) -> bool:
        """Ask lonc to try its lost links again now; see :func:`lonnet.reconnect.reconlonc`."""
        return reconlonc(self._watch.site, host)

    def close_thread(self) -> None:
        """Close the connections of the calling thread; its next call opens new ones."""
        mine: Connections | None = getattr(self._local, "connections", None)
        if mine is not None:
            mine.close()
            del self._local.connections

    def close(self) -> None:
        """Close the connections of all threads of this process; those in use, when their call ends.

        The object stays usable: the next call of a thread opens a new connection.
        """
        self._local = threading.local()  # a call under way is then the last to hold its thread's connections
        for reference in self._all.valuerefs():
            connections = reference()
            if connections is not None:
                connections.close()

    def _ask(self, host: str, line: bytes, limit: float) -> bytes:
        """The reply line to `line`; NoSuchHost or PeerUnavailable if there is none within `limit` seconds."""
        deadline = monotonic() + limit
        connections = self._connections()
        connection = connections.take(host)
        for _ in range(TRIES):
            if connection is None:
                connection = self._connect(host, deadline)
                limit = seconds_left(deadline)
            try:
                reply = connection.exchange(line, limit, deadline)
            except NotExecuted:
                connection = None
                continue
            connections.keep(host, connection)
            return reply
        raise PeerUnavailable(f"{host}: {TRIES} connections were closed before they took the request")

    def _connections(self) -> Connections:
        mine: Connections | None = getattr(self._local, "connections", None)
        if mine is None or mine.pid != getpid():  # inherited over fork: dropped, which closes our copies of them
            mine = self._local.connections = Connections()
            self._all[id(mine)] = mine
        return mine

    def _connect(self, host: str, deadline: float) -> Connection:
        self._watch.refresh()
        site = self._watch.site
        if host not in site.table:
            raise NoSuchHost(host)
        try:
            return Connection(socket_path(site.config, host), deadline, site.config.max_reply)
        except Unusable as error:
            if self._last_trouble != str(error):
                log.warning("socket of %s can't be reached: %s", host, error)
                self._last_trouble = str(error)
            raise

    def _without_child(self, host: str, message: Message, answer: str) -> str:
        if answer == CON_FAILED:  # the child's own word, and in the perm log: the same disk would fail here as well
            return CON_FAILED
        return self._store.store(self._watch.site, host, message).decode("utf-8", "surrogateescape")

    def _request_line(self, command: str, prefix: str) -> bytes:
        if not isinstance(command, str):
            raise TypeError(f"command must be str, not {type(command).__name__}")
        if not command:
            raise ValueError("command is empty")
        if _LINE_BREAKER(command):
            raise ValueError("command contains LF, CR or NUL; escape its arguments")
        line = _encoded(f"{prefix}{command}\n")
        length, what = len(line) - 1, "request line"
        if command.startswith(_ENCRYPT):
            length, what = frame_length(length - len(prefix) - len(_ENCRYPT)), "encrypted request line"
        most = self._watch.site.config.max_request
        if length > most:
            raise ValueError(f"{what} of {length} bytes, at most {most} are allowed (lonMaxRequest)")
        return line


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def new_message_id() -> str:
    """A fresh id of a critical message: 32 hex digits, the first twelve the time in milliseconds.

    Ids of the same time stand side by side in the FIFO's index. Were they wholly random, each message of a batch would
    change another page of the file.
    """
    return f"{time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
