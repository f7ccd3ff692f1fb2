"""Problems: the XML of a NAME.problem file as a question, and an answer as right or wrong.

The format is a small part of the original's::

    <problem>
      <startouttext />What is the speed of light in vacuum?<endouttext />
      <numericalresponse answer="2.998e8" unit="m/s">
        <responseparam type="tolerance" default="1%" />
        <textline />
      </numericalresponse>
    </problem>

Texts stand between ``startouttext`` and ``endouttext``, and may hold the elements of :data:`BLOCKS` and :data:`INLINE`,
without attributes. There is one response: ``numericalresponse``, its tolerance a number or a percentage (none:
exact), or ``radiobuttonresponse`` with a ``foilgroup`` of at least two ``foil``, exactly one of them with
``value="true"``. Attributes of the original that only change the looks are ignored; every other element or attribute
is an error that names it and its line, because a problem that is understood in part is graded wrongly.

Promises: pure. Whatever bytes come in, the result is a problem or one ProblemError. No entity is expanded but the
five of XML, and no document type is accepted, so nothing outside of the file is read. What :attr:`Problem.text` holds
is safe as HTML. Numbers are compared exactly, as decimal fractions.

Raises: ProblemError; NotAnAnswer for what can't be graded. Logs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from xml.parsers import expat

from common.errors import LonError

MAX_BYTES = 262144
MAX_ANSWER = 200  # characters

BLOCKS = frozenset({"p"})
INLINE = frozenset({"b", "strong", "i", "em", "sub", "sup", "code"})

_NUMBER = re.compile(r"[+-]?([0-9]{1,60}(\.[0-9]{0,60})?|\.[0-9]{1,60})([eE][+-]?[0-9]{1,3})?")
_LOOKS = frozenset(
    {"id", "name", "description", "readonly", "size", "max", "randomize", "location", "format", "texttype"}
)
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "numericalresponse": frozenset({"answer", "unit"}),
    "responseparam": frozenset({"type", "default"}),
    "foil": frozenset({"value"}),
}
_CHILDREN: Mapping[str, frozenset[str]] = {
    "problem": frozenset({"startouttext", "endouttext", "numericalresponse", "radiobuttonresponse"}),
    "numericalresponse": frozenset({"responseparam", "textline"}),
    "radiobuttonresponse": frozenset({"foilgroup"}),
    "foilgroup": frozenset({"foil"}),
    "foil": frozenset({"startouttext", "endouttext"}),
}
_WITH_TEXT = frozenset({"problem", "foil"})


class ProblemError(LonError):
    """A file is no problem.

    :param line: 1-based.
    :param reason: what is wrong there.
    """

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")

    def __reduce__(self) -> tuple[type[ProblemError], tuple[int, str]]:
        return ProblemError, (self.line, self.reason)


class NotAnAnswer(LonError):
    """What was answered can't be graded; the text says why, to the learner."""


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number is asked for."""

    answer: Fraction
    tolerance: Fraction
    unit: str = ""

    def is_right(self, text: str) -> bool:
        """Whether this is the answer.

        :raises NotAnAnswer: it is no number.
        """
        if not _NUMBER.fullmatch(text):
            raise NotAnAnswer("Write a number, such as 3.14 or 6.02e23.")
        return abs(Fraction(text) - self.answer) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts is asked for; an answer is its number, from 1 on.

    :param options: as HTML.
    """

    options: tuple[str, ...]
    right: int

    def is_right(self, text: str) -> bool:
        """Whether this is the answer.

        :raises NotAnAnswer: there is no such choice.
        """
        if not re.fullmatch("[1-9][0-9]{0,3}", text) or int(text) > len(self.options):
            raise NotAnAnswer("Choose one of the answers.")
        return int(text) == self.right


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and what it takes to grade its answers.

    :param text: the question, as HTML.
    """

    text: str
    response: Numeric | Choice


def parse_problem(data: bytes) -> Problem:
    """Reads a problem.

    :param data: XML; UTF-8, or what its declaration says.
    """
    if len(data) > MAX_BYTES:
        raise ProblemError(1, f"{len(data)} bytes, a problem has at most {MAX_BYTES}")
    root = _tree(data)
    if root.tag != "problem":
        raise ProblemError(root.line, f"the outermost element is {root.tag}, must be problem")
    _check(root)
    responses = [node for node in root.elements() if node.tag.endswith("response")]
    if len(responses) != 1:
        raise ProblemError(root.line, f"{len(responses)} responses, there must be one")
    read = _numeric if responses[0].tag == "numericalresponse" else _choice
    return Problem(_html(root), read(responses[0]))


def shown_answer(problem: Problem, text: str) -> str:
    """An answer as its learner knows it, as HTML."""
    response = problem.response
    if isinstance(response, Choice):
        known = re.fullmatch("[1-9][0-9]{0,3}", text) and int(text) <= len(response.options)
        return response.options[int(text) - 1] if known else escape(text)
    return escape(f"{text} {response.unit}".strip())


# --- elements ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    tag: str
    line: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    content: list[_Node | str] = field(default_factory=list)

    def elements(self) -> Iterable[_Node]:
        return (part for part in self.content if isinstance(part, _Node))


def _tree(data: bytes) -> _Node:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = _Node("", 1)
    open_nodes = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = _Node(tag, parser.CurrentLineNumber, attributes)
        open_nodes[-1].content.append(node)
        open_nodes.append(node)
        if len(open_nodes) > 20:
            raise ProblemError(node.line, "elements are nested too deeply")

    def refuse(*_: object) -> None:
        raise ProblemError(parser.CurrentLineNumber, "a document type is not allowed")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _tag: open_nodes.pop()
    parser.CharacterDataHandler = lambda text: open_nodes[-1].content.append(text)
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ProblemError(error.lineno, expat.ErrorString(error.code)) from None
    except (ValueError, LookupError):  # an encoding that Python does not know
        raise ProblemError(1, "the declared encoding is not known") from None
    return next(iter(top.elements()))


def _check(node: _Node, texting: bool = False) -> None:
    """Every element and attribute below is one that is understood, and stands where it may."""
    for name in node.attributes:
        if name not in _ATTRIBUTES.get(node.tag, ()) and name not in _LOOKS:
            raise ProblemError(node.line, f"the attribute {name} of {node.tag} is not understood")
    for part in node.content:
        if isinstance(part, str):
            if part.strip() and not texting:
                raise ProblemError(node.line, f"a text in {node.tag} must stand between startouttext and endouttext")
        elif part.tag in ("startouttext", "endouttext"):
            if texting == (part.tag == "startouttext") or node.tag not in _WITH_TEXT:
                raise ProblemError(part.line, f"{part.tag} stands where it may not")
            _check(part)
            texting = not texting
        elif texting:
            _check_text(part, BLOCKS | INLINE)
        elif part.tag not in _CHILDREN.get(node.tag, ()):
            raise ProblemError(part.line, f"the element {part.tag} in {node.tag} is not understood")
        else:
            _check(part)
    if texting:
        raise ProblemError(node.line, f"an endouttext is missing in {node.tag}")


def _check_text(node: _Node, allowed: frozenset[str]) -> None:
    if node.tag not in allowed or node.attributes:
        with_attributes = " with attributes" if node.tag in allowed else ""
        raise ProblemError(node.line, f"the element {node.tag}{with_attributes} in a text is not understood")
    for part in node.elements():
        _check_text(part, INLINE)


def _html(node: _Node) -> str:
    """The texts of a checked element."""
    return "".join(_markup(part) for part in node.content).strip()


def _markup(part: _Node | str) -> str:
    if isinstance(part, str):
        return escape(part)
    if part.tag not in BLOCKS | INLINE:
        return ""
    return f"<{part.tag}>{''.join(_markup(inner) for inner in part.content)}</{part.tag}>"


def _numeric(node: _Node) -> Numeric:
    answer = _number(node, "answer", node.attributes.get("answer", ""))
    tolerance = Fraction(0)
    for parameter in node.elements():
        if parameter.tag != "responseparam":
            continue
        if parameter.attributes.get("type") != "tolerance":
            raise ProblemError(parameter.line, "a responseparam must have the type tolerance")
        text = parameter.attributes.get("default", "")
        tolerance = _number(parameter, "default", text.removesuffix("%"))
        if text.endswith("%"):
            tolerance *= abs(answer) / 100
    if tolerance < 0:
        raise ProblemError(node.line, "the tolerance is negative")
    return Numeric(answer, tolerance, node.attributes.get("unit", ""))


def _number(node: _Node, name: str, text: str) -> Fraction:
    if not _NUMBER.fullmatch(text.strip()):
        raise ProblemError(node.line, f"{name} of {node.tag} is no number")
    return Fraction(text.strip())


def _choice(node: _Node) -> Choice:
    foils = [foil for group in node.elements() for foil in group.elements()]
    wrong = [foil for foil in foils if foil.attributes.get("value") not in ("true", "false")]
    if wrong:
        raise ProblemError(wrong[0].line, "the value of a foil must be true or false")
    right = [number for number, foil in enumerate(foils, 1) if foil.attributes["value"] == "true"]
    if len(foils) < 2 or len(right) != 1:
        raise ProblemError(node.line, f"{len(foils)} foils, {len(right)} of them true; there must be two, and one true")
    return Choice(tuple(_html(foil) for foil in foils), right[0])
