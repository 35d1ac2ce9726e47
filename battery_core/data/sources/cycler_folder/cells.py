"""The cells of a cycler folder: their metadata in cells.csv or cells.yaml, and the files of each."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from battery_core.data.cycler_settings import CyclerSettings
from battery_core.errors import DataError, nearest
from battery_core.units import convert, split_header

TABLES = ("cells.csv", "cells.yaml", "cells.yml")
# header without unit, letters and digits only -> (fact, its unit)
_METADATA_COLUMNS = {
    "id": ("cell_id", ""),
    "cell": ("cell_id", ""),
    "cellid": ("cell_id", ""),
    "chemistry": ("chemistry", ""),
    "nominalcapacity": ("nominal_capacity_Ah", "Ah"),
    "temperature": ("ambient_temperature_degC", "degC"),
    "ambienttemperature": ("ambient_temperature_degC", "degC"),
    "protocol": ("protocol", ""),
    "group": ("group", ""),
    "lowercutoff": ("lower_cutoff_V", "V"),
    "uppercutoff": ("upper_cutoff_V", "V"),
    "files": ("files", ""),
}
_AS_WRITTEN = "id, chemistry, nominal capacity [Ah], temperature [degC], protocol, group, files"
_SUFFIX = re.compile(r"_(mAh|Ah|degC|mV|V|K)$")
_GOOD_ID = re.compile(r"[^\s./\\][^/\\]*")


@dataclass(frozen=True)
class CellMetadata:
    """Store the metadata of a cell; a cut-off of None is taken from the settings or measured."""

    cell_id: str
    nominal_capacity_Ah: float
    chemistry: str = ""
    ambient_temperature_degC: float | None = None
    protocol: str = ""
    group: str = ""
    lower_cutoff_V: float | None = None
    upper_cutoff_V: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the metadata for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class FolderCell:
    """Store a cell and its files in natural order of their names."""

    metadata: CellMetadata
    files: tuple[Path, ...]


def folder_cells(settings: CyclerSettings) -> list[FolderCell]:
    """Return the cells in the folder's table, by id.

    Raises:
        DataError: no folder, no table, a cell without files, a file of two cells or of none.
    """
    folder = checked_folder(settings)
    rows = _rows(folder)
    if not rows:
        raise DataError(f"'{folder / cells_table(folder)}': no cells; expected a row each: {_AS_WRITTEN}")
    owner: dict[Path, str] = {}
    cells: list[FolderCell] = []
    for number, row in enumerate(rows, start=1):
        metadata, pattern = _parse_metadata(row, f"'{cells_table(folder)}', cell number {number}")
        if metadata.cell_id in (cell.metadata.cell_id for cell in cells):
            raise DataError(
                f"'{cells_table(folder)}': cell '{metadata.cell_id}' is there twice - give each cell one row"
            )
        files = _files(folder, pattern or f"{_literal(metadata.cell_id)}/**/*", settings)
        if not files:
            expected = f"some like '{pattern}'" if pattern else f"a sub-folder '{metadata.cell_id}'"
            raise DataError(
                f"cell '{metadata.cell_id}': no file of it in '{folder}'; expected {expected} - put them there, or "
                f"correct the column files of {cells_table(folder)}"
            )
        for file in files:
            if (other := owner.setdefault(file, metadata.cell_id)) != metadata.cell_id:
                raise DataError(
                    f"file '{file.relative_to(folder)}': of cell '{other}' and '{metadata.cell_id}' - give it one"
                )
        cells.append(FolderCell(metadata, files))
    if strays := [file for file in _files(folder, "**/*", settings) if file not in owner]:
        raise DataError(
            f"file '{strays[0].relative_to(folder)}': of no cell in {cells_table(folder)} ({len(strays)} such file(s)) "
            "- give its cell a row, or name it in data.cycler.ignore"
        )
    return sorted(cells, key=lambda cell: natural(cell.metadata.cell_id))


def checked_folder(settings: CyclerSettings) -> Path:
    """Return the folder that the settings name, after a check that it exists.

    Raises:
        DataError: none is named, or it is not there.
    """
    if settings.folder is None:
        raise DataError("source 'cycler_folder': which folder? - set data.cycler.folder (see docs/your-own-data.md)")
    if not settings.folder.is_dir():
        raise DataError(f"source 'cycler_folder': no folder '{settings.folder}' - correct data.cycler.folder")
    return settings.folder


def cells_table(folder: Path) -> str:
    """Return the name of the table of cells in a folder.

    Raises:
        DataError: there is none, or more than one.
    """
    paths = [name for name in TABLES if (folder / name).is_file()]
    if not paths:
        raise DataError(f"'{folder}': no cells.csv or cells.yaml - write one with a row a cell: {_AS_WRITTEN}")
    if len(paths) > 1:
        raise DataError(f"'{folder}': {' and '.join(paths)} - keep one of them")
    return paths[0]


def natural(name: str) -> tuple[Any, ...]:
    """Return the natural sort key of a name: ``run_2`` comes before ``run_10``.

    Example:
        >>> sorted(["run_10", "run_2"], key=natural)
        ['run_2', 'run_10']
    """
    return tuple(
        (1, int(segment), "") if segment.isdecimal() else (0, 0, segment) for segment in re.split(r"(\d+)", name)
    )


def _literal(text: str) -> str:
    return re.sub(r"([\[?*])", r"[\1]", text)


def _files(folder: Path, pattern: str, settings: CyclerSettings) -> tuple[Path, ...]:
    try:
        paths = [path for path in folder.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError) as err:
        raise DataError(f"'{pattern}' is no file pattern below the folder ({err}) - as 'A1_*.csv'") from err
    data_files = [
        path
        for path in paths
        if path.name not in TABLES
        and not any(segment.startswith((".", "~")) for segment in path.relative_to(folder).parts)
        and not any(fnmatch(path.name, name) for name in settings.ignore)
    ]
    return tuple(sorted(data_files, key=lambda path: natural(path.relative_to(folder).as_posix())))


def _rows(folder: Path) -> list[Mapping[str, str]]:
    """Return the rows of the table as text, by header."""
    file = folder / cells_table(folder)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = file.read_bytes().decode("cp1252", errors="replace")
    if file.suffix != ".csv":
        return _yaml_rows(text, file.name)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.DictReader(text.splitlines(), delimiter=delimiter) if any(map(_text, row.values()))]
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(f"'{file.name}', cell number {number}: not as many fields as the header - mend the row")
    point = {ord(","): "."} if delimiter == ";" else {}
    return [{name: _text(value).translate(point) for name, value in row.items()} for row in rows]


def _yaml_rows(text: str, name: str) -> list[Mapping[str, str]]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise DataError(f"'{name}' is not valid YAML: {' '.join(str(err).split())}") from err
    if isinstance(content, dict) and isinstance(content.get("cells"), list):
        content = content["cells"]
    if isinstance(content, dict) and all(isinstance(metadata, dict) for metadata in content.values()):
        content = [{"id": cell, **metadata} for cell, metadata in content.items()]
    if not isinstance(content, list) or not all(isinstance(metadata, dict) for metadata in content):
        raise DataError(f"'{name}': expected a list of cells, each with: {_AS_WRITTEN}")
    return [{str(key): _text(value) for key, value in metadata.items()} for metadata in content]


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _parse_metadata(row: Mapping[str, str], where: str) -> tuple[CellMetadata, str]:
    """Parse one row into canonical units, and its file pattern."""
    values: dict[str, Any] = {}
    for header, value in row.items():
        name, unit = split_header(header)
        if not unit and (suffix := _SUFFIX.search(name)):
            name, unit = name[: suffix.start()], suffix[1]
        column = _METADATA_COLUMNS.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if column is None:
            near = nearest(name.lower(), ["id", "chemistry", "nominal capacity", "temperature", "protocol", "group"])
            hint = f"did you mean {near}? " if near else ""
            raise DataError(
                f"{where}: unknown column '{header}': {hint}There are: {_AS_WRITTEN}, lower/upper cutoff [V]"
            )
        if value:
            values[column[0]] = _number(value, unit, column[1], header, where) if column[1] else value
    pattern = values.pop("files", "")
    for needed, written in (("cell_id", "id"), ("nominal_capacity_Ah", "nominal capacity [Ah]")):
        if needed not in values:
            raise DataError(f"{where}: no {written}; expected one in each row - fill it in")
    if not _GOOD_ID.fullmatch(values["cell_id"]):
        raise DataError(f"{where}: id '{values['cell_id']}' cannot name a folder - leave out / and a leading dot")
    if values["nominal_capacity_Ah"] <= 0:
        raise DataError(
            f"{where}: nominal capacity {values['nominal_capacity_Ah']:g} Ah; expected more than 0 - mend it"
        )
    return CellMetadata(**values), pattern


def _number(value: str, stated: str, unit: str, header: str, where: str) -> float:
    if not stated:
        raise DataError(f"{where}: column '{header}': expected its unit - write '{header} [{unit}]'")
    try:
        return float(convert(float(value), stated, unit))
    except ValueError as err:
        raise DataError(f"{where}: column '{header}': expected a number, got '{value}' - mend it") from err
    except DataError as err:
        raise DataError(f"{where}: column '{header}': {err}") from err
