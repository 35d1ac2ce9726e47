"""The command line of every entry: one option a setting, one line an error, exit code 2 for a wrong one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NoReturn

from pydantic_settings import CliSettingsSource

from battery_core import deprecated_names
from battery_core import settings as house
from battery_core.errors import BatteryError, SettingsError, nearest

EXIT_WRONG_SETTING = 2
EXIT_FAILED = 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the nearest right names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=38, width=120))
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Say it in one line and leave with code 2."""
        _, _, wrong = message.partition("unrecognized arguments: ")
        if wrong:
            option = wrong.split()[0].split("=")[0]
            near = nearest(option, self._option_string_actions)
            message = f"unknown option '{option}': " + (f"did you mean {near}?" if near else "see --help")
        fail(message, EXIT_WRONG_SETTING)


def fail(message: object, code: int) -> NoReturn:
    """One line on standard error, then the exit code."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def guarded(run: Callable[[], int]) -> NoReturn:
    """Run an entry; what a person has to mend is one line, without a traceback."""
    try:
        code = run()
    except SettingsError as err:
        fail(err, EXIT_WRONG_SETTING)
    except BatteryError as err:
        fail(err, EXIT_FAILED)
    except OSError as err:
        fail(in_words(err), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    raise SystemExit(code)


def in_words(err: OSError) -> str:
    """What files or the disk refused, and where to look."""
    what = f"{err.strerror or err}" + (f": '{err.filename}'" if err.filename else "")
    return f"{what} - check that the folder exists and is writable, and that the disk is not full"


def parse_overrides(argv: Sequence[str], prog: str, description: str) -> dict[str, Any]:
    """What the command line sets, as dotted names; ``--print-settings`` shows the resolved whole and leaves.

    Raises:
        SettingsError: a wrong value.
    """
    parser = Parser(prog=prog, description=description, usage="%(prog)s [--section.key value ...]")
    parser.add_argument("--print-settings", action="store_true", help="show every resolved setting as YAML and leave")
    CliSettingsSource(
        house.Settings, root_parser=parser, cli_avoid_json=True, cli_hide_none_type=True, cli_implicit_flags=False
    )
    _describe(parser, argv)
    given = vars(parser.parse_args(_current_options(argv)))
    show = given.pop("print_settings")
    overrides = {name: _joined(value) for name, value in given.items() if value is not None}
    if show:
        print(house.as_yaml(house.resolve(overrides)), end="")
        raise SystemExit(0)
    return overrides


def _current_options(argv: Sequence[str]) -> list[str]:
    """Return the arguments with the current names of settings.

    Raises:
        SettingsError: an old name and its new name are both there.
    """
    options = [word.partition("=") for word in argv]
    names = [name.removeprefix("--") for name, _, _ in options if name.startswith("--")]
    current = deprecated_names.rename_names(names, "--{}".format)
    return [
        f"--{current[name[2:]]}{equals}{value}" if name.startswith("--") else word
        for word, (name, equals, value) in zip(argv, options, strict=True)
    ]


def _joined(value: Any) -> Any:
    """A list may be given as ``a,b``, as an option for each item, or both."""
    return ",".join(value) if isinstance(value, list) else value


def _describe(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Give each option its unit, default and a short value name; ``--help`` also says what is in force instead."""
    fields = dict(house.all_fields())
    in_force = _in_force(parser) if {"-h", "--help"} & set(argv) else {}
    for action in parser._actions:
        field = fields.get(action.dest)
        if field is None:
            continue
        extra = field.json_schema_extra or {}
        unit = extra.get("unit", "") if isinstance(extra, dict) else ""
        default = field.get_default(call_default_factory=True)
        now = in_force.get(action.dest, default)
        instead = f"; in force: {_shown(now)}" if now != default else ""
        action.metavar = action.dest.rsplit(".", 1)[-1].upper()
        text = f"{field.description or ''}{f' [{unit}]' if unit else ''} (default: {_shown(default)}{instead})"
        action.help = text.replace("%", "%%")


def _in_force(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """What params.yaml and the environment come to, by dotted name; with an error in them, help says so and goes on."""
    try:
        settings = house.resolve()
    except SettingsError as err:
        parser.epilog = f"What is in force cannot be said: {err}"
        return {}
    return {name: attrgetter(name)(settings) for name, _ in house.all_fields()}


def _shown(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value
