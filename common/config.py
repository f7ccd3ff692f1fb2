"""loncapa.conf: text in, a checked :class:`Config` out.

:data:`SETTINGS` is the one table of all variables; parsing, checking, defaults and documentation follow from
it (``python -m common.config`` prints it as the table of docs/configuration.md).

The file holds lines ``PerlSetVar NAME VALUE``, the value one word or in quotation marks, blank lines and
``#`` comments on lines of their own; CRLF is tolerated. A classic loncapa.conf is accepted as it is: names
that are not in the table and Apache directives other than PerlSetVar (``<Location ...>``,
``PerlAccessHandler ...``) are skipped with a warning, a directive once however often it occurs.

Promises: :func:`parse_config` is pure and gives, whatever the text, a Config or one ConfigError for the
first fault, with file, line, name, and what would be right. Only :func:`read_text` and its callers open
files, and only regular ones, so that none of them can hang.

Raises: :class:`ConfigError` only. Logs nothing: warnings are returned.

Known limits: Apache's sections are not interpreted, a PerlSetVar within one counts like any other; continued
lines (a backslash at the end) are not joined; a regular file is read whole, however large.
"""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import ConfigError
from common.hosts_table import (
    DOMAIN,
    DOMAIN_ALLOWED,
    HOST_ID,
    HOST_ID_ALLOWED,
    canonical_ip,
    numbered_lines,
    shown,
)
from common.values import Count, Number, Text

