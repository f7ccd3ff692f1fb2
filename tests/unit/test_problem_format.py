"""The format of problems, and the grading of answers."""

from __future__ import annotations

import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lonnet.handlers.problem_format import (
    MAX_BYTES,
    Choice,
    NotAnAnswer,
    Numeric,
    Problem,
    ProblemError,
    parse_problem,
    shown_answer,
)

LIGHT = """<problem>
  <startouttext />The speed of light, <b>c</b>, in vacuum?<endouttext />
  <numericalresponse answer="2.998e8" unit="m/s">
    <responseparam type="tolerance" default="1%" name="tol" description="Numerical Tolerance" />
    <textline readonly="no" />
  </numericalresponse>
</problem>"""
PLANETS = """<problem>
  <startouttext /><p>Which is the largest?</p><endouttext />
  <radiobuttonresponse max="10" randomize="no"><foilgroup>
    <foil name="a" value="false"><startouttext />Mars<endouttext /></foil>
    <foil name="b" value="true"><startouttext />Jupiter &amp; its moons<endouttext /></foil>
    <foil name="c" value="false"><startouttext />H<sub>2</sub>O<endouttext /></foil>
  </foilgroup></radiobuttonresponse>
</problem>"""


def numeric(answer: str, tolerance: str = "") -> Problem:
    parameter = f'<responseparam type="tolerance" default="{tolerance}" />' if tolerance else ""
    return parse_problem(
        f'<problem><numericalresponse answer="{answer}">{parameter}</numericalresponse></problem>'.encode()
    )


def test_a_numeric_problem() -> None:
    parsed = parse_problem(LIGHT.encode())
    assert parsed.text == "The speed of light, <b>c</b>, in vacuum?"
    assert parsed.response == Numeric(Fraction(299_800_000), Fraction(2_998_000), "m/s")


def test_a_problem_with_a_choice() -> None:
    parsed = parse_problem(PLANETS.encode())
    assert parsed.text == "<p>Which is the largest?</p>"
    assert parsed.response == Choice(("Mars", "Jupiter &amp; its moons", "H<sub>2</sub>O"), 2)


@pytest.mark.parametrize(
    ("answer", "tolerance", "given_answer", "right"),
    [
        ("10", "", "10", True),
        ("10", "", "10.0", True),
        ("10", "", "1e1", True),
        ("10", "", "+10.", True),
        ("10", "", "10.0000001", False),
        ("0.3", "", ".3", True),
        ("0.1", "0.2", "0.3", True),  # exactly at the limit, where binary fractions fail
        ("0.1", "0.2", "-0.1", True),
        ("0.1", "0.2", "0.3000000000000000000000001", False),
        ("-200", "5%", "-190", True),
        ("-200", "5%", "-189.99", False),
        ("-200", "5%", "200", False),
        ("0", "5%", "0", True),
        ("6.02e23", "1%", "6.0e23", True),
        ("1e-300", "1%", "1.001e-300", True),
    ],
)
def test_numbers_are_compared_exactly(answer: str, tolerance: str, given_answer: str, right: bool) -> None:
    assert numeric(answer, tolerance).response.is_right(given_answer) is right


@pytest.mark.parametrize(
    "text",
    ["", "ten", "1,5", "0x10", "1/3", "nan", "inf", "1e9999", "--1", "1 000", "1e", ".", "٣", "9" * 61, "1_0", "1\n"],
)
def test_what_is_no_number_is_not_graded(text: str) -> None:
    with pytest.raises(NotAnAnswer, match="Write a number"):
        numeric("10").response.is_right(text)


def test_choices() -> None:
    response = parse_problem(PLANETS.encode()).response
    assert [response.is_right(str(number)) for number in (1, 2, 3)] == [False, True, False]
    for text in ("", "0", "4", "-1", "02", "2.0", "b", "9" * 50, "²"):
        with pytest.raises(NotAnAnswer, match="Choose one"):
            response.is_right(text)


def test_answers_are_shown_as_text() -> None:
    light, planets = parse_problem(LIGHT.encode()), parse_problem(PLANETS.encode())
    assert shown_answer(light, "3e8") == "3e8 m/s"
    assert shown_answer(light, "<b>") == "&lt;b&gt; m/s"
    assert shown_answer(planets, "3") == "H<sub>2</sub>O"
    assert shown_answer(planets, "7<") == "7&lt;"


