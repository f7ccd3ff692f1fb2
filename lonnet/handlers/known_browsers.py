"""Browsers with which a user has logged in here before: tokens in a cookie, which only this host can make.

Who guesses a user's password from many addresses fills the strangers' lane of that user's log-ins at the home server
(docs/authentication.md). A browser that shows a token of the user takes another lane. That is all a token does: it
gives no access, and a password is checked as ever.

A token is a nonce, the time until which it counts, and a MAC over both and the user's name with a secret key of this
host, a file in lonIDsDir that all processes of the web server share. Nobody without the key can make one or tell whose
it is. Each right log-in brings a new one. A cookie holds a few of them, newest first, for people who share a computer.

Promises: any text may stand in the cookie. Where there is no key, nobody is known and everybody can log in; a missing
or damaged one is replaced, once for all processes.

Logs when it has made a key, and when it can't; no token. Raises nothing.

Known limits: a token can be copied and is not taken back before its time, so the caller limits the tries with each of
them by its nonce. Who copies one can use up these tries until the user's next right log-in with that browser.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import re
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from common.durable import replacing

log = logging.getLogger(__name__)

KEY_FILE = "known-browsers.key"  # in lonIDsDir
TOKENS = 4  # in a cookie

_KEY_BYTES, _NONCE_BYTES, _MAC_BYTES = 32, 16, 24
_CLAIM = struct.Struct(f">{_NONCE_BYTES}sQ")  # nonce, UNIX seconds at which it ends
_TOKEN = re.compile("[A-Za-z0-9_-]{64}")  # the base64 of claim and MAC, which needs no padding


class KnownBrowsers:
    """The tokens of one host.

    :param directory: where the key is; made with the key.
    :param lifetime: seconds for which a token counts; 0: nobody is known.
    :param clock: UNIX seconds, the same for all processes.
    """

    def __init__(self, directory: Path, lifetime: float, clock: Callable[[], float] = time.time) -> None:
        self._key_path, self._lifetime, self._clock = directory / KEY_FILE, lifetime, clock

    def recognise(self, cookie: str, user: str, domain: str) -> bytes | None:
        """The nonce of the token by which a browser is known as this user's; None: it is a stranger."""
        tokens = self._current(cookie)
        key = self._key() if tokens else None
        own = [token for token in tokens if key and _is_own(token, key, user, domain)]
        return _CLAIM.unpack_from(own[0])[0] if own else None

    def remember(self, cookie: str, user: str, domain: str) -> str:
        """What a browser's cookie is to be after a right log-in; empty: as it was.

        :param cookie: what it was; the tokens of others stay, as far as there is room.
        """
        key = self._key() if self._lifetime else None
        if key is None:
            return ""
        claim = _CLAIM.pack(secrets.token_bytes(_NONCE_BYTES), int(self._clock() + self._lifetime))
        others = [token for token in self._current(cookie) if not _is_own(token, key, user, domain)]
        tokens = [claim + _mac(key, claim, user, domain), *others][:TOKENS]
        return ".".join(urlsafe_b64encode(token).decode("ascii") for token in tokens)

    def _current(self, cookie: str) -> list[bytes]:
        """What looks like a token and has not ended, whoever has made it."""
        tokens = [urlsafe_b64decode(text) for text in cookie.split(".", TOKENS)[:TOKENS] if _TOKEN.fullmatch(text)]
        now = self._clock()
        return [token for token in tokens if now < _CLAIM.unpack_from(token)[1] <= now + self._lifetime]

    def _key(self) -> bytes | None:
        """The key; None: there is none to be had."""
        try:
            return self._read() or self._made()
        except OSError as error:
            log.warning("no browser is known at the log-in: %s", error)
            return None

    def _read(self) -> bytes | None:
        """The key; None: it is missing, damaged, or may not be read."""
        try:
            key = self._key_path.read_bytes()
        except (FileNotFoundError, PermissionError):
            return None
        return key if len(key) == _KEY_BYTES else None

    def _made(self) -> bytes:
        """A new key, or that which another process has just made."""
        self._key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._key_path.with_suffix(".lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            key = self._read()
            if key is None:
                key = secrets.token_bytes(_KEY_BYTES)
                with replacing(self._key_path) as file:
                    file.write(key)
                log.info("a key for known browsers was made: %s", self._key_path)
            return key


def _is_own(token: bytes, key: bytes, user: str, domain: str) -> bool:
    """Whether a token was made with the key for a user."""
    claim, mac = token[: _CLAIM.size], token[_CLAIM.size :]
    return hmac.compare_digest(mac, _mac(key, claim, user, domain))


def _mac(key: bytes, claim: bytes, user: str, domain: str) -> bytes:
    name = f"{domain}\0{user}".encode("utf-8", "surrogatepass")  # no name for which a token is made holds a NUL
    return hashlib.blake2b(claim + name, key=key, digest_size=_MAC_BYTES, person=b"known browser").digest()
