"""Resources over real daemons: publication, replication, updates, and what goes wrong on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from common.metadata import Metadata
from common.resource_jobs import ANNOUNCE, ResourceJobs, jobs_path
from lonnet import Delivery, Lonnet
from lonnet.errors import (
    AccessDenied,
    HostUnreachable,
    NoSuchUser,
    NotHomeServer,
    ResourceNotFound,
    TransferFailed,
    TransferUnderWay,
)
from lonnet.resources import Copy, Publication
from lonnet.sessions import Sessions
from tests.helpers.federation import QUICK, ROOT, Federation, Host
from tests.helpers.members import make_member, user_directory
from tests.helpers.published import put_resource
from tests.helpers.raw_server import HalfWay, RawHandler, RawServer, raw_server, whole
from tests.helpers.waiting import eventually

HOME, ACCESS, OTHERS = "msul1", "msua1", ("msua2", "msua3")
ELSEWHERE = "huba1"
LATER_PORT = 8080  # where a web server can be started later: links from this address are never given this port
PATIENT = {"lonTransferWait": "60", "lonHttpTimeout": "60"}  # 64 clients and their web server share this process
PUBLIC = Metadata(title="Free fall", author="smith:msu", copyright="public")

Site = tuple[Federation, RawServer]
At = Callable[[str], Lonnet]


@contextmanager
def started(*hosts: str, addresses: Mapping[str, str] | None = None) -> Iterator[Site]:
    with ExitStack() as stack:
        made = Federation(hosts, addresses=addresses, settings={**QUICK, **PATIENT})
        stack.callback(made.close)
        (made.directory / "tables" / "trust.tab").write_text("msu:auth:none\n")
        web = stack.enter_context(raw_server(made.hosts[HOME]))
        made.lines[ACCESS] += f":http={LATER_PORT}"
        made.write_tables()
        made.start()
        make_member(made.hosts[HOME], "smith")
        yield made, web


@pytest.fixture(scope="module")
def network() -> Iterator[Site]:
    with started(HOME, ACCESS, *OTHERS, ELSEWHERE) as site:
        yield site


@pytest.fixture
def own(network: Site) -> Iterator[Site]:
    """A network for a test that kills daemons, beside the others' one."""
    beside = network[0].hosts[HOME].ip.rpartition(".")[0]
    with started(HOME, ACCESS, addresses={HOME: f"{beside}.101", ACCESS: f"{beside}.102"}) as site:
        yield site


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


@pytest.fixture(autouse=True)
def web(network: Site) -> Iterator[RawServer]:
    made, server = network
    yield server
    server.before, server.part = None, whole
    server.wait_until_quiet(made)


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
    with pytest.raises(NoSuchUser, match="nobody:msu"):
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


def becomes(net: Lonnet, path: str, content: bytes) -> None:
    """Wait until a host's copy has this content; whatever is read meanwhile is whole."""
    eventually(lambda: content_of(net.resources.fetch(path)) == content, pause=0.05)


def test_a_new_version_reaches_who_has_a_copy_and_nobody_else(
    network: Site, at: At, home: Lonnet, web: RawServer, path: str
) -> None:
    access = at(ACCESS)
    publish(home, path, b"one")
    access.resources.fetch(path)
    publication = publish(home, path, b"two")
    assert publication.deliveries == {ACCESS: Delivery.DONE} and publication.failures == {}
    eventually(lambda: here(network[0].hosts[ACCESS], path).read_bytes() == b"two")
    assert access.resources.fetch(path).metadata.version == 2
    assert [here(network[0].hosts[other], path).exists() for other in OTHERS] == [False, False]
    assert web.served[f"/raw/{path}"] == 2


