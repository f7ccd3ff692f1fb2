"""Request lines of any kind for Hypothesis: known and unknown commands, with fields that are right often enough."""

from __future__ import annotations

from hypothesis import strategies as st

from lond.commands.registry import REGISTRY

# What is right often enough that the later arguments get their turn.
LIKELY = [b"msu", b"smith", b"data", b"roles", b"..", b"../../x", b"a/../b", b"/etc", b"a=1&b=2", b"k&k", b"%", b"%0a",
          b"", b".", b"0-3", b"a=9&n=", b"x" * 70, b"\n", b"\0", b"\xff", b"a\nb=c", b"=", b"&&"]  # fmt: skip
FIELDS = st.lists(st.one_of(st.sampled_from(LIKELY), st.binary(max_size=20)), max_size=7)
WORDS = st.one_of(st.sampled_from(sorted(REGISTRY)), st.binary(max_size=8))
LINES = st.builds(lambda word, fields: b":".join([word, *fields]), WORDS, FIELDS)
