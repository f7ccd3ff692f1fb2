"""The mail to lonAdmEMail: only when there is enough to tell, and only when something has changed since the last one.

What counts as a change is a warning or an error that was not told yet, by its key; that one has gone is no news. When
the sum falls to lonMailThreshold or below, all is forgotten, so that the same trouble is news when it comes again;
above it, what has gone is forgotten. Lines of logs are not: they come and go while their cause stays.

Raises OSError (smtplib's errors are) when the mail server does not take the mail.
"""

from __future__ import annotations

import smtplib
import socket
from collections import Counter
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from common.site import Site
from loncron.checks import logs
from loncron.memory import Memory
from lonstatus.findings import Finding, Level, score

SUBJECT_CHARACTERS = 150
MOST_KEYS = 10_000  # of what was mailed


def is_enough(site: Site, findings: Sequence[Finding]) -> bool:
    """Whether there is enough to tell."""
    return score(findings) > site.config.mail_threshold


def is_due(site: Site, findings: Sequence[Finding], memory: Memory) -> bool:
    """Whether there is enough to tell, and something new."""
    new = memory.mailed is None or not set(keys(findings)) <= set(memory.mailed)
    return is_enough(site, findings) and new


def still_known(mailed: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    """Of the keys that were mailed, those that are not to be told again: what is so still, and lines of logs."""
    now = set(keys(findings))
    return [key for key in mailed if key in now or key.split(" ")[1] in logs.NAMES]


def told(mailed: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    """What was mailed, with the keys of a mail that has just been sent; of very many the newest."""
    new = keys(findings)
    return [*(key for key in mailed if key not in new), *new][-MOST_KEYS:]


def keys(findings: Sequence[Finding]) -> list[str]:
    """What makes this trouble differ from another."""
    return sorted({f"{f.level.word} {f.check} {f.key}" for f in findings if f.level > Level.NOTICE})


def message(site: Site, findings: Sequence[Finding]) -> EmailMessage:
    """The mail."""
    worst_first = sorted(findings, key=lambda finding: -finding.level)
    own, hostname = site.config.host_id, _hostname(site)
    mail = EmailMessage()
    mail["From"] = site.config.mail_from or f"loncron@{hostname}"
    mail["To"] = site.config.adm_email
    mail["Subject"] = f"[{own}] {_summary(findings)}: {_one_line(worst_first[0].text)}"[:SUBJECT_CHARACTERS]
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=hostname)
    mail["Auto-Submitted"] = "auto-generated"
    lines = [
        f"loncron of {own} ({hostname}) found {_summary(findings)}.",
        "",
        *(f"{finding.level.word.upper():<8} {finding.check}: {_one_line(finding.text)}" for finding in worst_first),
        "",
        f"Sum {score(findings)}: notices count 1, warnings 4, errors 100; lonMailThreshold is "
        f"{site.config.mail_threshold}.",
        "There is no further mail until this list changes. How things are now: loncontrol status, loncontrol peers,",
        f"{site.config.http_base}/lon-status/",
    ]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _hostname(site: Site) -> str:
    """This host's name; while the tables are wrong, the machine's."""
    return site.own.hostname if site.config.host_id in site.table else socket.gethostname()


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _summary(findings: Sequence[Finding]) -> str:
    numbers = Counter(finding.level for finding in findings)
    parts = [f"{number} {level.word}{'s' * (number > 1)}" for level, number in sorted(numbers.items(), reverse=True)]
    return ", ".join(parts)


def send(site: Site, mail: EmailMessage) -> None:
    """Hand the mail to lonSMTPServer."""
    host, _, port = site.config.smtp_server.rpartition(":")
    with smtplib.SMTP(host.strip("[]"), int(port), timeout=site.config.mail_timeout) as server:
        server.send_message(mail)