def test_two_publications_while_a_subscriber_is_down(own: Site, path: str) -> None:
    net, web = own
    home, down = net.hosts[HOME].lonnet(), net.hosts[ACCESS]
    publish(home, path, b"one")
    down.lonnet().resources.fetch(path)
    down.stop()
    net.hosts[HOME].wait_for_no_link(down.id)
    for content in (b"two", b"three"):
        assert publish(home, path, content).deliveries == {down.id: Delivery.DELAYED}
    assert here(down, path).read_bytes() == b"one"
    down.start()
    eventually(lambda: here(down, path).read_bytes() == b"three", 60)
    assert web.sources[f"/raw/{path}", down.ip] == 2, "one transfer of the first version, and one of the newest"


def test_an_unused_copy_goes_with_the_next_version(network: Site, at: At, home: Lonnet, path: str) -> None:
    host = network[0].hosts[ACCESS]
    publish(home, path, b"one")
    copy = at(ACCESS).resources.fetch(path)
    os.utime(copy.file.with_name(f"{copy.file.name}.copy"), (0, 0))
    os.utime(copy.file)  # as a backup does; it is no access
    publish(home, path, b"two")
    eventually(lambda: not home.resources.subscribers(path))
    eventually(lambda: not here(host, path).parent.exists())  # it goes when the home server has heard of it
    assert publish(home, path, b"three").subscribers == ()
    assert content_of(at(ACCESS).resources.fetch(path)) == b"three"


def test_housekeeping(network: Site, at: At, home: Lonnet, path: str) -> None:
    access, other = at(ACCESS), path.replace(".html", "-used.html")
    for name in (path, other):
        publish(home, name, b"one")
        access.resources.fetch(name)
    copy = here(network[0].hosts[ACCESS], f"{path}.copy")
    os.utime(copy, (0, 0))
    at(ACCESS).resources.touch(path)
    assert path not in access.resources.sweep().deleted
    os.utime(copy, (0, 0))
    swept = access.resources.sweep()
    assert swept.deleted == (path,) and swept.failed == {} and swept.kept >= 1
    assert home.resources.subscribers(path) == [] and not here(network[0].hosts[ACCESS], path).exists()
    assert content_of(access.resources.fetch(other)) == b"one"
    assert home.resources.sweep().deleted == ()
    assert content_of(home.resources.fetch(path)) == b"one"


def test_a_copy_whose_subscription_was_lost_heals(network: Site, at: At, home: Lonnet, path: str) -> None:
    access = at(ACCESS)
    publish(home, path, b"one")
    access.resources.fetch(path)
    assert access.reply(f"unsub:/res/{path}", HOME) == "ok"  # as one that comes after a new subscription
    assert publish(home, path, b"two").subscribers == ()
    access.resources.sweep()
    assert content_of(access.resources.fetch(path)) == b"one"
    os.utime(here(network[0].hosts[ACCESS], f"{path}.meta"), (0, 0))
    access.resources.sweep()
    assert content_of(access.resources.fetch(path)) == b"two"
    assert [one.host for one in home.resources.subscribers(path)] == [ACCESS]
    publish(home, path, b"three")
    becomes(access, path, b"three")


def test_a_withdrawn_right_ends_the_copy(network: Site, at: At, home: Lonnet, path: str) -> None:
    publish(home, path, b"one")
    at(ELSEWHERE).resources.fetch(path)
    publish(home, path, b"two", Metadata(copyright="domain"))
    eventually(lambda: not here(network[0].hosts[ELSEWHERE], path).exists())
    with pytest.raises(AccessDenied):
        at(ELSEWHERE).resources.fetch(path)


def test_a_withdrawn_right_ends_copies_of_older_versions(network: Site, at: At, home: Lonnet, path: str) -> None:
    older = path.replace(".html", ".1.html")
    for content in (b"one", b"two"):
        publish(home, path, content)
    for host in (ACCESS, ELSEWHERE):
        at(host).resources.fetch(older)
    publish(home, path, b"three", Metadata(copyright="domain"))
    eventually(lambda: not here(network[0].hosts[ELSEWHERE], older).exists())
    eventually(lambda: at(ACCESS).resources.fetch(older).metadata.copyright == "domain")
    assert content_of(at(ACCESS).resources.fetch(older)) == b"one"
    with pytest.raises(AccessDenied):
        at(ELSEWHERE).resources.fetch(older)


