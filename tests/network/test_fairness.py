"""Ten access servers share one library server: none of them starves.

What is compared is how many of the same 150,000 answers each of them had: one long window and not the best of several,
so that a server that is served well only now and then fails. It ends by answers and not by seconds, so that a slow
machine takes longer and sees as many. For a second or two a busy machine serves one server several times as often as
another: who has the processors is chance. Over so many answers that comes to a ratio of 1.1, or 1.2 with three times
the work that the processors can do (64 callers are seven on four servers and six on the others: 1.17 at worst).
What is more is the fault of who serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lonnet import Lonnet
from tests.conftest import Measured
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

SERVERS = [f"msua{number}" for number in range(1, 11)]
CALLERS = 64
ANSWERS = 150_000  # half a minute
LONGEST = 600.0  # seconds that a slow machine may take for them


def user(caller: int) -> str:
    return f"user{caller}"


def asking(caller: int) -> Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]:
    """Reads and writes a user's records; reports every answer by one byte."""

    def ask(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
        number = 0
        while wanted():
            command = f"put:msu:{user(caller)}:env:k=v" if number % 50 == 0 else f"get:msu:{user(caller)}:env:k"
            assert net.reply(command, "msul1") in ("ok", "v")
            report("")
            number += 1

    return ask


def test_no_access_server_starves(federation: Callable[..., Federation], measured: Measured) -> None:
    fed = federation(["msul1", *SERVERS], start=[])
    for number in range(CALLERS):
        (fed.hosts["msul1"].directory / "users" / "msu" / "u" / "s" / "e" / user(number)).mkdir(parents=True)
    fed.hosts["msul1"].start_lond()
    for server in SERVERS:
        fed.hosts[server].start_lonc()
    for server in SERVERS:
        fed.hosts[server].wait_for_link("msul1")
    callers: dict[str, list[Caller]] = {server: [] for server in SERVERS}
    for number in range(CALLERS):
        server = SERVERS[number % len(SERVERS)]
        callers[server].append(start_caller(fed.hosts[server].conf, fed.directory / f"caller{number}", asking(number)))
    everybody = [caller for group in callers.values() for caller in group]
    eventually(lambda: all(caller.result.exists() and answered([caller]) for caller in everybody))
    try:
        before = {server: answered(group) for server, group in callers.items()}
        eventually(lambda: answered(everybody) - sum(before.values()) >= ANSWERS, LONGEST)
        served = {server: answered(group) - before[server] for server, group in callers.items()}
    finally:
        for caller in everybody:
            caller.stop()
        for caller in everybody:
            caller.join()
    least, most = min(served.values()), max(served.values())
    assert most <= 1.5 * least, served
    measured(f"of {sum(served.values()):,} answers each access server had {least:,} to {most:,}")


def answered(group: Sequence[Caller]) -> int:
    """How many answers some callers have had."""
    return sum(caller.result.stat().st_size for caller in group)
