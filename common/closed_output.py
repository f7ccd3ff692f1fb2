"""Commands whose output somebody pipes into ``head``: they end without a traceback when nobody reads on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

EXIT_CLOSED = 141  # what a shell says of a process that SIGPIPE ended

P = ParamSpec("P")


def ends_with_its_reader(main: Callable[P, int]) -> Callable[P, int]:
    """For the function behind a command: a closed standard output ends it with :data:`EXIT_CLOSED`.

    Not by SIGPIPE's default, which would end it for any other pipe or socket as well.
    """

    @wraps(main)
    def ending(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            try:
                return main(*args, **kwargs)
            finally:  # argparse leaves by an exception when it has shown its help
                if sys.stdout is not None:  # closed from the beginning
                    sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in the buffer goes nowhere, silently
            return EXIT_CLOSED

    return ending
