"""sub, unsub, update, currentversion and the commands about uploaded files, as a link's child executes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common import resource_files, resource_tree
from common.resource_directory import directory, locked
from common.resource_path import ResourcePath
from lond.commands.registry import Policy
from lonnet.sessions import Sessions
from tests.helpers.dispatching import NOW, Lond, make_site
from tests.helpers.published import put_resource

A, PRIVATE, COPY = "msu/smith/kin/a.html", "msu/smith/kin/private.html", "msu/other/a.html"
URL = b"http://msul1.test/raw/msu/smith/kin/a.html"


@pytest.fixture
def lond(tmp_path: Path) -> Iterator[Lond]:
    root = tmp_path / "html" / "res"
    put_resource(root, A, b"one", new_version=True)
    put_resource(root, PRIVATE, b"one", copyright="private")
    put_resource(root, COPY, b"one", copy_of="msul2")
    put_resource(root, "msu/smith/kin/a b.html", b"one")
    (root / "msu/smith/kin/unpublished.html").write_text("one")
    (root / "msu/smith/kin/link.html").symlink_to("/etc/passwd")
    (root / "msu/smith/kin/out").symlink_to("/etc")
    with Lond(make_site(tmp_path, lonIDsDir=tmp_path / "ids", lonHttpBase="http://msul1.test")) as lond:
        (lond.storage.user_directory(b"msu", b"smith") / "passwd").write_text("none:\n")
        yield lond


def subscription(lond: Lond, name: str = A) -> Path:
    return lond.site.config.doc_root / "res" / f"{name}.subscription"


@pytest.mark.parametrize("prefix", ["/home/httpd/html/res/", "/res/", "res/"])
def test_a_subscription_is_noted_and_answered_with_the_url(lond: Lond, prefix: str) -> None:
    assert lond.ask(f"sub:{prefix}{A}") == URL
    assert subscription(lond).read_text() == f"msua1:127.0.0.2:{NOW}\n"
    assert lond.ask(f"unsub:{prefix}{A}") == b"ok"
    assert lond.ask(f"unsub:{prefix}{A}") == b"not_subscribed"
    assert not subscription(lond).exists()


def test_a_url_is_escaped(lond: Lond) -> None:
    assert lond.ask("sub:/res/msu/smith/kin/a b.html") == b"http://msul1.test/raw/msu/smith/kin/a%20b.html"


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("msu/smith/kin", b"directory"),
        ("msu/smith", b"directory"),
        ("", b"directory"),
        ("msu/smith/none.html", b"not_found"),
        ("msu/smith/none", b"not_found"),
        ("msu/smith/kin/a.html/x.html", b"not_found"),
        ("msu/smith/kin/unpublished.html", b"not_found"),
        ("msu/smith/kin/link.html", b"not_found"),
        ("msu/smith/kin/out", b"not_found"),
        ("msu/smith/kin/out/x.html", b"not_found"),
        (COPY, b"not_found"),
        (PRIVATE, b"rejected"),
    ],
)
def test_what_is_not_given(lond: Lond, path: str, reply: bytes) -> None:
    assert lond.ask(f"sub:/res/{path}") == reply
    assert list(lond.site.config.doc_root.rglob("*.subscription")) == []


def test_servers_of_another_domain(lond: Lond) -> None:
    lond.session.peer = lond.site.table["hubl1"]
    assert lond.ask(f"sub:/res/{A}") == URL
    put_resource(lond.site.config.doc_root / "res", A, b"two", copyright="domain", new_version=True)
    assert lond.ask(f"sub:/res/{A}") == b"rejected"


@pytest.mark.parametrize("command", ["sub", "unsub", "update", "currentversion"])
@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/res/../private.html", "/res/msu/smith/../../x.html", f"/res/{A}.meta/../x.html", "/res/msu/..",
     "/res/msu/smith/%2e%2e/x.html", "/res/msu/smith/a\\b.html", "/res/msu/smith/.x.html", "/res/msu/smith/a\0.html",
     "/res/" + "n" * 10_000, f"/res/{A}.subscription"],
)  # fmt: skip
def test_paths_that_are_none(lond: Lond, command: str, path: str) -> None:
    before = sorted(lond.site.config.doc_root.rglob("*"))
    reply = lond.ask(f"{command}:{path}")
    assert reply.startswith(b"error: 22 ") or (command == "sub" and reply == b"not_found")
    assert sorted(lond.site.config.doc_root.rglob("*")) == before


def test_current_version(lond: Lond) -> None:
    assert lond.ask(f"currentversion:/res/{A}") == b"1"
    for number in (2, 3):
        put_resource(lond.site.config.doc_root / "res", A, b"more", new_version=True)
        assert lond.ask(f"currentversion:/res/{A}") == b"%d" % number
    assert lond.ask("currentversion:/res/msu/smith/none.html") == b"-1"
    assert lond.ask("currentversion:/res/msu/nobody/none.html") == b"-1"


def test_an_update_is_noted(lond: Lond) -> None:
    lond.session.peer = lond.site.table["msul1"]
    assert lond.ask(f"update:/res/{COPY}") == b"ok"
    assert lond.services.updates.jobs == [("update", COPY)]
    assert lond.ask("update:/res/msu/other/none.html") == b"not_found"
    assert lond.ask(f"update:/res/{A}") == b"rejected"
    (lond.site.config.doc_root / "res/msu/other/coming.html.in.transfer").touch()
    assert lond.ask("update:/res/msu/other/coming.html") == b"ok"
    for host in ("msua1", "hubl1"):  # neither can be the home server
        lond.session.peer = lond.site.table[host]
        assert lond.ask(f"update:/res/{COPY}") == b"rejected"
    assert len(lond.services.updates.jobs) == 2


@pytest.mark.parametrize("command", ["sub", "unsub"])
def test_a_link_does_not_wait_for_a_locked_directory(lond: Lond, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lond.ask(f"sub:/res/{A}") == URL
    waited: list[float] = []
    monkeypatch.setattr("common.resource_directory.time.monotonic", lambda: sum(waited))
    monkeypatch.setattr("common.resource_directory.time.sleep", waited.append)
    root, path = lond.site.config.doc_root / "res", ResourcePath.parse(A)
    with directory(root, path) as at, locked(at, exclusive=True):
        assert lond.ask(f"{command}:/res/{A}").startswith(b"error: 11 ")
    assert sum(waited) < 0.5


def test_a_half_published_version_counts(lond: Lond, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = resource_files.rename

    def killed(at: int, old: str, new: str) -> None:
        if new.endswith(".meta"):
            raise InterruptedError
        rename(at, old, new)

    monkeypatch.setattr(resource_tree, "rename", killed)
    with pytest.raises(InterruptedError):
        put_resource(lond.site.config.doc_root / "res", PRIVATE, b"two", new_version=True, copyright="public")
    monkeypatch.undo()
    assert lond.ask(f"sub:/res/{PRIVATE}").startswith(b"http")


class Nobody(Policy):
    """A policy that asks by domain and refuses."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []

    def allows(self, trust_class: str, asking: object, domain: bytes) -> bool:
        self.asked.append((trust_class, domain))
        return False


