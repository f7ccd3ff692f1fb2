"""The typed calls of lonnet, end to end: two access servers, two library servers, one domain."""

from __future__ import annotations

import time
from collections import ChainMap
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from common.delayed import Fifo
from lonnet import Delivery, Lonnet
from lonnet.courses import Chat
from lonnet.errors import HostUnreachable, KeyExists, NoSuchUser, Refused, RemoteError
from lonnet.homes import UserName
from lonnet.replies import FAILURE_WORDS
from lonnet.users import User
from tests.helpers.federation import Federation, running
from tests.helpers.members import make_member, move_member
from tests.helpers.waiting import eventually

MakeFederation = Callable[..., Federation]

HOSTS = ["msul1", "msul2", "msua1", "msua2"]
EVERY_BYTE = bytes(range(256))
# What a reply that begins with a user's text could be taken for.
MISLEADING = [
    "enc",
    "enc:",
    "enc:4:3519a5adb04ebb8f",
    "error",
    "error:",
    "error: 2",
    "error: 2 x",
    *sorted(FAILURE_WORDS),
]
AWKWARD = ["", "&", "=", ":", "%", "%2F", "a&b=c:d%\n\r\0", "é\U0001f600", "\udcff", *MISLEADING]


@pytest.fixture(scope="module")
def network() -> Iterator[Federation]:
    """The daemons, for all tests of this file that end none of them."""
    with running(*HOSTS) as made:
        for name in ("smith", "dean", "course1"):
            make_member(made.hosts["msul2"], name)
        make_member(made.hosts["msul1"], "jones")
        yield made


@pytest.fixture
def net(network: Federation) -> Iterator[Lonnet]:
    """A handler's client on an access server."""
    made = network.hosts["msua1"].lonnet()
    yield made
    made.close()


@pytest.fixture
def smith(net: Lonnet) -> User:
    return net.user("smith", "msu")


# Every call


def test_home_servers(net: Lonnet) -> None:
    assert net.homeserver("smith", "msu") == net.user("smith", "msu").home() == "msul2"
    assert net.homeserver("jones", "msu") == "msul1"
    with pytest.raises(NoSuchUser):
        net.homeserver("nobody", "msu")


def test_put_get_delete(smith: User) -> None:
    assert smith.put("a/b", {"x": "1", "y": "2"}) is Delivery.DONE
    assert smith.get("a/b", "y", "x", "z") == {"y": "2", "x": "1", "z": ""}
    assert smith.eget("a_b", "y") == {"y": "2"}
    assert sorted(smith.keys("a/b")) == ["x", "y"]
    assert smith.delete("a/b", "x", "z") is Delivery.DONE
    assert smith.dump("a/b") == {"y": "2"}


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts(smith: User, text: str) -> None:
    namespace = f"awkward_{AWKWARD.index(text)}"
    key = text or "k"
    smith.put(namespace, {key: text})
    assert smith.get(namespace, key) == smith.eget(namespace, key) == smith.dump(namespace) == {key: text}
    assert smith.keys(namespace) == [key]
    smith.store(namespace, key, {"2": "first", key: text})
    assert smith.restore(namespace, key).values == {"2": "first", key: text}
    assert smith.current(namespace) == {key: {"2": "first", key: text}}


def test_every_byte(smith: User) -> None:
    each = {bytes([byte]): bytes([byte]) for byte in EVERY_BYTE}
    smith.raw.put("bytes", {EVERY_BYTE: EVERY_BYTE, **each})
    assert smith.raw.get("bytes", EVERY_BYTE, *each) == smith.raw.dump("bytes") == {EVERY_BYTE: EVERY_BYTE, **each}
    assert smith.get("bytes", "\udc80") == {"\udc80": "\udc80"}


def test_newput(smith: User) -> None:
    smith.newput("newput", {"a:": "1"})
    with pytest.raises(KeyExists) as caught:
        smith.newput("newput", {"b": "1", "a:": "2"})
    assert (caught.value.key, smith.dump("newput")) == ("a:", {"a:": "1"})


