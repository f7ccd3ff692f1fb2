"""Who this host is: what `loncontrol setup` must know, where it looks first, and how it asks.

Each answer is checked when it is given, by the same code that will read it from the files.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from common.config import Config
from common.errors import ConfigError
from common.hosts_table import Domain, Host, parse_hosts
from common.settings import SETTINGS
from common.site import dns

Ask = Callable[[str], str]
_ROLE_DEFAULT = "library"
_MAIL = next(setting for setting in SETTINGS if setting.name == "lonAdmEMail")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know; `name` is that of the option and of the answer."""

    name: str
    prompt: str
    explanation: str


OPTIONAL = ("domain-name", "address")  # nobody needs to be asked for these

QUESTIONS = (
    Question("host-id", "Host id", "the short name of this server in the network, e.g. msul1; never changed later"),
    Question("domain", "Domain", "the institution's short name, the same on all its servers, e.g. msu"),
    Question("domain-name", "Domain's name", "the institution's full name, for domain.tab; empty: none"),
    Question("role", "Role", "library: keeps users' records and authors' resources; access: hosts sessions"),
    Question("hostname", "Host name", "this server's full name in DNS"),
    Question("address", "Address", "the IP address under which the other hosts reach it; empty: looked up in DNS"),
    Question("email", "Mail address", "where loncron reports trouble; empty: nowhere"),
)


class BadAnswer(Exception):
    """An answer that the files could not hold; the text says what would be right."""


def checked(name: str, answer: str) -> str:
    """An answer as the files will have it.

    :raises BadAnswer: it is not allowed.
    """
    answer = answer.strip()
    if name == "email":
        try:
            _MAIL.parse(answer)
        except ValueError:
            raise BadAnswer(f"{answer!r} is not {_MAIL.parse.allowed}") from None
        return answer
    if name == "domain-name":
        if ":" in answer or not answer.isprintable():
            raise BadAnswer("it must be one line without a colon")
        return answer
    fields = {"host-id": "x", "domain": "x", "role": "library", "hostname": "x", "address": "", name: answer}
    try:
        [host] = parse_hosts(_line(fields), "").values()
    except ConfigError as error:
        raise BadAnswer(error.reason) from None
    except ValueError:
        raise BadAnswer("it must not be empty, nor begin with #") from None
    return host.ip if name == "address" else answer


def record(answers: Mapping[str, str], extra: tuple[str, ...] = ()) -> str:
    """The answers as this host's line in hosts.tab."""
    return ":".join((_line(answers), *extra))


def _line(answers: Mapping[str, str]) -> str:
    address = answers["address"].strip("[]")
    written = f"[{address}]" if ":" in address else address
    return ":".join((*(answers[name] for name in ("host-id", "domain", "role", "hostname")), written))


def guesses(
    config: Config | None, known: Mapping[str, Host], domains: Mapping[str, Domain], given: Mapping[str, str]
) -> dict[str, str]:
    """What is likely: from the files as they are, then from the machine's own name.

    :param given: the answers so far; the host id decides which line of hosts.tab is ours.
    """
    found = {"email": config.adm_email} if config else {}
    if domain := domains.get(given.get("domain", "")):
        found["domain-name"] = domain.description
    host_id = given.get("host-id") or (config.host_id if config else "")
    if host_id:
        found["host-id"] = host_id
    if own := known.get(host_id):
        found |= {"domain": own.domain, "role": own.role, "hostname": own.hostname, "address": own.ip}
        return found
    found |= {"role": _ROLE_DEFAULT, "email": found.get("email", "")}
    name = given.get("hostname") or socket.getfqdn()
    if "." in name and not name.endswith(".localdomain"):
        found["hostname"] = name
        with suppress(OSError):
            if not (address := dns(name)).startswith("127."):
                found["address"] = address
    return found


def ask(question: Question, guess: str | None, put: Ask, tell: Callable[[str], None]) -> str:
    """Ask until the answer is allowed; an empty one is the guess.

    :raises EOFError: nobody answers any more.
    """
    tell(f"{question.prompt}: {question.explanation}")
    while True:
        answer = put(f"  {question.prompt}{f' [{guess}]' if guess else ''}: ").strip() or guess or ""
        try:
            return checked(question.name, answer)
        except BadAnswer as error:
            tell(f"  {error}")
