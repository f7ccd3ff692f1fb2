"""loncapa.conf: text in, a checked :class:`Config` out.

:data:`common.settings.SETTINGS` is the one table of all variables; parsing, checking, defaults and documentation follow
from it (``python -m common.config`` prints it as the table of docs/configuration.md).

The file holds lines ``PerlSetVar NAME VALUE``, the value one word or in quotation marks, blank lines and
``#`` comments on lines of their own; CRLF is tolerated. A classic loncapa.conf is accepted as it is: names
that are not in the table and Apache directives other than PerlSetVar (``<Location ...>``,
``PerlAccessHandler ...``) are skipped with a warning, a directive once however often it occurs.

Promises: :func:`parse_config` is pure and gives, whatever the text, a Config or one ConfigError for the
first fault, with file, line, name, and what would be right. Only regular files are opened, so that no reader can hang.

Raises: :class:`ConfigError` only. Logs nothing: warnings are returned.

Known limits: Apache's sections are not interpreted, a PerlSetVar within one counts like any other; continued
lines (a backslash at the end) are not joined; a regular file is read whole, however large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import ConfigError
from common.hosts_table import numbered_lines, shown
from common.settings import SETTINGS, Setting
from common.text_file import read_file, read_text, wrong_byte

UNDECODED = "\ufffd"  # what stands for a byte that is not UTF-8
DEFAULT_PATH = "/etc/loncapa/loncapa.conf"

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_DEFAULT: dict[str, Any] = {s.field: s.parse(s.default) for s in SETTINGS if s.default is not None}
ALIKE = 0.7  # of 1.0: how much an unknown name has in common with the one that was probably meant
_NOT_ABOVE = (
    ("lonPingAfter", "lonDeadAfter"),
    ("lonRetryFirst", "lonRetryMax"),
    ("lonDiskWarning", "lonDiskCritical"),
)


@dataclass(frozen=True, slots=True)
class Config:
    """The values of all settings; what each means is the `doc` of its line in :data:`SETTINGS`.

    ``Config(host_id="msul1")`` has the defaults everywhere else. Equality is that of the values alone.

    :param sources: line that set it, by the setting's name in the file; 0: the default holds.
    """

    # Who this host is ("" in the first four: Site fills in what hosts.tab says, if anything)
    host_id: str
    def_domain: str = _DEFAULT["def_domain"]
    role: str = _DEFAULT["role"]  # library, access
    http_base: str = _DEFAULT["http_base"]  # URL without a trailing slash
    adm_email: str = _DEFAULT["adm_email"]
    # Directories, all absolute
    tab_dir: Path = _DEFAULT["tab_dir"]
    sock_dir: Path = _DEFAULT["sock_dir"]
    delayed_dir: Path = _DEFAULT["delayed_dir"]
    daemons_dir: Path = _DEFAULT["daemons_dir"]
    users_dir: Path = _DEFAULT["users_dir"]
    doc_root: Path = _DEFAULT["doc_root"]
    ids_dir: Path = _DEFAULT["ids_dir"]
    # Network
    lond_port: int = _DEFAULT["lond_port"]  # TCP
    bind_address: str = _DEFAULT["bind_address"]  # canonical IP, "": site.bind_address decides
    # Load and copies
    load_lim: float = _DEFAULT["load_lim"]  # load average
    user_load_lim: int = _DEFAULT["user_load_lim"]  # sessions, 0: off
    expire: float = _DEFAULT["expire"]  # s
    renew: float = _DEFAULT["renew"]  # s
    transfer_wait: float = _DEFAULT["transfer_wait"]  # s
    transfer_timeout: float = _DEFAULT["transfer_timeout"]  # s
    http_timeout: float = _DEFAULT["http_timeout"]  # s
    max_resource: int = _DEFAULT["max_resource"]  # bytes
    # Callers and links
    request_timeout: float = _DEFAULT["request_timeout"]  # s
    critical_timeout: float = _DEFAULT["critical_timeout"]  # s
    max_callers: int = _DEFAULT["max_callers"]
    max_unread: int = _DEFAULT["max_unread"]  # bytes
    max_request: int = _DEFAULT["max_request"]  # bytes
    max_reply: int = _DEFAULT["max_reply"]  # bytes
    max_framed: int = _DEFAULT["max_framed"]  # bytes
    window: int = _DEFAULT["window"]  # requests
    window_bytes: int = _DEFAULT["window_bytes"]  # bytes
    key_exchange_timeout: float = _DEFAULT["key_exchange_timeout"]  # s
    ping_after: float = _DEFAULT["ping_after"]  # s
    dead_after: float = _DEFAULT["dead_after"]  # s
    login_wait: float = _DEFAULT["login_wait"]  # s
    logins_waiting: int = _DEFAULT["logins_waiting"]
    max_attempts: int = _DEFAULT["max_attempts"]
    retry_first: float = _DEFAULT["retry_first"]  # s
    retry_max: float = _DEFAULT["retry_max"]  # s
    stable_after: float = _DEFAULT["stable_after"]  # s
    # Delayed messages
    keep_done: float = _DEFAULT["keep_done"]  # s
    max_deliveries: int = _DEFAULT["max_deliveries"]
    # Daemons
    start_timeout: float = _DEFAULT["start_timeout"]  # s
    reload_timeout: float = _DEFAULT["reload_timeout"]  # s
    grace: float = _DEFAULT["grace"]  # s
    log_level: str = _DEFAULT["log_level"]  # debug, info, warning, error
    # loncron
    smtp_server: str = _DEFAULT["smtp_server"]  # HOST:PORT
    mail_from: str = _DEFAULT["mail_from"]
    mail_timeout: float = _DEFAULT["mail_timeout"]  # s
    mail_threshold: int = _DEFAULT["mail_threshold"]
    metrics_file: str = _DEFAULT["metrics_file"]  # path
    check_timeout: float = _DEFAULT["check_timeout"]  # s
    disk_warning: float = _DEFAULT["disk_warning"]  # per cent
    disk_critical: float = _DEFAULT["disk_critical"]  # per cent
    hung_after: float = _DEFAULT["hung_after"]  # s
    delayed_warning: float = _DEFAULT["delayed_warning"]  # s
    log_scan: int = _DEFAULT["log_scan"]  # bytes
    temporary_expire: float = _DEFAULT["temporary_expire"]  # s
    # lond
    spares: int = _DEFAULT["spares"]  # children
    max_children: int = _DEFAULT["max_children"]
    max_links_per_host: int = _DEFAULT["max_links_per_host"]
    max_handshakes: int = _DEFAULT["max_handshakes"]  # per host
    refusal_log_interval: float = _DEFAULT["refusal_log_interval"]  # s
    journal_bytes: int = _DEFAULT["journal_bytes"]  # of one file, 0: no journal
    max_open_users: int = _DEFAULT["max_open_users"]  # databases per child
    busy_timeout: float = _DEFAULT["busy_timeout"]  # s
    pong_timeout: float = _DEFAULT["pong_timeout"]  # s
    # Log-ins
    hash_workers: int = _DEFAULT["hash_workers"]  # processes
    ask_workers: int = _DEFAULT["ask_workers"]  # processes
    ask_patience: float = _DEFAULT["ask_patience"]  # seconds
    hash_timeout: float = _DEFAULT["hash_timeout"]  # s
    throttle_after: int = _DEFAULT["throttle_after"]  # failed log-ins
    throttle_max: float = _DEFAULT["throttle_max"]  # s
    throttle_fresh: float = _DEFAULT["throttle_fresh"]  # s
    throttle_forget: float = _DEFAULT["throttle_forget"]  # s
    # Web pages
    session_expire: float = _DEFAULT["session_expire"]  # s
    session_lifetime: float = _DEFAULT["session_lifetime"]  # s
    secure_cookies: bool = _DEFAULT["secure_cookies"]
    login_burst: int = _DEFAULT["login_burst"]  # failed log-ins
    login_interval: float = _DEFAULT["login_interval"]  # s
    known_browser: float = _DEFAULT["known_browser"]  # s, 0: off
    fresh_burst: int = _DEFAULT["fresh_burst"]  # failed log-ins
    fresh_interval: float = _DEFAULT["fresh_interval"]  # s
    balance_timeout: float = _DEFAULT["balance_timeout"]  # s
    spare_url: str = _DEFAULT["spare_url"]  # with HOSTNAME or IP
    construction_dir: Path = _DEFAULT["construction_dir"]
    administrators: str = _DEFAULT["administrators"]  # USER:DOMAIN, ...
    # Updates and uploaded files
    update_workers: int = _DEFAULT["update_workers"]  # processes
    update_age: float = _DEFAULT["update_age"]  # s
    fetch_timeout: float = _DEFAULT["fetch_timeout"]  # s
    sources: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(_BY_NAME, 0), compare=False)


def config_path(option: str | None, environ: Mapping[str, str]) -> Path:
    """Which configuration file counts: ``--conf``, else ``$LONCAPA_CONF`` (if not empty), else the default.

    The path is absolute, so that a daemon finds it again after it has left the directory it was started in.
    """
    return Path(option if option is not None else environ.get("LONCAPA_CONF") or DEFAULT_PATH).absolute()


def read_config(path: Path) -> tuple[Config, tuple[str, ...]]:
    """Reads and parses a configuration file: :func:`read_text`, then :func:`parse_config`."""
    return parse_config(read_text(path), str(path))


def read_despite_faults(path: Path, needed: str) -> Config:
    """The configuration for who must act whatever is wrong with it: a setting at fault has its default.

    :param needed: name of the one setting that may not be at fault.
    :returns: the configuration, without a host id if the file has none; :func:`read_config` tells the faults.
    :raises ConfigError: the file can't be read, or `needed` is at fault: also if no line sets it, but one may have been
        damaged or lost.
    """
    file, data = str(path), read_file(path)
    config, _, faults = _parsed(data.decode("utf-8", "replace"), file)
    byte = wrong_byte(data, file)
    for fault in faults + ([byte] if byte else []):
        may_hide_a_line = not fault.name or not fault.line
        if fault.name == needed or (may_hide_a_line and not config.sources[needed]):
            raise fault
    return config


def parse_config(text: str, file: str) -> tuple[Config, tuple[str, ...]]:
    """Parses the text of a configuration file.

    :param file: how errors and warnings name the file.
    :returns: the configuration, and warnings ``FILE:LINE: ...`` about what was skipped.
    :raises ConfigError: a line is malformed, a value is wrong, a name is set twice, lonHostID is missing.
    """
    config, warnings, faults = _parsed(text, file)
    if faults:
        raise faults[0]
    return config, warnings


def _parsed(text: str, file: str) -> tuple[Config, tuple[str, ...], list[ConfigError]]:
    """What is right, warnings, and all faults; a setting that is set twice has its first value."""
    values: dict[str, Any] = {}
    sources = dict.fromkeys(_BY_NAME, 0)
    warnings: list[str] = []
    faults: list[ConfigError] = []
    for line, name, written in _assignments(text, file, warnings, faults):
        setting = _BY_NAME.get(name)
        if setting is None:
            warnings.append(f"{file}:{line}: {shown(name)} is unknown and ignored{_nearest(name)}")
            continue
        try:
            if sources[name]:
                raise ConfigError(file, line, name, f"line {sources[name]} sets it already; delete one of them")
            values[setting.field] = _value(setting, written, file, line)
            sources[name] = line
        except ConfigError as fault:
            faults.append(fault)
    if not sources["lonHostID"]:
        reason = "missing; loncontrol setup writes it, or add PerlSetVar lonHostID and this host's id"
        faults.append(ConfigError(file, 0, "lonHostID", reason))
    config = Config(**{"host_id": "", **values}, sources=sources)
    faults += _pairs_at_fault(config, file)
    return config, tuple(warnings), faults


def differences(old: Config, new: Config) -> frozenset[str]:
    """The names (as in the file) of the settings whose values differ."""
    return frozenset(s.name for s in SETTINGS if getattr(old, s.field) != getattr(new, s.field))


def settings_table() -> str:
    """:data:`SETTINGS` as the Markdown table of docs/configuration.md."""
    rows = ["| name | default | allowed | meaning |", "|---|---|---|---|"]
    for s in SETTINGS:
        default = "must be set" if s.default is None else f"`{s.default}`" if s.default else "empty"
        rows.append(f"| {s.name} | {default} | {s.parse.allowed} | {s.doc} |")
    return "\n".join(rows)


def _assignments(
    text: str, file: str, warnings: list[str], faults: list[ConfigError]
) -> Iterator[tuple[int, str, str]]:
    """The PerlSetVar lines as (line, name, value as written); warns once of each other directive."""
    skipped: set[str] = set()
    for line, content in numbered_lines(text):
        directive, *arguments = content.split(None, 2)
        if directive.lower() != "perlsetvar":
            kind = directive.strip("</>").lower()
            if kind not in skipped:
                skipped.add(kind)
                warnings.append(f"{file}:{line}: {shown(directive)} is not PerlSetVar; all such are ignored")
            continue
        if arguments:
            yield line, arguments[0], "".join(arguments[1:])
        else:
            faults.append(ConfigError(file, line, "", "name and value are missing; a line is PerlSetVar NAME VALUE"))


def _value(setting: Setting, written: str, file: str, line: int) -> object:
    match = re.fullmatch(r'"([^"]*)"|\'([^\']*)\'|([^\s"\']\S*)', written)
    if match is None:
        how = "one word, or in quotation marks; a comment needs a line of its own"
        reason = f"{shown(written)} is not a value: {how}" if written else f"the value is missing: {how}"
        raise ConfigError(file, line, setting.name, reason)
    text = match[match.lastindex or 0]
    if UNDECODED in text:
        raise ConfigError(file, line, setting.name, f"{shown(text)} has U+FFFD, which stands for what is not UTF-8")
    try:
        return setting.parse(text)
    except ValueError:
        raise ConfigError(file, line, setting.name, f"{shown(text)} is not {setting.parse.allowed}") from None


def _pairs_at_fault(config: Config, file: str) -> Iterator[ConfigError]:
    for low, high in _NOT_ABOVE:
        below, above = (getattr(config, _BY_NAME[name].field) for name in (low, high))
        if below > above:
            line = max(config.sources[low], config.sources[high])
            yield ConfigError(file, line, low, f"{below:g} is above {high} ({above:g}); it must not be")


def _nearest(name: str) -> str:
    import difflib  # only a mistake in the file needs it; every web process would pay for it

    lower = {known.lower(): known for known in _BY_NAME}
    near = difflib.get_close_matches(name[:64].lower(), lower, 1, ALIKE)
    return f"; did you mean {lower[near[0]]}?" if near else ""


if __name__ == "__main__":
    print(settings_table())
