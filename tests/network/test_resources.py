"""Resources over real daemons: publication, replication, updates, and what goes wrong on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from common.metadata import Metadata
from lonnet import Delivery, Lonnet
from lonnet.errors import (
    AccessDenied,
    NotHomeServer,
    ResourceNotFound,
)
from lonnet.resources import Copy, Publication
from tests.helpers.federation import QUICK, Federation, Host
from tests.helpers.members import make_member
from tests.helpers.raw_server import RawServer, raw_server

HOME, ACCESS, OTHERS = "msul1", "msua1", ("msua2", "msua3")
ELSEWHERE = "huba1"
PUBLIC = Metadata(title="Free fall", author="smith:msu", copyright="public")

Site = tuple[Federation, RawServer]
At = Callable[[str], Lonnet]


@pytest.fixture(scope="module")
def network() -> Iterator[Site]:
    with ExitStack() as stack:
        made = Federation([HOME, ACCESS, *OTHERS, ELSEWHERE], settings={**QUICK, "lonTransferWait": "30"})
        stack.callback(made.close)
        (made.directory / "tables" / "trust.tab").write_text("msu:auth:none\n")
        web = stack.enter_context(raw_server(made.hosts[HOME]))
        made.start()
        make_member(made.hosts[HOME], "smith")
        yield made, web


@pytest.fixture
def at(network: Site) -> Iterator[At]:
    """lonnet on a host."""
    with ExitStack() as stack:

        def client(host: str) -> Lonnet:
            net = network[0].hosts[host].lonnet()
            stack.callback(net.close)
            return net

        yield client


@pytest.fixture
def home(at: At) -> Lonnet:
    return at(HOME)


@pytest.fixture
def web(network: Site) -> Iterator[RawServer]:
    yield network[1]
    network[1].before, network[1].part = None, lambda _path, content: content


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A resource of each test's own."""
    return f"msu/smith/{request.node.originalname}/{abs(hash(request.node.name))}.html"


def publish(net: Lonnet, path: str, content: bytes, metadata: Metadata = PUBLIC) -> Publication:
    return net.resources.publish(path, BytesIO(content), metadata)


def content_of(copy: Copy) -> bytes:
    file, metadata = copy.opened()
    with file:
        content = file.read()
    assert metadata.digest == f"sha256={sha256(content).hexdigest()}" and metadata.length == len(content)
    return content


def here(host: Host, path: str) -> Path:
    return host.directory / "html" / "res" / path


def test_published_replicated_and_known(at: At, home: Lonnet, web: RawServer, path: str) -> None:
    access = at(ACCESS)
    first = publish(home, path, b"one")
    assert (first.version, first.subscribers, first.deliveries) == (1, (), {})
    copy = access.resources.fetch(f"/res/{path}")
    assert (copy.file.read_bytes(), copy.is_original, copy.metadata) == (b"one", False, first.metadata)
    assert access.resources.fetch(path) == copy
    assert web.served[f"/raw/{path}"] == 1
    assert [one.host for one in home.resources.subscribers(path)] == [ACCESS]
    assert home.resources.fetch(path).is_original
    assert access.resources.current_version(path) == 1 and access.resources.versions(path) == [1]


def test_what_does_not_exist(network: Site, at: At, home: Lonnet, path: str) -> None:
    for net in (home, at(ACCESS)):
        for wrong in (path, "msu/nobody/a.html", "xyz/smith/a.html"):
            with pytest.raises(ResourceNotFound):
                net.resources.fetch(wrong)
        with pytest.raises(ResourceNotFound):
            net.resources.current_version(path)
    assert not here(network[0].hosts[ACCESS], path).parent.exists(), "a look for nothing left directories behind"
    publish(home, path, b"one")
    with pytest.raises(ResourceNotFound):
        at(ACCESS).resources.fetch(f"{path.rpartition('/')[0]}.html")


