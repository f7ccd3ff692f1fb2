"""The process title: who this process is and how it is, for ps and top.

Set once per change of state, never per request; never anything secret. One module, so that lonnet, which lives in
other people's processes, can't reach setproctitle by accident.
"""

from __future__ import annotations

from setproctitle import getproctitle, setproctitle


def set_title(title: str) -> None:
    """Show `title`, with control characters made visible."""
    clean = "".join(c if c.isprintable() else "?" for c in title)
    if getproctitle() != clean:
        setproctitle(clean)