def test_a_publisher_that_was_killed_is_finished_for(network: Site, at: At, home: Lonnet, path: str) -> None:
    publish(home, path, b"one")
    at(ACCESS).resources.fetch(path)
    host = network[0].hosts[HOME]
    put_resource(host.directory / "html" / "res", path, b"two", new_version=True)
    jobs = ResourceJobs(jobs_path(host.site().config))
    jobs.add(ANNOUNCE, path)
    jobs.close()
    becomes(at(ACCESS), path, b"two")


def updaters(host: Host) -> list[int]:
    return [slot.pid for slot in host.lond.slots() if slot.state == "updater"]


def test_killed_workers_and_a_killed_lond_in_the_middle_of_an_update(own: Site, path: str) -> None:
    net, web = own
    host, access, home = net.hosts[ACCESS], net.hosts[ACCESS].lonnet(), net.hosts[HOME].lonnet()
    contents = [os.urandom(200_000) for _ in range(3)]
    publish(home, path, contents[0])
    access.resources.fetch(path)

    def kill_workers() -> None:
        for pid in updaters(host):
            os.kill(pid, signal.SIGKILL)

    def kill_lond() -> None:
        host.lond.kill()
        host.start_lond()

    for content, kill in zip(contents[1:], (kill_workers, kill_lond), strict=True):
        web.part = half = HalfWay(content)
        before = content_of(access.resources.fetch(path))
        publish(home, path, content)
        assert half.begun.wait(60)
        assert content_of(access.resources.fetch(path)) == before
        kill()
        assert content_of(access.resources.fetch(path)) in (before, content)  # whoever is born next may be quick
        half.go_on.set()
        becomes(access, path, content)


FETCH = """
import sys
from lonnet import Lonnet
Lonnet.from_conf(sys.argv[1]).resources.fetch(sys.argv[2])
"""


def test_a_killed_transfer_is_taken_over(network: Site, at: At, home: Lonnet, web: RawServer, path: str) -> None:
    host, content = network[0].hosts[ACCESS], os.urandom(200_000)
    publish(home, path, content)
    web.part = half = HalfWay(content)
    reader = subprocess.Popen([sys.executable, "-c", FETCH, str(host.conf), path], cwd=ROOT)
    assert half.begun.wait(60)
    assert here(host, f"{path}.in.transfer").exists() and not here(host, path).exists()
    reader.kill()
    reader.wait()
    assert content_of(at(ACCESS).resources.fetch(path)) == content
    half.go_on.set()
    assert not here(host, f"{path}.in.transfer").exists()


def test_who_waits_too_long_is_told_so(network: Site, at: At, home: Lonnet, web: RawServer, path: str) -> None:
    content = os.urandom(100_000)
    publish(home, path, content)
    web.part = half = HalfWay(content)
    access = at(ACCESS)

    def first() -> bytes:
        try:
            return content_of(access.resources.fetch(path))
        finally:
            access.close_thread()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first)
        assert half.begun.wait(60)
        with pytest.raises(TransferUnderWay, match="service currently not available"):
            access.resources.fetch(path, timeout=0.2)
        half.go_on.set()
        assert waiting.result() == content


def test_the_home_server_dies_in_the_middle(own: Site, path: str) -> None:
    net, web = own
    host, content = net.hosts[HOME], os.urandom(100_000)
    publish(host.lonnet(), path, content)

    def dies(handler: RawHandler, content: bytes) -> bytes:
        host.lond.kill()
        handler.close_connection = True
        return content[:5000]

    web.part = dies
    access = net.hosts[ACCESS].lonnet()
    with pytest.raises(TransferFailed):
        access.resources.fetch(path)
    web.part = whole
    for member in net.hosts.values():
        member.wait_for_no_link(HOME)
    with pytest.raises(HostUnreachable):
        access.resources.fetch(path)
    assert not here(net.hosts[ACCESS], path).parent.exists()
    host.start_lond()
    for member in net.hosts.values():
        member.wait_for_link(HOME)
    assert content_of(access.resources.fetch(path)) == content


