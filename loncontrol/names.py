"""Host names looked up all at once, with an end: the system's resolver may take half a minute for each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Mapping

LOOK_UP_SECONDS = 5.0
Answer = tuple[list[str], str]  # addresses, what went wrong


def addresses_of(names: Iterable[str], seconds: float = LOOK_UP_SECONDS) -> Mapping[str, Answer]:
    """The addresses of each name, or why there are none.

    A look-up that has not ended within `seconds` is left to end by itself, in a thread that holds up nobody's exit.
    """
    answers: dict[str, Answer] = {name: ([], f"no answer within {seconds:.0f} s") for name in names}
    done = threading.Semaphore(0)

    def look_up(name: str) -> None:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            answers[name] = (sorted({str(entry[4][0]) for entry in found}), "")
        except (OSError, UnicodeError) as error:
            answers[name] = ([], str(getattr(error, "strerror", "") or error).lower())
        done.release()

    threads = [threading.Thread(target=look_up, args=(name,), daemon=True) for name in answers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for _ in threads:
        if not done.acquire(timeout=max(0.0, end - time.monotonic())):
            break
    return dict(answers)
