"""Users of a test network, made and moved on the disks of its hosts."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.federation import Host


def user_directory(host: Host, name: str, domain: str = "msu") -> Path:
    """Where a user's records lie on a host."""
    return host.directory.joinpath("users", domain, *f"{name}__"[:3], name)


def make_member(host: Host, name: str) -> None:
    """Make the host the home server of a user who can't log in."""
    directory = user_directory(host, name)
    directory.mkdir(parents=True)
    (directory / "passwd").write_text("none:\n")


def move_member(name: str, old: Host, new: Host) -> None:
    """Move a user with all records to another home server."""
    target = user_directory(new, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    user_directory(old, name).rename(target)
