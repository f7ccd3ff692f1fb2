"""Completion for bash: commands, options, their values, and the host ids of hosts.tab where a host is wanted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from common.hosts_table import ROLES
from loncontrol.documents.pages import parsers
from loncontrol.documents.roff import subcommands
from lond.authentication.accounts import INTERNAL, KRB5, LOCALAUTH, NONE, UNIX

# By metavar: values that argparse does not check.
_WORDS = {"ROLE": ROLES, "TYPE": (INTERNAL, UNIX, f"{KRB5}:", f"{LOCALAUTH}:", NONE)}

_HEAD = """\
# bash completion for {prog}; made by python -m loncontrol.documents

_{name}_hosts() {{
    sed -n 's/^\\([A-Za-z0-9][^:]*\\):.*/\\1/p' @ROOT@/etc/loncapa/hosts.tab 2>/dev/null
}}

_{name}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words="" options="" word index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${{COMP_WORDS[index]}}
        case $word in
        --conf) ((index++)) ;;
        -*) ;;
        *) words="$words $word" ;;
        esac
    done
    case $previous in
    --conf | --root | FILE)
        COMPREPLY=($(compgen -f -- "$current"))
        return ;;
    esac
    case ${{words# }} in
"""
_TAIL = """\
    esac
    COMPREPLY=($(compgen -W "$options" -- "$current"))
}}

complete -o default -F _{name} {prog}
"""


def scripts() -> Iterator[tuple[str, str]]:
    """All scripts: (file name, text)."""
    for parser, _ in parsers():
        yield parser.prog, script(parser)


def script(parser: argparse.ArgumentParser) -> str:
    """The completion of one command."""
    names = {"prog": parser.prog, "name": parser.prog.replace("-", "_")}
    text = _HEAD.format(**names)
    commands = list(subcommands(parser))
    for words, below in commands:
        text += f'    "{words}" | "{words} "*) options="{_choices(below, names["name"])}"{_values(below)} ;;\n'
    for first in dict.fromkeys(words.partition(" ")[0] for words, _ in commands if " " in words):
        seconds = (words.partition(" ")[2] for words, _ in commands if words.startswith(f"{first} "))
        text += f'    "{first}") options="{" ".join(seconds)}" ;;\n'
    first_words = dict.fromkeys(words.partition(" ")[0] for words, _ in commands)
    text += f'    *) options="{" ".join([*_options(parser), *first_words])}" ;;\n'
    return text + _TAIL.format(**names)


def _choices(parser: argparse.ArgumentParser, name: str) -> str:
    wants_host = any(action.metavar == "HOST" and not action.option_strings for action in parser._actions)
    return " ".join([*_options(parser), *([f"$(_{name}_hosts)"] if wants_host else [])])


def _values(parser: argparse.ArgumentParser) -> str:
    """What is offered instead behind an option that takes one of a few words."""
    offered = [(action.option_strings, action.choices or _WORDS.get(str(action.metavar))) for action in parser._actions]
    cases = [
        f'{" | ".join(options)}) options="{" ".join(words)}" ;;' for options, words in offered if options and words
    ]
    return f"; case $previous in {' '.join(cases)} esac" if cases else ""


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.help is not argparse.SUPPRESS:
            yield from (option for option in action.option_strings if option.startswith("--"))