DEFAULT_PATH = "/etc/loncapa/loncapa.conf"


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of loncapa.conf.

    :param name: its name in the file.
    :param field: its field in :class:`Config`.
    :param parse: text to value, ValueError for a text that is not what `parse.allowed` says.
    :param default: the value as it would be written in the file; None: the file must set it.
    :param doc: what it means, with the unit.
    """

    name: str
    field: str
    parse: Count | Number | Text
    default: str | None
    doc: str


def _seconds(minimum: float, maximum: float) -> Number:
    return Number(minimum, maximum, "a number of seconds")


def _server(text: str) -> str:
    if not 0 < int(text.rpartition(":")[2]) < 65536:
        raise ValueError("no port")
    return text


def _address(text: str) -> str:
    return text and canonical_ip(text)


_HOST_ID = Text(HOST_ID.pattern, HOST_ID_ALLOWED)
_DOMAIN = Text(f"{DOMAIN.pattern}|", f"{DOMAIN_ALLOWED}, or empty")
_ROLE = Text("library|access|", "library or access, or empty")
_MAIL = r"[^\x00-\x20\x7f@,\\]+@[^\x00-\x20\x7f@,\\]+"
_MAILS = Text(f"({_MAIL}(, *{_MAIL})*)?", "one or more mail addresses joined by commas, or empty")
_ONE_MAIL = Text(f"({_MAIL})?", "a mail address, or empty")
_SERVER = Text(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "HOST:PORT", _server)
_FILE = Text(
    r"(/[^\x00-\x1f\x7f\\]*[^\x00-\x1f\x7f\\/])?", "an absolute path of a file (it must begin with /), or empty"
)
_DIRECTORY = Text(r"/[^\x00-\x1f\x7f\\]*", "an absolute path of a directory (it must begin with /)", Path)
_ADDRESS = Text("[0-9A-Fa-f.:]*", "an IPv4 or IPv6 address, or empty", _address)
_URL_FORM = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_URL = Text(f"({_URL_FORM})?", "http://HOST[:PORT] or https://HOST[:PORT], or empty")
_SPARE_URL = Text(
    r"https?://(HOSTNAME|IP)(:[0-9]{1,5})?",
    "http:// or https://, then HOSTNAME or IP, and :PORT if it is not the usual one",
)
_SWITCH = Text("on|off", "on or off", lambda text: text == "on")
_NAME = "[A-Za-z0-9_][A-Za-z0-9_.@-]*"
_USERS = Text(
    f"({_NAME}:{_NAME}(, *{_NAME}:{_NAME})*)?",
    "one or more USER:DOMAIN joined by commas, or empty",
)
_LEVEL = Text("debug|info|warning|error", "one of debug, info, warning, error")

# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("lonHostID", "host_id", _HOST_ID, None,
            "this host's id; must be in hosts.tab"),
    Setting("lonDefDomain", "def_domain", _DOMAIN, "",
            "domain of users who name none; empty: this host's domain in hosts.tab"),
    Setting("lonRole", "role", _ROLE, "",
            "this host's role; empty: as in hosts.tab, which it must not contradict"),
    Setting("lonAdmEMail", "adm_email", _MAILS, "",
            "where loncron sends its reports; empty: nowhere"),
    Setting("lonTabDir", "tab_dir", _DIRECTORY, "/etc/loncapa",
            "hosts.tab, domain.tab, spare.tab, links.tab, trust.tab"),
    Setting("lonSockDir", "sock_dir", _DIRECTORY, "/run/loncapa",
            "one UNIX socket for each link that is up, named by its host id"),
    Setting("lonDelayedDir", "delayed_dir", _DIRECTORY, "/var/lib/loncapa/delayed",
            "one FIFO of delayed messages per host"),
    Setting("lonDaemons", "daemons_dir", _DIRECTORY, "/var/lib/loncapa",
            "pid files and logs lie in logs/ below it"),
    Setting("lonUsersDir", "users_dir", _DIRECTORY, "/var/lib/loncapa/users",
            "user records, DOMAIN/c1/c2/c3/USER/ below it"),
    Setting("lonDocRoot", "doc_root", _DIRECTORY, "/var/lib/loncapa/html",
            "resources, res/DOMAIN/AUTHOR/ below it, and lon-status/"),
    Setting("lonIDsDir", "ids_dir", _DIRECTORY, "/var/lib/loncapa/ids",
            "sessions"),
    Setting("londPort", "lond_port", Count(1, 65535), "5663",
            "TCP port of lond, the same on all hosts of the network"),
    Setting("lonBindAddress", "bind_address", _ADDRESS, "",
            "lond listens on it, lonc connects from it; empty: own IP of hosts.tab if it is local, else any"),
    Setting("lonHttpBase", "http_base", _URL, "",
            "where peers fetch /raw from; empty: as hosts.tab says, http:// and this host's name if nothing else"),
    Setting("lonLoadLim", "load_lim", Number(0.01, 10000), "2.00",
            "1-minute load average that counts as 100 %"),
    Setting("lonUserLoadLim", "user_load_lim", Count(0, 1000000), "0",
            "active sessions that count as 100 %; 0: user load is off"),
    Setting("lonExpire", "expire", _seconds(0, 315360000), "86400",
            "seconds after its last access that a copy counts as unused"),
    Setting("lonTransferWait", "transfer_wait", _seconds(0, 600), "10",
            "seconds a request for a resource waits for a transfer that another process has begun"),
    Setting("lonTransferTimeout", "transfer_timeout", _seconds(0.1, 86400), "600",
            "seconds the transfer of one resource may take in all"),
    Setting("lonHttpTimeout", "http_timeout", _seconds(0.1, 600), "10",
            "seconds to connect to a peer's web server, and between two parts of its reply"),
    Setting("lonMaxResource", "max_resource", Count(1, 1099511627776), "536870912",
            "bytes of a resource or an uploaded file"),
    Setting("lonRequestTimeout", "request_timeout", _seconds(0.01, 3600), "60",
            "seconds a caller waits for the reply to a request before it gets con_lost"),
    Setting("lonCriticalTimeout", "critical_timeout", _seconds(0.01, 3600), "20",
            "seconds a caller waits for the reply to a critical message before it gets con_delayed"),
    Setting("lonMaxAttempts", "max_attempts", Count(1, 1000000), "15",
            "failures in a row before a host is given up"),
    Setting("lonWindow", "window", Count(1, 65536), "1024",
            "requests outstanding on a link"),
    Setting("lonWindowBytes", "window_bytes", Count(256, 1073741824), "4194304",
            "bytes of requests outstanding on a link"),
    Setting("lonMaxRequest", "max_request", Count(256, 67108864), "1048576",
            "bytes of a request line"),
    Setting("lonMaxReply", "max_reply", Count(256, 1073741824), "67108864",
            "bytes of a reply line"),
    Setting("lonKeyExchangeTimeout", "key_exchange_timeout", _seconds(0.01, 600), "10",
            "seconds from connecting or accepting to the end of the key exchange"),
    Setting("lonPingAfter", "ping_after", _seconds(0.01, 3600), "10",
            "seconds without a received byte before a link is pinged; not above lonDeadAfter"),
    Setting("lonDeadAfter", "dead_after", _seconds(0.01, 3600), "30",
            "seconds without a received byte before a link is dead"),
    Setting("lonGrace", "grace", _seconds(0, 600), "10",
            "seconds a child may take to finish what is under way when it stops or drains"),
    Setting("lonRetryFirst", "retry_first", _seconds(0.01, 3600), "1",
            "seconds before the second try of a lost link, then doubling; not above lonRetryMax"),
    Setting("lonRetryMax", "retry_max", _seconds(0.01, 86400), "300",
            "seconds between tries at most, and for hosts that are given up"),
    Setting("lonStableAfter", "stable_after", _seconds(0, 86400), "60",
            "seconds a link must stand before its failures are forgotten"),
    Setting("lonMaxCallers", "max_callers", Count(1, 1000000), "8192",
            "callers connected to one lonc child"),
    Setting("lonMaxUnread", "max_unread", Count(256, 1073741824), "8388608",
            "bytes of replies that a caller may leave unread"),
    Setting("lonKeepDone", "keep_done", _seconds(0, 31536000), "3600",
            "seconds a delivered message keeps its row in the FIFO"),
    Setting("lonMaxDeliveries", "max_deliveries", Count(1, 1000), "5",
            "deliveries of one message that may break the link before it is held"),
    Setting("lonStartTimeout", "start_timeout", _seconds(0.1, 3600), "30",
            "seconds from the start of a daemon to its being ready"),
    Setting("lonReloadTimeout", "reload_timeout", _seconds(0.1, 3600), "30",
            "seconds to load configuration and tables again"),
    Setting("londSpares", "spares", Count(1, 1000), "2",
            "idle lond children kept ready"),
    Setting("londMaxLinksPerHost", "max_links_per_host", Count(1, 10000), "8",
            "links of one host that are served at the same time"),
    Setting("londMaxHandshakes", "max_handshakes", Count(1, 10000), "4",
            "key exchanges of one host that are under way at the same time"),
    Setting("londMaxChildren", "max_children", Count(1, 100000), "1000",
            "lond children in all"),
    Setting("londRefusalLogInterval", "refusal_log_interval", _seconds(0, 86400), "300",
            "seconds between log lines about refused connections from one address"),
    Setting("londJournalBytes", "journal_bytes", Count(0, 1073741824), "16777216",
            "bytes of lond's journal of executed writing commands before the next file begins; 0: none is kept"),
    Setting("londMaxOpenUsers", "max_open_users", Count(1, 100000), "64",
            "user databases that one lond child keeps open"),
    Setting("londBusyTimeout", "busy_timeout", _seconds(0, 600), "10",
            "seconds to wait for a database that another child is writing to"),
    Setting("londPongTimeout", "pong_timeout", _seconds(0.01, 10), "5",
            "seconds that pong may wait for the caller's own lond"),
    Setting("londHashWorkers", "hash_workers", Count(1, 64), "2",
            "processes that hash passwords for all lond children"),
    Setting("londAskWorkers", "ask_workers", Count(1, 64), "2",
            "processes that ask PAM, Kerberos and local programs for lond children"),
    Setting("londHashTimeout", "hash_timeout", _seconds(0.1, 60), "10",
            "seconds that the check of one password may take, waiting for its turn included"),
    Setting("londThrottleAfter", "throttle_after", Count(1, 1000), "3",
            "failed log-ins of one user from one host before further ones wait"),
    Setting("londThrottleMax", "throttle_max", _seconds(0, 10), "3",
            "seconds a log-in waits at most after failed ones; 0: no waiting"),
    Setting("londThrottleForget", "throttle_forget", _seconds(1, 86400), "900",
            "seconds after the last failed log-in until all are forgotten"),
    Setting("lonSessionExpire", "session_expire", _seconds(1, 31536000), "14400",
            "seconds after its last access that a session ends; younger ones are active"),
    Setting("lonSessionLifetime", "session_lifetime", _seconds(1, 31536000), "86400",
            "seconds after its log-in that a session ends, however active it is"),
    Setting("lonSecureCookies", "secure_cookies", _SWITCH, "on",
            "browsers send the session's cookie over https only; off: for trying things out without https"),
    Setting("lonLoginBurst", "login_burst", Count(1, 100000), "20",
            "failed log-ins that an address has free; they come back one by one"),
    Setting("lonLoginInterval", "login_interval", _seconds(0, 3600), "10",
            "seconds after which an address gets back one failed log-in; 0: no throttling by address"),
    Setting("lonBalanceTimeout", "balance_timeout", _seconds(0.01, 10), "0.2",
            "seconds that all spares together have to tell their load"),
    Setting("lonSpareURL", "spare_url", _SPARE_URL, "https://HOSTNAME",
            "where browsers reach another host's pages; HOSTNAME or IP stands for its entry in hosts.tab"),
    Setting("lonConstructionDir", "construction_dir", _DIRECTORY, "/var/lib/loncapa/construction",
            "authors' construction spaces, DOMAIN/AUTHOR/ below it"),
    Setting("lonAdministrators", "administrators", _USERS, "",
            "who may see this host's administrative pages; empty: nobody"),
    Setting("londUpdateWorkers", "update_workers", Count(1, 64), "2",
            "processes that fetch new versions of resources, and uploaded files"),
    Setting("londUpdateAge", "update_age", _seconds(1, 31536000), "604800",
            "seconds that the fetching of a new version is tried again before the outdated copy is deleted"),
    Setting("londFetchTimeout", "fetch_timeout", _seconds(0.1, 600), "20",
            "seconds that fetchuserfile may take; the replies behind it on the link wait for it"),
    Setting("lonSMTPServer", "smtp_server", _SERVER, "localhost:25",
            "mail server that takes loncron's reports, by plain SMTP"),
    Setting("lonMailFrom", "mail_from", _ONE_MAIL, "",
            "sender of loncron's reports; empty: loncron at this host's name in hosts.tab"),
    Setting("lonMailTimeout", "mail_timeout", _seconds(0.1, 600), "20",
            "seconds that the mail server may take for each of its answers"),
    Setting("lonMailThreshold", "mail_threshold", Count(0, 1000000), "200",
            "loncron mails when notices, 4 times warnings and 100 times errors sum up to more"),
    Setting("lonMetricsFile", "metrics_file", _FILE, "",
            "where loncron writes the metrics, for node_exporter's textfile collector; empty: nowhere"),
    Setting("lonCheckTimeout", "check_timeout", _seconds(0.1, 60), "5",
            "seconds in which all hosts must have answered when loncron tries to reach them"),
    Setting("lonDiskWarning", "disk_warning", Number(1, 100), "90",
            "per cent of a disk's space or inodes in use that loncron warns of; not above lonDiskCritical"),
    Setting("lonDiskCritical", "disk_critical", Number(1, 100), "97",
            "per cent of a disk's space or inodes in use that are an error"),
    Setting("lonHungAfter", "hung_after", _seconds(2, 86400), "60",
            "seconds without a turn of its loop after which a daemon counts as hanging"),
    Setting("lonDelayedWarning", "delayed_warning", _seconds(1, 31536000), "3600",
            "seconds that critical messages may wait before loncron warns"),
    Setting("lonLogScan", "log_scan", Count(4096, 1073741824), "10485760",
            "bytes of a log that loncron reads at most in one run"),
    Setting("lonTemporaryExpire", "temporary_expire", _seconds(60, 31536000), "86400",
            "seconds after which loncron deletes what unfinished writes of killed processes have left"),
    Setting("lonLogLevel", "log_level", _LEVEL, "info",
            "least severe level that is logged"),
)
# fmt: on

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_DEFAULT: dict[str, Any] = {s.field: s.parse(s.default) for s in SETTINGS if s.default is not None}
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
    window: int = _DEFAULT["window"]  # requests
    window_bytes: int = _DEFAULT["window_bytes"]  # bytes
    key_exchange_timeout: float = _DEFAULT["key_exchange_timeout"]  # s
    ping_after: float = _DEFAULT["ping_after"]  # s
    dead_after: float = _DEFAULT["dead_after"]  # s
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
    hash_timeout: float = _DEFAULT["hash_timeout"]  # s
    throttle_after: int = _DEFAULT["throttle_after"]  # failed log-ins
    throttle_max: float = _DEFAULT["throttle_max"]  # s
    throttle_forget: float = _DEFAULT["throttle_forget"]  # s
    # Web pages
    session_expire: float = _DEFAULT["session_expire"]  # s
    session_lifetime: float = _DEFAULT["session_lifetime"]  # s
    secure_cookies: bool = _DEFAULT["secure_cookies"]
    login_burst: int = _DEFAULT["login_burst"]  # failed log-ins
    login_interval: float = _DEFAULT["login_interval"]  # s
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


def read_text(path: Path) -> str:
    """The text of a regular UTF-8 file, a byte order mark removed.

    :raises ConfigError: it is missing, unreadable, not a regular file, or not UTF-8 (with the line).
    """
    try:
        # A FIFO or a terminal would keep the reader waiting without end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(str(path), 0, "", "is not a regular file")
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(str(path), 0, "", f"cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file in UTF-8"
        raise ConfigError(str(path), line, "", reason) from None


def parse_config(text: str, file: str) -> tuple[Config, tuple[str, ...]]:
    """Parses the text of a configuration file.

    :param file: how errors and warnings name the file.
    :returns: the configuration, and warnings ``FILE:LINE: ...`` about what was skipped.
    :raises ConfigError: a line is malformed, a value is wrong, a name is set twice, lonHostID is missing.
    """
    values: dict[str, Any] = {}
    sources = dict.fromkeys(_BY_NAME, 0)
    warnings: list[str] = []
    for line, name, written in _assignments(text, file, warnings):
        setting = _BY_NAME.get(name)
        if setting is None:
            warnings.append(f"{file}:{line}: {shown(name)} is unknown and ignored{_nearest(name)}")
            continue
        if sources[name]:
            raise ConfigError(file, line, name, f"line {sources[name]} sets it already; delete one of them")
        values[setting.field] = _value(setting, written, file, line)
        sources[name] = line
    if not sources["lonHostID"]:
        raise ConfigError(file, 0, "lonHostID", "missing; add PerlSetVar lonHostID and this host's id")
    config = Config(**values, sources=sources)
    _check_pairs(config, file)
    return config, tuple(warnings)


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


def _assignments(text: str, file: str, warnings: list[str]) -> Iterator[tuple[int, str, str]]:
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
        if not arguments:
            raise ConfigError(file, line, "", "name and value are missing; a line is PerlSetVar NAME VALUE")
        yield line, arguments[0], "".join(arguments[1:])


def _value(setting: Setting, written: str, file: str, line: int) -> object:
    match = re.fullmatch(r'"([^"]*)"|\'([^\']*)\'|([^\s"\']\S*)', written)
    if match is None:
        how = "one word, or in quotation marks; a comment needs a line of its own"
        reason = f"{shown(written)} is not a value: {how}" if written else f"the value is missing: {how}"
        raise ConfigError(file, line, setting.name, reason)
    text = match[match.lastindex or 0]
    try:
        return setting.parse(text)
    except ValueError:
        raise ConfigError(file, line, setting.name, f"{shown(text)} is not {setting.parse.allowed}") from None


def _check_pairs(config: Config, file: str) -> None:
    for low, high in _NOT_ABOVE:
        below, above = (getattr(config, _BY_NAME[name].field) for name in (low, high))
        if below > above:
            line = max(config.sources[low], config.sources[high])
            raise ConfigError(file, line, low, f"{below:g} is above {high} ({above:g}); it must not be")


def _nearest(name: str) -> str:
    import difflib  # only a mistake in the file needs it; every web process would pay for it

    lower = {known.lower(): known for known in _BY_NAME}
    near = difflib.get_close_matches(name[:64].lower(), lower, 1)
    return f"; did you mean {lower[near[0]]}?" if near else ""


if __name__ == "__main__":
    print(settings_table())
