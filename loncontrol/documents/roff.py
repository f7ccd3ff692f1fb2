"""Manual pages in the man macros: text that stays text, sections, commands as argparse sees them. Pure."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence

from common.usage import Entry, sections

DATE = "2026-11-22"  # of the manual; a date of its own for each page would make every build differ
_FIGURE = re.compile(r"[A-Z][A-Z0-9_-]*")


def escaped(text: str) -> str:
    """Text that a formatter takes for nothing else."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    return re.sub(r"(?m)^\.", r"\\&.", text)


def bold(text: str) -> str:
    """Bold text."""
    return f"\\fB{escaped(text)}\\fR"


def header(name: str, section: int, summary: str) -> str:
    """The begin of a page; `summary` is what apropos finds."""
    return (
        f'.TH {name.upper()} {section} "{DATE}" "loncapa\\-net" "Network layer of LON\\-CAPA"\n'
        f".SH NAME\n{escaped(name)} \\- {escaped(summary)}\n"
    )


def section(title: str) -> str:
    """The begin of a section."""
    return f".SH {escaped(title).upper()}\n"


def paragraphs(text: str) -> str:
    """Text whose paragraphs have empty lines between them."""
    found = (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
    return ".PP\n".join(f"{escaped(paragraph)}\n" for paragraph in found)


def literal(lines: Iterable[str]) -> str:
    """Lines as they are."""
    text = "".join(f"{escaped(line)}\n" if line.strip() else "\n" for line in lines)
    return f".RS 4\n.nf\n{text}.fi\n.RE\n"


def entries(found: Sequence[Entry]) -> str:
    """Terms with their meanings; those without one as lines that are typed."""
    if not any(meaning for _, meaning in found):
        return literal([term for term, _ in found])
    return "".join(f".TP\n{bold(term)}\n{escaped(meaning)}\n" for term, meaning in found)


def command(parser: argparse.ArgumentParser, summary: str) -> str:
    """The page of a command in section 8."""
    text = header(parser.prog, 8, summary) + section("Synopsis") + f"{synopsis(parser)}\n"
    text += section("Description") + paragraphs(parser.description or "")
    text += section("Options") + "".join(_options(parser))
    if words := list(subcommands(parser)):
        text += section("Commands") + "".join(_subcommand(word, below) for word, below in words)
    for title, found in sections(parser.epilog or "").items():
        text += section(title) + (_references(found) if title == "see also" else entries(found))
    return text


def synopsis(parser: argparse.ArgumentParser) -> str:
    """How it is called."""
    return " ".join([bold(parser.prog), *filter(None, map(_shape, parser._actions))])


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands of a command, those of two words too: the words, and what takes their arguments."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                if deeper := list(subcommands(below)):
                    yield from ((f"{word} {second}", last) for second, last in deeper)
                else:
                    yield word, below


def _shape(action: argparse.Action) -> str:
    if isinstance(action, argparse._HelpAction) or action.help is argparse.SUPPRESS:
        return ""
    if isinstance(action, argparse._SubParsersAction):
        return "\\fICOMMAND\\fR \\&..."
    value = _value(action)
    if not action.option_strings:
        return f"[{value}]" if action.nargs in ("?", "*") else value
    shape = " ".join(filter(None, [bold(action.option_strings[-1]), value]))
    return shape if action.required else f"[{shape}]"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    names = [action.metavar] if isinstance(action.metavar, str) else action.metavar or [action.dest.upper()]
    value = " ".join(f"\\fI{escaped(name)}\\fR" for name in names)
    return f"{value} \\&..." if action.nargs in ("*", "+") else value


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help is argparse.SUPPRESS:
            continue
        names = ", ".join(map(bold, action.option_strings))
        text = _cross(action.help or "")
        yield f".TP\n{' '.join(filter(None, [names, _value(action)]))}\n{text[:1].upper()}{text[1:]}.\n"


def _subcommand(word: str, parser: argparse.ArgumentParser) -> str:
    shapes = filter(None, map(_shape, parser._actions))
    text = f".SS {' '.join([bold(word), *shapes])}\n{paragraphs(parser.description or '')}"
    return text + "".join(option for option in _options(parser) if "\\-\\-help" not in option)


def _cross(text: str) -> str:
    return escaped(text.replace("%%", "%"))


def _references(found: Sequence[Entry]) -> str:
    pages = re.findall(r"([\w.-]+)\((\d)\)", " ".join(term for term, _ in found))
    lines = [f".BR {escaped(name)} ({number})" for name, number in pages]
    return " ,\n".join(lines) + "\n"
