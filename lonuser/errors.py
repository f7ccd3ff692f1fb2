"""What can keep an administrator's command from being done, each with its exit code.

The codes are those of sysexits.h, as the daemons'. A message is one line: what is wrong, where, and what to do about
it; it holds no password and no hash.
"""

from __future__ import annotations

import os
from typing import ClassVar

from common.errors import LonError


class AdministrationError(LonError):
    """Root of the errors that end lonuser with a code of their own."""

    exit_code: ClassVar[int] = os.EX_UNAVAILABLE


class NotPossible(AdministrationError):
    """Right as it is, but not in the state in which this machine or the network is now."""


class NotAllowed(AdministrationError):
    """Another user may do this, the caller may not."""

    exit_code = os.EX_NOPERM


class WrongUse(AdministrationError):
    """The command can't be meant so."""

    exit_code = os.EX_USAGE


class BadData(AdministrationError):
    """What was to be read makes no sense: an archive, a classic directory, a password."""

    exit_code = os.EX_DATAERR


class UnknownUser(AdministrationError):
    """This host is not the user's home server."""

    exit_code = os.EX_NOUSER
