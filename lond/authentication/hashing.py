"""The jobs of the workers: what a lond child asks them, what they do for it, what they answer.

A job is one connection to a worker's socket: one line there, one line back. Both are JSON objects in which text stands
for bytes one to one (Latin-1). A job that checks a password can bring a new one, which is hashed if the old one was
right; a right password whose stored hash is outdated comes back with a new hash of itself.

Promises: :func:`perform` always ends in an outcome, unless there is a bug. Whoever does not exist costs the same work
as a wrong password. No repr of anything here holds a password or a hash.

Raises: ValueError for a line that is not a job or an outcome. Logs nothing.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field

from lond.authentication import passwords
from lond.authentication.accounts import INTERNAL, KRB5, LOCALAUTH, UNIX, Account, AccountError
from lond.authentication.authenticators import Claim, Unanswered, Unavailable, Unusable, check

MAX_LINE_BYTES = 32768  # of a job or an outcome; two longest passwords of the worst characters are 12,288 in JSON

ASKING_TYPES = frozenset((UNIX, KRB5, LOCALAUTH))  # those that wait for somebody else


class Verdict(enum.Enum):
    """How a job ended."""

    RIGHT = "right"
    WRONG = "wrong"
    UNAVAILABLE = "unavailable"  # this type can't be checked on this machine
    UNUSABLE = "unusable"  # this account can't be checked on this machine, because of what it says
    FAILED = "failed"  # no answer from who was asked, or no worker
    BUSY = "busy"  # too much to do: try again
    UNDER_WAY = "under way"  # it takes longer than the caller should wait: come again for the outcome


@dataclass(frozen=True, slots=True)
class Job:
    """One password to check, to hash, or both.

    :param account: whose password it is; None: of nobody, the work is done all the same, and the verdict is WRONG.
    :param password: the one to check; None: only hash `new`.
    :param new: the one to hash, if the first one is right.
    """

    domain: bytes
    user: bytes
    account: Account | None
    password: bytes | None = field(repr=False)
    new: bytes | None = field(default=None, repr=False)

    @property
    def asks(self) -> bool:
        """Whether it may have to wait for somebody else, such as a Kerberos server."""
        return self.password is not None and self.account is not None and self.account.type in ASKING_TYPES

    def encode(self) -> bytes:
        """Its line, with LF."""
        account = None if self.account is None else [self.account.type, self.account.info]
        texts = [_text(part) for part in (self.domain, self.user, self.password, self.new)]
        return json.dumps([*texts, account]).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Job:
        """The job of a line.

        :raises ValueError: it is none.
        """
        try:
            domain, user, password, new, account = json.loads(line)
            account = None if account is None else Account(*account)
            return cls(_bytes(domain) or b"", _bytes(user) or b"", account, _bytes(password), _bytes(new))
        except (ValueError, TypeError, AttributeError, AccountError):
            raise ValueError("not a job") from None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    :param hash: the new hash for the passwd file, if there is to be one.
    :param reason: why it is UNAVAILABLE, UNUSABLE or FAILED, for the log.
    """

    verdict: Verdict
    hash: str | None = field(default=None, repr=False)
    reason: str = ""

    def encode(self) -> bytes:
        """Its line, with LF."""
        return json.dumps([self.verdict.value, self.hash, self.reason]).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Outcome:
        """The outcome of a line.

        :raises ValueError: it is none.
        """
        try:
            verdict, hash_, reason = json.loads(line)
            return cls(Verdict(verdict), None if hash_ is None else str(hash_), str(reason))
        except (ValueError, TypeError):
            raise ValueError("not an outcome") from None


def perform(job: Job, hostname: str) -> Outcome:
    """Does the work of a job; takes tens of milliseconds, or as long as who is asked takes.

    :param hostname: this host's name in hosts.tab.
    """
    if job.password is not None:
        try:
            right = _checked(job, job.password, hostname)
        except Unusable as error:
            return Outcome(Verdict.UNUSABLE, reason=str(error))
        except Unavailable as error:
            return Outcome(Verdict.UNAVAILABLE, reason=str(error))
        except Unanswered as error:
            return Outcome(Verdict.FAILED, reason=str(error))
        if not right:
            return Outcome(Verdict.WRONG)
    return Outcome(Verdict.RIGHT, _new_hash(job))


def _checked(job: Job, password: bytes, hostname: str) -> bool:
    if job.account is None:
        passwords.waste(password)
        return False
    domain, user = job.domain.decode("ascii"), job.user.decode("ascii")
    return check(job.account, Claim(domain, user, password, job.account.info, hostname))


def _new_hash(job: Job) -> str | None:
    if job.new is not None:
        return passwords.hash_password(job.new)
    account = job.account
    if account is None or account.type != INTERNAL or job.password is None:
        return None
    return passwords.hash_password(job.password) if passwords.is_outdated(account.info) else None


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
