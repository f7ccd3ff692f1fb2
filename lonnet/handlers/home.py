"""/ and the style sheet: where a log-in leads to when it has no other aim."""

from __future__ import annotations

from lonnet.handlers.access import login_required
from lonnet.handlers.pages import page_blueprint, render

home = page_blueprint("home", static=True)


@home.get("/")
@login_required
def index() -> str:
    """What there is to do."""
    return render("home.html")
