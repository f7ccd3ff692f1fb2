"""New texts of loncapa.conf and tables, checked together as a daemon would before any of them is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

from common.config import parse_config
from common.errors import ConfigError
from common.site import Site, load_site
from common.text_file import read_text
from loncontrol.edits import set_value
from loncontrol.files import write_text

TABLES = ("hosts.tab", "domain.tab", "spare.tab", "links.tab", "trust.tab")


class Draft:
    """What the files would be.

    :param conf: the configuration's path.
    :param text: its text; None: what it has now.
    :raises ConfigError: the text is no configuration.
    """

    def __init__(self, conf: Path, text: str | None = None) -> None:
        self.conf = conf
        self._texts = {conf: read_text(conf) if text is None else text}
        self.config, _ = parse_config(self._texts[conf], str(conf))

    def table(self, name: str) -> str:
        """The text of a table, e.g. ``hosts.tab``; empty if it is not there."""
        path = self.config.tab_dir / name
        return self._texts[path] if path in self._texts else _present_text(path)

    def set_table(self, name: str, text: str) -> None:
        """Let a table have this text."""
        self._texts[self.config.tab_dir / name] = text

    def check(self) -> Site:
        """The site as a daemon would load it from these texts.

        :raises ConfigError: what is wrong, in the names of the real files.
        """
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            for table in TABLES:
                if text := self.table(table):
                    (directory / table).write_text(text)
            conf = directory / "loncapa.conf"
            conf.write_text(self._moved(directory))
            try:
                return load_site(conf)
            except ConfigError as error:
                real = error.file.replace(str(conf), str(self.conf)).replace(name, str(self.config.tab_dir))
                reason = error.reason.replace(name, str(self.config.tab_dir))
                raise ConfigError(real, error.line, error.name, reason) from None

    def _moved(self, directory: Path) -> str:
        text = self._texts[self.conf]
        if self.config.sources["lonTabDir"]:
            return set_value(text, "lonTabDir", str(directory))
        return f"{text}\nPerlSetVar lonTabDir {directory}\n"  # at the end, where it moves no other line

    def changes(self) -> Iterator[str]:
        """What would become different, as diff -u shows it."""
        for path, text in self._texts.items():
            before = _present_text(path)
            for line in unified_diff(before.splitlines(), text.splitlines(), str(path), str(path), "now", "new", 0, ""):
                if not line.startswith("@@"):
                    yield line

    def write(self) -> None:
        """Write the files that would become different, the tables before the configuration that needs them.

        :raises OSError: one could not be written; those before it are.
        """
        for path in sorted(self._texts, key=lambda path: path == self.conf):
            if self._texts[path] != _present_text(path):
                write_text(path, self._texts[path])


def _present_text(path: Path) -> str:
    return read_text(path) if path.exists() else ""
