"""The published LG M50T data as a source: archives on a server, archives on disk, unpacked folders: one table."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.registries import SOURCES
from battery_core.data.settings import DataSettings, SplitSettings
from battery_core.data.sources.base import Source, SourceTables
from battery_core.data.sources.download.remote_ranges import Patience
from battery_core.data.sources.lgm50t import origin as lgm50t_origin
from battery_core.data.sources.lgm50t.source import LGM50TSource
from battery_core.data.sources.simulated import source as simulated
from battery_core.data.splits.make import make_split
from battery_core.errors import DataError

RECORD = 300_000  # bytes of each record that nobody needs
SUMMARY = "Summary Data/Performance Summary/{} - Processed Data.csv"
SETS = "Summary Data/Ageing Sets Summary/Summary per Set/{} - set_data.csv"
CYCLES = "Summary Data/Ageing Sets Summary/Summary per Cycle/{} - cycle_data.csv"
CURVE = "Processed Timeseries Data/0.1C Voltage Curves/{}/{} - RPT{} - 0.1C discharge data.csv"
HEADER = (
    ",Ageing Sets,Ageing Cycles,Age set start date,Age set end date,RPT start date,Days of degradation,"
    "Age set av. temperature [°C],Charge Throughput [A h],Energy Throughput [W h],C/10 Capacity [mA h],"
    "C/2 Capacity [mA h],0.1s Resistance [Ohms],LLI\n"
)
ROWS = (
    "0,0,0,,,2020-01-06,0,,0,0,4850,4800,0.025,0\n"
    "1,1,10,2020-01-07,2020-01-09,2020-01-09,2,16.3,82,300,4800,4750,35.2,0.01\n"
    "2,2,20,2020-01-10,2020-01-12,2020-01-12,4,16.4,164,600,4750,4700,0.026,0.02\n"
)
CURVES = "Time (s),Voltage (V),Current (mA),Charge (mA.h),Temperature (degC)\n0,4.19,-485,0,25\n36000,2.5,-485,-{},25\n"
CELLS = {  # archive -> cell as the files name it, folder of its curves
    "Expt 1 - Si-based Degradation": ("Expt 1 - cell J (10degC)", "cell J"),
    "Expt 2,2 - C-based Degradation 2": ("Expt 2,2 - cell C (25degC)", "cell C"),
    "Expt 3 - Cathode Degradation and Li-Plating": ("Expt 3 - cell G (40degC)", "cell G"),
    "Expt 4 - Drive Cycle Aging (Control)": ("Expt 4 - cell A (10degC)", "cell A"),
    "Expt 5 - Standard Cycle Aging (Control)": ("Expt 5 - Cell A (10degC)", "Cell A"),
}
WANTED = {  # the table of each of these cells, written by hand
    "checkup_index": [0, 1, 2],
    "cycle_count": [0.0, 10.0, 20.0],
    "time_days": [0.0, 2.0, 4.0],
    "throughput_Ah": [0.0, 82.0, 164.0],
    "capacity_Ah": [4.85, 4.8, 4.75],
    "resistance_ohm": [0.025, np.nan, 0.026],
    "temperature_degC": [np.nan, 16.3, 16.4],
    "energy_throughput_Wh": [0.0, 300.0, 600.0],
    "capacity_c2_Ah": [4.8, 4.75, 4.7],
    "lli": [0.0, 0.01, 0.02],
}


def files_of(folder: str) -> dict[str, bytes]:
    """Files of one archive: one cell, its quirks, and records that nobody needs."""
    name, curve_folder = CELLS[folder]
    short = name.split(" (")[0]
    lower = short.replace("Expt", "expt")
    encoding = "cp1252" if "Expt 3" in folder else "utf-8"
    rows = HEADER + ROWS
    if "Expt 4" in folder:  # the same in other units, as the header says
        rows = rows.replace("[A h]", "[mA h]").replace(",82,", ",82000,").replace(",164,", ",164000,")
    record = random.Random(folder).randbytes(RECORD)
    return {
        f"{folder}/Processed Timeseries Data/GITT/{short} - RPT0 - GITT.csv": record,
        f"{folder}/{SUMMARY.format(name)}": rows.encode(encoding),
        f"{folder}/{SETS.format(lower)}": b"Ageing Set,Charge [mA h]\n1,82000\n2,82000\n",
        f"{folder}/{CYCLES.format(lower)}": b"Cycle,Charge [mA h],Discharge [mA h]\n1,4200,\n2,,4000\n",
        **{f"{folder}/{CURVE.format(curve_folder, short, k)}": CURVES.format(4850 - 50 * k).encode() for k in range(3)},
        f"__MACOSX/{folder}/._{name} - Processed Data.csv": b"\x00\x05\x16\x07",
        f"{folder}/Raw/{short}.mpr": record,
    }


def zipped(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            with packed.open(name, "w", force_zip64=True) as stream:
                stream.write(content)
    return buffer.getvalue()


@pytest.fixture
def source() -> LGM50TSource:
    return LGM50TSource(Patience(tries=2, timeout_s=5.0, sleep=lambda _: None))


@pytest.fixture
def serve(range_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., DataSettings]:
    """Puts archives on the server, and gives the settings that fetch them from there."""

    def put(archives: dict[str, dict[str, bytes]]) -> DataSettings:
        for name, files in archives.items():
            range_server.files[f"/files/{name}.zip/content"] = zipped(files, monkeypatch)
        return DataSettings(zenodo_url=f"{range_server.url}/files", download_cache=tmp_path / "cache")

    return put


def fetched(source: Source, settings: DataSettings, raw: Path) -> SourceTables:
    raw.mkdir()
    source.fetch(raw, settings)
    assert all(lgm50t_origin.is_needed(path.name) for path in raw.rglob("*") if path.is_file())
    return source.read(raw, settings)


def assert_as_by_hand(tables: SourceTables) -> None:
    ids = ["expt1-J", "expt2-2-C", "expt3-G", "expt4-A", "expt5-A"]
    assert tables.cells["cell_id"].tolist() == ids
    assert tables.cells["ambient_temperature_degC"].tolist() == [10.0, 25.0, 40.0, 10.0, 10.0]
    assert tables.cells["group"].tolist() == ["expt1", "expt2-2", "expt3", "expt4", "expt5"]
    assert set(tables.cells["source"]) == {"lgm50t"}
    for cell, table in tables.checkups.groupby("cell_id"):
        found = table[list(WANTED)].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, pd.DataFrame(WANTED), check_dtype=False, obj=str(cell))
    assert tables.rows_read == 15
    assert tables.curves is not None
    ends = tables.curves.groupby(["cell_id", "checkup_index"])["capacity_Ah"].last()
    assert ends.to_numpy() == pytest.approx(np.tile([4.85, 4.8, 4.75], 5))
    assert [(f.cell_id, f.row, f.rule) for f in tables.issues] == [(cell, 1, "bad_resistance") for cell in ids]


def test_five_archives_on_a_server_give_the_table_written_by_hand(
    source: LGM50TSource, serve: Any, range_server: Any, tmp_path: Path
) -> None:
    settings = serve({folder: files_of(folder) for folder in CELLS})
    assert_as_by_hand(fetched(source, settings, tmp_path / "raw"))
    assert len(range_server.ranges) == 10  # a directory and one stretch of members each
    assert range_server.sent < 5 * (70_000 + 5_000)  # of 600 kB each


def test_a_fetch_that_was_cut_goes_on_with_what_is_missing(
    source: LGM50TSource, serve: Any, range_server: Any, fault: Any, tmp_path: Path
) -> None:
    settings = serve({folder: files_of(folder) for folder in CELLS})
    range_server.faults = [fault()] * 5
    range_server.always = fault(cut_after=10)  # in the middle of the third archive the server goes away
    with pytest.raises(DataError, match=r"Expt%203\S+ cannot be read .* put the archives, packed or unpacked, into"):
        fetched(source, settings, tmp_path / "cut")
    range_server.always = fault()
    range_server.ranges.clear()
    assert_as_by_hand(fetched(source, settings, tmp_path / "raw"))
    assert len(range_server.ranges) == 2 * 1 + 3 * 2


def test_the_simulated_snapshot_comes_through_a_server_unchanged(
    source: LGM50TSource, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archives: dict[str, dict[str, bytes]] = {}
    raw = tmp_path / "simulated"
    with zipfile.ZipFile(simulated.SNAPSHOT) as snapshot:
        for name in snapshot.namelist():
            if "cell A" in name or "Cell A" in name:  # one cell of each of the three experiments
                archives.setdefault(name.split("/")[0], {})[name] = snapshot.read(name)
                snapshot.extract(name, raw)
    monkeypatch.setattr(lgm50t_origin, "ARCHIVES", {f"{name}.zip": "" for name in archives})
    tables = fetched(source, serve(archives), tmp_path / "raw")
    wanted = SOURCES.get("simulated").read(raw, DataSettings())
    assert len(wanted.checkups) == 3 * 16
    pd.testing.assert_frame_equal(tables.checkups, wanted.checkups)
    assert tables.curves is not None
    assert wanted.curves is not None
    pd.testing.assert_frame_equal(tables.curves, wanted.curves)
    assert tables.issues == wanted.issues


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path, str], DataSettings]:
    """Writes the five experiments into a folder, unpacked or packed, and gives the settings that read them there."""

    def write(folder: Path, how: str) -> DataSettings:
        for number, name in enumerate(CELLS):
            if how == "packed" or (how == "mixed" and number % 2):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.zip").write_bytes(zipped(files_of(name), monkeypatch))
            else:
                for file, content in files_of(name).items():
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / file).write_bytes(content)
        return DataSettings(reference_root=tmp_path)

    return write


@pytest.mark.parametrize("how", ["unpacked", "packed", "mixed"])
@pytest.mark.parametrize("below", ["lgm50t", "."])
def test_files_on_disk_give_the_same_table(
    source: LGM50TSource, on_disk: Any, tmp_path: Path, how: str, below: str
) -> None:
    assert_as_by_hand(fetched(source, on_disk(tmp_path / below, how), tmp_path / "raw"))


def test_an_experiment_that_is_packed_and_unpacked_is_read_once(
    source: LGM50TSource, on_disk: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = on_disk(tmp_path / "lgm50t" / "unpacked", "unpacked")
    name = next(iter(CELLS))
    (tmp_path / "lgm50t" / f"{name}.zip").write_bytes(zipped(files_of(name), monkeypatch))
    assert_as_by_hand(fetched(source, settings, tmp_path / "raw"))


@pytest.mark.parametrize("how", ["unpacked", "packed"])
def test_the_origin_is_the_content_of_the_needed_files(
    source: LGM50TSource, on_disk: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    settings = on_disk(tmp_path / "lgm50t", how)
    before = source.origin_key(settings)
    for path in (tmp_path / "lgm50t").rglob("*"):
        os.utime(path, (1, 1))
    assert source.origin_key(settings) == before
    name = "Expt 5 - Standard Cycle Aging (Control)"
    changed = {n: c.replace(b"4750,4700", b"4751,4700") for n, c in files_of(name).items()}
    if how == "packed":
        (tmp_path / "lgm50t" / f"{name}.zip").write_bytes(zipped(changed, monkeypatch))
    else:
        for file, content in changed.items():
            (tmp_path / "lgm50t" / file).write_bytes(content)
    assert source.origin_key(settings) != before


def test_the_origin_of_a_download_needs_no_network(source: LGM50TSource) -> None:
    nowhere = DataSettings(zenodo_url="http://127.0.0.1:9")
    assert source.origin_key(nowhere) == source.origin_key(nowhere) != source.origin_key(DataSettings())


def test_no_files_on_disk_is_one_clear_line(source: LGM50TSource, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"source 'lgm50t': neither an archive .* nor an unpacked file .* point data\.ref"
    ):
        source.fetch(tmp_path / "raw", DataSettings(reference_root=tmp_path))
    with pytest.raises(DataError, match=r"leave data\.reference_root out to download"):
        source.origin_key(DataSettings(reference_root=tmp_path / "nothing"))


def test_an_archive_on_disk_that_was_cut_is_one_clear_line(source: LGM50TSource, on_disk: Any, tmp_path: Path) -> None:
    settings = on_disk(tmp_path, "packed")
    cut = tmp_path / "Expt 4 - Drive Cycle Aging (Control).zip"
    cut.write_bytes(cut.read_bytes()[:-5_000])
    message = r"is not a whole zip archive .* download it again \(published md5: 99083707bc7a24e72d9865abac19ce50\)"
    with pytest.raises(DataError, match=message):
        source.fetch(tmp_path / "raw", settings)


def test_an_archive_without_summaries_is_refused(source: LGM50TSource, serve: Any, tmp_path: Path) -> None:
    settings = serve({folder: {f"{folder}/readme.txt": b"moved"} for folder in CELLS})
    with pytest.raises(
        DataError, match=r"no performance summary in http\S+Expt%201\S+ - it is not the published archive"
    ):
        source.fetch(tmp_path, settings)


def published_cells() -> pd.DataFrame:
    """The 40 cells of the published set."""
    letters = {
        "expt1": {10: "ABJ", 25: "DEF", 40: "KLM"},
        "expt2-2": {10: "AB", 25: "CD", 40: "EF"},
        "expt3": {10: "ABC", 25: "DEF", 40: "GHI"},
        "expt4": {10: "ABC", 25: "DE", 40: "FGH"},
        "expt5": {10: "ABC", 25: "DE", 40: "FGH"},
    }
    rows = [
        {"cell_id": f"{group}-{letter}", "group": group, "ambient_temperature_degC": float(degC)}
        for group, by_temperature in letters.items()
        for degC, names in by_temperature.items()
        for letter in names
    ]
    return pd.DataFrame(rows).assign(protocol="", chemistry="", nominal_capacity_Ah=5.0, source="lgm50t")


def test_its_own_split_trains_and_tests_on_every_experiment_at_every_temperature(source: LGM50TSource) -> None:
    cells = published_cells()
    assert len(cells) == 40
    split = make_split(cells, SplitSettings(), source, None)
    parts = {name: cells[cells["cell_id"].isin(getattr(split, name))] for name in ("train", "val", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 15, "val": 10, "test": 15}
    keys = ["group", "ambient_temperature_degC"]
    assert len(parts["train"][keys].drop_duplicates()) == len(parts["test"][keys].drop_duplicates()) == 15


RETENTION = {  # published C/10 capacity at RPT8 / at RPT0
    "expt5": dict(zip("ABCDEFGH", (0.804, 0.814, 0.821, 0.863, 0.866, 0.852, 0.850, 0.853), strict=True)),
    "expt4": dict(zip("ABCDEFGH", (0.889, 0.734, 0.697, 0.876, 0.877, 0.842, 0.839, 0.840), strict=True)),
}


@pytest.mark.reference
def test_the_measured_cells_fade_as_published(source: LGM50TSource, reference_root: Path, tmp_path: Path) -> None:
    if not (reference_root / "lgm50t").is_dir():
        pytest.skip(f"no measured LG M50T files: folder {reference_root / 'lgm50t'} is missing")
    checkups = fetched(source, DataSettings(reference_root=reference_root), tmp_path / "raw").checkups
    capacity = checkups.pivot(index="cell_id", columns="checkup_index", values="capacity_Ah")
    retention = (capacity[8] / capacity[0]).round(3)
    for group, cells in RETENTION.items():
        for letter, published in cells.items():
            assert retention[f"{group}-{letter}"] == pytest.approx(published, abs=0.001)
