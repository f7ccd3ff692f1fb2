"""trust.tab: which domains' hosts may use which commands on a domain's users; text in, a checked table out.

Lines ``DOMAIN:CLASS:DOMAIN,DOMAIN,...`` or ``DOMAIN:CLASS:*`` or ``DOMAIN:CLASS:none``. Without a line for a domain
and a class every member of the network may; the domain's own hosts always may. Lines, blanks and comments are read
as in the other tables (:mod:`common.hosts_table`).

Promises: pure; whatever the text, the result is a table or one :class:`ConfigError` for the first fault, with its line.
A domain that no host of hosts.tab is in is a fault, because a misspelt line would protect nobody.

Raises: :class:`ConfigError` only. Logs nothing.

Known limits: a domain that is called ``none`` can't be granted anything by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from common.errors import ConfigError
from common.hosts_table import DOMAIN, DOMAIN_ALLOWED, numbered_lines, shown

TRUST_CLASSES = ("auth", "records", "roles", "resources")
EVERYBODY, NOBODY = "*", "none"

_FORM = "a line is DOMAIN:CLASS:DOMAIN,DOMAIN,... or DOMAIN:CLASS:* or DOMAIN:CLASS:none"


@dataclass(frozen=True, slots=True)
class TrustTable:
    """Who is trusted with what.

    :param granted: by (domain, class) the domains that may, besides the domain itself; no entry: all.
    """

    granted: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def allows(self, trust_class: str, asking: str, domain: str) -> bool:
        """Whether hosts of the domain `asking` may use commands of a class on users of `domain`."""
        if asking == domain:
            return True
        granted = self.granted.get((domain, trust_class))
        return granted is None or asking in granted


def parse_trust(text: str, file: str, domains: Collection[str]) -> TrustTable:
    """Reads trust.tab.

    :param file: how errors name the file.
    :param domains: the domains of hosts.tab.
    :raises ConfigError: a line is malformed, names an unknown domain or class, or stands there twice.
    """
    granted: dict[tuple[str, str], frozenset[str]] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, content in numbered_lines(text):
        fields = [part.strip() for part in content.split(":")]
        if len(fields) != 3:
            raise ConfigError(file, line, "", f"{len(fields)} fields, not 3; {_FORM}")
        domain, trust_class, list_ = fields
        _check_domain(domain, domains, (file, line, "DOMAIN"))
        if trust_class not in TRUST_CLASSES:
            raise ConfigError(file, line, "CLASS", f"{shown(trust_class)} is not one of {', '.join(TRUST_CLASSES)}")
        key = domain, trust_class
        if key in lines:
            reason = f"{domain}:{trust_class} stands in line {lines[key]} already; delete one of the two lines"
            raise ConfigError(file, line, "CLASS", reason)
        lines[key] = line
        if list_ != EVERYBODY:
            granted[key] = _parse_list(list_, domains, (file, line, "LIST"))
    return TrustTable(granted)


def _parse_list(text: str, domains: Collection[str], place: tuple[str, int, str]) -> frozenset[str]:
    if text == NOBODY:
        return frozenset()
    if not text:
        raise ConfigError(*place, f"missing; {_FORM}")
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name in (EVERYBODY, NOBODY):
            raise ConfigError(*place, f"{shown(name)} must stand alone; {_FORM}")
        _check_domain(name, domains, place)
    return frozenset(names)


def _check_domain(name: str, domains: Collection[str], place: tuple[str, int, str]) -> None:
    if not DOMAIN.fullmatch(name):
        raise ConfigError(*place, f"{shown(name)} is not {DOMAIN_ALLOWED}")
    if name not in domains:
        raise ConfigError(*place, f"no host of hosts.tab is in the domain {shown(name)}")