def test_published_on_the_home_server_alone(at: At, home: Lonnet, path: str) -> None:
    with pytest.raises(NotHomeServer, match=HOME):
        publish(at(ACCESS), path, b"one")
    with pytest.raises(ValueError, match="older version"):
        publish(home, "msu/smith/a.1.html", b"one")
    with pytest.raises(ResourceNotFound):
        publish(home, "msu/nobody/a.html", b"one")


def test_old_versions_can_be_had(at: At, home: Lonnet, path: str) -> None:
    for number, content in enumerate((b"one", b"two", b"three"), 1):
        assert publish(home, path, content).version == number
    access = at(ACCESS)
    old = path.replace(".html", ".2.html")
    assert content_of(access.resources.fetch(old)) == b"two"
    assert content_of(access.resources.fetch(path)) == b"three"
    assert access.resources.versions(path) == home.resources.versions(path) == [1, 2, 3]


@pytest.mark.parametrize(
    ("copyright", "sourceavail", "allowed"),
    [
        ("public", "open", {ACCESS, ELSEWHERE}),
        ("public", "closed", {ACCESS}),
        ("domain", "open", {ACCESS}),
        ("hub", "open", {ACCESS, ELSEWHERE}),
        ("private", "open", set()),
    ],
)
def test_access_privileges(
    network: Site, at: At, home: Lonnet, path: str, copyright: str, sourceavail: str, allowed: set[str]
) -> None:
    publish(home, path, b"one", Metadata(copyright=copyright, sourceavail=sourceavail))
    for host in (ACCESS, ELSEWHERE):
        net = at(host)
        if host in allowed:
            assert content_of(net.resources.fetch(path)) == b"one"
        else:
            with pytest.raises(AccessDenied):
                net.resources.fetch(path)
            assert not here(network[0].hosts[host], path).exists()
    assert {one.host for one in home.resources.subscribers(path)} == allowed


def test_raw_is_for_subscribed_members(network: Site, at: At, home: Lonnet, path: str) -> None:
    hosts = network[0].hosts
    publish(home, path, b"one")
    for wrong in ("127.0.0.1", hosts[ACCESS].ip, "nonsense"):
        with pytest.raises(AccessDenied):
            home.resources.check_requester(path, wrong)
    at(ACCESS).resources.subscribe(path)
    assert home.resources.check_requester(f"/raw/{path}.meta", hosts[ACCESS].ip).id == ACCESS
    with pytest.raises(AccessDenied):
        home.resources.check_requester(path, hosts[ELSEWHERE].ip)
    publish(home, path, b"two", Metadata(copyright="private"))
    with pytest.raises(AccessDenied):
        home.resources.check_requester(path, hosts[ACCESS].ip)


def test_deliveries_are_counted_for_the_author(home: Lonnet, path: str) -> None:
    for domain in ("msu", "hub", "hub"):
        assert home.resources.count_delivery(path, domain) is Delivery.DONE
    assert home.resources.deliveries("smith", "msu")[path] == {"msu": 1, "hub": 2}


def test_64_clients_and_50_fresh_resources(network: Site, at: At, home: Lonnet, web: RawServer, path: str) -> None:
    contents = {path.replace(".html", f"-{number}.html"): os.urandom(2000 + number) for number in range(50)}
    for name, content in contents.items():
        publish(home, name, content)
    nets = [at(host) for host in (ACCESS, *OTHERS)]

    def read(client: int) -> None:
        net = nets[client % 3]
        order = list(contents)[client % 50 :] + list(contents)[: client % 50]
        for name in order:
            assert content_of(net.resources.fetch(name)) == contents[name]
        net.close_thread()

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(read, range(64)))
    ips = {network[0].hosts[host].ip for host in (ACCESS, *OTHERS)}
    assert {key: web.sources[key] for key in ((f"/raw/{name}", ip) for name in contents for ip in ips)} == {
        (f"/raw/{name}", ip): 1 for name in contents for ip in ips
    }