def test_inc(smith: User) -> None:
    smith.inc("inc", {"tries": 1, "points": 0.1})
    smith.inc("inc", {"tries": -3, "points": 0.2, "large": 10**25})
    assert smith.dump("inc") == {"tries": "-2", "points": "0.3", "large": str(10**25)}
    smith.put("inc", {"tries": "many"})
    with pytest.raises(RemoteError, match="22"):
        smith.inc("inc", {"tries": 1})


def test_dump_by_pattern_and_range(smith: User) -> None:
    smith.put("dump", {f"k{number}": str(number) for number in range(10)} | {"other": ""})
    assert list(smith.dump("dump", "^k[2-4]$")) == ["k2", "k3", "k4"]
    assert list(smith.dump("dump", "^k", start=8)) == ["k8", "k9"]
    assert list(smith.dump("dump", end=1)) == ["k0"]
    with pytest.raises(RemoteError, match="22"):
        smith.dump("dump", "(")


def test_store_and_restore(smith: User) -> None:
    began = int(time.time())
    assert smith.store("work", "uploaded/a.problem", {"foo": "bar"}) is Delivery.DONE
    smith.store("work", "uploaded/a.problem", {"foo": "notbar", "bar": "foo"})
    smith.store("work", "other", {})
    found = smith.restore("work", "uploaded/a.problem")
    assert [(v.number, v.values) for v in found.versions] == [(1, {"foo": "bar"}), (2, {"foo": "notbar", "bar": "foo"})]
    assert (found.version, found.values) == (2, {"foo": "notbar", "bar": "foo"})
    assert began <= found.versions[0].timestamp <= found.timestamp <= time.time()
    assert smith.current("work") == {"uploaded/a.problem": {"foo": "notbar", "bar": "foo"}, "other": {}}
    assert (smith.dump("work"), smith.keys("work")) == ({}, [])
    assert not smith.restore("work", "never")


def test_what_was_never_written_is_empty(smith: User) -> None:
    assert smith.get("never", "a") == {"a": ""}
    assert (smith.keys("never"), smith.dump("never"), smith.current("never")) == ([], {}, {})
    assert not smith.restore("never", "r")


def test_log(network: Federation, smith: User) -> None:
    assert smith.log("looked at page 1\n&") is Delivery.DONE
    storage = network.hosts["msul2"].directory / "users/msu/s/m/i/smith/records.db"
    assert b"looked%20at%20page%201%0a%26" in storage.read_bytes() + storage.with_name("records.db-wal").read_bytes()


def test_roles(net: Lonnet, smith: User) -> None:
    dean = net.user("dean", "msu")
    assert smith.rolesput({"/msu/course1_st": "0_0", "/msu_ca": "1_2"}, by=dean) is Delivery.DONE
    assert smith.dump("roles") == {"/msu/course1_st": "0_0", "/msu_ca": "1_2"}
    smith.rolesdel("/msu_ca", by=dean)
    assert smith.dump("roles") == {"/msu/course1_st": "0_0"}
    with pytest.raises(Refused):
        smith.put("roles", {"/msu_au": "1"})


def test_ids(net: Lonnet) -> None:
    domain = net.domain("msu")
    assert domain.idget("A100") == {"A100": ""}
    assert domain.idput({"A100": "smith", "A&2": "smith", "B": "jones"}) is Delivery.DONE
    assert domain.idget("B", "A&2", "A100", "C") == {"B": "jones", "A&2": "smith", "A100": "smith", "C": ""}
    with pytest.raises(NoSuchUser):
        domain.idput({"D": "nobody"})


