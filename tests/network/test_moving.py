"""A user moves from one library server to another (``lonuser move``) while a third server has work for the user."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lonnet import Delivery
from lonnet.errors import RemoteError
from tests.helpers.federation import Federation, Host
from tests.helpers.loncontrol import control
from tests.helpers.members import make_member
from tests.helpers.waiting import eventually

LONUSER = Path(__file__).resolve().parents[2] / "scripts" / "lonuser"


def lonuser(host: Host, *arguments: str, data: bytes = b"") -> str:
    command = [sys.executable, str(LONUSER), "--conf", str(host.conf), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode()


def test_nobody_is_told_that_there_is_no_such_user(federation: Callable[..., Federation]) -> None:
    fed = federation(["msul1", "msul2", "msua1"])
    here, old, new = fed.hosts["msua1"], fed.hosts["msul1"], fed.hosts["msul2"]
    make_member(old, "smith")
    smith = here.lonnet().user("smith", "msu")
    assert smith.put("grades", {"a": "1"}) is Delivery.DONE

    old.lond.stop()
    here.wait_for_no_link("msul1")
    assert smith.put("grades", {"late": "1"}, timeout=1) is Delivery.DELAYED
    lonuser(old, "move", "msu", "smith", "msul2")
    old.start_lond()
    here.wait_for_link("msul1")
    eventually(lambda: "the user is moving" in control(here, "queue", "ls", "msul1", "--state", "waiting").stdout)
    for person in (smith, here.lonnet().user("smith", "msu")):  # one who knows the home server, one who must search
        calls: list[Callable[[], object]] = [
            partial(person.newput, "grades", {"b": "2"}),
            partial(person.get, "grades", "a"),
            partial(person.authenticate, "secret"),
        ]
        for call in calls:
            with pytest.raises(RemoteError, match="moving to another host, try again"):
                call()

    (archive,) = (old.directory / "users").rglob("*.loncapa-user")
    lonuser(new, "import", "-", data=archive.read_bytes())
    assert "loncontrol retry msul1" in lonuser(old, "move", "msu", "smith", "msul2", "--finish")
    assert smith.get("grades", "a", "late") == {"a": "1", "late": ""}
    assert smith.home() == "msul2"
    assert smith.put("grades", {"b": "2"}) is Delivery.DONE

    control(here, "retry", "msul1")
    failed = ("queue", "ls", "msul1", "--state", "failed")
    eventually(lambda: "the user has moved to msul2" in control(here, *failed).stdout)
    (late,) = json.loads(control(here, *failed, "--json").stdout)
    requeue = ("queue", "requeue", "msul1", late["id"], "--yes", "--to")
    assert control(here, *requeue, "msul1").returncode == 2
    passed_on = control(here, *requeue, "msul2")
    assert passed_on.stdout.endswith("1 of msul1's messages passed on to msul2\n"), passed_on
    eventually(lambda: smith.get("grades", "a", "b", "late") == {"a": "1", "b": "2", "late": "1"})
    assert control(here, "queue", "ls").stdout == ""
    perm_log = (here.directory / "logs" / "lonnet.perm.log").read_text().splitlines()
    assert {("D", "msul1"), ("R", "msul1"), ("D", "msul2")} <= {(*line.split(":")[1:3],) for line in perm_log}
