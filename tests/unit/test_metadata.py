"""Metadata: written and read, who may read what, and exact errors."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metadata import MAX_BYTES, MAX_NUMBER, Metadata, MetadataError, parse_metadata

DIGEST = "sha256=" + "0f" * 32
FULL = Metadata("Free fall", "smith:msu", "msu,hub", "closed", 3, 1234, DIGEST, {"keywords": "gravity"})

texts = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" :"), max_size=30)


def test_the_file() -> None:
    assert FULL.encode().decode() == (
        "title: Free fall\nauthor: smith:msu\ncopyright: msu,hub\nsourceavail: closed\n"
        f"version: 3\nlength: 1234\ndigest: {DIGEST}\nkeywords: gravity\n"
    )
    assert parse_metadata(FULL.encode(), "a.meta") == FULL


@given(texts, texts, st.sampled_from(["public", "domain", "private", "a,b"]), st.integers(0, 10**14), texts)
def test_what_was_written_is_read(title: str, author: str, copyright: str, number: int, more: str) -> None:
    metadata = Metadata(title, author, copyright, "open", number, number, "", {"x-1": more})
    assert parse_metadata(metadata.encode(), "a.meta") == metadata


@given(st.binary() | st.lists(st.sampled_from([*FULL.encode().splitlines(True), b":", b"\n", b"\xff"])).map(b"".join))
def test_any_bytes_are_metadata_or_an_error(data: bytes) -> None:
    try:
        assert isinstance(parse_metadata(data, "a.meta"), Metadata)
    except MetadataError as error:
        assert str(error).startswith("a.meta") and str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"title: Free fall\n", b"", "a.meta: title: missing"),
        (b"version: 3", b"version: three", "a.meta:5: version: 'three' is not a number"),
        (b"title:", b"Title:", "a.meta:1: 'Title: Free fall' is not NAME: VALUE"),
        (b"keywords", b"title", "a.meta:8: title: stands there twice"),
        (b": closed", b": ajar", "a.meta:4: sourceavail: sourceavail is 'ajar', must be open or closed"),
        (
            b"msu,hub",
            b"msu,,hub",
            "a.meta:3: copyright: copyright is 'msu,,hub', must be public, domain, private, or d",
        ),
        (b"sha256", b"md5", "a.meta:7: digest: digest is 'md5="),
        (b"Free", b"Fr\xff", "a.meta: byte 9 is not UTF-8"),
        (b"Free", b"Fr\x07", "a.meta:1: title: title holds a character that can't be printed"),
        (b"gravity", b"g" * 65536, "a.meta: more than 65536 bytes"),
    ],
)
def test_errors_say_where_and_what(old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_metadata(FULL.encode().replace(old, new), "a.meta")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "values",
    [{"copyright": "nobody else"}, {"sourceavail": "public"}, {"title": "a\nb"}, {"version": -1}, {"length": 10**15},
     {"digest": "x"}, {"more": {"title": "twice"}}, {"more": {"A B": ""}}],
)  # fmt: skip
def test_values_that_can_not_be(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"title|copyright|sourceavail|version|length|digest|further field"):
        Metadata(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("copyright", "sourceavail", "readers", "servers"),
    [
        ("public", "open", {"msu", "hub", "isu"}, {"msu", "hub", "isu"}),
        ("public", "closed", {"msu", "hub", "isu"}, {"msu"}),
        ("domain", "open", {"msu"}, {"msu"}),
        ("hub", "open", {"msu", "hub"}, {"msu", "hub"}),
        ("hub,isu", "closed", {"msu", "hub", "isu"}, {"msu"}),
        ("private", "open", set(), set()),
    ],
)
def test_who_may(copyright: str, sourceavail: str, readers: set[str], servers: set[str]) -> None:
    metadata = Metadata(copyright=copyright, sourceavail=sourceavail)
    assert {domain for domain in ("msu", "hub", "isu") if metadata.may_read(domain, "msu")} == readers
    assert {domain for domain in ("msu", "hub", "isu") if metadata.may_read_source(domain, "msu")} == servers


def test_nothing_said_is_private() -> None:
    assert Metadata().copyright == "private"


def test_whatever_is_metadata_fits_into_its_file_when_a_publication_has_filled_it_in() -> None:
    room = MAX_BYTES - len(Metadata(version=MAX_NUMBER, length=MAX_NUMBER, digest=DIGEST).encode())
    longest = replace(Metadata(title="t" * room), version=MAX_NUMBER, length=MAX_NUMBER, digest=DIGEST)
    assert len(longest.encode()) == MAX_BYTES and parse_metadata(longest.encode(), "a.meta") == longest
    for one_more in ({"title": "t" * (room + 1)}, {"title": "t" * room, "more": {"x": ""}}):
        with pytest.raises(ValueError, match="at most 65536"):
            Metadata(**one_more)


def test_a_file_that_could_not_be_written_again_is_an_error() -> None:
    """Its lines have no blank behind the colon, ours do."""
    short = FULL.encode().replace(b": ", b":")
    with pytest.raises(MetadataError, match=r"^a\.meta: metadata would have up to 655.. bytes, at most 65536"):
        parse_metadata(short.replace(b"gravity", b"g" * (MAX_BYTES - len(short) + len("gravity"))), "a.meta")
