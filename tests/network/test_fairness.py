"""Ten access servers share one library server: none of them starves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lonnet import Lonnet
from tests.conftest import Measured
from tests.helpers.callers import Caller, start_caller
from tests.helpers.federation import Federation
from tests.helpers.waiting import eventually

SERVERS = [f"msua{number}" for number in range(1, 11)]
CALLERS = 64
WINDOW, WINDOWS = 10.0, 9  # seconds, and how many of them; who starves does so in all, who is stalled in one or two


def user(caller: int) -> str:
    return f"user{caller}"


def asking(caller: int) -> Callable[[Lonnet, Callable[[], bool], Callable[[str], None]], None]:
    """Reads and writes a user's records; reports the time of every answer."""

    def ask(net: Lonnet, wanted: Callable[[], bool], report: Callable[[str], None]) -> None:
        number = 0
        while wanted():
            command = f"put:msu:{user(caller)}:env:k=v" if number % 50 == 0 else f"get:msu:{user(caller)}:env:k"
            assert net.reply(command, "msul1") in ("ok", "v")
            report(f"{time.monotonic():.3f}")
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
    eventually(lambda: all(caller.result.exists() and caller.result.stat().st_size for caller in everybody))

    def served_alike() -> list[float]:
        begin = time.monotonic()
        eventually(lambda: time.monotonic() >= begin + WINDOW)
        rates = [answered(group, begin) / WINDOW for group in callers.values()]
        assert max(rates) <= 1.5 * min(rates), rates
        return rates

    try:
        rates = eventually(served_alike, WINDOW * WINDOWS)
    finally:
        for caller in everybody:
            caller.stop()
        for caller in everybody:
            caller.join()
    measured(f"answers per second and access server: {min(rates):.0f} to {max(rates):.0f}")


def answered(group: Sequence[Caller], begin: float) -> int:
    """How many answers the callers of a server had in the window."""
    lines = [line for caller in group for line in caller.result.read_text().rpartition("\n")[0].splitlines()]
    return sum(begin <= float(line) < begin + WINDOW for line in lines)
