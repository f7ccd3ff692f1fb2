"""The commands that write the configuration of this host and its line of hosts.tab, and those of other hosts.

All of them check the files as they would be, as a daemon would, before they write any; nothing that stands there is
replaced without a word, and comments stay.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from common.config import Config, read_config
from common.errors import ConfigError
from common.hosts_table import Domain, Host, parse_domains, parse_hosts
from common.site import Site, bind_address
from common.text_file import read_text
from loncontrol.answers import OPTIONAL, QUESTIONS, BadAnswer, ask, checked, guesses, record
from loncontrol.control import (
    FAILED,
    NOT_ALLOWED,
    NOT_CONFIGURED,
    OK,
    USAGE,
    argument,
    command_without_site,
    complain,
    say,
)
from loncontrol.draft import Draft
from loncontrol.edits import record_of, set_record, set_value, without_record, written_host
from loncontrol.installation import empty_configuration, empty_table

_YES = argument("--yes", action="store_true", help="do not ask; replace what stands there")


@command_without_site(
    "setup",
    "write this host's configuration and its line of hosts.tab; what is not given is asked for on a terminal",
    argument("--root", metavar="DIR", type=Path, help="of an installation; default: --conf decides"),
    argument("--host-id", metavar="ID", help="the short name of this server in the network"),
    argument("--domain", metavar="DOMAIN", help="the institution's short name"),
    argument("--domain-name", metavar="TEXT", help="the institution's full name, for domain.tab"),
    argument("--role", metavar="ROLE", help="library or access"),
    argument("--hostname", metavar="NAME", help="this server's full name in DNS"),
    argument("--address", metavar="IP", help="under which the other hosts reach it; '': looked up in DNS"),
    argument("--email", metavar="ADDRESS", help="where loncron reports trouble"),
    _YES,
)
def setup(conf: Path, options: argparse.Namespace) -> int:
    """Ask, check, show, write, explain."""
    root = (options.root or Path("/")).absolute()
    conf = root / "etc/loncapa/loncapa.conf" if options.root else conf
    try:
        answers = _answers(conf, options)
        draft = _draft(conf, root, answers)
        site = draft.check()
        if code := _write(draft, _replaced(conf, draft, answers), options.yes):
            return code
    except BadAnswer as error:
        return complain(str(error), USAGE)
    except ConfigError as error:
        return complain(str(error), NOT_CONFIGURED)
    except (EOFError, KeyboardInterrupt):
        return complain("interrupted; nothing was written")
    except PermissionError as error:
        return complain(f"{error}; run it as root", NOT_ALLOWED)
    except OSError as error:
        return complain(f"can't write: {error}")
    say(_what_next(site, draft.config))
    return OK


def _known(conf: Path) -> tuple[Config | None, dict[str, Host], dict[str, Domain]]:
    """What the files say already; an installation's empty configuration says nothing."""
    try:
        config, _ = read_config(conf)
    except ConfigError:
        config = None
    tables = config.tab_dir if config else conf.parent
    hosts_tab, domain_tab = tables / "hosts.tab", tables / "domain.tab"
    hosts = parse_hosts(read_text(hosts_tab), str(hosts_tab)) if hosts_tab.exists() else {}
    return config, hosts, parse_domains(read_text(domain_tab), str(domain_tab)) if domain_tab.exists() else {}


def _answers(conf: Path, options: argparse.Namespace) -> dict[str, str]:
    given = {q.name: getattr(options, q.name.replace("-", "_")) for q in QUESTIONS}
    known = _known(conf)
    asking = sys.stdin.isatty() and not options.yes
    answers: dict[str, str] = {}
    missing = []
    for question in QUESTIONS:
        answer, guess = given[question.name], guesses(*known, answers).get(question.name)
        if answer is not None:
            try:
                answers[question.name] = checked(question.name, answer)
            except BadAnswer as error:
                raise BadAnswer(f"--{question.name}: {error}") from None
        elif asking:
            answers[question.name] = ask(question, guess, input, say)
        elif guess is not None or question.name in OPTIONAL:
            answers[question.name] = guess or ""
        else:
            missing.append(f"--{question.name}")
    if missing:
        raise BadAnswer(f"nobody can be asked here; say {', '.join(missing)}")
    return answers


def _draft(conf: Path, root: Path, answers: Mapping[str, str]) -> Draft:
    text = read_text(conf) if conf.exists() else _first_text(conf, root)
    text = set_value(text, "lonHostID", answers["host-id"])
    if answers["email"]:
        text = set_value(text, "lonAdmEMail", answers["email"])
    draft = Draft(conf, text)
    hosts = draft.table("hosts.tab") or empty_table("hosts")
    own = parse_hosts(hosts, str(draft.config.tab_dir / "hosts.tab")).get(answers["host-id"])
    draft.set_table("hosts.tab", set_record(hosts, record(answers, own.extra if own else ())))
    if answers["domain-name"]:
        domains = draft.table("domain.tab") or empty_table("domain")
        named = parse_domains(domains, str(draft.config.tab_dir / "domain.tab")).get(answers["domain"])
        line = ":".join((answers["domain"], answers["domain-name"], *(named.extra if named else ())))
        draft.set_table("domain.tab", set_record(domains, line))
    return draft