def test_courses(net: Lonnet) -> None:
    domain, now = net.domain("msu"), int(time.time())
    assert domain.courseidput({"msu_1": ["Physics: an outline", "phy&1"]}, "msul1") is Delivery.DONE
    domain.courseidput({"msu_2": ["Art"]}, "msul2")
    assert domain.courseiddump() == {"msu_1": ["Physics: an outline", "phy&1"], "msu_2": ["Art"]}
    assert domain.courseiddump(now - 5, "physics:") == {"msu_1": ["Physics: an outline", "phy&1"]}
    assert domain.courseiddump(now + 60) == {}


def test_chat(net: Lonnet) -> None:
    course = net.course("course1", "msu")
    course.put("environment", {"description": "Physics"})
    assert course.chatretr(net.user("smith", "msu")) == Chat((UserName("smith", "msu"),), ())
    course.chatsend("hello:\n&")
    course.chatsend("again")
    chat = course.chatretr(net.user("dean", "msu"))
    assert chat.participants == (UserName("dean", "msu"), UserName("smith", "msu"))
    assert [post.text for post in chat.posts] == ["hello:\n&", "again"]


@pytest.mark.parametrize("text", AWKWARD)
def test_temporary_texts(net: Lonnet, text: str) -> None:
    kept = net.temporary("msul1")
    id = kept.put(text)
    assert kept.get(id) == text
    assert (kept.delete(id), kept.delete(id), kept.get(id)) == (True, False, None)


@pytest.mark.parametrize("text", ["enc:", "enc:zz", "enc:4:3519a5adb04ebb8f"])
def test_a_raw_text_that_looks_like_a_frame_is_got_as_it_was(network: Federation, net: Lonnet, text: str) -> None:
    child = network.hosts["msua1"].lonc.slot("msul1", "up").pid
    id = net.reply(f"tmpput:{text}", "msul1")
    assert net.reply(f"tmpget:{id}", "msul1") == text
    assert network.hosts["msua1"].lonc.slot("msul1", "up").pid == child


def test_who_does_not_exist(net: Lonnet) -> None:
    nobody = net.user("nobody", "msu")
    for call in (lambda: nobody.get("ns", "a"), lambda: nobody.put("ns", {"a": "b"}), lambda: nobody.log("x")):
        with pytest.raises(NoSuchUser):
            call()


# Users move, servers go down


def test_a_user_who_was_moved_is_found_again(network: Federation, net: Lonnet) -> None:
    old, new = network.hosts["msul1"], network.hosts["msul2"]
    make_member(old, "mover")
    mover = net.user("mover", "msu")
    mover.put("ns", {"a": "1"})
    assert net.homes.recall(UserName("mover", "msu")) is not None
    move_member("mover", old, new)
    assert mover.get("ns", "a") == {"a": "1"}
    assert mover.home() == "msul2"
    move_member("mover", new, old)
    assert mover.put("ns", {"b": "2"}) is Delivery.DONE
    assert (mover.home(), mover.dump("ns")) == ("msul1", {"a": "1", "b": "2"})


def test_writes_are_delayed_and_arrive_in_order(network: Federation, federation: MakeFederation) -> None:
    beside = network.hosts["msul1"].ip.rpartition(".")[0]
    fed = federation(["msua1", "msul1"], addresses={"msua1": f"{beside}.101", "msul1": f"{beside}.102"})
    here, down = fed.hosts["msua1"], fed.hosts["msul1"]
    make_member(down, "smith")
    smith = here.lonnet().user("smith", "msu")
    assert smith.put("ns", {"a": "before"}) is Delivery.DONE
    down.stop()
    here.wait_for_no_link("msul1")

    writes = [smith.put("ns", {"a": "while"}), smith.inc("ns", {"n": 2}), smith.inc("ns", {"n": 3})]
    writes += [smith.store("ns", "r", {"v": str(number)}) for number in range(3)]
    writes += [smith.rolesput({"/msu_ca": "1"}, by=smith), smith.delete("ns", "a")]
    assert writes == [Delivery.DELAYED] * 8
    with pytest.raises(HostUnreachable):
        smith.get("ns", "a")
    with pytest.raises(HostUnreachable):
        smith.newput("ns", {"new": "1"})

    down.start()
    here.wait_for_link("msul1")  # stands only when everything delayed has been delivered
    assert smith.dump("ns") == {"n": "5"}
    assert [version.values for version in smith.restore("ns", "r").versions] == [{"v": "0"}, {"v": "1"}, {"v": "2"}]
    assert smith.dump("roles") == {"/msu_ca": "1"}
    assert smith.put("ns", {"a": "after"}) is Delivery.DONE
    fifo = Fifo(here.directory / "delayed", "msul1")
    eventually(lambda: fifo.count().get("waiting", 0) == 0)
    fifo.close()


