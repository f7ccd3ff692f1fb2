"""Does systemd look after this host's daemons? Then nobody else may start them, for it would not know of them.

Found out from files, as the installed commands do it: systemd runs this machine, `loncontrol install` has put its
units there, and these use the configuration in question. Nobody is asked who might not answer.
"""

from __future__ import annotations

import shlex
from pathlib import Path

BEGIN = "systemctl start loncapa"  # what to type instead
_BOOTED = "run/systemd/system"  # sd_booted(3)
_UNIT = "etc/systemd/system/loncapa.service"
_ENVIRONMENT = "etc/default/loncapa"
_CONF = "etc/loncapa/loncapa.conf"


def is_service(conf: Path) -> bool:
    """Whether units run the daemons that have this configuration file.

    :param conf: absolute.
    """
    below = conf.parent.parent.parent  # of an installation below a directory
    return any(_has_units_for(conf, root) for root in (Path("/"), below))


def _has_units_for(conf: Path, root: Path) -> bool:
    return (root / _BOOTED).is_dir() and (root / _UNIT).is_file() and _configuration(root).resolve() == conf.resolve()


def _configuration(root: Path) -> Path:
    """The file that the units of an installation have their daemons read."""
    try:
        lines = (root / _ENVIRONMENT).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in reversed(lines):  # the last one counts
        name, _, value = line.strip().partition("=")
        if name == "LONCAPA_CONF" and (words := _words(value)):
            return Path(words[0])
    return root / _CONF


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value, comments=True)
    except ValueError:  # quotation marks that are not closed
        return []