def _first_text(conf: Path, root: Path) -> str:
    text = empty_configuration(root)
    return text if conf.parent == root / "etc/loncapa" else set_value(text, "lonTabDir", str(conf.parent))


def _replaced(conf: Path, draft: Draft, answers: Mapping[str, str]) -> list[str]:
    """What stands there now and would be lost."""
    config, known, domains = _known(conf)
    found = []
    if config and config.host_id != draft.config.host_id:
        found.append(f"{conf}: lonHostID is {config.host_id}")
    if config and answers["email"] and config.adm_email not in ("", answers["email"]):
        found.append(f"{conf}: lonAdmEMail is {config.adm_email}")
    named = domains.get(answers["domain"])
    if named and answers["domain-name"] not in ("", named.description):
        found.append(f"domain.tab has {named.id}:{named.description}")
    own = known.get(answers["host-id"])
    if own and written_host(own) != record(answers, own.extra):
        found.append(f"hosts.tab has {written_host(own)}")
    return found


def _write(draft: Draft, replaced: list[str], yes: bool) -> int:
    changes = list(draft.changes())
    if not changes:
        say("Nothing to change.")
        return OK
    say("\n".join(changes))
    if not yes and sys.stdin.isatty():
        if input("\nWrite this? [y/N] ").strip().lower() not in ("y", "yes"):
            return complain("nothing was written", FAILED)
    elif replaced and not yes:
        return complain(f"{'; '.join(replaced)}: nothing was written; --yes replaces it", FAILED)
    draft.write()
    return OK


def _what_next(site: Site, config: Config) -> str:
    hosts_tab, line = config.tab_dir / "hosts.tab", written_host(site.own)
    others = len(site.table.hosts) - 1
    text = (
        f"\nThis host is {site.own.id}, {site.own.role} server of the domain {site.own.domain}. The files are good.\n\n"
        "Send this line to the administrators of the other hosts, who add it to their hosts.tab:\n\n"
        f"   {line}\n\n"
        "   (there: loncontrol add-host 'LINE'; loncontrol reload)\n\n"
        f"They send you the lines of their hosts; {others or 'none'} {'is' if others == 1 else 'are'} here so far. "
        "Add each in the same way here:\n\n   loncontrol add-host 'LINE'\n   loncontrol reload\n\n"
        f"In the end {hosts_tab} is the same on all hosts. They must reach this host on TCP port {config.lond_port}; "
        "no other host of the world needs to."
    )
    if not bind_address(site):
        text += (
            f"\n\nNote: {site.own.ip} is not an address of this machine. That is right behind address translation, or "
            "if another machine is being prepared; lond then listens on every address of this machine."
        )
    return text


@command_without_site(
    "add-host",
    "add a host to hosts.tab; the whole table is checked first",
    argument("line", metavar="LINE", help="HOSTID:DOMAIN:ROLE:HOSTNAME:IP, as the host's administrator sent it"),
    argument("--yes", action="store_true", help="replace the line that the table has for this host"),
)
def add_host(conf: Path, options: argparse.Namespace) -> int:
    """One more line of hosts.tab, or another one for a host that has moved."""
    draft = Draft(conf)
    table = draft.table("hosts.tab")
    hosts = parse_hosts(options.line, "LINE")
    if len(hosts) != 1:
        return complain("LINE must be one line of hosts.tab: HOSTID:DOMAIN:ROLE:HOSTNAME:IP", USAGE)
    [host] = hosts.values()
    before = record_of(table, host.id)
    draft.set_table("hosts.tab", set_record(table, options.line.strip()))
    if before is not None and before != options.line.strip() and not options.yes:
        return complain(f"hosts.tab has {before}; nothing was written; --yes replaces it")
    return _check_and_write(draft)


@command_without_site(
    "remove-host",
    "take a host out of hosts.tab, spare.tab and links.tab",
    argument("host", metavar="HOST", help="its id"),
)
def remove_host(conf: Path, options: argparse.Namespace) -> int:
    """The host is no longer a member of the network, as far as this host is concerned."""
    draft = Draft(conf)
    if record_of(draft.table("hosts.tab"), options.host) is None:
        return complain(f"{options.host} is not in hosts.tab")
    if options.host == draft.config.host_id:
        return complain(f"{options.host} is this host; nothing was written")
    for name in ("hosts.tab", "spare.tab", "links.tab"):
        if record_of(draft.table(name), options.host) is not None:
            draft.set_table(name, without_record(draft.table(name), options.host))
    return _check_and_write(draft)


def _check_and_write(draft: Draft) -> int:
    draft.check()
    if not (changes := list(draft.changes())):
        say("Nothing to change.")
        return OK
    try:
        draft.write()
    except PermissionError as error:
        return complain(f"{error}; run it as root", NOT_ALLOWED)
    except OSError as error:
        return complain(f"can't write: {error}")
    say("\n".join([*changes, "", "It counts after: loncontrol reload"]))
    return OK
