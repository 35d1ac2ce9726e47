"""Settings as options of a command line: one option a setting, one line an error, exit code 2 for a wrong one."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo

from battery_core import deprecated_names
from battery_core.data.registries import SOURCES, SPLITS
from battery_core.errors import BatteryError, SettingsError, nearest
from battery_core.evaluation.settings import BASELINE_NAMES
from battery_core.features.registry import FEATURES
from battery_core.models.registry import MODELS
from battery_core.release.settings import SLICE_CHECKS
from battery_core.settings import all_fields, as_yaml, resolve, sections
from battery_core.training.losses.registry import LossRegistry

EXIT_WRONG_SETTING = 2
EXIT_FAILED = 1
_WIDTH = 120

_REGISTERED: dict[str, Iterable[str]] = {
    "models": MODELS,
    "data.source": SOURCES,
    "split.strategy": ["auto", *SPLITS],
    "features.sets": ["auto", *FEATURES],
    "features.history_sets": ["auto", *FEATURES],
    "loss.name": LossRegistry.list_available(),
    "release.required_baselines": BASELINE_NAMES,
    "release.slice_checks": SLICE_CHECKS,
}
"""Names that a setting takes, where its type does not list them."""


@dataclass(frozen=True)
class SettingsHelp:
    """Which settings ``--help`` shows; ``--help-all`` shows every one.

    Args:
        main: settings that are described.
        sections: sections that the command reads; the other settings in them are only named.
    """

    main: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=_WIDTH)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the nearest right names."""

    def __init__(self, prog: str, description: str = "", **options: Any) -> None:  # options: of sub-parsers
        super().__init__(prog, description=description, formatter_class=_Formatter, allow_abbrev=False, **options)
        self.option_names = ["--help"]
        self.positional_help: dict[str, str] = {}

    def error(self, message: str) -> NoReturn:
        """Print the message in one line and exit with code 2."""
        _, _, unknown = message.partition("unrecognized arguments: ")
        _, _, missing = message.partition("the following arguments are required: ")
        if unknown:
            option = unknown.split()[0].split("=")[0]
            near = nearest(option, self.option_names)
            message = f"unknown option '{option}': " + (f"did you mean {near}?" if near else "see --help")
        elif missing in self.positional_help:
            command = self.prog.split()[-1]
            message = f"{command}: expected {missing} ({self.positional_help[missing]}) - see '{self.prog} --help'"
        fail(message, EXIT_WRONG_SETTING)


def fail(message: object, code: int) -> NoReturn:
    """Print one line on standard error and exit with a code."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


def run_and_exit(run: Callable[[], int]) -> NoReturn:
    """Run an entry point and exit with its code; an error that a user can mend is one line without a traceback."""
    try:
        code = run()
    except SettingsError as err:
        fail(err, EXIT_WRONG_SETTING)
    except BatteryError as err:
        fail(err, EXIT_FAILED)
    except OSError as err:
        fail(describe_os_error(err), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    raise SystemExit(code)


def describe_os_error(err: OSError) -> str:
    """Return what the file system refused, and where to look."""
    reason = f"{err.strerror or err}" + (f": '{err.filename}'" if err.filename else "")
    return f"{reason} - check that the folder exists and is writable, and that the disk is not full"


def parse_overrides(
    argv: Sequence[str], program: str, description: str, shown: SettingsHelp = SettingsHelp()
) -> dict[str, Any]:
    """Return the settings that a command line without sub-commands sets, by their dotted names.

    Raises:
        SettingsError: a value is wrong.
    """
    parser = Parser(program, description)
    add_settings(parser, argv, shown)
    return read_overrides(parser.parse_args(current_options(argv)))


def add_settings(parser: Parser, argv: Sequence[str], shown: SettingsHelp) -> None:
    """Add an option for each setting and section; help texts are made only when ``argv`` asks for help."""
    parser.usage = " ".join(["%(prog)s", *parser.positional_help, "[--section.name value ...]"])
    parser.add_argument("--print-settings", action="store_true", help="print every resolved setting as YAML and exit")
    parser.add_argument("--help-all", action="help", help="describe every setting and exit")
    is_full = "--help-all" in argv
    described = set(shown.main) if {"-h", "--help"} & set(argv) and not is_full else set()
    in_force = _in_force(parser) if described or is_full else {}
    groups = {"": parser.add_argument_group("settings" if is_full else "main settings")}
    if is_full:
        groups |= {name: parser.add_argument_group(f"--{name}.* (or --{name} JSON)") for name in sections()}
    for name, field in all_fields():
        is_described = is_full or name in described
        groups[name.rpartition(".")[0] if is_full else ""].add_argument(
            f"--{name}",
            dest=name,
            action="append" if get_origin(field.annotation) is tuple else "store",
            metavar=name.rsplit(".", 1)[-1].upper(),
            help=_describe(name, field, in_force) if is_described else argparse.SUPPRESS,
        )
    for name in sections():
        parser.add_argument(f"--{name}", dest=name, help=argparse.SUPPRESS)
    parser.option_names += ["--help-all", "--print-settings", *(f"--{name}" for name, _ in all_fields())]
    parser.option_names += [f"--{name}" for name in sections()]
    if described:
        parser.epilog = "\n".join(filter(None, [parser.epilog, _name_settings(shown)]))


def read_overrides(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the settings in parsed arguments, by their dotted names; with ``--print-settings``, print all and exit.

    Raises:
        SettingsError: a value is wrong.
    """
    names = [*(name for name, _ in all_fields()), *sections()]
    values = {name: value for name in names if (value := getattr(parsed, name)) is not None}
    # a list is written as a,b or as an option for each item
    overrides = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    if parsed.print_settings:
        print(as_yaml(resolve(overrides)), end="")
        raise SystemExit(0)
    return overrides


