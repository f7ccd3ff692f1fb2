"""Requests per second and their latency: `ping` through lonnet, lonc and lond.

One asking host has links to four hosts at once, which differ in one thing each: a link as it is, the same limited to
one request at a time (``classic-serial``), and both of them through a relay that adds 25 ms in each direction. A second
asking host has a wider window, for thousands of callers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import echo
from tests.bench.asking import replying
from tests.bench.cpu import CpuMeter, children_of_link
from tests.bench.crowd import WARM_UP, Prepare, closed_loop, measure
from tests.bench.multiplex import multiplexed
from tests.bench.relay import start_relay
from tests.bench.sample import Sample
from tests.bench.subject import CALLERS, DEFAULTS, Effort, moved, neighbour, progress, write_tables
from tests.bench.table import Table, count, microseconds, milliseconds, ratio, words
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

DELAY = 0.025  # seconds one way
MANY = 4000  # callers
MANY_PROCESSES = 2
MANY_WARM_UP = 1.0  # seconds, until they no longer come all at once
WIDE_WINDOW = 8192

ASKING, WIDE = "msua1", "msua2"
NEAR, NEAR_SERIAL, FAR, FAR_SERIAL = "msul1", "msul2", "msul3", "msul4"
RELAYED = {FAR: 203, FAR_SERIAL: 204}  # host to the last number of its relay's address
ECHO, FAR_ECHO = 250, 251  # the last numbers of the TCP echo's address, and of its relay's

COLUMNS = (
    words("way", "way"),
    count("callers", "callers"),
    count("rate", "requests/s"),
    ratio("rate_ratio", "of floor"),
    milliseconds("p50", "p50 ms"),
    ratio("p50_ratio", "x floor"),
    milliseconds("p99", "p99 ms"),
    microseconds("lonc", "lonc us"),
    microseconds("lond", "lond us"),
    count("prototype", "prototype/s"),
)
NEW_CONNECTION, PIPELINED, SERIAL = "new TCP connection each", "lonnet, lonc, lond", "the same, classic-serial"
PROTOTYPE = {  # published figures of a throw-away prototype on a machine with 2 cores
    (NEW_CONNECTION, 0.0, 64): 10_000,
    (PIPELINED, 0.0, 1): 7_000,
    (PIPELINED, 0.0, 64): 46_000,
    (PIPELINED, DELAY, 64): 1_200,
    (PIPELINED, DELAY, MANY): 69_000,
    (SERIAL, DELAY, 64): 23,
}


@dataclass(frozen=True, slots=True)
class Network:
    """What is asked: two asking hosts, an echo behind a UNIX socket, one behind TCP, with and without delay."""

    asking: Path
    wide: Path
    wide_socket: Path
    unix_echo: Path
    tcp_echo: str
    far_echo: str
    port: int
    federation: Federation


@contextmanager
def network() -> Iterator[Network]:
    """The hosts, the relay and the echoes, while they are needed."""
    with ExitStack() as stack:
        federation = Federation([ASKING, WIDE, NEAR, NEAR_SERIAL, FAR, FAR_SERIAL], settings=DEFAULTS)
        stack.callback(federation.close)
        hosts, port = federation.hosts, federation.port
        ip = hosts[ASKING].ip
        routes = {neighbour(ip, last): hosts[host].ip for host, last in RELAYED.items()}
        routes[neighbour(ip, FAR_ECHO)] = neighbour(ip, ECHO)
        stack.enter_context(start_relay(routes, port, DELAY))
        stack.enter_context(echo.tcp_echo(neighbour(ip, ECHO), port))
        stack.enter_context(echo.unix_echo(str(_echo_socket(federation))))
        stack.callback(_echo_socket(federation).unlink)
        _start(federation)
        yield Network(
            hosts[ASKING].conf, hosts[WIDE].conf, hosts[WIDE].socket_path(FAR), hosts[NEAR].conf,
            neighbour(ip, ECHO), neighbour(ip, FAR_ECHO), port, federation,
        )  # fmt: skip


def _echo_socket(federation: Federation) -> Path:
    # The host NEAR runs no lonc, so its callers may find an echo where else their lonc would listen.
    path = federation.hosts[NEAR].socket_path(ASKING)
    path.parent.mkdir(exist_ok=True)
    return path


def _start(federation: Federation) -> None:
    hosts = federation.hosts
    tables = federation.directory / "asking"
    lines = {
        id: moved(line, neighbour(hosts[id].ip, RELAYED[id])) if id in RELAYED else line
        for id, line in federation.lines.items()
    }
    write_tables(tables, lines, {NEAR_SERIAL: "classic-serial", FAR_SERIAL: "classic-serial"})
    hosts[ASKING].write_conf(lonTabDir=str(tables))
    hosts[WIDE].write_conf(lonTabDir=str(tables), lonWindow=str(WIDE_WINDOW))
    for host in hosts.values():
        host.start_lond()
    for id in (ASKING, WIDE):
        hosts[id].start_lonc()
    for id in (ASKING, WIDE):
        for peer in hosts:
            hosts[id].wait_for_link(peer)


def tables(effort: Effort) -> Iterator[Table]:
    """The table without delay, then the one with it."""
    progress("requests: starting 6 hosts, a relay and two echoes")
    with network() as net:
        yield _near(net, effort)
        yield _far(net, effort)


def _near(net: Network, effort: Effort) -> Table:
    ladder = Ladder(Table("Requests on loopback (ping)", COLUMNS), net, effort)
    ladder.climb("lonnet to a bare echo", replying(net.unix_echo, ASKING, "ping", "ping"))
    ladder.climb(NEW_CONNECTION, _tcp(echo.on_new_connections, net.tcp_echo, net.port))
    ladder.climb(PIPELINED, replying(net.asking, NEAR, "ping", NEAR), peer=NEAR)
    ladder.climb(SERIAL, replying(net.asking, NEAR_SERIAL, "ping", NEAR_SERIAL), peer=NEAR_SERIAL)
    notes = ladder.table.notes
    notes.append("floor: the same number of lonnet callers against a process that only echoes, in this run")
    notes.append("lonc, lond: processor time of the link's two children for each request")
    return ladder.table


def _far(net: Network, effort: Effort) -> Table:
    table = Table(f"Requests with {DELAY * 1000:.0f} ms delay each way (ping)", COLUMNS)
    ladder = Ladder(table, net, effort, DELAY)
    ladder.climb("a TCP connection per caller", _tcp(echo.on_kept_connection, net.far_echo, net.port))
    ladder.climb(PIPELINED, replying(net.asking, FAR, "ping", FAR), peer=FAR)
    ladder.climb(SERIAL, replying(net.asking, FAR_SERIAL, "ping", FAR_SERIAL), peer=FAR_SERIAL, together=False)
    _many(ladder)
    table.notes.append("floor: the same number of callers, each with its own TCP connection through the same relay")
    table.notes.append("classic-serial: all callers share one request per round trip, whatever their number")
    return table


class Ladder:
    """Measures one way after the other with each number of callers; the first way is the floor of the others."""

    def __init__(self, table: Table, net: Network, effort: Effort, delay: float = 0.0) -> None:
        self.table, self.net, self.effort, self.delay = table, net, effort, delay
        self.floor: dict[int, Sample] = {}

    def climb(self, way: str, prepare: Prepare, peer: str = "", together: bool = True) -> None:
        """Add the rows of a way.

        :param peer: whose link it goes over, "" for none.
        :param together: False if the callers' requests wait for each other.
        """
        for callers in CALLERS:
            progress(f"requests: {way}{', delay' if self.delay else ''}, {callers} callers")
            meter = self.meter(ASKING, peer)
            warm_up = WARM_UP + 2 * self.delay * (1 if together else callers)
            sample = measure(lambda _number: prepare, callers, self.effort.seconds, warm_up, meter.read)
            self.add(way, callers, sample, meter, self.floor.setdefault(callers, sample))

    def meter(self, asking: str, peer: str) -> CpuMeter:
        """What measures the children of a link; nothing if there is none."""
        federation = self.net.federation
        pids = eventually(lambda: children_of_link(federation, asking, peer)) if peer else {}
        return CpuMeter(pids)

    def add(self, way: str, callers: int, sample: Sample, meter: CpuMeter, floor: Sample, times: float = 1.0) -> None:
        """Add a row.

        :param times: what the floor's rate is multiplied by.
        """
        cells = sample.cells(floor) | meter.per_answer(sample)
        cells["rate_ratio"] /= times
        self.table.add(way=way, callers=callers, prototype=PROTOTYPE.get((way, self.delay, callers)), **cells)


def _many(ladder: Ladder) -> None:
    progress(f"requests: {PIPELINED}, delay, {MANY} callers")
    share, reply = MANY // MANY_PROCESSES, FAR.encode() + b"\n"
    prepare = multiplexed(ladder.net.wide_socket, share, b"ping\n", reply)
    meter = ladder.meter(WIDE, FAR)
    sample = measure(lambda _number: prepare, MANY_PROCESSES, ladder.effort.seconds, MANY_WARM_UP, meter.read)
    ladder.add(PIPELINED, MANY, sample, meter, ladder.floor[1], times=MANY)
    ladder.table.notes.append(
        f"{MANY:,} callers: connections to the socket in {MANY_PROCESSES} processes, without lonnet, "
        f"lonWindow {WIDE_WINDOW}; floor computed, {MANY:,} times that of 1 caller"
    )


def _tcp(operation: Callable[[str, int], Callable[[], None]], ip: str, port: int) -> Prepare:
    return lambda: closed_loop(operation(ip, port))
