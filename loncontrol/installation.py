"""What is put in place around the daemons: service files, commands, manual, completion, an empty configuration.

The sources are templates in conf/ and pages in docs/man/, of the checkout or, of an installed package, below
share/loncapa. Paths in them begin with the root of the installation, so that one below a directory of its own is
complete in itself and knows nothing of the machine's.

Promises: a file that was edited is never overwritten. What was installed is in the manifest, with its digest, in the
format of sha256sum; as with dpkg the new version of an edited file is put beside it as NAME.dpkg-dist, and only if it
differs from the version that was edited. What reads whole directories (logrotate, cron, systemd) takes no notice of
that ending.

Raises: :class:`InstallationError`, OSError. Logs nothing.

Known limits: a file that was deleted on purpose comes back with the next installation.
"""

from __future__ import annotations

import enum
import grp
import pwd
import re
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.settings import SETTINGS
from loncontrol.files import digest, write_whole

BESIDE = ".dpkg-dist"  # one of those that logrotate and cron pass over
MANIFEST = "etc/loncapa/manifest"
COMMANDS = ("lonc", "loncontrol", "loncron", "lond", "lonuser")
TABLES = ("hosts", "domain", "spare", "links", "trust")
_PLAIN_PATH = re.compile(r"(/[\w.+-]+)*/?", re.ASCII)  # it stands in shell scripts and unit files
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_FILE, _PROGRAM = 0o644, 0o755

# Of the template (below conf/), of the file (below the root), its mode.
_TEMPLATES = (
    ("default/loncapa", "etc/default/loncapa", _FILE),
    ("init.d/loncapa", "etc/init.d/loncapa", _PROGRAM),
    ("systemd/loncapa.service", "etc/systemd/system/loncapa.service", _FILE),
    ("systemd/loncapa-lond.service", "etc/systemd/system/loncapa-lond.service", _FILE),
    ("systemd/loncapa-lonc.service", "etc/systemd/system/loncapa-lonc.service", _FILE),
    ("systemd/loncapa-loncron.service", "etc/systemd/system/loncapa-loncron.service", _FILE),
    ("systemd/loncapa-loncron.timer", "etc/systemd/system/loncapa-loncron.timer", _FILE),
    ("tmpfiles.d/loncapa.conf", "etc/tmpfiles.d/loncapa.conf", _FILE),
    ("sysusers.d/loncapa.conf", "etc/sysusers.d/loncapa.conf", _FILE),
    ("logrotate.d/loncapa", "etc/logrotate.d/loncapa", _FILE),
    ("cron.d/loncapa", "etc/cron.d/loncapa", _FILE),
)
_COMPLETION = "usr/local/share/bash-completion/completions"


class InstallationError(Exception):
    """It can't be installed so; the text says what would be right."""


class Outcome(enum.Enum):
    """What became, or would become, of a file."""

    NEW = "new"
    UPDATED = "updated"
    SAME = "is there already"
    YOURS = "yours, kept"
    BESIDE = "yours, kept; the new version lies beside it as .dpkg-dist"
    REMOVED = "removed, no longer needed"
    LEFT = "no longer needed, but edited: delete it yourself"


@dataclass(frozen=True, slots=True)
class Place:
    """Where and for whom is installed.

    :param root: below which everything goes.
    :param user: whose processes the daemons are.
    :param commands: the directory of the commands of this Python.
    :raises InstallationError: one of them can't stand in a service file.
    """

    root: Path
    user: str
    commands: Path

    def __post_init__(self) -> None:
        for what, path in (("the root", self.root), ("the directory of this Python's commands", self.commands)):
            if not _PLAIN_PATH.fullmatch(str(path)):
                raise InstallationError(f"{what}, {path}, must be an absolute path of letters, digits and _ . + - only")
        if not _USER.fullmatch(self.user):
            raise InstallationError(f"{self.user!r} is not the name of a user")

    def values(self) -> dict[str, str]:
        """What the templates' words stand for."""
        root = str(self.root).rstrip("/")
        return {"@ROOT@": root, "@USER@": self.user, "@GROUP@": _group_of(self.user), "@BIN@": str(self.commands)}


def commands_directory() -> Path:
    """Where this Python has the commands of the package.

    :raises InstallationError: they are not there.
    """
    directory = Path(sysconfig.get_path("scripts"))
    missing = [name for name in COMMANDS if not (directory / name).is_file()]
    if missing:
        reason = f"install the package there first: {directory / 'pip'} install loncapa-net, or, in a checkout, -e ."
        raise InstallationError(f"{directory} has no {', '.join(missing)}; {reason}")
    return directory


def sources() -> Path:
    """The directory that has conf/ and docs/: the checkout's, else that of the installed package."""
    checkout = Path(__file__).resolve().parent.parent
    return checkout if (checkout / "conf").is_dir() else Path(sysconfig.get_path("data")) / "share" / "loncapa"


