"""One run of loncron, and its parts that can be had alone.

The order matters: first what is missing is started, then everything is looked at, then it is told (page, metrics,
mail), and last comes the work that may take long and is urgent to nobody. A check that fails as none should is a
finding itself: the others, and the mail, are not to be missed because of it. A fault in the tables is one, too: what
needs no table is still done.

Logs to lonDaemons/logs/loncron.log what it has done and how long it took.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from common.site import Site
from loncron import mail, output
from loncron.checks import connections, copies, daemons, leftovers, logs, machine, modes, queue, versions
from loncron.memory import Memory, alone
from loncron.reach import reach
from loncron.visit import Visit
from lonstatus.findings import Finding, Level, score
from lonstatus.text import aligned

log = logging.getLogger(__name__)

Check = Callable[[Visit], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    daemons.check,
    connections.check,
    versions.check,
    queue.check,
    logs.check,
    machine.load,
    machine.disks,
    modes.check,
    leftovers.sockets,
    leftovers.unfinished,
    leftovers.sessions,
    copies.check,
)

# They need the tables.
OF_OTHER_HOSTS = (connections.check, versions.check, queue.check, leftovers.sockets, copies.check)

OK, FAILED, NOT_CONFIGURED = 0, 1, 6


def full_run(visit: Visit, with_mail: bool) -> int:
    """Everything; the exit code. Silent, but for what it can't tell in any other way.

    :raises AnotherRuns: another one is at work.
    :raises OSError: what this run must leave to the next can't be written.
    """
    with alone(visit.site.config):
        begun = time.monotonic()
        visit.memory = Memory.read(visit.site.config)
        findings = look(visit)
        code = _tell(visit, findings, with_mail)
        visit.memory.write(visit.site.config)
        numbers = Counter(finding.level.word for finding in findings)
        shown = ", ".join(f"{number} x {word}" for word, number in sorted(numbers.items())) or "nothing"
        log.info("found %s in %.1f s", shown, time.monotonic() - begun)
        if not visit.fault:
            copies.sweep(visit)
            visit.memory.write(visit.site.config)
    return code


def dry_run(visit: Visit) -> int:
    """Say what a run would find; change nothing, start nothing, tell nobody else."""
    visit.memory = Memory.read(visit.site.config)
    findings = look(visit)
    for finding in sorted(findings, key=lambda finding: -finding.level):
        _say(f"{finding.level.word:<8} {finding.check}: {finding.text}")
    due = mail.is_due(visit.site, findings, visit.memory)
    to = visit.site.config.adm_email or "nobody (lonAdmEMail is empty)"
    _say(f"sum {score(findings)}; " + (f"a mail would go to {to}" if due else "no mail would be sent"))
    return OK


def look(visit: Visit) -> list[Finding]:
    """All checks, one after the other; of those that need the tables none if these are wrong."""
    found = [Finding(Level.ERROR, "tables", visit.fault, visit.fault)] if visit.fault else []
    checks = [check for check in CHECKS if not (visit.fault and check in OF_OTHER_HOSTS)]
    return [*found, *(finding for check in checks for finding in _guarded(check, visit))]


def _guarded(check: Check, visit: Visit) -> list[Finding]:
    name = check.__module__.rpartition(".")[2]
    try:
        return list(check(visit))
    except Exception as error:
        log.exception("check %s failed", name)
        more = "" if visit.dry else "; loncron.log has more"
        text = f"the check failed: {type(error).__name__}: {error}{more}"
        return [Finding(Level.ERROR, name, f"{name} failed", text)]


def _tell(visit: Visit, findings: Sequence[Finding], with_mail: bool) -> int:
    code = _complain(visit.fault, NOT_CONFIGURED) if visit.fault else _publish(visit.site, findings)
    if not mail.is_enough(visit.site, findings):
        visit.memory.mailed = None  # what comes after this is news
        return code
    if visit.memory.mailed is not None:
        visit.memory.mailed = mail.still_known(visit.memory.mailed, findings)
    if with_mail and visit.site.config.adm_email and mail.is_due(visit.site, findings, visit.memory):
        try:
            mail.send(visit.site, mail.message(visit.site, findings))
        except OSError as error:
            return _complain(f"{visit.site.config.smtp_server} does not take the mail: {error}")
        visit.memory.mailed = mail.told(visit.memory.mailed or (), findings)
        log.info("mail sent to %s", visit.site.config.adm_email)
    return code


def _publish(site: Site, findings: Sequence[Finding]) -> int:
    code = OK
    for what, write in (
        ("status page", partial(output.write_page, findings=findings)),
        ("metrics", output.write_metrics),
    ):
        try:
            write(site)
        except OSError as error:
            code = _complain(f"the {what} can't be written: {error}")
    return code


def just_daemons(visit: Visit) -> int:
    """Start what is missing; what there was to do, line by line."""
    findings = list(daemons.check(visit))
    for finding in findings:
        _say(finding.text)
    return FAILED if any(daemon.pid is None for daemon in visit.daemons()) and not visit.dry else OK


def just_connections(visit: Visit) -> int:
    """Try to reach every host, whatever its link says; one line for each."""
    if visit.fault:
        return _complain(visit.fault, NOT_CONFIGURED)
    answers = reach(visit.site, visit.site.table.hosts)
    table = visit.site.table
    rows = [("HOST", "ADDRESS", "SECONDS", "ANSWER")]
    rows += [(a.host, table[a.host].ip, f"{a.seconds:.3f}", a.why or "good") for a in answers.values()]
    _say(aligned(rows))
    return OK if all(answer.reached for answer in answers.values()) else FAILED


def just_reload(visit: Visit) -> int:
    """Have both daemons read configuration and tables again, once these are known to be good."""
    for daemon in visit.daemons():
        code, words = daemon.check()
        if code:
            return _complain(words, NOT_CONFIGURED)
    missing = [daemon.name for daemon in visit.daemons() if not (visit.dry or daemon.signal(signal.SIGHUP))]
    for name in missing:
        _complain(f"{name} does not run, and reads nothing; to start it: loncontrol start")
    return FAILED if missing else OK


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str, code: int = FAILED) -> int:
    log.error("%s", text)
    print(f"loncron: {text}", file=sys.stderr)
    return code
