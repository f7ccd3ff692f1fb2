"""Request lines of any kind for Hypothesis: known and unknown commands, with fields that are right often enough."""

from __future__ import annotations

from hypothesis import strategies as st

from lond.commands.registry import REGISTRY

# What is right often enough that the later arguments get their turn.
LIKELY = [b"msu", b"smith", b"data", b"roles", b"..", b"../../x", b"a/../b", b"/etc", b"a=1&b=2", b"k&k", b"%", b"%0a",
          b"", b".", b"0-3", b"a=9&n=", b"x" * 70, b"\n", b"\0", b"\xff", b"a\nb=c", b"=", b"&&", b"enc", b"error",
          b"enc:4:3519a5adb04ebb8f", b"error: 2", b"2=1", b"con_lost", b"refused"]  # fmt: skip
# What is stored so that a reply begins with it, and may then be taken for a frame, an error or a failure.
MISLEADING = [b"store:msu:smith:first:enc:4=1", b"currentdump:msu:smith:first", b"store:msu:smith:second:error:2=1",
              b"currentdump:msu:smith:second", b"put:msu:smith:third:con_lost=con_lost", b"keys:msu:smith:third",
              b"get:msu:smith:third:con_lost", b"eget:msu:smith:third:con_lost"]  # fmt: skip
FIELDS = st.lists(st.one_of(st.sampled_from(LIKELY), st.binary(max_size=20)), max_size=7)
WORDS = st.one_of(st.sampled_from(sorted(REGISTRY)), st.binary(max_size=8))
LINES = st.one_of(
    st.builds(lambda word, fields: b":".join([word, *fields]), WORDS, FIELDS), st.sampled_from(MISLEADING)
)
