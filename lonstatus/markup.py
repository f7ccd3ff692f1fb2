"""HTML and SVG as values: text is escaped unless it was made here, so that no name can become markup.

:func:`element` is the only maker of :class:`Markup`. Control characters, which no document may contain, are shown as
the replacement character. Pure.
"""

from __future__ import annotations

import html
import re

_VOID = frozenset(("meta", "link", "br"))
_NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(content: object) -> Markup:
    """Anything as text; markup as it is."""
    if isinstance(content, Markup):
        return content
    return Markup(html.escape(_NEVER.sub("\N{REPLACEMENT CHARACTER}", str(content))))


def element(name: str, /, *content: object, **attributes: object) -> Markup:
    """One element with its content.

    :param attributes: a final underscore is dropped (``class_``), other underscores are hyphens; None: left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: object) -> Markup:
    """Several pieces of content, one after the other."""
    return Markup("".join(escaped(piece) for piece in content))


def document(head: Markup, body: Markup, language: str = "en") -> str:
    """A whole page."""
    return f"<!DOCTYPE html>\n{element('html', head, body, lang=language)}\n"
