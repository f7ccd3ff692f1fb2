"""The command that examines the way to one host and says which side must act."""

from __future__ import annotations

import argparse
import json

from loncontrol.control import FAILED, OK, Control, argument, command, say
from loncontrol.examination import Examination
from loncontrol.findings import HERE, Finding, Level
from loncontrol.terminal import GREEN, RED, YELLOW, coloured, printable

WARNINGS = 3  # exit code
_COLOURS = {Level.OK: GREEN, Level.WARNING: YELLOW, Level.FAILED: RED}
_STEP = 12  # columns


@command(
    "doctor",
    "examine the way to a host step by step, and say which side must act",
    argument("host", metavar="HOST", help="the host"),
    argument("--json", action="store_true", help="for programs"),
    description="Looks at name, addresses, port, key exchange, identity, clock, load, the way back, our own lonc and "
    "what waits, over a short-lived link of its own. Exit code 0: all is well; 1: a step failed; 3: only warnings.",
)
def doctor(control: Control, options: argparse.Namespace) -> int:
    """The steps as they come, then the verdict."""
    if not control.knows(options.host):
        return FAILED
    found: list[Finding] = []
    for finding in Examination(control, options.host).findings():
        found.append(finding)
        if not options.json:
            say(_line(finding))
    if options.json:
        say(json.dumps([finding.as_json() for finding in found], indent=1))
    else:
        say("\n" + "\n".join(verdict(found)))
    levels = {finding.level for finding in found}
    return FAILED if Level.FAILED in levels else WARNINGS if Level.WARNING in levels else OK


def _line(finding: Finding) -> str:
    level = coloured(f"{finding.level.value:<7}", _COLOURS[finding.level])
    return f"{finding.step:<{_STEP}} {level} {printable(finding.words)}"


def verdict(found: list[Finding]) -> list[str]:
    """Who must do what, what failed first."""
    ranked = sorted((f for f in found if f.who), key=lambda finding: finding.level is not Level.FAILED)
    if not ranked:
        return ["Verdict: all is well, nobody has to act."]
    return ["Verdict:", *(f"  {_who(finding.who)}: {printable(finding.act)}" for finding in ranked)]


def _who(who: str) -> str:
    return "here" if who == HERE else f"{who}'s administrator"
