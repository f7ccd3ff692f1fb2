"""The disk of the users' records runs full and has room again, while a link stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from lonnet import Lonnet
from tests.helpers.federation import Federation
from tests.helpers.members import make_member, user_directory
from tests.helpers.small_disk import fill, small_disk

FULL = "error: 28 no space left on device"
LARGE = "x" * 50_000


def test_what_finds_no_room_says_so_and_all_goes_on_when_there_is_some(federation: Callable[..., Federation]) -> None:
    fed = federation(["msua1", "msul1"], start=[])
    here, there = fed.hosts["msua1"], fed.hosts["msul1"]
    with small_disk(there, "users", 2048) as disk:
        fed.start()
        for name in ("smith", "jones"):
            make_member(there, name)
        ask = asker(here.lonnet())
        assert ask("put:msu:smith:data:a=1") == "ok"
        (child,) = {slot.pid for slot in there.lond.slots() if slot.host == "msua1"}

        other = fill(disk)
        assert ask(f"put:msu:smith:data:a=2&b={LARGE}") == FULL
        assert ask("put:msu:jones:data:a=1") == FULL, "a first write needs a new database"
        assert ask("encrypt:makeuser:msu:lee:none:") == FULL
        assert ask("home:msu:lee") == "not_found"
        assert ask("dump:msu:smith:data") == "a=1"
        assert [path.name for path in user_directory(there, "jones").iterdir()] == ["passwd"]

        other.unlink()
        assert ask(f"put:msu:smith:data:a=2&b={LARGE}") == "ok"
        assert ask("put:msu:jones:data:a=1") == "ok"
        assert ask("encrypt:makeuser:msu:lee:none:") == "ok"
        assert ask("home:msu:lee") == "found"
        assert ask("get:msu:smith:data:a&b") == f"2&{LARGE}"
        assert child in {slot.pid for slot in there.lond.slots()}, "nothing was restarted"
        for path in disk.rglob("records.db"):
            with closing(sqlite3.connect(path)) as records:
                assert records.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path


def asker(net: Lonnet) -> Callable[[str], str]:
    return lambda command: net.reply(command, "msul1")
