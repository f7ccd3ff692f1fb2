"""The command ``python -m tests.bench``: measure, and print a table for each subject."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import loginpage, logins, messages, requests, startup, submissions
from tests.bench.machine import description
from tests.bench.subject import QUICK, Effort, NotMeasured, Subject, progress

SUBJECTS: dict[str, Subject] = {
    "requests": requests.tables,
    "messages": messages.tables,
    "startup": startup.tables,
    "submissions": submissions.tables,
    "logins": logins.tables,
    "loginpage": loginpage.tables,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 if every subject was measured or said why it can't be, 1 if one failed."""
    options = _parse(argv)
    _allow_descriptors()
    machine = description()
    print("\n".join(f"{name + ':':13}{value}" for name, value in machine.items()), flush=True)
    effort = QUICK if options.quick else Effort()
    results: dict[str, Any] = {"machine": machine, "quick": options.quick, "subjects": {}}
    failed = False
    for name in options.only:
        results["subjects"][name], good = _measure(name, effort)
        failed = failed or not good
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the network on this machine.")
    parser.add_argument("--quick", action="store_true", help="windows of 1 s instead of 3, fewer users and children")
    parser.add_argument(
        "--only", metavar="NAME,...", type=names, default=list(SUBJECTS), help=f"of {', '.join(SUBJECTS)}"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the numbers there as well")
    return parser.parse_args(argv)


def names(text: str) -> list[str]:
    """The subjects that ``--only`` names."""
    chosen = text.split(",")
    for name in chosen:
        if name not in SUBJECTS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(SUBJECTS)}")
    return chosen


def _allow_descriptors() -> None:
    # Thousands of callers need as many descriptors, at both ends of their sockets.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _measure(name: str, effort: Effort) -> tuple[list[dict[str, Any]], bool]:
    """Print the tables of a subject as they come; their data, and whether nothing failed."""
    measured: list[dict[str, Any]] = []
    try:
        for table in SUBJECTS[name](effort):
            print(f"\n{table.text()}", flush=True)
            measured.append(table.data())
    except NotMeasured as reason:
        print(f"\n{name}: not measured: {reason}", flush=True)
        measured.append({"title": name, "not measured": str(reason)})
    except Exception as error:
        traceback.print_exc()
        print(f"\n{name}: failed: {error}", flush=True)
        measured.append({"title": name, "failed": str(error)})
        return measured, False
    progress(f"{name}: done")
    return measured, True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # everything that was started has been ended on the way here
        sys.exit("bench: interrupted")