def current_options(argv: Sequence[str]) -> list[str]:
    """Return the arguments with the current names of settings.

    Raises:
        SettingsError: an old name and its new name are both there.
    """
    options = [word.partition("=") for word in argv]
    names = [name.removeprefix("--") for name, _, _ in options if name.startswith("--")]
    current = deprecated_names.rename_names(names, "--{}".format)
    words: list[str] = []
    setting = ""  # the one that waits for its value
    for word, (name, equals, value) in zip(argv, options, strict=True):
        if name.startswith("--"):
            setting = name[2:]
            words.append(f"--{current[setting]}{equals}{deprecated_names.current_switch(setting, value)}")
        else:
            words.append(deprecated_names.current_switch(setting, word))
            setting = ""
    return words


def _describe(name: str, field: FieldInfo, in_force: dict[str, Any]) -> str:
    """Return the help of a setting: meaning, unit, choices, default and the value in force."""
    extra = field.json_schema_extra
    unit = f" [{extra['unit']}]" if isinstance(extra, dict) and extra.get("unit") else ""
    choices = _choices(name, field)
    default = field.get_default(call_default_factory=True)
    value = in_force.get(name, default)
    instead = f"; in force: {_as_text(value)}" if value != default else ""
    listed = f" {{{', '.join(choices)}}}" if choices else ""
    return f"{field.description or ''}{unit}{listed} (default: {_as_text(default)}{instead})".replace("%", "%%")


def _choices(name: str, field: FieldInfo) -> list[str]:
    if name in _REGISTERED:
        return list(_REGISTERED[name])
    return [str(choice) for choice in get_args(field.annotation)] if get_origin(field.annotation) is Literal else []


def _in_force(parser: Parser) -> dict[str, Any]:
    """Return what params.yaml and the environment set, by dotted name; with an error in them, help states it."""
    try:
        settings = resolve()
    except SettingsError as err:
        parser.epilog = f"Values in force are not shown: {err}"
        return {}
    return {name: attrgetter(name)(settings) for name, _ in all_fields()}


def _as_text(value: object) -> object:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _name_settings(shown: SettingsHelp) -> str:
    """Return the names of the other settings in the sections that a command reads."""
    lines = ["other settings that it reads, as --SECTION.NAME VALUE or --SECTION JSON (--help-all describes them):"]
    for section in [name for name in sections() if name.split(".")[0] in shown.sections]:
        names = [name for name, _ in all_fields() if name.rpartition(".")[0] == section and name not in shown.main]
        if names:
            text = ", ".join(name.rpartition(".")[2] for name in names)
            start = f"  {section:<20} "
            lines += textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
    return "\n".join(lines)