def test_a_text_is_safe_html() -> None:
    text = (
        "<problem><startouttext />a &lt;script&gt; &amp; &quot;<endouttext /><numericalresponse answer='1'/></problem>"
    )
    assert parse_problem(text.encode()).text == "a &lt;script&gt; &amp; &quot;"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "no element found"),
        ("<problem>", 1, "no element found"),
        ("<problem></quiz>", 1, "mismatched tag"),
        ("<quiz/>", 1, "the outermost element is quiz, must be problem"),
        ("<problem/>", 1, "0 responses, there must be one"),
        (LIGHT.replace("</problem>", '<numericalresponse answer="1"/></problem>'), 1, "2 responses"),
        ("<problem>\nhello</problem>", 1, "a text in problem must stand between"),
        (LIGHT.replace("<b>c</b>", "<script>x</script>"), 2, "the element script in a text is not understood"),
        (LIGHT.replace("<b>", '<b onclick="x">'), 2, "the element b with attributes in a text is not understood"),
        (LIGHT.replace("<b>c</b>", "<b><p>c</p></b>"), 2, "the element p in a text is not understood"),
        (LIGHT.replace("<endouttext />", ""), 3, "the element numericalresponse in a text is not understood"),
        (LIGHT.replace("<startouttext />The", "The"), 1, "a text in problem must stand between"),
        (
            LIGHT.replace("<startouttext />", "<startouttext><startouttext/></startouttext>"),
            2,
            "stands where it may not",
        ),
        (LIGHT.replace("<startouttext />", "<startouttext>lost</startouttext>"), 2, "a text in startouttext"),
        (LIGHT.replace("<endouttext />", "<endouttext /><endouttext />"), 2, "endouttext stands where it may not"),
        (LIGHT.replace("textline", "hintgroup"), 5, "the element hintgroup in numericalresponse is not understood"),
        (LIGHT.replace("unit=", "units="), 3, "the attribute units of numericalresponse is not understood"),
        (LIGHT.replace("2.998e8", "$c"), 3, "answer of numericalresponse is no number"),
        (LIGHT.replace('answer="2.998e8" ', ""), 3, "answer of numericalresponse is no number"),
        (LIGHT.replace("1%", "some"), 4, "default of responseparam is no number"),
        (LIGHT.replace("1%", "-1"), 3, "the tolerance is negative"),
        (LIGHT.replace('type="tolerance"', 'type="sig"'), 4, "must have the type tolerance"),
        (PLANETS.replace('value="true"', 'value="false"'), 3, "3 foils, 0 of them true"),
        (PLANETS.replace('value="false"', 'value="true"'), 3, "3 foils, 3 of them true"),
        (PLANETS.replace('value="true"', 'value="unused"'), 5, "the value of a foil must be true or false"),
        ("<!DOCTYPE problem><problem/>", 1, "a document type is not allowed"),
        ('<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><problem>&a;</problem>', 1, "a document type"),
        ("<problem>&a;</problem>", 1, "undefined entity"),
        ('<?xml version="1.0" encoding="none-such"?><problem/>', 1, "encoding"),
        ("<problem>" + "<foil>" * 30, 1, "nested too deeply"),
        (" " * MAX_BYTES + "<problem/>", 1, f"a problem has at most {MAX_BYTES}"),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_problem(text.encode())
    assert (caught.value.line, reason in caught.value.reason) == (line, True), str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


PIECES = st.sampled_from(
    [
        *(
            "<problem>",
            "</problem>",
            "<startouttext />",
            "<endouttext />",
            "<p>",
            "</p>",
            "<foil value='true'>",
            "</foil>",
        ),
        *("&lt;", "text", "<!--", "-->", "<numericalresponse answer='1'>", "</numericalresponse>"),
        "<![CDATA[<script>]]>",
    ]
)


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(lambda parts: "".join(parts).encode())))
def test_any_bytes_are_a_problem_or_an_error(data: bytes) -> None:
    try:
        parsed = parse_problem(data)
    except ProblemError:
        return
    assert "<script" not in parsed.text
