"""One word after ``python -m battery_core``: what it does, its own arguments beside the settings, and what runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from battery_core.cli.options import Parser, parse_overrides
from battery_core.errors import SettingsError
from battery_core.settings import Settings, resolve

PROG = "python -m battery_core"


@dataclass(frozen=True)
class Own:
    """An argument of one entry that is no setting.

    Args:
        name: ``--to`` of an option; ``FOLDER`` of a word right after the entry, ``[FOLDER]`` where it may be left out.
        help: what it is, in a line.
        kind: what the text is turned into.
        default: where it is not given.
    """

    name: str
    help: str
    kind: Callable[[str], Any] = str
    default: Any = None

    def add_to(self, parser: Parser) -> None:
        """As an argument of a parser: an option by its name, a word by its name in small letters."""
        action = parser.add_argument(self.name.lower(), type=self.kind, default=self.default, help=self.help)
        if not self.name.startswith("-"):
            action.metavar = self.name


@dataclass(frozen=True)
class Given:
    """What was said on the command line: the entry, its own arguments, and what settings are set to."""

    entry: str
    own: Namespace
    overrides: dict[str, Any] = field(default_factory=dict)

    def settings(self, more: Mapping[str, Any] | None = None) -> Settings:
        """All settings; what ``more`` names wins."""
        return resolve({**self.overrides, **(more or {})})


@dataclass(frozen=True)
class Entry:
    """One word after ``python -m battery_core``.

    Args:
        what: what it does, in a line; empty for one that only the workflow itself starts.
        run: does it and gives the exit code; heavy imports happen in there.
        own: its own arguments.
        takes_settings: whether every setting is an option too.
    """

    what: str
    run: Callable[[Given], int]
    own: tuple[Own, ...] = ()
    takes_settings: bool = True


def read(name: str, entry: Entry, rest: Sequence[str]) -> Given:
    """What the words after an entry say.

    Raises:
        SettingsError: a word is missing, or a value is wrong.
    """
    return _with_settings(name, entry, rest) if entry.takes_settings else _plain(name, entry, rest)


def _plain(name: str, entry: Entry, rest: Sequence[str]) -> Given:
    parser = Parser(prog=f"{PROG} {name}", description=entry.what)
    for own in entry.own:
        own.add_to(parser)
    return Given(name, parser.parse_args(list(rest)))


def _with_settings(name: str, entry: Entry, rest: Sequence[str]) -> Given:
    """The word right after the entry and its own options first; what is left are settings."""
    words = [own for own in entry.own if not own.name.startswith("-")]
    parser, found = Parser(add_help=False), {}
    for own in entry.own:
        if own not in words:
            own.add_to(parser)
    for word in words:
        is_there = bool(rest) and not rest[0].startswith("-")
        if not is_there and not word.name.startswith("[") and not {"-h", "--help"} & set(rest):
            raise SettingsError(f"{name}: expected {word.name} ({word.help}) - see '{PROG} {name} --help'")
        found[word.name.strip("[]").lower()] = word.kind(rest[0]) if is_there else word.default
        rest = rest[is_there:]
    options, rest = parser.parse_known_args(list(rest))
    about = "; ".join([entry.what, *(f"{own.name}: {own.help}" for own in entry.own)])
    prog = " ".join([PROG, name, *(word.name for word in words)])
    return Given(name, Namespace(**found, **vars(options)), parse_overrides(rest, prog, about))