def test_what_is_not_what_was_published_gets_no_name(
    network: Site, at: At, home: Lonnet, web: RawServer, path: str
) -> None:
    publish(home, path, b"content " * 1000)

    def status(code: int, **headers: str) -> Callable[[RawHandler, str], bool]:
        def answer(handler: RawHandler, _path: str) -> bool:
            handler.send_response(code)
            for name, value in {"Content-Length": "0", **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            return True

        return answer

    def altered(_handler: RawHandler, content: bytes) -> bytes:
        return content.replace(b"content", b"changed")

    def shortened(handler: RawHandler, content: bytes) -> bytes:
        handler.close_connection = True
        return content[:-1]

    access = at(ACCESS)
    elsewhere = f"http://{network[0].hosts[ELSEWHERE].ip}:{web.port}/raw/{path}"
    for before, part in (
        (status(302, Location=elsewhere), whole),
        (status(500), whole),
        (status(404), whole),
        (status(200), whole),
        (status(200, **{"Content-Length": "99999999999"}), whole),
        (None, altered),
        (None, shortened),
    ):
        web.before, web.part = before, part
        with pytest.raises(TransferFailed):
            access.resources.fetch(path)
        assert not here(network[0].hosts[ACCESS], path).parent.exists()
    web.before, web.part = None, whole
    assert content_of(access.resources.fetch(path)) == b"content " * 1000


def test_uploaded_files_come_to_the_user_s_home_server(network: Site, at: At) -> None:
    hosts = network[0].hosts
    access = at(ACCESS)

    def uploaded(handler: RawHandler, path: str) -> bool:
        content = b"essay" if path == "/userfiles/msu/smith/course/my essay.txt" else None
        handler.send_response(200 if content else 404)
        handler.send_header("Content-Length", str(len(content or b"")))
        handler.end_headers()
        handler.wfile.write(content or b"")
        return True

    port = int(hosts[ACCESS].site().own.extra[0].removeprefix("http="))
    with raw_server(hosts[ACCESS], port) as server:
        server.before = uploaded
        wanted = "fetchuserfile:msu/smith/course%2fmy%20essay.txt"
        assert access.reply(wanted, HOME) == "ok"
        file = user_directory(hosts[HOME], "smith") / "userfiles" / "course" / "my essay.txt"
        assert file.read_text() == "essay"
        assert access.reply("fetchuserfile:msu/smith/none.txt", HOME) == "failed"
        assert access.reply(wanted, OTHERS[0]) == "not_home"
    assert access.reply(wanted, HOME) == "failed"
    assert file.read_text() == "essay"
    assert [entry.name for entry in file.parent.parent.rglob("*")] == ["course", "my essay.txt"]


def test_sessions_say_which_uploaded_files_may_be_had(network: Site, at: At) -> None:
    sessions = Sessions(network[0].hosts[ACCESS].site().config)
    session_id, _ = sessions.create("smith", "msu", HOME)
    sessions.grant(session_id, "essay.txt", "msu/smith/essay.txt")
    net = at(HOME)
    assert net.reply(f"tokenauthuserfile:essay%2etxt:{session_id}", ACCESS) == "ok"
    assert net.reply(f"tokenauthuserfile:other%2etxt:{session_id}", ACCESS) == "non_auth"
    assert net.reply("tokenauthuserfile:essay%2etxt:..%2f..%2fetc%2fpasswd", ACCESS) == "invalid_token"
    sessions.end(session_id)
    assert net.reply(f"tokenauthuserfile:essay%2etxt:{session_id}", ACCESS) == "invalid_token"
