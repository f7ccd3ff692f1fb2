"""Finding and remembering home servers."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lonnet.deadline import Deadline
from lonnet.errors import HostUnreachable, NoSuchUser, RemoteError, UnexpectedReply
from lonnet.home_calls import HomeCalls
from lonnet.homes import (
    MAX_ENTRIES,
    NEGATIVE_SECONDS,
    POSITIVE_SECONDS,
    HomeCache,
    Net,
    Remembered,
    UserName,
    home_server,
    is_home,
)
from lonnet.replies import Delivery
from lonnet.users import User
from tests.conftest import FakeClock
from tests.helpers.fake_net import FakeNet

SMITH = UserName("smith", "msu")
HOSTS = ["msul1", "msua1", "msul2", "msul3"]


@pytest.fixture
def net(clock: FakeClock) -> FakeNet:
    return FakeNet(HOSTS, own="msul2", clock=clock)


def home(net: Net, user: UserName = SMITH) -> str:
    return home_server(net, user, Deadline(10.0))


def test_user_names() -> None:
    assert (SMITH.fields, str(SMITH)) == ("msu:smith", "smith:msu")
    with pytest.raises(ValueError, match="user name"):
        UserName("../x", "msu")
    with pytest.raises(ValueError, match="domain"):
        UserName("smith", "")


# The cache


def test_what_is_remembered_gets_old(clock: FakeClock) -> None:
    cache = HomeCache(clock)
    assert cache.recall(SMITH) is None
    cache.remember(SMITH, "msul1")
    clock.advance(POSITIVE_SECONDS - 1)
    assert cache.recall(SMITH) == Remembered("msul1", True)
    clock.advance(1)
    assert cache.recall(SMITH) == Remembered("msul1", False)
    cache.remember(SMITH, None)
    clock.advance(NEGATIVE_SECONDS - 1)
    assert cache.recall(SMITH) == Remembered(None, True)
    clock.advance(1)
    assert cache.recall(SMITH) == Remembered(None, False)


def test_what_is_supposed_is_never_current_and_replaces_nothing_that_is_known(clock: FakeClock) -> None:
    cache = HomeCache(clock)
    cache.suppose(SMITH, "msul1")
    assert cache.recall(SMITH) == Remembered("msul1", False)
    cache.remember(SMITH, None)
    cache.suppose(SMITH, "msul1")
    assert cache.recall(SMITH) == Remembered(None, True)
    clock.advance(NEGATIVE_SECONDS)
    cache.suppose(SMITH, "msul1")
    assert cache.recall(SMITH) == Remembered("msul1", False)
    cache.remember(SMITH, "msul2")
    clock.advance(POSITIVE_SECONDS)
    cache.suppose(SMITH, "msul1")
    assert cache.recall(SMITH) == Remembered("msul2", False)


class CacheMachine(RuleBasedStateMachine):
    """The cache against a list of (user, host, time)."""

    users = st.sampled_from([UserName(name, "msu") for name in "abcdef"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache = HomeCache(self.clock, max_entries=3)
        self.model: list[tuple[UserName, str | None, float]] = []

    @rule(user=users, host=st.sampled_from(["msul1", "msul2", None]))
    def remember(self, user: UserName, host: str | None) -> None:
        self.cache.remember(user, host)
        self.model = [*(entry for entry in self.model if entry[0] != user), (user, host, self.clock.now)][-3:]

    @rule(user=users, host=st.sampled_from(["msul1", "msul2"]))
    def suppose(self, user: UserName, host: str) -> None:
        known = self.cache.recall(user)
        self.cache.suppose(user, host)
        if known is None or known == Remembered(None, False):
            self.model = [*(entry for entry in self.model if entry[0] != user), (user, host, -math.inf)][-3:]

    @rule(user=users)
    def forget(self, user: UserName) -> None:
        self.cache.forget(user)
        self.model = [entry for entry in self.model if entry[0] != user]

    @precondition(lambda self: self.model)
    @rule(seconds=st.sampled_from([1.0, NEGATIVE_SECONDS, POSITIVE_SECONDS / 2]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def same(self) -> None:
        assert len(self.cache) == len(self.model)
        known = {user: (host, at) for user, host, at in self.model}
        for user in map(UserName, "abcdef", ["msu"] * 6):
            found = self.cache.recall(user)
            if user not in known:
                assert found is None
                continue
            host, at = known[user]
            age = self.clock.now - at
            assert found == Remembered(host, age < (POSITIVE_SECONDS if host else NEGATIVE_SECONDS))


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=50, stateful_step_count=25)


def test_many_threads_use_one_cache() -> None:
    cache, faults = HomeCache(max_entries=20), []

    def use(number: int) -> None:
        try:
            for n in range(3000):
                user = UserName(f"u{(n * number) % 50}", "msu")
                cache.remember(user, f"h{user.name}")
                known = cache.recall(user)
                assert known is None or known.host == f"h{user.name}"
                if n % 7 == 0:
                    cache.forget(user)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    cache.remember(SMITH, "msul1")
    assert len(cache) <= 20
    assert MAX_ENTRIES > 20


# The search


def test_this_host_is_asked_first_and_access_servers_never(net: FakeNet) -> None:
    with pytest.raises(NoSuchUser, match="smith:msu: no such user"):
        home(net)
    assert net.commands() == ["msul2 home", "msul1 home", "msul3 home"]


def test_found_is_remembered(net: FakeNet) -> None:
    net.londs["msul1"].users["msu:smith"] = {}
    assert [home(net), home(net)] == ["msul1", "msul1"]
    assert net.commands() == ["msul2 home", "msul1 home"]


def test_not_found_is_remembered_for_a_short_time(net: FakeNet, clock: FakeClock) -> None:
    for _ in range(2):
        with pytest.raises(NoSuchUser):
            home(net)
    assert len(net.sent) == 3
    net.londs["msul1"].users["msu:smith"] = {}
    clock.advance(NEGATIVE_SECONDS)
    assert home(net) == "msul1"


def test_not_all_could_be_asked(net: FakeNet) -> None:
    net.down = {"msul1"}
    for _ in range(2):  # that was not remembered as "no such user"
        with pytest.raises(HostUnreachable, match="msul1"):
            home(net)
    net.londs["msul3"].users["msu:smith"] = {}
    assert home(net) == "msul3"


def test_a_domain_without_library_servers_has_no_users(net: FakeNet) -> None:
    with pytest.raises(NoSuchUser):
        home(net, UserName("smith", "hub"))
    assert net.sent == []


@pytest.mark.parametrize(
    ("reply", "error"), [("error: 13 no", RemoteError), ("maybe", UnexpectedReply), ("refused", Exception)]
)
def test_an_answer_that_says_nothing(net: FakeNet, reply: str, error: type[Exception]) -> None:
    net.answers["msul1", "home"] = reply
    with pytest.raises(error):
        home(net)
    with pytest.raises(error):
        is_home(net, SMITH, "msul1", 1.0)


def test_an_old_entry_is_confirmed_by_its_host_first(net: FakeNet, clock: FakeClock) -> None:
    net.londs["msul3"].users["msu:smith"] = {}
    home(net)
    clock.advance(POSITIVE_SECONDS)
    net.sent.clear()
    assert [home(net), home(net)] == ["msul3", "msul3"]
    assert net.commands() == ["msul3 home"]


def test_an_old_entry_serves_while_its_host_is_down(net: FakeNet, clock: FakeClock) -> None:
    net.londs["msul3"].users["msu:smith"] = {}
    home(net)
    clock.advance(POSITIVE_SECONDS)
    net.down = {"msul3"}
    assert home(net) == "msul3"
    net.londs["msul1"].users["msu:smith"] = {}  # unless another says that it is the home now
    assert home(net) == "msul1"


def test_what_is_supposed_is_asked_first_and_serves_while_it_is_down(net: FakeNet) -> None:
    net.homes.suppose(SMITH, "msul3")
    net.down = {"msul3"}
    assert home(net) == "msul3"
    assert net.commands() == ["msul3 home", "msul2 home", "msul1 home"]
    net.down, net.londs["msul1"].users["msu:smith"] = set(), {}  # it was so once
    assert home(net) == "msul1"
    assert net.homes.recall(SMITH) == Remembered("msul1", True)


@pytest.mark.parametrize("host", ["msua1", "oldl1"])
def test_a_supposed_home_that_can_t_be_one_is_not_used(net: FakeNet, host: str) -> None:
    net.homes.suppose(SMITH, host)
    net.down = {"msul1"}
    with pytest.raises(HostUnreachable, match="msul1"):
        home(net)
    net.down = set()
    with pytest.raises(NoSuchUser):
        home(net)


def test_a_silent_host_gets_its_share_of_the_time(net: FakeNet) -> None:
    limits: list[float] = []

    class Slow(FakeNet):
        def reply(self, command: str, host: str, timeout: float | None = None) -> str:
            limits.append(timeout or 0)
            return "con_lost"

    with pytest.raises(HostUnreachable):
        home_server(Slow(HOSTS), SMITH, Deadline(9.0, lambda: 0.0))
    assert limits == [3.0, 4.5, 9.0]


# Calls to the home server


def test_a_user_who_has_moved_is_found_again(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {"ns": {"a": "1"}}
    assert calls.reply("get:msu:smith:ns:&a", None) == ("msul1", "&1")
    net.londs["msul3"].users["msu:smith"] = net.londs["msul1"].users.pop("msu:smith")
    net.sent.clear()
    assert calls.reply("get:msu:smith:ns:&a", None) == ("msul3", "&1")
    assert net.commands() == ["msul1 get", "msul1 home", "msul2 home", "msul1 home", "msul3 home", "msul3 get"]
    assert calls.tell("put:msu:smith:ns:a=2", None) is Delivery.DONE
    assert net.commands() == ["msul3 put"]


@pytest.mark.parametrize("line", ["put:msu:smith:ns:a=2", "encrypt:rolesput:msu:x:msu:smith:a=2"])
def test_a_critical_message_follows_the_user(net: FakeNet, line: str) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {}
    calls.tell(line, None)
    net.londs["msul3"].users["msu:smith"] = net.londs["msul1"].users.pop("msu:smith")
    assert calls.tell(line, None) is Delivery.DONE
    assert net.homes.recall(SMITH) == Remembered("msul3", True)
    assert net.delayed == []


def test_a_user_who_was_removed(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {}
    calls.home(None)
    del net.londs["msul1"].users["msu:smith"]
    with pytest.raises(NoSuchUser):
        calls.tell("put:msu:smith:ns:a=2", None)
    assert net.homes.recall(SMITH) == Remembered(None, True)


def test_a_missing_namespace_is_no_sign_of_a_move(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {}
    calls.home(None)
    net.sent.clear()
    assert calls.read("get:msu:smith:ns:&a", str, None) is None
    assert net.commands() == ["msul1 get", "msul1 home"]
    net.homes.forget(SMITH)
    assert calls.read("get:msu:smith:ns:&a", str, None) is None
    assert net.commands() == ["msul2 home", "msul1 home", "msul1 get"]  # nothing to confirm: it was just found


def test_a_lost_link_is_no_sign_of_a_move(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {}
    calls.home(None)
    net.down = {"msul1"}
    assert calls.reply("get:msu:smith:ns:&a", None) == ("msul1", "con_lost")
    assert calls.tell("put:msu:smith:ns:a=2", None) is Delivery.DELAYED
    assert net.delayed == [("msul1", "put:msu:smith:ns:a=2")]
    assert net.homes.recall(SMITH) == Remembered("msul1", True)


def test_a_link_that_is_lost_during_the_confirmation(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.londs["msul1"].users["msu:smith"] = {}
    calls.home(None)
    net.answers["msul1", "home"] = "con_lost"
    with pytest.raises(HostUnreachable):  # not "nothing there": the user may have moved
        calls.reply("get:msu:smith:ns:&a", None)
    assert net.homes.recall(SMITH) == Remembered("msul1", True)


def test_a_home_server_that_left_the_network(net: FakeNet) -> None:
    calls = HomeCalls(net, SMITH)
    net.homes.remember(SMITH, "oldl1")
    net.londs["msul3"].users["msu:smith"] = {"ns": {"a": "1"}}
    assert calls.reply("get:msu:smith:ns:&a", None) == ("msul3", "&1")


def test_a_message_to_a_supposed_home_server_that_is_down_is_delayed(net: FakeNet) -> None:
    net.down = {"msul1"}
    smith = User(net, "smith", "msu", home="msul1")
    assert smith.put("ns", {"a": "1"}) is Delivery.DELAYED
    assert net.delayed == [("msul1", "put:msu:smith:ns:a=1")]


def test_a_message_without_a_known_home_server_is_nowhere(net: FakeNet) -> None:
    net.down = set(HOSTS)
    with pytest.raises(HostUnreachable):
        HomeCalls(net, SMITH).tell("put:msu:smith:ns:a=2", None)
    assert net.delayed == []


def test_limits_of_calls(net: FakeNet) -> None:
    asked: list[float | None] = []

    class Noting(FakeNet):
        def _carry(self, command: str, host: str, timeout: float | None) -> str:
            asked.append(timeout)
            return super()._carry(command, host, timeout)

    noting = Noting(HOSTS)
    noting.homes.remember(SMITH, "msul1")
    noting.londs["msul1"].users["msu:smith"] = {}
    calls = HomeCalls(noting, SMITH)
    calls.tell("put:msu:smith:ns:a=2", None)
    calls.reply("get:msu:smith:ns:&a", None)
    calls.reply("get:msu:smith:ns:&a", 3.0)
    assert [round(seconds or 0) for seconds in asked] == [22, 62, 3]
    with pytest.raises(ValueError, match="timeout"):
        calls.reply("get:msu:smith:ns:&a", -1.0)