def wanted(place: Place) -> Iterator[tuple[str, bytes, int]]:
    """All files of an installation: (path below the root, content, mode)."""
    conf, manual, values = sources() / "conf", sources() / "docs" / "man", place.values()
    for template, path, mode in _TEMPLATES:
        yield path, _filled((conf / template).read_text(), values), mode
    for name in COMMANDS:
        yield (
            f"usr/local/sbin/{name}",
            _filled((conf / "sbin/command").read_text(), {**values, "@NAME@": name}),
            _PROGRAM,
        )
    yield "etc/loncapa/apache2.conf", _apache((conf / "apache2/loncapa.conf").read_text(), place), _FILE
    yield "etc/loncapa/loncapa.conf", empty_configuration(place.root).encode(), _FILE
    for name in TABLES:
        yield f"etc/loncapa/{name}.tab", empty_table(name).encode(), _FILE
    for page in sorted(manual.glob("*.[58]")):
        yield f"usr/local/share/man/man{page.suffix[1:]}/{page.name}", page.read_bytes(), _FILE
    for completion in sorted((conf / "completion").glob("*")):
        yield f"{_COMPLETION}/{completion.name}", _filled(completion.read_text(), values), _FILE


def empty_configuration(root: Path) -> str:
    """The commented loncapa.conf without a host id; its directories are below the root."""
    lines = (sources() / "conf" / "loncapa.conf").read_text().splitlines()
    moved = {f"#PerlSetVar {s.name} {s.default}": s for s in SETTINGS if (s.default or "").startswith("/")}
    prefix = str(root).rstrip("/")
    for number, line in enumerate(lines):
        if line.startswith("PerlSetVar lonHostID "):
            lines[number] = "#PerlSetVar lonHostID HOSTID"
        elif prefix and line in moved:
            lines[number] = f"PerlSetVar {moved[line].name} {prefix}{moved[line].default}"
    return "\n".join(lines) + "\n"


def empty_table(name: str) -> str:
    """What a table's example says of its format."""
    text = (sources() / "conf" / f"{name}.tab").read_text()
    return text.partition("\n\n")[0].rstrip("\n") + "\n\n"


def _apache(text: str, place: Place) -> bytes:
    """Apache's file with the paths of this installation; what it defines can still be defined before it is included."""
    defined = {
        "LONCAPA_ROOT": str(Path(__file__).resolve().parent.parent),
        "LONCAPA_PACKAGES": sysconfig.get_path("purelib"),
        "LONCAPA_CONF": str(place.root / "etc/loncapa/loncapa.conf"),
        "LONCAPA_USER": place.user,
    }
    for name, value in defined.items():
        text = re.sub(rf"(?m)^(\s*Define {name}) .*$", rf"\1 {value}", text)
    return text.encode()


def _filled(text: str, values: Mapping[str, str]) -> bytes:
    for word, value in values.items():
        text = text.replace(word, value)
    return text.encode()


def _group_of(user: str) -> str:
    try:
        return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return user  # useradd --user-group and systemd-sysusers name it so


def install(place: Place, *, dry_run: bool) -> Iterator[tuple[Path, Outcome]]:
    """Put all files in place, and say of each what was done; `dry_run`: what would be done."""
    recorded = read_manifest(place.root)
    installed: dict[str, str] = {}
    for path, content, mode in wanted(place):
        outcome = _outcome(place.root / path, content, recorded.get(path))
        if not dry_run:
            _act(place.root / path, content, mode, outcome)
        installed[path] = digest(content)
        yield place.root / path, outcome
    for path in sorted(recorded.keys() - installed.keys()):
        if (file := place.root / path).is_file():
            outcome = Outcome.REMOVED if digest(file.read_bytes()) == recorded[path] else Outcome.LEFT
            if outcome is Outcome.REMOVED and not dry_run:
                file.unlink()
            yield file, outcome
    if not dry_run:
        lines = (f"{value}  {path}\n" for path, value in sorted(installed.items()))
        write_whole(place.root / MANIFEST, "".join(lines).encode(), _FILE)


def read_manifest(root: Path) -> dict[str, str]:
    """The digests of what was installed, by path below the root; what is no line of sha256sum counts as absent."""
    try:
        text = (root / MANIFEST).read_text(errors="replace")
    except FileNotFoundError:
        return {}
    lines = (re.fullmatch(r"([0-9a-f]{64})  (?!/)((?!.*\.\.).+)", line) for line in text.splitlines())
    return {line[2]: line[1] for line in lines if line}


def _outcome(file: Path, content: bytes, recorded: str | None) -> Outcome:
    if not file.exists():
        return Outcome.NEW
    current = digest(file.read_bytes())
    if current == digest(content):
        return Outcome.SAME
    if current == recorded:
        return Outcome.UPDATED
    return Outcome.YOURS if recorded == digest(content) else Outcome.BESIDE


def _act(file: Path, content: bytes, mode: int, outcome: Outcome) -> None:
    if outcome in (Outcome.NEW, Outcome.UPDATED):
        write_whole(file, content, mode)
    elif outcome is Outcome.BESIDE:
        write_whole(file.with_name(f"{file.name}{BESIDE}"), content, mode)
