"""What the network tests share: federations of real daemons that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from tests.helpers.daemons import DOWN, HERE, PEER
from tests.helpers.federation import QUICK, Federation, Host
from tests.helpers.waiting import open_descriptors

FederationFactory = Callable[..., Federation]


@pytest.fixture
def federation() -> Iterator[FederationFactory]:
    """Makes federations: ``federation(hosts, start=None, links=None, settings=None, addresses=None)``.

    `start` names the hosts whose daemons are started (None: all of them, []: none), `links` has the lines of links.tab,
    `settings` values of loncapa.conf for every host, beside the short waits of a test network. After the test
    everything is ended; a process, socket, pid file, traceback or descriptor of ours that is left is an error.
    """
    before = open_descriptors()
    with ExitStack() as stack:

        def make(
            hosts: Sequence[str],
            start: Sequence[str] | None = None,
            links: Mapping[str, str] | None = None,
            settings: Mapping[str, str] | None = None,
            addresses: Mapping[str, str] | None = None,
        ) -> Federation:
            made = Federation(hosts, links, addresses, settings={**QUICK, **(settings or {})})
            stack.callback(made.close)
            if start is None or start:
                made.start(*(start or ()))
            return made

        yield make
    after = open_descriptors()
    assert after == before, f"descriptors of the test process: {before} before, {after} after"


@pytest.fixture
def host(federation: FederationFactory) -> Host:
    """One host, nothing started."""
    return federation([HERE], start=[]).hosts[HERE]


@pytest.fixture
def pair(federation: FederationFactory) -> Federation:
    """Two hosts whose links stand, and a third one that is down."""
    return federation([HERE, PEER, DOWN], start=[HERE, PEER])
