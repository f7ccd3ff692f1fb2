"""Paths of resources: whatever comes in names one file below the tree, or nothing."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.resource_path import MAX_NAME, MAX_PATH, ResourcePath, split_metadata

PIECES = st.sampled_from(
    ["msu", "smith", "a.html", "..", ".", "", "/", "//", "\\", "%2e", "%2f", "%00", "\0", "\n", "res", "raw", ".meta",
     "x.1.html", "é", "\u202e", " ", "~", ".htaccess", "n" * 201, "a.in.transfer", "\udc80"]
)  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "/res/", "/raw/"])
def test_the_ways_to_name_one(prefix: str) -> None:
    path = ResourcePath.parse(f"{prefix}msu/smith/kin/fall free.html")
    assert (path.domain, path.author, path.parts) == ("msu", "smith", ("kin", "fall free.html"))
    assert str(path) == "msu/smith/kin/fall free.html"
    assert path.directories == ("msu", "smith", "kin") and path.extension == "html"


@pytest.mark.parametrize("field", ["/home/httpd/html/res/msu/smith/res/a.html", "/res/msu/smith/res/a.html"])
def test_in_a_request_it_begins_behind_the_first_res(field: str) -> None:
    path = ResourcePath.from_wire(field.encode())
    assert str(path) == "msu/smith/res/a.html"
    assert ResourcePath.from_wire(path.wire.encode()) == path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "can't be a name"),
        ("msu", "not DOMAIN/AUTHOR/NAME.EXT"),
        ("msu/smith", "not DOMAIN/AUTHOR/NAME.EXT"),
        ("/msu/smith/a.html", "'' can't be a name"),
        ("msu//smith/a.html", "'' can't be a name"),
        ("msu/smith/a.html/", "'' can't be a name"),
        ("msu/smith/../a.html", "'..' can't be a name"),
        ("msu/smith/./a.html", "'.' can't be a name"),
        ("../msu/smith/a.html", "'..' can't be a name"),
        ("msu/smith/%2e%2e/a.html", "holds a character"),
        ("msu/smith/a%2fb.html", "holds a character"),
        ("msu/smith/..\\a.html", "hidden name"),
        ("msu/smith/b\\a.html", "holds a character"),
        ("msu/smith/a\0.html", "holds a character"),
        ("msu/smith/a\n.html", "holds a character"),
        ("msu/smith/a\u202elmth.html", "holds a character"),
        ("msu/smith/ a.html", "holds a character"),
        ("msu/smith/\udc80.html", "holds a character"),
        ("msu/smith/.a.html", "hidden name"),
        ("msu/smith/.git/a.html", "hidden name"),
        ("msu/sm ith/a.html", "not a user name"),
        ("m:su/smith/a.html", "not a domain"),
        ("msu/smith/a", "no extension"),
        ("msu/smith/a.", "no extension"),
        ("msu/smith/a.12", "no extension"),
        ("msu/smith/a.html.meta", "stands beside"),
        ("msu/smith/a.html.subscription", "stands beside"),
        ("msu/smith/a.html.in.transfer", "stands beside"),
        ("msu/smith/a.html.copy", "stands beside"),
        ("msu/smith/" + "n" * MAX_NAME + ".html", f"more than {MAX_NAME} bytes"),
        ("msu/smith/" + "é" * 100 + ".html", f"more than {MAX_NAME} bytes"),
        ("msu/smith/" + "n/" * MAX_PATH + "a.html", f"more than {MAX_PATH} bytes"),
        ("n" * 10_000, f"more than {MAX_PATH} bytes"),
    ],
)
def test_what_names_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        ResourcePath.parse(text)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "field", [b"msu/smith/a.html", b"/etc/res", b"/../res/msu/smith/a.html", b"/res/\xff/a/a.html"]
)
def test_what_is_none_in_a_request(field: bytes) -> None:
    with pytest.raises(ValueError, match=r"path|not DOMAIN"):
        ResourcePath.from_wire(field)


@given(st.lists(PIECES, max_size=8).map("/".join) | st.lists(PIECES, max_size=6).map("".join) | st.text())
@example("/res/msu/smith/a.html")
def test_a_path_that_passed_stays_below_its_author(text: str) -> None:
    try:
        path = ResourcePath.parse(text)
    except ValueError:
        return
    real = posixpath.normpath(f"/tree/{path}")
    assert real == f"/tree/{path}" and real.startswith(f"/tree/{path.domain}/{path.author}/")
    assert not {"\0", "\\", "%", "\n"} & set(str(path)) and len(path.name.encode()) <= MAX_NAME
    assert ResourcePath.parse(str(path)) == path == ResourcePath.from_wire(path.wire.encode())
    assert quote(str(path)).isascii()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_path_or_an_error(field: bytes) -> None:
    for parse in (ResourcePath.parse, ResourcePath.from_wire):
        try:
            parse(b"/res/msu/smith/" + field)
        except ValueError:
            continue


@pytest.mark.parametrize("beside", ["meta", "copy", "subscription", "in.transfer"])
def test_no_directory_can_stand_in_the_place_of_a_file_beside_a_resource(beside: str) -> None:
    with pytest.raises(ValueError, match="stands beside"):
        ResourcePath.parse(f"msu/smith/fall.html.{beside}/x.html")


def test_versions() -> None:
    path = ResourcePath.parse("msu/smith/a.b.html")
    assert path.version is None
    assert path.version_name(12) == "a.b.12.html"
    assert path.number_of("a.b.12.html") == 12
    assert [path.number_of(name) for name in ("a.b.html", "a.12.html", "a.b.12.htm", "a.b.012.html")] == [None] * 4
    assert ResourcePath.parse("msu/smith/a.b.12.html").version == 12


def test_metadata_of_a_path() -> None:
    path = ResourcePath.parse("msu/smith/a.html")
    assert split_metadata("/raw/msu/smith/a.html.meta") == (path, True)
    assert split_metadata("/raw/msu/smith/a.html") == (path, False)
    with pytest.raises(ValueError, match="stands beside"):
        split_metadata("/raw/msu/smith/a.html.meta.meta")