@pytest.mark.parametrize("command", ["sub", "unsub", "update", "currentversion", "ls"])
def test_trust_is_that_of_the_author_s_domain(tmp_path: Path, command: str) -> None:
    policy = Nobody()
    with Lond(make_site(tmp_path), policy=policy) as lond:
        assert lond.ask(f"{command}:/res/hub/jones/a.html") == b"refused"
    assert policy.asked == [("resources", b"hub")]


@pytest.mark.parametrize("field", ["msu/smith/a.txt", "msu/smith/kin%2fa%20b.txt", "msu/smith/kin/a.txt"])
def test_an_uploaded_file_is_fetched_from_who_asks(lond: Lond, field: str) -> None:
    assert lond.ask(f"fetchuserfile:{field}") == b"ok"
    lond.services.updates.comes = False
    assert lond.ask(f"fetchuserfile:{field}") == b"failed"
    assert lond.ask(f"fetchuserfile:{field.replace('smith', 'nobody')}") == b"not_home"
    wanted, _ = lond.services.updates.wanted
    assert (wanted.host, wanted.domain, wanted.user) == ("msua1", "msu", "smith")
    assert wanted.parts[-1] in ("a.txt", "a b.txt")


@pytest.mark.parametrize(
    "field",
    ["", "msu/smith", "msu/smith/..%2fpasswd", "msu/smith/%2e%2e/passwd", "msu/smith/.x", "../smith/x", "a/b/%00"],
)
def test_uploaded_files_that_are_none(lond: Lond, field: str) -> None:
    assert lond.ask(f"fetchuserfile:{field}").startswith(b"error: 22 ")
    assert lond.services.updates.wanted == []


def test_a_session_s_files(lond: Lond) -> None:
    sessions = Sessions(lond.site.config)
    session_id, _ = sessions.create("smith", "msu", "msul1")
    sessions.grant(session_id, "my essay.txt", "msu/smith/my essay.txt")
    assert lond.ask(f"tokenauthuserfile:my%20essay%2etxt:{session_id}") == b"ok"
    assert lond.ask(f"tokenauthuserfile:other:{session_id}") == b"non_auth"
    assert lond.ask("tokenauthuserfile:other:..%2fpasswd") == b"invalid_token"
