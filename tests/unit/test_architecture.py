"""The rules of the house that a reader can't see in one file: who imports whom, who forks, who may wait."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("common", "lonc", "lond", "lonnet")
MAY_IMPORT = {
    "common": {"common"},
    "lonc": {"common", "lonc"},
    "lond": {"common", "lond", "lonnet"},
    "lonnet": {"common", "lonnet"},
}
PURE = (
    "common.link_states",
    "common.protocol",
    "common.crypto",
    "common.config",
    "common.settings",
    "common.hosts_table",
    "common.escape",
    "common.metadata",
    "common.resource_path",
    "lonc.retry",
    "lonnet.handlers.problem_format",
    "lond.refusals",
)
IMPURE = {"os", "socket", "signal", "time", "selectors"}
PROCESS_MODULES = {"subprocess", "psutil", "multiprocessing"}
THREAD_MODULES = {"threading", "_thread", "concurrent.futures", "multiprocessing", "asyncio"}
THREADS_ALLOWED = {
    "common.fork": {"threading"},  # counts them
    "lond.storage": {"concurrent.futures"},  # in lond's children, which never fork
    "lond.updates.worker": {"concurrent.futures"},  # nor do workers
}
LATE = {"urllib3"}  # imported inside functions: unit/test_lonnet_imports
CRYPTO_IMPORTERS = {"common.crypto", "lond.authentication.passwords"}
NO_WALL_CLOCK = ("common.loop", "common.population", "lonc.retry")


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def modules_of(*packages: str) -> list[str]:
    """All modules of the packages, by name; a package itself counts."""
    found = []
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text())


def is_module(name: str) -> bool:
    return name.split(".")[0] in PACKAGES and path_of(name).exists()


def imports_of(module: str) -> Iterator[str]:
    """Every module that is imported anywhere in it, in functions as well."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module}:{node.lineno}: relative import"
            yield node.module
            for alias in node.names:
                if is_module(name := f"{node.module}.{alias.name}"):
                    yield name


def reached_from(module: str) -> set[str]:
    """All modules, ours and others', that importing it imports from our sources."""
    found, to_do = {module}, [module]
    while to_do:
        for name in imports_of(to_do.pop()):
            if name not in found:
                found.add(name)
                if is_module(name):
                    to_do.append(name)
    return found - {module}


