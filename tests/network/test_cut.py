"""The network is cut in the middle of transfers and messages: packets vanish, and nobody is told.

Each host lives in a network namespace of its own; where none can be made, these tests are skipped with the reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from threading import Event
from typing import TypeVar

import pytest

from common.metadata import Metadata
from common.resource_jobs import ResourceJobs, jobs_path
from lonnet import Lonnet
from lonnet.errors import HostUnreachable, TransferFailed, TransferUnderWay
from tests.helpers.activity import arrivals, message
from tests.helpers.federation import QUICK, Federation, Host
from tests.helpers.members import make_member
from tests.helpers.namespaces import CuttableNetwork, Unavailable
from tests.helpers.raw_server import HalfWay, RawServer, raw_server
from tests.helpers.waiting import eventually

T = TypeVar("T")
HOME, ACCESS = "msul1", "msua1"
PATH = "msu/smith/film.bin"
LENGTH = 8_000_000  # bytes; more than the kernels of both hosts hold on the way
PATIENCE = 60.0  # seconds; only a test that fails waits so long
SETTINGS = {
    **QUICK,
    "lonPingAfter": "2",
    "lonDeadAfter": "8",  # this and the next longer than a busy machine stalls a process
    "lonHttpTimeout": "12",
    "lonTransferWait": "0.5",
    "lonTransferTimeout": "30",
}


@dataclass
class Cuttable:
    """Two hosts in namespaces; HOME has the author and serves /raw/."""

    network: CuttableNetwork
    federation: Federation
    web: RawServer

    def __post_init__(self) -> None:
        self._nets = {id: host.lonnet() for id, host in self.federation.hosts.items()}

    def host(self, id: str) -> Host:
        return self.federation.hosts[id]

    def on(self, id: str, call: Callable[[Lonnet], T]) -> Callable[[], T]:
        """Begin to do something as a handler of a host does it; what is returned waits for the end."""
        net = self._nets[id]

        def work() -> T:
            try:
                return call(net)
            finally:
                net.close_thread()

        future = self.network.at(id, work)
        return lambda: future.result(PATIENCE)

    def publish(self, content: bytes) -> None:
        metadata = Metadata(title="Film", author="smith:msu", copyright="public")
        self.on(HOME, lambda net: net.resources.publish(PATH, BytesIO(content), metadata))()

    def reading(self) -> Callable[[], bytes]:
        """Begin to read the resource on the access server."""
        return self.on(ACCESS, content_of)

    def read(self) -> bytes:
        return self.reading()()

    def tell(self, number: int) -> str:
        """Send a critical message from the access server to the author's home server."""
        return self.on(ACCESS, lambda net: net.critical(message(0, number), HOME))()

    def wait_until_noticed(self) -> None:
        """Wait until both hosts know that the other one can't be reached."""
        for id, peer in ((HOME, ACCESS), (ACCESS, HOME)):
            self.host(id).wait_for_no_link(peer)
            assert re.search(f"link to {peer} is lost after .*: nothing received for ", self.host(id).lonc.log)

    def heal(self) -> None:
        self.network.heal()
        for id, peer in ((HOME, ACCESS), (ACCESS, HOME)):
            self.host(id).wait_for_link(peer)


def content_of(net: Lonnet) -> bytes:
    """What a reader gets; it must be whole."""
    file, metadata = net.resources.fetch(PATH).opened()
    with file:
        content = file.read()
    assert metadata.digest == f"sha256={sha256(content).hexdigest()}" and metadata.length == len(content)
    return content


@pytest.fixture
def cuttable() -> Iterator[Cuttable]:
    with ExitStack() as stack:
        try:
            network = stack.enter_context(CuttableNetwork([HOME, ACCESS]))
        except Unavailable as reason:
            pytest.skip(f"the network can't be cut here: {reason}")
        federation = Federation([HOME, ACCESS], addresses=network.addresses, settings=SETTINGS)
        stack.callback(federation.close)
        for id, namespace in network.namespaces.items():
            federation.hosts[id].entrance = namespace.entrance
        server = raw_server(federation.hosts[HOME])
        web = network.at(HOME, server.__enter__).result(PATIENCE)
        stack.callback(server.__exit__, None, None, None)
        federation.start()
        make_member(federation.hosts[HOME], "smith")
        yield Cuttable(network, federation, web)


@contextmanager
def cut_half_way(made: Cuttable, content: bytes) -> Iterator[None]:
    """Cut the network when half of a content is on its way; the block has somebody fetch it."""
    made.web.part = half = HalfWay(content)
    yield
    assert half.begun.wait(PATIENCE)
    made.network.cut()
    half.go_on.set()


@contextmanager
def versions_read(made: Cuttable) -> Iterator[list[bytes]]:
    """Read without a pause; the contents that were read, each once."""
    over, seen = Event(), [made.read()]

    def read(net: Lonnet) -> None:
        while not over.wait(0.01):
            content = content_of(net)
            if content != seen[-1]:
                seen.append(content)

    wait_for_end = made.on(ACCESS, read)
    try:
        yield seen
    finally:
        over.set()
        wait_for_end()


def failed_tries(host: Host) -> int:
    """How often the host has tried in vain to fetch the new version."""
    with closing(ResourceJobs(jobs_path(host.site().config))) as jobs:
        return sum(attempts for _, _, _, attempts in jobs.waiting())


def test_a_new_version_that_is_cut_half_way(cuttable: Cuttable) -> None:
    old, cut, newest = (os.urandom(LENGTH) for _ in range(3))
    cuttable.publish(old)
    with versions_read(cuttable) as seen:
        with cut_half_way(cuttable, cut):
            cuttable.publish(cut)
        eventually(lambda: failed_tries(cuttable.host(ACCESS)) >= 1, PATIENCE)
        cuttable.wait_until_noticed()
        cuttable.publish(newest)  # of which the subscriber can't hear yet
        assert cuttable.read() == old
        cuttable.heal()
        eventually(lambda: cuttable.read() == newest, PATIENCE)
    assert seen == [old, newest]


def test_a_first_transfer_that_is_cut_half_way(cuttable: Cuttable) -> None:
    content = os.urandom(LENGTH)
    cuttable.publish(content)
    with cut_half_way(cuttable, content):
        first = cuttable.reading()
    with pytest.raises(TransferUnderWay, match="service currently not available"):
        cuttable.read()
    with pytest.raises(TransferFailed):
        first()
    cuttable.wait_until_noticed()
    with pytest.raises(HostUnreachable):
        cuttable.read()
    tree = cuttable.host(ACCESS).directory / "html" / "res"
    assert [path.name for path in tree.rglob("*")] == []
    cuttable.heal()
    assert cuttable.read() == content


def test_messages_that_are_cut_on_their_way_arrive_once_and_in_order(cuttable: Cuttable) -> None:
    assert cuttable.tell(0) == "ok"
    cuttable.network.cut()
    assert cuttable.tell(1) == "con_delayed"  # when the link that it is on is given up
    cuttable.wait_until_noticed()
    assert [cuttable.tell(number) for number in (2, 3)] == ["con_delayed"] * 2
    cuttable.heal()
    assert cuttable.tell(4) == "ok"
    eventually(lambda: cuttable.network.still_sending(ACCESS) == [])
    assert arrivals(cuttable.host(HOME)).by_caller == {0: [0, 1, 2, 3, 4]}
