"""Lonnet's own way into a host's FIFO, for critical messages that no lonc child could take.

Promises: ``con_delayed`` is answered only when the message is on disk; the message keeps the id it had when it was
sent to the child, so that it stands in the FIFO at most once even if the child had stored it before it died.
Raises nothing of the disk: what can't be stored is answered ``con_failed``, and logged as an error. Every message
that ends here leaves a line in the perm log (D or F), unless the FIFO shows that it was done meanwhile.

The FIFO is opened for each message and closed again. Kept open, it would be inherited over fork(), and SQLite in the
child would rely on locks that only the parent holds: when the parent then closes its end, the file's log is removed
under the child, and what the child stored is gone.

Known limits: a busy FIFO is waited for up to common.delayed_file.BUSY_SECONDS, beyond the limit of the call: storing
goes before punctuality. A fork() by another thread within these milliseconds has the above effect still.
"""

from __future__ import annotations

import logging

from common.delayed import Fifo, Message, Row
from common.errors import SpoolError
from common.permlog import Event, PermLog, perm_log_path
from common.site import Site

log = logging.getLogger(__name__)

CON_DELAYED, CON_FAILED = b"con_delayed", b"con_failed"


class OwnStore:
    """Stores critical messages without a lonc child; for any number of threads."""

    def __init__(self) -> None:
        self._perm_log: PermLog | None = None

    def store(self, site: Site, host: str, message: Message) -> bytes:
        """Put `message` into the FIFO of `host`.

        :returns: ``con_delayed``; the reply, if it was delivered before; ``con_failed``: it could not be stored.
        """
        try:
            row = _append(site, host, message)
        except SpoolError as error:
            log.error("critical message to %s could not be stored: %s", host, error)
            self.record_failure(site, host, message.command)
            return CON_FAILED
        if row.reply is not None:
            return row.reply
        self._log_of(site).write(Event.DELAYED, host, message.command)
        return CON_DELAYED

    def record_failure(self, site: Site, host: str, command: bytes) -> None:
        """Note in the perm log that `command` could be neither delivered nor stored."""
        self._log_of(site).write(Event.FAILED, host, command)

    def _log_of(self, site: Site) -> PermLog:
        path = perm_log_path(site.config)
        if self._perm_log is None or self._perm_log.path != path:
            self._perm_log = PermLog(path)
        return self._perm_log


def _append(site: Site, host: str, message: Message) -> Row:
    fifo = Fifo(site.config.delayed_dir, host)
    try:
        return fifo.append([message])[0]
    finally:
        fifo.close()