# Against a model

keys = st.sampled_from(["a", "b&", "c=", "n", "2", "enc", "error"])
values = st.sampled_from(["", "1", "2", "x&y", "refused", "con_lost"])
numbers = st.integers(-3, 3)
names = count()


class Model:
    """What one user's namespace must hold."""

    def __init__(self) -> None:
        self.hash: dict[str, str] = {}
        self.versions: dict[str, list[dict[str, str]]] = {}


class OneUser(RuleBasedStateMachine):
    """Calls of several access servers, one at a time, on one user."""

    nets: tuple[Lonnet, ...] = ()
    library: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        name = f"model{next(names)}"
        type(self).library(name)
        self.users = [net.user(name, "msu") for net in self.nets]
        self.model = Model()

    server = st.integers(0, 1)

    @rule(server=server, pairs=st.dictionaries(keys, values))
    def put(self, server: int, pairs: dict[str, str]) -> None:
        assert self.users[server].put("ns", pairs) is Delivery.DONE
        self.model.hash |= pairs

    @rule(server=server, key=keys, number=numbers)
    def inc(self, server: int, key: str, number: int) -> None:
        stored = self.model.hash.get(key) or "0"
        if stored.lstrip("-").isdigit():
            self.users[server].inc("ns", {key: number})
            self.model.hash[key] = str(int(stored) + number)
        else:
            with pytest.raises(RemoteError):
                self.users[server].inc("ns", {key: number})

    @rule(server=server, gone=st.sets(keys))
    def delete(self, server: int, gone: set[str]) -> None:
        self.users[server].delete("ns", *gone)
        for key in gone:
            self.model.hash.pop(key, None)

    @rule(server=server, rid=keys, pairs=st.dictionaries(keys, values))
    def store(self, server: int, rid: str, pairs: dict[str, str]) -> None:
        self.users[server].store("ns", rid, pairs)
        self.model.versions.setdefault(rid, []).append(pairs)

    @rule(server=server, asked=st.lists(keys, min_size=1))
    def get(self, server: int, asked: list[str]) -> None:
        assert self.users[server].get("ns", *asked) == {key: self.model.hash.get(key, "") for key in asked}

    @rule(server=server)
    def dump(self, server: int) -> None:
        assert self.users[server].dump("ns") == self.model.hash
        assert sorted(self.users[server].keys("ns")) == sorted(self.model.hash)

    @rule(server=server, rid=keys)
    def restore(self, server: int, rid: str) -> None:
        found = self.users[server].restore("ns", rid)
        assert [version.values for version in found.versions] == self.model.versions.get(rid, [])

    @rule(server=server)
    def current(self, server: int) -> None:
        latest = {rid: dict(ChainMap(*reversed(stored))) for rid, stored in self.model.versions.items()}
        assert self.users[server].current("ns") == latest


def test_calls_of_several_access_servers_equal_a_model(network: Federation) -> None:
    nets = network.hosts["msua1"].lonnet(), network.hosts["msua2"].lonnet()

    class Here(OneUser):
        pass

    Here.nets = nets
    Here.library = staticmethod(lambda name: make_member(network.hosts["msul1"], name))
    limits = settings(max_examples=15, stateful_step_count=25, database=None)
    try:
        run_state_machine_as_test(Here, settings=limits)
    finally:
        for net in nets:
            net.close()
