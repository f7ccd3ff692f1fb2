"""The sections below the options are read again as they were written, and fit on a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.usage import WIDTH, epilog, sections, wrapped

words = st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True), min_size=1, max_size=30).map(" ".join)
term = st.from_regex(r"[a-zA-Z0-9/.,-]{1,40}", fullmatch=True)
entry = st.tuples(term, words | st.just(""))


@given(st.dictionaries(st.sampled_from(["files", "exit_codes", "see_also"]), st.lists(entry, min_size=1), min_size=1))
def test_what_is_written_is_read_again(given_sections: dict[str, list[tuple[str, str]]]) -> None:
    text = epilog(**given_sections)
    assert sections(text) == {title.replace("_", " "): entries for title, entries in given_sections.items()}
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_how_it_looks() -> None:
    examples = [("loncontrol peers -v", ""), ("LONCAPA_CONF=x loncontrol configtest # of another host", "")]
    assert epilog(exit_codes=[("0", "good"), ("78", "the configuration")], examples=examples) == (
        "exit codes:\n"
        "  0                 good\n"
        "  78                the configuration\n"
        "\n"
        "examples:\n"
        "  loncontrol peers -v\n"
        "  LONCAPA_CONF=x loncontrol configtest # of another host"
    )
    assert wrapped("a b", "c") == "a b\n\nc"
