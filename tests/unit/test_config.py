"""loncapa.conf: every rule of the file with its exact message; any text gives a Config or a ConfigError."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import runpy
import typing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.config import (
    Config,
    config_path,
    differences,
    parse_config,
    read_config,
    read_despite_faults,
    settings_table,
)
from common.errors import ConfigError
from common.settings import SETTINGS
from common.text_file import read_text
from common.values import Count, Number

ROOT = Path(__file__).parents[2]
NUMERIC = [pytest.param(s, id=s.name) for s in SETTINGS if isinstance(s.parse, Count | Number)]
BY_NAME = {s.name: s for s in SETTINGS}
EMPTY = '""'
ONE_WORD = "one word, or in quotation marks; a comment needs a line of its own"
HOST_ID_ALLOWED = "a host id (at most 64 of A-Z a-z 0-9 _ . -, a letter or digit first, no '..')"
DOMAIN_ALLOWED = "a domain (at most 64 of A-Z a-z 0-9 _ . @ -, a letter, digit or _ first, no '..')"


def parsed(*lines: str) -> Config:
    """The configuration of host msul1 with more lines, from the second line on; no warnings allowed."""
    config, warnings = parse_config("\n".join(["PerlSetVar lonHostID msul1", *lines]), "x.conf")
    assert warnings == ()
    return config


def fault(*lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config("\n".join(["PerlSetVar lonHostID msul1", *lines]), "x.conf")
    return str(caught.value)


class TestTable:
    def test_every_field_has_one_setting_and_every_setting_a_field(self) -> None:
        fields = [f.name for f in dataclasses.fields(Config) if f.name != "sources"]
        assert sorted(fields) == sorted(s.field for s in SETTINGS)
        assert len(BY_NAME) == len(SETTINGS)

    def test_values_have_the_types_of_their_fields(self) -> None:
        hints = typing.get_type_hints(Config)
        config = Config(host_id="msul1")
        for setting in SETTINGS:
            assert type(getattr(config, setting.field)) in (hints[setting.field], type(Path())), setting.name

    def test_defaults(self) -> None:
        config = parsed()
        assert config == Config(host_id="msul1")
        assert (config.tab_dir, config.sock_dir) == (Path("/etc/loncapa"), Path("/run/loncapa"))
        assert (config.lond_port, config.load_lim, config.user_load_lim) == (5663, 2.0, 0)
        assert (config.request_timeout, config.critical_timeout, config.expire) == (60.0, 20.0, 86400.0)
        assert (config.window, config.window_bytes, config.max_request) == (1024, 4 << 20, 1 << 20)
        assert (config.bind_address, config.role, config.log_level) == ("", "", "info")

    @pytest.mark.parametrize("setting", NUMERIC)
    def test_a_number_may_be_its_limits_and_nothing_beyond(self, setting: typing.Any) -> None:
        kind = setting.parse
        step = 1 if isinstance(kind, Count) else 0.001
        for limit in (kind.minimum, kind.maximum):
            assert setting.parse(f"{limit}") == limit
        for beyond in (kind.minimum - step, kind.maximum + step):
            with pytest.raises(ValueError, match=re.escape(f"{beyond}")):
                setting.parse(f"{beyond}")

    def test_only_the_host_id_must_be_set(self) -> None:
        assert [s.name for s in SETTINGS if s.default is None] == ["lonHostID"]

    def test_documentation_is_fresh(self) -> None:
        text = (ROOT / "docs/configuration.md").read_text("utf-8")
        begin, end = "<!-- settings: printed by python -m common.config -->\n", "<!-- end of settings -->"
        assert text.partition(begin)[2].partition(end)[0].strip() == settings_table()

    def test_the_module_prints_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        runpy.run_path(str(ROOT / "common/config.py"), run_name="__main__")
        assert capsys.readouterr().out == settings_table() + "\n"

    def test_table_cells_hold_no_separator(self) -> None:
        assert {row.count("|") for row in settings_table().split("\n")} == {5}

    def test_example_file_holds_every_setting_with_its_default(self) -> None:
        text = (ROOT / "conf/loncapa.conf").read_text("utf-8")
        lines = text.split("\n")
        for s in SETTINGS:
            written = f"PerlSetVar {s.name} {s.default or EMPTY}"
            wanted = "PerlSetVar lonHostID msul1" if s.default is None else f"#{written}"
            assert lines.count(wanted) == 1, s.name
        assert parse_config(text.replace("#PerlSetVar", "PerlSetVar"), "x")[0] == Config(host_id="msul1")


class TestLines:
    @pytest.mark.parametrize(
        ("line", "field", "value"),
        [
            ("PerlSetVar lonWindow 5", "window", 5),
            ("\tperlsetvar   lonWindow\t 5  \r", "window", 5),
            ('PerlSetVar lonWindow "5"', "window", 5),
            ("PerlSetVar lonWindow '5'", "window", 5),
            ("PerlSetVar lonLoadLim 0.5", "load_lim", 0.5),
            ("PerlSetVar lonAdmEMail 'a@b.edu, c@d.edu'", "adm_email", "a@b.edu, c@d.edu"),
            ('PerlSetVar lonAdmEMail "o\'neil@b.edu"', "adm_email", "o'neil@b.edu"),
            ('PerlSetVar lonRole ""', "role", ""),
            ("PerlSetVar lonRole access", "role", "access"),
            ("PerlSetVar lonTabDir '/home/a b'", "tab_dir", Path("/home/a b")),
            ("PerlSetVar lonBindAddress 2001:DB8::01", "bind_address", "2001:db8::1"),
            ("PerlSetVar lonBindAddress 0.0.0.0", "bind_address", "0.0.0.0"),
            ("PerlSetVar lonHttpBase https://a.edu:8443", "http_base", "https://a.edu:8443"),
            ("PerlSetVar lonHttpBase http://[::1]", "http_base", "http://[::1]"),
            ("PerlSetVar lonLogLevel debug", "log_level", "debug"),
            ("PerlSetVar lonDefDomain msu", "def_domain", "msu"),
            ("PerlSetVar lonSMTPServer [::1]:25", "smtp_server", "[::1]:25"),
            ("PerlSetVar lonMetricsFile /var/a.prom", "metrics_file", "/var/a.prom"),
        ],
    )
    def test_good(self, line: str, field: str, value: object) -> None:
        config = parsed("", "  # a comment", line)
        assert getattr(config, field) == value
        name = next(s.name for s in SETTINGS if s.field == field)
        assert config.sources[name] == 4
        assert config.sources["lonHostID"] == 1
        assert sum(config.sources.values()) == 5

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("PerlSetVar", "name and value are missing; a line is PerlSetVar NAME VALUE"),
            ("PerlSetVar lonHostID msul2", "lonHostID: line 1 sets it already; delete one of them"),
            ("PerlSetVar lonHostID msul1", "lonHostID: line 1 sets it already; delete one of them"),
            ("PerlSetVar lonWindow", f"lonWindow: the value is missing: {ONE_WORD}"),
            ("PerlSetVar lonWindow 5 # five", f"lonWindow: '5 # five' is not a value: {ONE_WORD}"),
            ('PerlSetVar lonWindow "5', f"lonWindow: '\"5' is not a value: {ONE_WORD}"),
            ("PerlSetVar lonPingAfter 31", "lonPingAfter: 31 is above lonDeadAfter (30); it must not be"),
            ("PerlSetVar lonRetryMax 0.5", "lonRetryFirst: 1 is above lonRetryMax (0.5); it must not be"),
        ],
    )
    def test_bad_line(self, line: str, message: str) -> None:
        assert fault(line) == f"x.conf:2: {message}"

    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("lonWindow", "0", "a whole number from 1 to 65536"),
            ("lonWindow", "-1", "a whole number from 1 to 65536"),
            ("lonWindow", "1_0", "a whole number from 1 to 65536"),
            ("lonWindow", "\u0663", "a whole number from 1 to 65536"),
            ("lonWindow", "", "a whole number from 1 to 65536"),
            ("lonWindow", "5\x00", "a whole number from 1 to 65536"),
            ("lonLoadLim", "nan", "a number from 0.01 to 10000"),
            ("lonExpire", "315360000.1", "a number of seconds from 0 to 315360000"),
            ("londPongTimeout", "11", "a number of seconds from 0.01 to 10"),
            ("lonRole", "libary", "library or access, or empty"),
            ("lonLogLevel", "INFO", "one of debug, info, warning, error"),
            ("lonTabDir", "etc", "an absolute path of a directory (it must begin with /)"),
            ("lonTabDir", "/etc\\", "an absolute path of a directory (it must begin with /)"),
            ("lonBindAddress", "1.2.3", "an IPv4 or IPv6 address, or empty"),
            ("lonBindAddress", "localhost", "an IPv4 or IPv6 address, or empty"),
            ("lonHttpBase", "http://a/b", "http://HOST[:PORT] or https://HOST[:PORT], or empty"),
            ("lonSMTPServer", "localhost", "HOST:PORT"),
            ("lonSMTPServer", "localhost:65536", "HOST:PORT"),
            ("lonMetricsFile", "/var/", "an absolute path of a file (it must begin with /), or empty"),
            ("lonAdmEMail", "root", "one or more mail addresses joined by commas, or empty"),
            ("lonDefDomain", "a..b", f"{DOMAIN_ALLOWED}, or empty"),
        ],
    )
    def test_bad_value(self, name: str, value: str, allowed: str) -> None:
        assert fault(f'PerlSetVar {name} "{value}"') == f"x.conf:2: {name}: {value!r} is not {allowed}"

    def test_a_long_value_is_cut_in_the_message(self) -> None:
        message = fault("PerlSetVar lonWindow " + "9" * 999)
        assert message == f"x.conf:2: lonWindow: '{'9' * 60}...' is not a whole number from 1 to 65536"

    def test_a_pair_is_blamed_on_the_later_of_its_lines(self) -> None:
        message = "x.conf:4: lonPingAfter: 6 is above lonDeadAfter (5); it must not be"
        assert fault("PerlSetVar lonDeadAfter 5", "", "PerlSetVar lonPingAfter 6") == message
        assert fault("PerlSetVar lonPingAfter 6", "", "PerlSetVar lonDeadAfter 5") == message
        assert parsed("PerlSetVar lonPingAfter 30").ping_after == 30

    @pytest.mark.parametrize("host_id", ["", "../msul1", "a/b", "a..b", ".a", "-a", "a" * 65, "a b", "ä"])
    def test_bad_host_id(self, host_id: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_config(f'PerlSetVar lonHostID "{host_id}"', "x.conf")
        assert (caught.value.line, caught.value.name) == (1, "lonHostID")
        assert caught.value.reason.endswith(f" is not {HOST_ID_ALLOWED}")

    @pytest.mark.parametrize("text", ["", "\n\n", "# PerlSetVar lonHostID msul1\n"])
    def test_missing_host_id(self, text: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_config(text, "x.conf")
        assert (
            str(caught.value)
            == "x.conf: lonHostID: missing; loncontrol setup writes it, or add PerlSetVar lonHostID and this host's id"
        )

    def test_only_line_feeds_count_as_line_ends(self) -> None:
        config = parsed("#\x0b\x0c\x1c\x85\u2028 still the comment", "PerlSetVar lonWindow 9")
        assert config.sources["lonWindow"] == 3


class TestWarnings:
    @pytest.mark.parametrize(
        ("line", "warning"),
        [
            (
                "PerlSetVar lonWindwo 5",
                "x.conf:2: 'lonWindwo' is unknown and ignored; did you mean lonWindow?",
            ),
            ("PerlSetVar LONDPORT", "x.conf:2: 'LONDPORT' is unknown and ignored; did you mean londPort?"),
            ("PerlSetVar zzz a b c", "x.conf:2: 'zzz' is unknown and ignored"),
            ("PerlSetVra lonWindow 5", "x.conf:2: 'PerlSetVra' is not PerlSetVar; all such are ignored"),
        ],
    )
    def test_one(self, line: str, warning: str) -> None:
        config, warnings = parse_config(f"PerlSetVar lonHostID msul1\n{line}\n", "x.conf")
        assert config == Config(host_id="msul1")
        assert warnings == (warning,)

    def test_apache_directives_once_each(self) -> None:
        text = """PerlSetVar lonHostID msul1
            <Location /adm>
                PerlAccessHandler Apache::lonacc
                SetHandler perl-script
            </Location>
            <location />
                perlaccesshandler Apache::x
            </location>
            PerlSetVar lonWindow 7
        """
        config, warnings = parse_config(text, "x.conf")
        assert config.window == 7
        assert warnings == (
            "x.conf:2: '<Location' is not PerlSetVar; all such are ignored",
            "x.conf:3: 'PerlAccessHandler' is not PerlSetVar; all such are ignored",
            "x.conf:4: 'SetHandler' is not PerlSetVar; all such are ignored",
        )

    def test_a_name_of_any_length(self) -> None:
        _, warnings = parse_config("PerlSetVar lonHostID a\nPerlSetVar " + "lonWindow" * 100_000, "x.conf")
        assert warnings == (f"x.conf:2: '{('lonWindow' * 7)[:60]}...' is unknown and ignored",)


NAMES = st.sampled_from([s.name for s in SETTINGS])
WORDS = st.sampled_from(["", '""', "1", "0.5", "/a", "msul1", "'a b'", "::1", '"', "1 2"])
VALUES = WORDS | st.text(max_size=8)
LINES = st.builds("PerlSetVar {} {}".format, NAMES, VALUES) | st.text(max_size=20)
FILES = st.lists(LINES, max_size=8).map("\n".join).map("PerlSetVar lonHostID msul1\n{}".format)


class TestAnyText:
    @given(st.text() | FILES)
    @example("PerlSetVar lonHostID \ud800")
    def test_gives_a_config_or_a_config_error(self, text: str) -> None:
        try:
            config, warnings = parse_config(text, "x.conf")
        except ConfigError as error:
            assert str(error).startswith("x.conf:")
            assert error.line <= text.count("\n") + 1
            return
        assert config.host_id
        assert all(warning.startswith("x.conf:") and "\n" not in warning for warning in warnings)
        assert dataclasses.replace(config, sources={}) == config

    @given(st.dictionaries(NAMES.filter(lambda name: name != "lonHostID"), st.none()))
    def test_writing_the_defaults_changes_nothing_but_the_sources(self, names: dict[str, None]) -> None:
        config = parsed(*(f'PerlSetVar {name} "{BY_NAME[name].default}"' for name in names))
        assert differences(config, Config(host_id="msul1")) == frozenset()
        assert {name for name, line in config.sources.items() if line} == {"lonHostID", *names}


class TestConfig:
    def test_differences_are_by_value_and_named_as_in_the_file(self) -> None:
        old = parsed("PerlSetVar lonWindow 5", "PerlSetVar lonGrace 3")
        new = parsed("PerlSetVar lonGrace 3.0", "PerlSetVar lonWindow 6", "PerlSetVar lonTabDir /t")
        assert differences(old, new) == {"lonWindow", "lonTabDir"}
        assert differences(old, old) == frozenset()

    def test_is_frozen_slotted_and_picklable(self) -> None:
        config = parsed("PerlSetVar lonWindow 5")
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.window = 6  # type: ignore[misc]
        assert not hasattr(config, "__dict__")
        copy = pickle.loads(pickle.dumps(config))
        assert (copy, copy.sources) == (config, config.sources)


class TestFiles:
    @pytest.mark.parametrize(
        ("option", "environ", "path"),
        [
            ("/a/b.conf", {"LONCAPA_CONF": "/c"}, "/a/b.conf"),
            (None, {"LONCAPA_CONF": "/c"}, "/c"),
            (None, {"LONCAPA_CONF": ""}, "/etc/loncapa/loncapa.conf"),
            (None, {}, "/etc/loncapa/loncapa.conf"),
        ],
    )
    def test_which_file(self, option: str | None, environ: dict[str, str], path: str) -> None:
        assert config_path(option, environ) == Path(path)

    def test_a_relative_path_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert config_path("x.conf", {}) == tmp_path / "x.conf"
        assert config_path("", {"LONCAPA_CONF": "/c"}) == tmp_path

    def test_read(self, tmp_path: Path) -> None:
        path = tmp_path / "x.conf"
        path.write_bytes(b"\xef\xbb\xbfPerlSetVar lonHostID msul1\r\nPerlSetVar nonsense 1\r\n")
        config, warnings = read_config(path)
        assert config == Config(host_id="msul1")
        assert warnings == (f"{path}:2: 'nonsense' is unknown and ignored",)

    def test_a_fault_names_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x.conf"
        path.write_text("\nPerlSetVar lonHostID /\n")
        with pytest.raises(ConfigError) as caught:
            read_config(path)
        assert (caught.value.file, caught.value.line) == (str(path), 2)

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "x.conf"
        path.write_bytes(b"\xef\xbb\xbf# a\n# M\xfcller\n")
        with pytest.raises(ConfigError) as caught:
            read_text(path)
        assert str(caught.value) == f"{path}:2: byte 0xfc is not UTF-8; save the file in UTF-8"

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            read_text(tmp_path / "x.conf")
        assert str(caught.value) == f"{tmp_path}/x.conf: cannot be read: No such file or directory"

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "x.conf"
        path.write_text("")

        def denied(_: Path) -> bytes:  # root may read everything, so the refusal is staged
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", denied)
        with pytest.raises(ConfigError) as caught:
            read_text(path)
        assert str(caught.value) == f"{path}: cannot be read: Permission denied"

    def test_what_is_not_a_file_is_refused_and_never_waited_for(self, tmp_path: Path) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        for path in (tmp_path, fifo, Path("/dev/null")):
            with pytest.raises(ConfigError) as caught:
                read_text(path)
            assert str(caught.value) == f"{path}: is not a regular file"


class TestDespiteFaults:
    """Reading for who must act whatever is wrong."""

    @staticmethod
    def read(tmp_path: Path, *lines: str | bytes) -> tuple[Config, str]:
        path = tmp_path / "x.conf"
        path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + b"\n")
        config, fault = read_despite_faults(path, "lonDaemons"), ""
        try:
            read_config(path)
        except ConfigError as error:
            fault = str(error).removeprefix(f"{path}:")
        return config, fault

    def test_without_a_fault_it_is_as_ever(self, tmp_path: Path) -> None:
        config, fault = self.read(tmp_path, "PerlSetVar lonHostID msul1", "PerlSetVar lonGrace 7", "PerlSetVar x y")
        assert (config, fault) == (Config(host_id="msul1", grace=7.0), "")

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("PerlSetVar lonGrace soon", "3: lonGrace: 'soon' is not"),
            ("PerlSetVar lonGrace", "3: lonGrace: the value is missing"),
            ("PerlSetVar lonHostID msul1", "3: lonHostID: line 1 sets it already"),
            ("PerlSetVar", "3: name and value are missing"),
            (b"# M\xfcller", "3: byte 0xfc is not UTF-8"),
            (b"PerlSetVar lonUsersDir /M\xfcller", "3: byte 0xfc is not UTF-8"),
        ],
    )
    def test_what_is_right_counts_and_the_first_fault_is_told(
        self, tmp_path: Path, line: str | bytes, fault: str
    ) -> None:
        first, second = "PerlSetVar lonHostID msul1", "PerlSetVar lonDaemons /a"
        config, told = self.read(tmp_path, first, second, line, "PerlSetVar lonSockDir /b", "PerlSetVar lonWindow x")
        assert (config.host_id, str(config.daemons_dir), str(config.sock_dir)) == ("msul1", "/a", "/b")
        assert (config.grace, config.users_dir) == (Config("x").grace, Config("x").users_dir)
        assert told.startswith(fault)

    def test_a_host_without_a_name(self, tmp_path: Path) -> None:
        config, fault = self.read(tmp_path, "PerlSetVar lonDaemons /a")
        assert (config.host_id, str(config.daemons_dir)) == ("", "/a") and "lonHostID: missing" in fault

    @pytest.mark.parametrize(
        "line", ["PerlSetVar lonDaemons", "PerlSetVar lonDaemons a", b"PerlSetVar lonDaemons /\xfc"]
    )
    def test_what_is_needed_must_be_right(self, tmp_path: Path, line: str | bytes) -> None:
        with pytest.raises(ConfigError, match=":2: lonDaemons: "):
            self.read(tmp_path, "PerlSetVar lonGrace soon", line)

    def test_what_is_needed_must_be_clear(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=":2: lonDaemons: line 1 sets it already"):
            self.read(tmp_path, "PerlSetVar lonDaemons /a", "PerlSetVar lonDaemons /b")

    @pytest.mark.parametrize(
        ("lines", "fault"),
        [
            (["PerlSetVar lonHostID msul1", b"PerlSetVar lonDaem\xffons /a"], ":2: byte 0xff is not UTF-8"),
            (["PerlSetVar lonHostID msul1", "PerlSetVar"], ":2: name and value are missing"),
            (["PerlSetVar lonGrace 7"], ": lonHostID: missing"),
        ],
    )
    def test_what_is_needed_has_no_default_where_its_line_may_be_damaged(
        self, tmp_path: Path, lines: list[str | bytes], fault: str
    ) -> None:
        with pytest.raises(ConfigError, match=fault):
            self.read(tmp_path, *lines)

    def test_values_that_do_not_fit_together_count_all_the_same(self, tmp_path: Path) -> None:
        config, fault = self.read(tmp_path, "PerlSetVar lonHostID msul1", "PerlSetVar lonPingAfter 31")
        assert config.ping_after == 31 and fault.startswith("2: lonPingAfter: 31 is above lonDeadAfter")

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_despite_faults(tmp_path / "x.conf", "lonDaemons")