def calls_in(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            yield ast.unparse(call.func), call


ALL = modules_of(*PACKAGES)


# --- imports ----------------------------------------------------------------------------------------------


def test_the_walk_sees_the_house() -> None:
    assert {"common.protocol", "lonc.retry", "lond.refusals", "lond.commands", "lonnet", "lonnet.client"} <= set(ALL)
    assert {"common.crypto", "common.errors", "abc"} <= set(imports_of("common.protocol"))
    assert {"common.fork", "lonc.child", "lond.link", "lond.commands"} <= set(in_daemons())
    assert "common.crypto" in reached_from("lonc.link") and "selectors" in reached_from("common.population")


@pytest.mark.parametrize("module", ALL)
def test_packages_import_only_whom_they_may(module: str) -> None:
    package = module.split(".")[0]
    ours = {name for name in imports_of(module) if name.split(".")[0] in PACKAGES}
    assert {name for name in ours if name.split(".")[0] not in MAY_IMPORT[package]} == set()


def test_nobody_imports_the_administrators_commands() -> None:
    commands = {"loncontrol", "loncron", "lonuser"}
    importers = {
        f"{module}: {name}"
        for package in (*PACKAGES, "lonstatus", *commands)
        for module in modules_of(package)
        for name in imports_of(module)
        if name.split(".")[0] in commands - {package}
    }
    assert importers == set()


def test_reports_are_made_of_files_alone() -> None:
    ours = {name for module in modules_of("lonstatus") for name in imports_of(module) if name.split(".")[0] in PACKAGES}
    assert {name.split(".")[0] for name in ours} <= {"common", "lonnet"}


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_know_no_system(module: str) -> None:
    assert {name.split(".")[0] for name in imports_of(module)} & IMPURE == set()


def test_one_module_knows_the_cipher_library() -> None:
    importers = {module for module in ALL if any(name.split(".")[0] == "Crypto" for name in imports_of(module))}
    assert importers <= CRYPTO_IMPORTERS


def in_daemons() -> list[str]:
    """Our modules that a daemon imports; tools that are run by hand have processes of their own."""
    reached = {"lonc.parent", "lond.parent"} | reached_from("lonc.parent") | reached_from("lond.parent")
    return sorted(name for name in reached if is_module(name) and name.split(".")[0] != "lonnet")


@pytest.mark.parametrize("module", in_daemons())
def test_nobody_reaps_behind_the_parents_back(module: str) -> None:
    """P2: these modules call waitpid themselves, and take the exit status that the population waits for."""
    assert {name.split(".")[0] for name in imports_of(module)} & PROCESS_MODULES == set()


def test_lonnet_needs_the_standard_library_alone() -> None:
    foreign = {
        f"{module}: {name}"
        for start in modules_of("lonnet")
        if not start.startswith("lonnet.handlers")
        for module in {start} | {name for name in reached_from(start) if is_module(name)}
        for name in imports_of(module)
        if name.split(".")[0] not in (*sys.stdlib_module_names, "common", "lonnet", *LATE)
    }
    assert foreign == set()


HANDLERS = modules_of("lonnet.handlers".replace(".", "/"))
WEB_LIBRARIES = {"flask", "werkzeug", "markupsafe"}  # pure Python, or with a pure form of each compiled part


@pytest.mark.parametrize("module", HANDLERS)
def test_web_handlers_need_web_libraries_beside(module: str) -> None:
    used = {name.split(".")[0] for name in imports_of(module)} - {*sys.stdlib_module_names, "common", "lonnet"}
    if module == "lonnet.handlers.status":
        used -= {"lonstatus"}  # whose pages it shows
    assert used <= WEB_LIBRARIES


def test_only_web_handlers_know_web_handlers() -> None:
    known = {
        module
        for module in ALL
        if module not in HANDLERS and any(name.startswith("lonnet.handlers") for name in imports_of(module))
    }
    assert known == set()


def test_there_are_no_circles() -> None:
    """At the level of modules, imports under TYPE_CHECKING and in functions included."""
    circles = {module for module in ALL if is_module(module) and module in reached_by_others(module)}
    assert circles - {"lond.commands"} == set()


def reached_by_others(module: str) -> set[str]:
    return {name for imported in imports_of(module) if is_module(imported) for name in reached_from(imported)}


# --- processes and signals --------------------------------------------------------------------------------

FORKS = {"os.fork", "os.forkpty", "pty.fork", "os.posix_spawn", "os.posix_spawnp", "os.system", "os.popen"}


def test_one_function_forks() -> None:
    forking = {module for module in ALL for name, _ in calls_in(tree(module)) if name in FORKS}
    assert forking == {"common.fork"}


@pytest.mark.parametrize("name", ["os.waitpid", "os.kill"])
def test_children_are_reaped_and_signalled_in_one_place(name: str) -> None:
    callers = {module for module in ALL for called, _ in calls_in(tree(module)) if called == name}
    allowed = {"common.population"} | ({"common.daemon"} if name == "os.waitpid" else set())  # its intermediate process
    assert callers <= allowed


def empty(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    )


def handlers_installed() -> Iterator[tuple[str, str]]:
    for module in ALL:
        for name, call in calls_in(tree(module)):
            if name in ("signal.signal", "signal.sigaction"):
                yield module, ast.unparse(call.args[1])


def test_signal_handlers_do_nothing() -> None:
    """S2: whatever a handler did, it would do between any two statements."""
    handlers = set(handlers_installed())
    assert ("common.loop", "_deliver_by_wakeup") in handlers
    for module, handler in handlers:
        if handler in ("signal.SIG_DFL", "signal.SIG_IGN"):
            continue
        [function] = [n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef) and n.name == handler]
        assert empty(function), f"{module}.{handler} has a body"


def test_signals_come_by_no_other_way() -> None:
    others = {"signal.setitimer", "signal.alarm", "signal.siginterrupt"}
    users = {(module, name) for module in ALL for name, _ in calls_in(tree(module)) if name in others}
    assert users <= {
        ("lond.authentication.hash_worker", "signal.setitimer")
    }  # documented there: the timer ends the process


@pytest.mark.parametrize("module", NO_WALL_CLOCK)
def test_timing_knows_no_wall_clock(module: str) -> None:
    """P7: an administrator sets the clock, and nothing times out."""
    used = {ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert used & {"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now"} == set()
    assert not any(name.startswith("datetime") for name in imports_of(module))


@pytest.mark.parametrize("module", in_daemons())
def test_daemons_have_no_threads(module: str) -> None:
    """F1: a process that forks has none; the function that forks looks whether that is so."""
    assert set(imports_of(module)) & THREAD_MODULES <= THREADS_ALLOWED.get(module, set())
    assert "threading.Thread" not in {name for name, _ in calls_in(tree(module))}


# --- tests and texts --------------------------------------------------------------------------------------


def test_tests_wait_for_bytes_never_for_time() -> None:
    sleeping = {
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        for name, call in calls_in(ast.parse(path.read_text()))
        if name.split(".")[-1] == "sleep"
    }
    assert sleeping == set()


def texts() -> Iterator[Path]:
    for name in (*PACKAGES, "tests", "scripts", "conf", "docs"):
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def test_nothing_is_left_to_do() -> None:
    word = re.compile(r"\b(TODO|FIXME|XXX)\b")
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if word.search(line)
    }
    assert found == set()


@pytest.mark.parametrize("module", ALL)
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree(module)), f"{module} has no docstring"
