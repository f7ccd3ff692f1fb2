"""lonnet lives in other people's processes: what it imports, and what it must never do there."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import LonError
from lonnet import errors

ROOT = Path(__file__).parents[2]
OURS = ("common", "lonc", "lond", "lonnet")
LATE = {"urllib3"}  # imported inside functions
FORBIDDEN = {
    "atexit.register",
    "os.fork",
    "os._exit",
    "os.kill",
    "signal.alarm",
    "signal.setitimer",
    "signal.set_wakeup_fd",
    "signal.signal",
    "sys.exit",
}


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source_of(module).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            yield node.module


def lonnet_modules() -> list[str]:
    return [f"lonnet.{path.stem}" for path in sorted((ROOT / "lonnet").glob("*.py"))]


def handlers() -> list[str]:
    return [f"lonnet.handlers.{path.stem}" for path in sorted((ROOT / "lonnet" / "handlers").glob("*.py"))]


def everything_imported() -> dict[str, str]:
    """Module -> who imports it, for lonnet and all of ours that it reaches."""
    found: dict[str, str] = dict.fromkeys(lonnet_modules(), "")
    to_do = list(found)
    while to_do:
        module = to_do.pop()
        for name in imports_of(module):
            if name not in found:
                found[name] = module
                to_do += [name] if name.split(".")[0] in OURS else []
    return found


def test_standard_library_only() -> None:
    foreign = {
        name: importer
        for name, importer in everything_imported().items()
        if name.split(".")[0] not in (*sys.stdlib_module_names, "common", "lonnet", *LATE)
    }
    assert foreign == {}


def test_heavier_libraries_are_imported_by_who_needs_them() -> None:
    loaded = f"import lonnet, sys; assert not {LATE} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True)


def test_the_walk_sees_what_common_imports() -> None:
    assert {"sqlite3", "common.config", "ipaddress"} <= everything_imported().keys()


@pytest.mark.parametrize("module", lonnet_modules() + handlers())
def test_nothing_that_a_guest_must_not_do(module: str) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(source_of(module).read_text()))
        if isinstance(node, ast.Call)
    }
    allowed = {"sys.exit"} if module == "lonnet.__main__" else set()
    assert calls & FORBIDDEN <= allowed
    assert "print" not in calls or module == "lonnet.command_line"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.HostUnreachable("msul1"), "msul1: no reply (con_lost)"),
        (errors.Delayed("msul1"), "msul1: stored, and delivered later (con_delayed)"),
        (errors.DeliveryFailed("msul1"), "msul1: neither delivered nor stored (con_failed)"),
        (errors.Refused("passwd in clear"), "passwd in clear"),
        (errors.NoSuchUser("smith", "msu"), "smith:msu: no such user"),
        (errors.NoSuchDomain("smith", "nodom"), "smith:nodom: no library server of nodom is in hosts.tab"),
        (errors.NoSuchHost("msul\n"), r"'msul\n': not in hosts.tab (no_such_host)"),
        (errors.RemoteError(2, "no such file"), "error 2: no such file"),
    ],
)
def test_errors_say_what_happened_and_travel_between_processes(error: LonError, text: str) -> None:
    assert str(error) == text
    travelled = pickle.loads(pickle.dumps(error))
    assert (type(travelled), str(travelled), vars(travelled)) == (type(error), text, vars(error))
