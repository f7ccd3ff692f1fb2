"""Write the documents that are made of the sources, or say which are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from loncontrol.documents.completion import scripts
from loncontrol.documents.messages import page
from loncontrol.documents.pages import pages

ROOT = Path(__file__).resolve().parents[2]


def documents() -> Iterator[tuple[Path, str]]:
    """Every document: (path, what it should be)."""
    yield from ((ROOT / "docs" / "man" / name, text) for name, text in pages())
    yield from ((ROOT / "conf" / "completion" / name, text) for name, text in scripts())
    yield ROOT / "docs" / "log-messages.md", page(ROOT)


def main() -> int:
    """Write; or 1 if something is stale."""
    parser = argparse.ArgumentParser(prog="python -m loncontrol.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in documents() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text)
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
