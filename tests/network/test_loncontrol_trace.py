"""What became of one message: told by the FIFO, the logs, and the host that executed it."""

from __future__ import annotations

import json

from tests.helpers.activity import arrivals, make_user, message
from tests.helpers.classic_peer import ClassicLond
from tests.helpers.federation import Federation, Host
from tests.helpers.loncontrol import control
from tests.helpers.waiting import eventually
from tests.network.conftest import FederationFactory


def traced(here: Host, id: str, *arguments: str) -> dict[str, object]:
    [story] = json.loads(control(here, "trace", id, "--json", *arguments).stdout)["messages"]
    return dict(story)


def ids(here: Host) -> list[str]:
    found = json.loads(control(here, "queue", "ls", "--state", "waiting", "--state", "done", "--json").stdout)
    return [row["id"] for row in found]


def test_a_message_from_its_delay_to_its_execution(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2"], start=["msua1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul2"]
    net = here.lonnet()
    assert net.critical(message(1, 0), "msul2") == "con_delayed"
    assert net.critical("encrypt:rolesput:msu:adam:msu:smith:old-secret=1", "msul2") == "con_delayed"
    id, secret = ids(here)
    waiting = traced(here, id, "--peer")
    assert (waiting["state"], waiting["peer"]) == ("waiting", "msul2 can't be asked: there is no link to it now")
    assert [line.split(":")[1] for line in waiting["perm_log"]] == ["D"]  # type: ignore[attr-defined]

    make_user(there)
    there.start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    here.wait_for_link("msul2")
    done = traced(here, id[:30], "--peer")
    assert (done["state"], done["reply"]) == ("done", "ok")
    assert [line.split(":")[1] for line in done["perm_log"]] == ["D", "S"]  # type: ignore[attr-defined]
    assert str(done["peer"]).startswith("msul2 was asked once to execute this command for us, and answered: ")
    assert net.critical(message(1, 0), "msul2") == "ok"
    assert "msul2 was asked 2 times to execute this command for us, " in str(traced(here, id, "--peer")["peer"])
    assert arrivals(there).by_caller == {1: [0, 0]}

    text = control(here, "trace", secret, "--peer").stdout
    assert f"{secret} to msul2, seq 2: done" in text and ": rolesput\n" in text and "old-secret" not in text
    assert "was asked once to execute rolesput, of which it keeps no more than the word, for us, and answered: " in text
    journal = (there.directory / "logs" / "lond.journal").read_text()
    assert "secret" not in journal and "smith" not in journal


def test_what_is_not_known_is_said(federation: FederationFactory) -> None:
    here = federation(["msua1", "msul2"], start=[]).hosts["msua1"]
    unknown = control(here, "trace", "0123456789")
    assert unknown.returncode == 1 and "no FIFO and no log knows 0123456789" in unknown.stderr
    assert control(here, "trace", "xyz").returncode == 1


def test_an_original_server_keeps_no_journal(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2"], start=[])
    here = fed.hosts["msua1"]
    with ClassicLond("msul2", {here.ip: "msua1"}, fed.hosts["msul2"].ip, fed.port):
        here.start_lonc()
        here.wait_for_link("msul2")
        assert here.lonnet().critical("put:msu:smith:env:lang=en", "msul2") == "ok"
        [id] = ids(here)
        told = str(traced(here, id, "--peer")["peer"])
        assert told.startswith("msul2 keeps no journal (it answers unknown_cmd)")
        here.lonc.stop()


def test_lines_of_the_log_are_found_when_the_row_is_gone(federation: FederationFactory) -> None:
    fed: Federation = federation(["msua1", "msul2"], start=["msua1"])
    here, there = fed.hosts["msua1"], fed.hosts["msul2"]
    assert here.lonnet().critical("log:msu:nobody:x", "msul2") == "con_delayed"
    [id] = ids(here)
    there.start_lond()
    assert control(here, "retry", "msul2").returncode == 0
    eventually(lambda: f"delayed message {id} was refused" in here.lonc.log)
    assert control(here, "queue", "delete", "msul2", id, "--yes").returncode == 0
    found = control(here, "trace", id)
    assert found.returncode == 0 and f"delayed message {id} was refused" in found.stdout
