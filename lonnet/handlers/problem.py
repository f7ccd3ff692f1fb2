"""NAME.problem: a question, its answers graded here and stored at the learner's home server.

The file's format is in :mod:`lonnet.handlers.problem_format`. A browser gets the question and never the answer; the
source, which holds the answer, is shown to its author, and to authors whom the metadata's `sourceavail` allows it.

Promises: the learner sees "right" or "wrong" only for an answer that is stored, or on this host's disk on its way
there. Answers after the right one are not stored.

Raises what :mod:`lonnet.handlers.reading` and :mod:`lonnet.records` raise. Logs a warning for a published file that
is no problem.

Known limit: two answers that are sent at once may both be stored after the right one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import cast

from flask import Response, abort, make_response, redirect, request, url_for
from markupsafe import Markup

from lonnet.errors import AccessDenied, HostUnreachable
from lonnet.handlers.access import logged_in, login_required, network
from lonnet.handlers.authors import is_author
from lonnet.handlers.pages import page_blueprint, render
from lonnet.handlers.problem_format import (
    MAX_ANSWER,
    MAX_BYTES,
    Choice,
    NotAnAnswer,
    Problem,
    ProblemError,
    parse_problem,
    shown_answer,
)
from lonnet.handlers.reading import Resource, may_read_source, reading
from lonnet.handlers.work import Try, hand_in, history
from lonnet.replies import Delivery

log = logging.getLogger(__name__)

problem = page_blueprint("problem")

CLEAN = {"Cache-Control": "private, no-store"}


@problem.get("/res/<path:stem>.problem")
@login_required
def question(stem: str) -> Response:
    """The question, and the learner's answers so far."""
    with reading(logged_in(), f"{stem}.problem") as resource:
        return _page(resource, _parsed(resource))


@problem.post("/res/<path:stem>.problem")
@login_required
def answer(stem: str) -> Response:
    """Grade an answer and store it."""
    session, text = logged_in(), request.form.get("answer", "").strip()
    with reading(session, f"{stem}.problem") as resource:
        parsed = _parsed(resource)
        try:
            if len(text) > MAX_ANSWER:
                raise NotAnAnswer(f"An answer has at most {MAX_ANSWER} characters.")
            right = parsed.response.is_right(text)
        except NotAnAnswer as error:
            return _page(resource, parsed, str(error), text, 422)
        tries = _history(resource)
        if not (tries and tries[-1].right):
            path, version = str(resource.path), resource.metadata.version
            delivery = hand_in(network(), session, path, text, right, version)
            if delivery is Delivery.DELAYED:
                return _page(resource, parsed, kept=True, right=right)
    return cast(Response, redirect(url_for("lonnet_problem.question", stem=stem), 303))


@problem.get("/adm/source/<path:path>")
@login_required
def source(path: str) -> Response:
    """The file itself, as text."""
    with reading(logged_in(), path) as resource:
        if not _may_see_source(resource):
            raise AccessDenied(str(resource.path))
        if resource.path.extension != "problem":
            abort(404)
        text = resource.file.read(MAX_BYTES).decode("utf-8", "replace")
        return make_response(render("source.html", resource=resource, text=text))


def _parsed(resource: Resource) -> Problem:
    try:
        return parse_problem(resource.file.read(MAX_BYTES + 1))
    except ProblemError as error:
        log.warning("%s can't be shown: %s", resource.path, error)
        abort(500, "This problem can't be shown: its file is not one that this server understands.")


def _history(resource: Resource) -> Sequence[Try] | None:
    """None: the home server can't be asked now."""
    try:
        return history(network(), logged_in(), str(resource.path))
    except HostUnreachable:
        return None


def _may_see_source(resource: Resource) -> bool:
    """Whether the user may see the source; not, if nobody can say now whether it is an author."""
    session = logged_in()
    try:
        author = is_author(network(), session)
    except HostUnreachable:
        author = False
    return may_read_source(session, resource.path, resource.metadata, author)


def _page(
    resource: Resource,
    parsed: Problem,
    complaint: str = "",
    text: str = "",
    code: int = 200,
    kept: bool = False,
    right: bool = False,
) -> Response:
    tries = None if kept else _history(resource)
    page = render(
        "problem.html",
        resource=resource,
        text=Markup(parsed.text),  # noqa: S704 - the format makes nothing but harmless elements
        options=[Markup(option) for option in parsed.response.options]  # noqa: S704
        if isinstance(parsed.response, Choice)
        else None,
        unit="" if isinstance(parsed.response, Choice) else parsed.response.unit,
        tries=None if tries is None else [_row(parsed, one) for one in tries],
        solved=bool(tries) and tries is not None and tries[-1].right,
        complaint=complaint,
        given=text,
        kept=kept,
        right=right,
        source=_may_see_source(resource),
    )
    return make_response(page, code)


def _row(parsed: Problem, one: Try) -> dict[str, object]:
    when = datetime.fromtimestamp(one.time, timezone.utc)
    return {
        "number": one.number,
        "when": when.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "machine": when.isoformat(),
        "answer": Markup(shown_answer(parsed, one.answer)),  # noqa: S704
        "right": one.right,
    }
