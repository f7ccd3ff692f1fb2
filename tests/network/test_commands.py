"""Every command and every reply of its row in the protocol's table, over a real link."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lond.commands.registry import REGISTRY
from lonnet import Lonnet
from lonnet.sessions import Sessions
from tests.helpers.federation import QUICK, Federation, Host
from tests.helpers.fuzzed_lines import LINES
from tests.helpers.published import put_resource
from tests.helpers.soaking import TIMES
from tests.helpers.waiting import eventually

ERROR = r"error: \d+ .+"
ENCRYPTED = "encrypt:"

# (command, the reply as a regular expression), in this order: later ones build on earlier ones.
SCRIPT: list[tuple[str, str]] = [
    ("ping", "msul1"),
    ("pong", "msul1:msua1"),
    ("load", r"[\d.]+"),
    ("userload", "0.00"),
    ("version:1.0", r"version:loncapa-net-[\d.]+"),
    ("sethost:msul1", "ok"),
    ("sethost:msua1", "unable_to_set"),
    ("nonsense:1", "unknown_cmd"),
    # accounts
    ("home:msu:smith", "not_found"),
    ("encrypt:currentauth:msu:smith", "unknown_user"),
    ("encrypt:auth:msu:smith:secret", "unknown_user"),
    ("encrypt:passwd:msu:smith:secret:other", "unknown_user"),
    ("encrypt:changeuserauth:msu:smith:none:", "unknown_user"),
    ("encrypt:makeuser:hub:smith:internal:secret", "not_right_domain"),
    ("encrypt:changeuserauth:hub:smith:internal:secret", "not_right_domain"),
    ("encrypt:makeuser:msu:smith:telepathy:secret", "auth_mode_error"),
    ("encrypt:makeuser:msu:..:internal:secret", ERROR),
    ("encrypt:makeuser:msu:smith:internal:secret", "ok"),
    ("encrypt:makeuser:msu:smith:internal:secret", "already_exists"),
    ("home:msu:smith", "found"),
    ("encrypt:currentauth:msu:smith", "internal:"),
    ("encrypt:auth:msu:smith:secret", "authorized"),
    ("encrypt:auth:msu:smith:wrong", "non_authorized"),
    ("encrypt:passwd:msu:smith:wrong:other", "non_authorized"),
    ("encrypt:passwd:msu:smith:secret:", "pwchange_failure"),
    ("encrypt:passwd:msu:smith:secret:other", "ok"),
    ("encrypt:auth:msu:smith:other", "authorized"),
    ("encrypt:changeuserauth:msu:smith:telepathy:x", "auth_mode_error"),
    ("encrypt:changeuserauth:msu:smith:krb5:MSU%0aEDU", ERROR),
    ("encrypt:changeuserauth:msu:smith:krb4:MSU.EDU", "ok"),
    ("encrypt:auth:msu:smith:other", "auth_mode_error"),
    ("encrypt:changeuserauth:msu:smith:krb5:MSU.EDU", "ok"),
    ("encrypt:currentauth:msu:smith", "krb5:MSU.EDU"),
    ("encrypt:passwd:msu:smith:secret:other", "auth_mode_error"),
    ("encrypt:changeuserauth:msu:smith:internal:secret", "ok"),
    # records
    ("get:msu:smith:env:a", ERROR),
    ("keys:msu:smith:env", ERROR),
    ("dump:msu:smith:env", ERROR),
    ("put:msu:smith:env:a=1&b=two", "ok"),
    ("put:msu:smith:roles:a=1", "refused"),
    ("newput:msu:smith:roles:a=1", "refused"),
    ("inc:msu:smith:roles:a=1", "refused"),
    ("del:msu:smith:roles:a", "refused"),
    ("store:msu:smith:roles:p1:a=1", "refused"),
    ("put:msu:nobody:env:a=1", ERROR),
    ("get:msu:smith:env:b&none&a", "two&&1"),
    ("encrypt:eget:msu:smith:env:b&a", "two&1"),
    ("newput:msu:smith:env:c=3&a=9", "key_exists: a"),
    ("newput:msu:smith:env:c=3", "ok"),
    ("newput:msu:nobody:env:c=3", ERROR),
    ("inc:msu:nobody:env:c=3", ERROR),
    ("del:msu:nobody:env:c", ERROR),
    ("store:msu:nobody:quiz:p1:foo=bar", ERROR),
    ("inc:msu:smith:env:a=4&d=2", "ok"),
    ("get:msu:smith:env:a&d", "5&2"),
    ("keys:msu:smith:env", "a&b&c&d"),
    ("dump:msu:smith:env", "a=5&b=two&c=3&d=2"),
    ("dump:msu:smith:env:%5eb", "b=two"),
    ("dump:msu:smith:env:.:1-3", "b=two&c=3"),
    ("dump:msu:smith:env:%28", ERROR),
    ("del:msu:smith:env:a&b", "ok"),
    ("keys:msu:smith:env", "c&d"),
    ("log:msu:smith:went%20home", "ok"),
    ("log:msu:nobody:went%20home", ERROR),
    ("encrypt:rolesput:msu:admin:msu:smith:st=now", "ok"),
    ("encrypt:rolesput:msu:admin:msu:nobody:st=now", ERROR),
    ("get:msu:smith:roles:st", "now"),
    ("encrypt:rolesdel:msu:admin:msu:smith:st", "ok"),
    ("encrypt:rolesdel:msu:admin:msu:nobody:st", ERROR),
    ("get:msu:smith:roles:st", ""),
    ("restore:msu:smith:quiz:p1", r"error: 2 .+"),
    ("currentdump:msu:smith:quiz", ERROR),
    ("store:msu:smith:quiz:p1:foo=bar", "ok"),
    ("store:msu:smith:quiz:p1:foo=notbar&bar=foo", "ok"),
    (
        "restore:msu:smith:quiz:p1",
        r"version=2&1:keys=foo:timestamp&1:foo=bar&1:timestamp=\d+"
        r"&2:keys=(foo:bar|bar:foo):timestamp&2:foo=notbar&2:bar=foo&2:timestamp=\d+",
    ),
    ("restore:msu:smith:quiz:p2", "version=0"),
    ("currentdump:msu:smith:quiz", r"p1:foo=notbar&p1:timestamp=\d+&p1:bar=foo"),
    # the domain's
    ("courseiddump:msu:0:.", ERROR),
    ("idget:msu:4711", r"error: 2 .+"),
    ("idput:..:4711=smith", ERROR),
    ("idput:msu:4711=smith", "ok"),
    ("idget:msu:4711&4712", "smith&"),
    ("courseidput:..:c1=Physics", ERROR),
    ("courseidput:msu:c1=Physics", "ok"),
    ("courseiddump:msu:0:.", "c1=Physics"),
    ("chatsend:msu:..:hello", ERROR),
    ("chatsend:msu:c1:hello", "ok"),
    ("chatretr:msu:..:msu:smith", ERROR),
    ("chatretr:msu:c1:msu:smith", r"active_participant%3asmith%3amsu:\d+_\d+%3ahello"),
    ("tmpget:0", ERROR),
    ("tmpdel:0", ERROR),
    ("tmpput", ERROR),
    ("querysend", ERROR),
    ("querysend:select:1", r"\w+"),
    ("queryreply:0:x", "ok"),
    ("queryreply:..:x", ERROR),
    ("setannounce:exam%20today", "ok"),
    ("setannounce", ERROR),
    ("journal", r"\d+:\d+:"),
    ("journal:put:" + 32 * "0", r"\d+:\d+:"),
    ("journal:put:x", ERROR),
    # resources
    ("ls:/res/msu/nobody/none.html", "no_such_dir"),
    ("ls:/res/none", "no_such_file"),
    ("ls:/res/empty", "empty"),
    ("ls:/res/", r"(empty&[\d&]+:msu&[\d&]+:)"),
    ("sub:/res/msu/smith/none.html", "not_found"),
    ("sub:/res/msu/nobody/a.html", "not_found"),
    ("sub:/res/msu/smith/kin", "directory"),
    ("sub:/res/../private.html", ERROR),
    ("sub:/res/msu/smith/kin/private.html", "rejected"),
    ("unsub:/res/msu/smith/kin/a.html", "not_subscribed"),
    ("sub:/home/httpd/html/res/msu/smith/kin/a.html", "http://msul1.example.org/raw/msu/smith/kin/a.html"),
    ("sub:/res/msu/smith/kin/b%20c.html", ERROR),
    ("unsub:/res/msu/smith/kin/a.html", "ok"),
    ("unsub:/res/msu/smith/kin/none.html", "not_found"),
    ("currentversion:/res/msu/smith/kin/none.html", "-1"),
    ("currentversion:/res/msu/smith/kin/a.html", "2"),
    ("currentversion:/res/msu/smith/kin/private.html", "1"),
    ("update:/res/msu/smith/kin/a.html", "rejected"),
    ("fetchuserfile:msu/nobody/essay.txt", "not_home"),
    ("fetchuserfile:msu/smith/essay.txt", "failed"),
    ("fetchuserfile:msu/smith/..%2fpasswd", ERROR),
    ("tokenauthuserfile:essay%2etxt:0", "invalid_token"),
]

WORDS = {name.decode() for name in REGISTRY}
NO_REPLIES = {"since", "filter", "known", "fresh", "strangers", *WORDS}  # words that the table explains replies with
ELSEWHERE = {  # replies of the table that need more than a request, and where they are tested
    ("home", "error: 11"): "network/test_moving.py",
    ("auth", "error: 11"): "network/test_known_browsers.py",
    ("auth", "error: 115"): "network/test_slow_checks.py",
    ("passwd", "error: 11"): "test_passwd_after_too_many_wrong_ones",
    ("eget", "error:no_key"): "network/test_classic.py",
    ("fetchuserfile", "ok"): "network/test_resources.py",
    ("update", "ok"): "network/test_resources.py",
    ("update", "not_found"): "test_update_of_what_is_not_here",
}


@pytest.fixture(scope="module")
def network() -> Iterator[Federation]:
    with closing(Federation(["msul1", "msua1"], settings={**QUICK, "londPongTimeout": "10"})) as made:
        res = made.hosts["msul1"].directory / "html" / "res"
        (res / "empty").mkdir(parents=True)
        put_resource(res, "msu/smith/kin/private.html", b"one", copyright="private")
        for content in (b"one", b"two"):
            put_resource(res, "msu/smith/kin/a.html", content, new_version=True)
        made.start()
        yield made


@pytest.fixture
def net(network: Federation) -> Iterator[Lonnet]:
    client = network.hosts["msua1"].lonnet()
    yield client
    client.close()


def script(net: Lonnet, host: Host) -> Iterator[tuple[str, str]]:
    """All of SCRIPT, and then what needs the id of something."""
    yield from SCRIPT
    temporary = net.reply("tmpput:some%20text", "msul1")
    yield f"tmpget:{temporary}", "some%20text"
    yield f"tmpdel:{temporary}", "ok"
    sessions = Sessions(host.site().config)
    session, _ = sessions.create("smith", "msu", "msul1")
    sessions.grant(session, "essay.txt", "msu/smith/essay.txt")
    yield f"tokenauthuserfile:essay%2etxt:{session}", "ok"
    yield f"tokenauthuserfile:other%2etxt:{session}", "non_auth"


def test_every_reply_of_the_table(net: Lonnet, network: Federation) -> None:
    wrong, met = [], defaultdict(list)
    for command, expected in script(net, network.hosts["msul1"]):
        reply = net.reply(command, "msul1", timeout=30)
        met[word_of(command)].append(reply)
        if not re.fullmatch(expected, reply):
            wrong.append((command, reply))
    assert wrong == []
    promised = {(name, reply) for name in met.keys() & WORDS for reply in promises(name)}
    unmet = {(name, reply) for name, reply in promised if not any(one.startswith(reply) for one in met[name])}
    assert unmet == ELSEWHERE.keys()


def word_of(command: str) -> str:
    return command.removeprefix(ENCRYPTED).partition(":")[0]


def promises(name: str) -> Iterator[str]:
    """The replies that the table says word for word, of errors the beginning."""
    for text in re.findall(r"`(.+?)`", REGISTRY[name.encode()].replies):
        if re.fullmatch(r"[a-z_]+|error:.*", text) and text not in NO_REPLIES:
            yield text.removesuffix(" ...")


def test_passwd_after_too_many_wrong_ones(net: Lonnet) -> None:
    assert net.reply("encrypt:makeuser:msu:jones:internal:secret", "msul1") == "ok"

    def is_put_off() -> bool:  # unless this process is held up for longer than the gap, which grows with each failure
        reply = net.reply("encrypt:passwd:msu:jones:wrong:other", "msul1")
        assert re.fullmatch(r"non_authorized|error: 11 .+", reply)
        return reply != "non_authorized"

    eventually(is_put_off)


def test_update_of_what_is_not_here(network: Federation) -> None:
    with closing(network.hosts["msul1"].lonnet()) as library:
        assert library.reply("update:/res/msu/smith/kin/a.html", "msua1") == "not_found"


def test_no_command_of_the_registry_is_left_out() -> None:
    link_level = {"init", "ekey", "exit", "quit"}  # tests/network/test_classic.py
    assert WORDS - link_level == {word_of(command) for command, _ in SCRIPT} - {"nonsense"}


@pytest.mark.parametrize("name", sorted(name.decode() for name, command in REGISTRY.items() if command.encrypted))
def test_what_must_be_encrypted_is_refused_in_clear(net: Lonnet, name: str) -> None:
    command = next(line for line, _ in SCRIPT if line.startswith(f"{ENCRYPTED}{name}:"))
    assert net.reply(command.removeprefix(ENCRYPTED), "msul1") == "refused"


@pytest.mark.parametrize("name", sorted(name.decode() for name, command in REGISTRY.items() if command.arguments))
def test_fields_of_any_kind_get_a_line_and_harm_nobody(net: Lonnet, network: Federation, name: str) -> None:
    prefix = ENCRYPTED if REGISTRY[name.encode()].encrypted else ""
    for field in ("", "..", "../../etc", "%00", "a" * 300, "\x01\x7f", "é\udcff", "=&=&", ":" * 20):
        for count in (1, 3, 5):
            reply = net.reply(f"{prefix}{name}:" + ":".join([field] * count), "msul1", timeout=30)
            assert reply != "con_lost" and "\n" not in reply
    assert net.reply("ping", "msul1") == "msul1"
    assert " ERROR: " not in network.hosts["msul1"].lond.log


def request(line: bytes, encrypted: bool) -> str:
    """A line as a caller of lonnet may write it."""
    text = line.translate(None, b"\n\r\0").decode("utf-8", "surrogateescape")
    return f"{ENCRYPTED if encrypted else ''}{text or 'ping'}"


# One link for all examples: what one of them does to it, the next one meets. scripts/soak takes other ones each time.
@settings(
    max_examples=200 * TIMES,
    derandomize=TIMES == 1,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(requests=st.lists(st.builds(request, LINES, st.booleans()), min_size=1, max_size=6))
def test_lines_of_any_kind_get_a_line_and_leave_the_link_up(
    net: Lonnet, network: Federation, requests: list[str]
) -> None:
    here, there = network.hosts["msua1"], network.hosts["msul1"]
    child, files = here.lonc.slot("msul1", "up").pid, {path.name for path in there.directory.iterdir()}
    for line in requests:
        reply = net.reply(line, "msul1", timeout=30)
        assert reply != "con_lost" and "\n" not in reply
    assert net.reply("ping", "msul1") == "msul1"
    assert here.lonc.slot("msul1", "up").pid == child
    assert {path.name for path in there.directory.iterdir()} == files
    assert " ERROR: " not in there.lond.log
