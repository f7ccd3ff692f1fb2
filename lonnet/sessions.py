"""Sessions: who is logged in on this host, one file of JSON each in lonIDsDir.

A session's id is a random text of 256 bits that only the user's browser keeps. Its file is named by the SHA-256 of the
id, so that neither a listing of the directory, nor a backup, nor a path in an error message gives away a usable id.
The file's modification time is the session's last access. It is set again only when it is more than
:data:`FRESH_SECONDS` old, so that a busy session costs one write a minute.

A session ends lonSessionExpire seconds after its last access, lonSessionLifetime seconds after its log-in, or by
:meth:`Sessions.end`. What has ended is never found again, even if its file is still there.

Promises: a session that was made is on disk, whole, readable by its owner alone. Whatever an id looks like, only a file
of lonIDsDir is opened. Any number of processes and threads may work on the same session.

Raises: OSError when the directory can't be used; what is wrong with an id or a file counts as "no such session". Logs
nothing, and an id is in no exception's text.

Known limits: needs the wall clock, as files have no other; who sets it back lengthens sessions by as much.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common.config import Config
from common.durable import replacing

FRESH_SECONDS = 60.0  # between two notes of a last access

_ID_BYTES = 32
_ID = re.compile("[A-Za-z0-9_-]{43}")
_FILE = re.compile(r"[0-9a-f]{64}\.session")
_MAX_FILE = 1 << 20  # bytes; many times what a session with all its user files has


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in.

    :param user: user name.
    :param domain: the user's domain.
    :param home: host id of the user's home server at log-in.
    :param created: time of the log-in, UNIX seconds.
    :param csrf: secret that every form of the session carries.
    :param userfiles: what the session may fetch from this host for the user, by the names in ``userfile.NAME``.
    """

    user: str
    domain: str
    home: str
    created: float
    csrf: str = field(repr=False)
    userfiles: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``USER:DOMAIN``."""
        return f"{self.user}:{self.domain}"


class Sessions:
    """The sessions of one host.

    :param config: where they are and how long they last.
    :param clock: UNIX seconds.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._directory = config.ids_dir
        self._expire, self._lifetime = config.session_expire, config.session_lifetime
        self._clock = clock

    def create(self, user: str, domain: str, home: str) -> tuple[str, Session]:
        """A new session, on disk: its id, for the browser alone, and what is known of it."""
        session_id = secrets.token_urlsafe(_ID_BYTES)
        session = Session(user, domain, home, self._clock(), secrets.token_urlsafe(_ID_BYTES))
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self._path(session_id), session)
        return session_id, session

    def find(self, session_id: str) -> Session | None:
        """The session with this id, its last access noted; None: there is none, or it has ended."""
        if not _ID.fullmatch(session_id):
            return None
        path = self._path(session_id)
        found = self._read(path)
        if found is None:
            return None
        session, accessed = found
        if self._clock() - accessed > min(FRESH_SECONDS, self._expire / 4):
            with suppress(FileNotFoundError):  # it has just ended
                os.utime(path, (self._clock(), self._clock()))
        return session

    def end(self, session_id: str) -> None:
        """End a session; that there is none is no error."""
        if _ID.fullmatch(session_id) and self._directory.is_dir():
            with self._locked():  # else a grant that is under way would bring it back
                self._path(session_id).unlink(missing_ok=True)

    def grant(self, session_id: str, name: str, path: str) -> bool:
        """Let the session fetch one more file of the user from this host: entry ``userfile.NAME``.

        :param name: what the session calls the file.
        :param path: which file it is.
        :returns: whether there is such a session.
        """
        if self.find(session_id) is None:
            return False
        with self._locked():
            session = self.find(session_id)
            if session is None:  # it has ended meanwhile
                return False
            granted = replace(session, userfiles={**session.userfiles, name: path})
            self._write(self._path(session_id), granted)
        return True

    def count(self) -> int:
        """How many sessions are active: what lond's ``userload`` counts."""
        youngest = self._clock() - self._expire
        return sum(changed >= youngest for _, changed in self._files())

    def sweep(self) -> int:
        """Delete the files of sessions that ended; how many these were."""
        oldest = self._clock() - self._expire
        ended = [path for path, changed in self._files() if changed < oldest or self._read(path) is None]
        for path in ended:
            path.unlink(missing_ok=True)
        return len(ended)

    def _path(self, session_id: str) -> Path:
        return self._directory / f"{hashlib.sha256(session_id.encode()).hexdigest()}.session"

    def _files(self) -> Iterator[tuple[Path, float]]:
        """The files of sessions with their last access."""
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # ended meanwhile
                        if _FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                            yield Path(entry.path), entry.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return

    def _read(self, path: Path) -> tuple[Session, float] | None:
        """The session of a file and its last access; None: ended, or no file of ours."""
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                accessed = os.fstat(file.fileno()).st_mtime
                session = _parsed(file.read(_MAX_FILE))
        except OSError:
            return None
        now = self._clock()
        if session is None or now - accessed > self._expire or now - session.created > self._lifetime:
            return None
        return session, accessed

    def _write(self, path: Path, session: Session) -> None:
        values = {name: value for name, value in asdict(session).items() if name != "userfiles"}
        values |= {f"userfile.{name}": file for name, file in session.userfiles.items()}
        with replacing(path) as file:
            file.write(json.dumps(values).encode())
            file.flush()
            os.utime(file.fileno(), (self._clock(), self._clock()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among those who change or end sessions."""
        with open(self._directory / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _parsed(data: bytes) -> Session | None:
    try:
        values: dict[str, Any] = json.loads(data)
        files = {
            key.removeprefix("userfile."): str(values.pop(key)) for key in [*values] if key.startswith("userfile.")
        }
        session = Session(**values, userfiles=files)
        texts = (session.user, session.domain, session.home, session.csrf)
    except (ValueError, TypeError, AttributeError):
        return None
    return session if all(isinstance(text, str) and text for text in texts) and _is_time(session.created) else None


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
