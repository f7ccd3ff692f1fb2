"""The workers for resources and uploaded files, as lond's parent keeps them; see :mod:`lond.workers`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection

from common.config import Config
from common.loop import Loop
from common.population import Birth, Member, Population
from common.site import Site
from lond.updates.client import Updates
from lond.updates.worker import Worker
from lond.workers import Workers

UPDATER = "updater"  # the key in the population


class UpdatePool:
    """See the module.

    :param site: for lonSockDir.
    :param release: closes, in a worker, what else lond's children inherit.
    :raises OSError: the socket can't be made.
    """

    def __init__(self, site: Site, release: Callable[[], None]) -> None:
        self._release = release
        self._workers = Workers()
        path = site.config.sock_dir / ".lond.update"
        self._workers.add(UPDATER, path, lambda config: config.update_workers, self._live)

    @staticmethod
    def slots(config: Config) -> int:
        """How many members of the population the workers are at most, those included that are being replaced."""
        return 2 * config.update_workers

    def balance(self, population: Population, site: Site, now: float, outdated: Collection[int]) -> None:
        """Have as many workers as are wanted; see :meth:`lond.workers.Workers.balance`."""
        self._workers.balance(population, site, now, outdated)

    def _live(self, birth: Birth, listener: socket.socket, site: Site) -> int:
        self._release()
        return Worker(UPDATER, listener, birth, site).live()

    def on_end(self, member: Member, code: int, loop: Loop) -> bool:
        """Take note of a child's end; False if it was none of ours."""
        return self._workers.on_end(member, code, loop)

    def updates(self, loop: Loop, site: Site) -> Updates:
        """The way of one lond child to the workers; called in the child."""
        return Updates(loop, self._workers.path(UPDATER), site)

    def close_listeners(self) -> None:
        """Close, in a child, the workers' socket."""
        self._workers.close_listeners()

    def close(self) -> None:
        """In the parent: remove the socket."""
        self._workers.close()
