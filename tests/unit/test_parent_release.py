"""What lond's parent does not leave to the child that reads the configuration."""

from __future__ import annotations

import os
from pathlib import Path

from common.notify import Notifier
from common.pidfile import PidFile
from common.site import load_site
from lond.parent import LondParent
from tests.helpers.in_child import in_child


def test_a_loader_that_waits_for_dns_keeps_no_port(tmp_path: Path) -> None:
    address = f"127.{1 + os.getpid() % 200}.{1 + os.getpid() // 200 % 200}.7"
    (tmp_path / "hosts.tab").write_text(f"msul1:msu:library:msul1.example.org:{address}\n")
    conf = tmp_path / "loncapa.conf"
    directories = {name: tmp_path for name in ("lonTabDir", "lonSockDir", "lonDaemons", "lonUsersDir", "lonDelayedDir")}
    lines = [f"PerlSetVar {name} {value}\n" for name, value in ({"lonHostID": "msul1"} | directories).items()]
    conf.write_text("".join(lines))

    def listening() -> list[str]:
        parent = LondParent(load_site(conf), conf, PidFile(tmp_path / "lond.pid"), Notifier({}))
        before = _listeners()
        parent.release_to_loader()
        return [f"{len(before)} before", f"{len(_listeners())} after"]

    assert in_child(listening) == ["5 before", "0 after"]


def _listeners() -> set[str]:
    """The sockets that this process listens on."""
    tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    accepting = [fields[9] for fields in tcp if fields[3] == "0A"]
    accepting += [fields[6] for fields in unix if int(fields[3], 16) & 0x10000]
    ours = {os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if entry.is_symlink()}
    return {f"socket:[{inode}]" for inode in accepting} & ours
