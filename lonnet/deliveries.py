"""How often each resource was delivered, and to which domain: the basis of what its author is owed.

The counters lie in the author's records at the home server, in a namespace that keeps no history: one key
``DOMAIN:PATH`` for each asking domain and resource. Each delivery is a critical message ``inc`` to this host's own
lond: it is on disk or counted when :func:`count` returns, and those of the same moment share their syncs on the way.

Promises: a delivery is counted once (twice at most if a link breaks at the wrong moment), or the caller hears that it
was not. Raises: as :mod:`lonnet.records`. Logs nothing.
"""

from __future__ import annotations

from collections import defaultdict

from common.resource_path import ResourcePath
from lonnet.homes import Net, UserName
from lonnet.records import Records
from lonnet.replies import Delivery
from lonnet.wire import TEXT, checked_name

NAMESPACE = "nohist_deliveries"


def count(net: Net, path: ResourcePath, domain: str, timeout: float | None) -> Delivery:
    """Count one delivery of a resource to a domain."""
    key = f"{checked_name(domain, 'domain')}:{path}"
    return _records(net, path.author, path.domain).inc(NAMESPACE, {key: 1}, timeout=timeout)


def counted(net: Net, author: str, domain: str, timeout: float | None) -> dict[str, dict[str, int]]:
    """By resource and asking domain, how many deliveries of an author's resources were counted."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for key, number in _records(net, author, domain).dump(NAMESPACE, timeout=timeout).items():
        asking, _, resource = key.partition(":")
        found[resource][asking] = int(number)
    return dict(found)


def _records(net: Net, author: str, domain: str) -> Records[str]:
    return Records(net, UserName(author, domain), TEXT)
