"""The one table of all variables of loncapa.conf: names, what may stand there, defaults, meanings.

Parsing and checking (:mod:`common.config`), docs/configuration.md, conf/loncapa.conf and the manual follow from it.
Imports no system module; raises and logs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.hosts_table import DOMAIN, DOMAIN_ALLOWED, HOST_ID, HOST_ID_ALLOWED, canonical_ip
from common.values import Count, Number, Text


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
            "sessions, and the key by which the log-in knows browsers"),
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
    Setting("lonRenew", "renew", _seconds(60, 315360000), "86400",
            "seconds after which a copy in use is compared with its home server, and subscribed, once more"),
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
    Setting("lonLoginWait", "login_wait", _seconds(0, 60), "5",
            "seconds in which a log-in is tried again that its home server could not check at once"),
    Setting("lonLoginsWaiting", "logins_waiting", Count(0, 1000), "4",
            "log-ins of one lane that a process of the web server lets wait so; others hear at once to try again"),
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
    Setting("londMaxFramed", "max_framed", Count(256, 1073741824), "2097152",
            "bytes of an encrypted reply line, two for each of its text; 2 MB keep a link busy for about a second"),
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
            "processes that ask PAM, Kerberos and local functions for log-ins; as many more ask for known browsers"),
    Setting("londAskPatience", "ask_patience", _seconds(0, 60), "0.5",
            "seconds for which a link's replies wait for such an answer; after that lonnet asks for it again"),
    Setting("londHashTimeout", "hash_timeout", _seconds(0.1, 60), "10",
            "seconds that the check of one password may take, waiting for its turn included"),
    Setting("londThrottleAfter", "throttle_after", Count(1, 1000), "3",
            "failed log-ins of one user from one host and lane before there are gaps between further ones"),
    Setting("londThrottleMax", "throttle_max", _seconds(0, 10), "3",
            "seconds of the longest gap between two log-ins after failed ones; 0: no gaps"),
    Setting("londThrottleFresh", "throttle_fresh", _seconds(0, 10), "0.5",
            "the same in the fresh lane, where who guesses needs ever new networks; at most londThrottleMax"),
    Setting("londThrottleForget", "throttle_forget", _seconds(1, 86400), "900",
            "seconds after the last failed log-in until all are forgotten"),
    Setting("lonSessionExpire", "session_expire", _seconds(1, 31536000), "14400",
            "seconds after its last access that a session ends; younger ones are active"),
    Setting("lonSessionLifetime", "session_lifetime", _seconds(1, 31536000), "86400",
            "seconds after its log-in that a session ends, however active it is"),
    Setting("lonSecureCookies", "secure_cookies", _SWITCH, "on",
            "browsers send the session's cookie over https only; off: for trying things out without https"),
    Setting("lonLoginBurst", "login_burst", Count(1, 100000), "20",
            "failed log-ins that an address or a known browser has free; they come back one by one"),
    Setting("lonLoginInterval", "login_interval", _seconds(0, 3600), "10",
            "seconds after which one of these failed log-ins comes back; 0: no throttling by address or browser"),
    Setting("lonKnownBrowser", "known_browser", _seconds(0, 31536000), "7776000",
            "seconds for which a browser is known at the log-in after its user has logged in there; 0: not at all"),
    Setting("lonFreshBurst", "fresh_burst", Count(1, 100000), "3",
            "log-ins as one user that may fail from a network (/24, /48) before log-ins from there are strangers'"),
    Setting("lonFreshInterval", "fresh_interval", _seconds(0, 86400), "900",
            "seconds after which one of these failed log-ins comes back; 0: nobody is a stranger"),
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
