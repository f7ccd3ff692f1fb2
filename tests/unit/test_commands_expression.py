"""Regular expressions from the wire: they mean what they mean to Python's engine, and their work is bounded."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.escape import escape
from lond.commands.expression import SOURCE_MAX, selected
from lond.commands.registry import RequestError

ATOMS = ["a", "b", "[ab]", "[^a]", "[a-c_]", r"\d", r"\W", r"\.", "^", "", r"\x61", "[a-]", "%", r"\b"]
QUANTIFIERS = ["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?", "??"]


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(QUANTIFIERS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


expressions = st.recursive(st.sampled_from(ATOMS), grown, max_leaves=6)


def found(expression: bytes, texts: list[bytes]) -> list[bytes]:
    """The texts in which an expression is found."""
    items = [(escape(text), b"") for text in texts]
    return [key for key, _ in selected(items, expression, None)]


@settings(max_examples=300)
@given(expressions, st.lists(st.text("abc1.{%]-", max_size=8), max_size=5))
def test_finds_what_pythons_engine_finds(expression: str, texts: list[str]) -> None:
    keys = [text.encode() for text in texts]
    if expression:
        reference = re.compile(expression.encode())
        assert found(expression.encode(), keys) == [escape(key) for key in keys if reference.search(key)]


@settings(max_examples=300)
@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_expression_is_matched_or_refused(expression: bytes, text: bytes) -> None:
    try:
        assert found(expression, [text]) in ([], [escape(text)])
    except RequestError as error:
        assert error.number == 22 and error.text.isascii()


@pytest.mark.parametrize("expression", [b"(", b"[a", b"*", b"(?=a)", rb"(a)\1", b"\\", b"a{3,2}", b"((a{99}){99}){99}"])
def test_what_is_refused(expression: bytes) -> None:
    with pytest.raises(RequestError, match="RE2"):
        found(expression, [b"a"])


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(RequestError, match="longer than 256"):
        found(b"a" * (SOURCE_MAX + 1), [b"a"])


@pytest.mark.parametrize("expression", [b"(a*)*c", b"(a|a)*c", b"(a|b|ab)*c", b"(a?){30}a{30}c", b"(.*)(.*)(.*)(.*)c"])
def test_expressions_that_ruin_other_engines(expression: bytes) -> None:
    text = b"a" * 20000
    assert found(expression, [text]) == []
    assert found(expression, [text + b"c"]) == [text + b"c"]


def test_ranges() -> None:
    items = [(b"%d" % number, b"v") for number in range(10)]
    assert [key for key, _ in selected(items, b".", (2, 4))] == [b"2", b"3"]
    assert [key for key, _ in selected(items, b"[5-9]", (1, 3))] == [b"6", b"7"]
