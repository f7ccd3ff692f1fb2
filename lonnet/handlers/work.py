"""What a learner has answered: one stored version for each answer, at the learner's home server.

Answers are in the namespace :data:`NAMESPACE`, the resource id is the path of the problem. Each has

=============  ==========================================================
``answer``     as it was given
``award``      ``correct`` or ``incorrect``
``version``    of the problem that it was an answer to
``host``       the host id of the session that it was given in
=============  ==========================================================

Promises: an answer that was stored is on disk, there or on its way. Raises what :mod:`lonnet.records` raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lonnet.client import Lonnet
from lonnet.replies import Delivery
from lonnet.sessions import Session
from lonnet.users import User

NAMESPACE = "problems"
CORRECT, INCORRECT = "correct", "incorrect"


@dataclass(frozen=True, slots=True)
class Try:
    """One answer.

    :param number: from 1 on.
    :param time: UNIX seconds.
    :param version: of the problem.
    """

    number: int
    time: int
    answer: str
    right: bool
    version: str


@dataclass(frozen=True, slots=True)
class State:
    """Where a learner is with one problem."""

    path: str
    solved: bool


def hand_in(net: Lonnet, session: Session, path: str, answer: str, right: bool, version: int) -> Delivery:
    """Store an answer."""
    values = {
        "answer": answer,
        "award": CORRECT if right else INCORRECT,
        "version": str(version),
        "host": net.site.own.id,
    }
    return _learner(net, session).store(NAMESPACE, path, values)


def history(net: Lonnet, session: Session, path: str) -> Sequence[Try]:
    """All answers to a problem, the first one first."""
    stored = _learner(net, session).restore(NAMESPACE, path)
    return [
        Try(
            version.number,
            version.timestamp,
            version.values.get("answer", ""),
            version.values.get("award") == CORRECT,
            version.values.get("version", ""),
        )
        for version in stored.versions
    ]


def overview(net: Lonnet, session: Session) -> Sequence[State]:
    """All problems that a learner has answered, by path; the last answer to each counts."""
    current = _learner(net, session).current(NAMESPACE)
    return [State(path, values.get("award") == CORRECT) for path, values in sorted(current.items())]


def _learner(net: Lonnet, session: Session) -> User:
    return net.user(session.user, session.domain, home=session.home)
