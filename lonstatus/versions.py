"""Which software each peer runs, as it told when loncron asked it.

The file is ``loncron/versions.json`` in lonDaemons, written whole by loncron alone; what can't be read counts as not
known. What a peer tells is a stranger's text: only its printable ASCII is kept, and not much of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from common.config import Config
from common.durable import replacing
from common.version import SOFTWARE

MAX_LENGTH = 60
_NAME = SOFTWARE.rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class PeerVersion:
    """What a peer told.

    :param text: "": it does not tell.
    :param asked: when, UNIX time.
    """

    text: str
    asked: float


def told(reply: str) -> str:
    """The text in a reply to `version`, fit to be shown; "" if there is none (classic-protocol, section 1)."""
    word, _, text = reply.partition(":")
    clean = "".join(character if " " <= character <= "~" else "?" for character in text[:MAX_LENGTH])
    return clean.strip() if word == "version" else ""


def compared(text: str | None) -> str:
    """In words, what a peer's version is beside this host's.

    :param text: what it told; None: it was not asked yet.
    """
    if text is None:
        return "not known: it was not asked yet"
    if not text:
        return "not known: it does not tell"
    if text == SOFTWARE:
        return "the same"
    return "another version" if text.startswith(f"{_NAME}-") else "another software"


def is_other(text: str | None) -> bool:
    """Whether a peer is known to run something else than this host."""
    return text not in (None, "", SOFTWARE)


def read_versions(config: Config) -> dict[str, PeerVersion]:
    """What is known, by host."""
    try:
        values = json.loads(_path(config).read_bytes())
        return {str(host): PeerVersion(str(told["text"]), float(told["asked"])) for host, told in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_versions(config: Config, versions: Mapping[str, PeerVersion]) -> None:
    """Keep it for the page and for the next run.

    :raises OSError: it can't be written.
    """
    with replacing(_path(config), 0o640) as file:
        file.write(json.dumps({host: asdict(version) for host, version in versions.items()}, indent=1).encode())


def _path(config: Config) -> Path:
    return config.daemons_dir / "loncron" / "versions.json"
