"""How fast raw files become checked tables, and with how much memory: ``python -m tests.benchmarks.reading``.

Three parts, side by side in one run: the measured sets (XJTU, TJU, HUST) against a plain pandas loop and polars, which
write the same rows but check, hash and keep nothing; peak memory of each, in a process of its own; and folders of 2,000
and 10,000 made-up cells, read for the first time and again after one cell changed. Needs BATTERY__DATA__REFERENCE_ROOT.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from battery_core.artifacts import StageResult
from battery_core.data.quality.checks import check_quality
from battery_core.data.registries import SOURCES
from battery_core.data.sources.charge_statistics.reader import COLUMNS
from battery_core.data.tables.schema import check_checkups
from battery_core.data.versioning.content import file_sha256
from battery_core.files import write_json
from battery_core.settings import Settings, resolve
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize

SETS = ("xjtu", "tju", "hust")
ROUNDS = 5
SIZES = (2_000, 10_000)
ROWS_A_CELL = 100
LARGEST_MB = 600


def settings(root: Path, source: str, workers: int = 0) -> Settings:
    """Settings on a folder of the benchmark's own."""
    os.environ["BATTERY_ROOT"] = str(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text("")
    where = {f"paths.{name}": root / name for name in ("data", "splits", "artifacts")}
    return resolve({"data.source": source, "data.workers": workers, **where})


def ours(root: Path, workers: int = 0) -> None:
    """The stage, with nothing kept from before."""
    for part in ("cells", "normalized"):
        shutil.rmtree(root / "data" / part, ignore_errors=True)
    for name in SETS:
        normalize(settings(root, name, workers), StageResult(root / "data" / "raw" / name, "benchmark", True, ""))


def pandas_loop(root: Path) -> None:
    """What one writes on a free afternoon."""
    for name in SETS:
        parts = []
        for file in sorted((root / "data" / "raw" / name).rglob("*.csv")):
            table = pd.read_csv(file)
            table["cell_id"] = file.stem
            table["checkup_index"] = range(len(table))
            parts.append(table)
        whole = pd.concat(parts, ignore_index=True)
        numbers = whole[list(COLUMNS)]
        whole[np.isfinite(numbers).all(axis=1)].rename(columns=COLUMNS).to_parquet(root / f"pandas-{name}.parquet")


def all_in_memory(root: Path) -> None:
    """The same reader and the same checks on whole tables: what going cell by cell and keeping the cells costs."""
    for name in SETS:
        given, source, raw = settings(root, name).data, SOURCES.get(name), root / "data" / "raw" / name
        for file in raw.rglob("*.csv"):
            file_sha256(file)
        tables = source.read(raw, given)
        kept, _ = check_quality(tables.cells, tables.checkups, given)
        check_checkups(kept, source.columns).to_parquet(root / f"memory-{name}.parquet")


def polars_loop(root: Path) -> None:
    """The same with polars."""
    import polars as pl

    for name in SETS:
        parts = [
            pl.read_csv(file, schema_overrides=dict.fromkeys(COLUMNS, pl.Float64))
            .with_row_index("checkup_index")
            .with_columns(pl.lit(file.stem).alias("cell_id"))
            for file in sorted((root / "data" / "raw" / name).rglob("*.csv"))
        ]
        whole = pl.concat(parts).filter(pl.all_horizontal(pl.col(list(COLUMNS)).is_finite()))
        whole.rename(dict(COLUMNS)).write_parquet(root / f"polars-{name}.parquet")


CONTESTANTS: dict[str, Callable[[Path], None]] = {
    "ours": ours,
    "ours, one worker": lambda root: ours(root, workers=1),
    "all in memory": all_in_memory,
    "pandas loop": pandas_loop,
    "polars": polars_loop,
}


def speed(root: Path) -> None:
    """Interleaved rounds: the best of each, what the others did to it, and ratios to the pandas loop."""
    wall: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    cpu: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(ROUNDS + 1):
        for name, run in CONTESTANTS.items():
            began, used = time.perf_counter(), time.process_time()
            run(root)
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
    wall, cpu = ({name: times[1:] for name, times in kept.items()} for kept in (wall, cpu))
    print(f"\n{'':18}  best: wall s  CPU s  pandas loop / it: median of rounds  best / best  CPU / CPU  peak MB")
    for name in CONTESTANTS:
        ratios = [other / mine for mine, other in zip(wall[name], wall["pandas loop"], strict=True)]
        best, used = min(wall["pandas loop"]) / min(wall[name]), min(cpu["pandas loop"]) / min(cpu[name])
        peak = json.loads(alone("contestant", str(root), name))["peak_MB"]
        print(
            f"{name:18}  {min(wall[name]):12.2f}  {min(cpu[name]):5.2f}  {statistics.median(ratios):34.2f}  "
            f"{best:11.2f}  {used:9.2f}  {peak:7.0f}"
        )


def make_cells(root: Path, n: int) -> None:
    """A raw folder of made-up cells in the layout of charge statistics."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    raw = root / "data" / "raw" / "xjtu"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    life = np.arange(ROWS_A_CELL)
    for i in range(n):
        columns = {name: 1 + 0.1 * j + generator.normal(0, 0.01, ROWS_A_CELL) for j, name in enumerate(COLUMNS)}
        columns["capacity"] = 2.0 * (0.99 - 0.002 * life) + generator.normal(0, 0.002, ROWS_A_CELL)
        pacsv.write_csv(pa.table({k: v.round(6) for k, v in columns.items()}), raw / f"2C_battery-{i:05d}.csv")
    write_json(raw / "ORIGIN.json", {"source": "xjtu", "origin": "made up", "files": {}})


def scale(root: Path) -> None:
    """First reading and the reading after one change, each in a process of its own."""
    print(f"\n{'cells':>7}  {'run':28}  wall s  ms/cell  peak MB  what it said")
    for n in SIZES:
        folder = root / f"cells-{n}"
        make_cells(folder, n)
        file = folder / "data" / "raw" / "xjtu" / "2C_battery-00007.csv"
        text = file.read_text()
        for run in ("first", "one check-up added", "and taken away again"):
            if run == "one check-up added":
                file.write_text(text + text.splitlines()[-1] + "1\n")
            elif run == "and taken away again":
                file.write_text(text)
            told = json.loads(alone("cells", str(folder), run))
            said = told["message"].split("; ", 1)[1]
            print(f"{n:7}  {run:28}  {told['s']:6.1f}  {1e3 * told['s'] / n:7.2f}  {told['peak_MB']:7.0f}  {said}")
        shutil.rmtree(folder)


def alone(*words: str) -> str:
    """Run a part of this file in a process of its own; its last line."""
    run = [sys.executable, "-m", "tests.benchmarks.reading", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=1200)
    return done.stdout.splitlines()[-1]


def one_part(part: str, root: Path, name: str) -> None:
    """What ``alone`` runs: tells its time and its peak memory."""
    message = ""
    began = time.perf_counter()
    if part == "contestant":
        CONTESTANTS[name](root)
    else:
        message = normalize(settings(root, "xjtu"), StageResult(root, name, True, "")).message
    took = time.perf_counter() - began
    print(json.dumps({"s": took, "peak_MB": peak_MB(), "message": message}))


def peak_MB() -> float:
    """Largest resident memory of this process; ru_maxrss would begin with that of the process that started it."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1e3


@contextmanager
def raw_sets() -> Iterator[Path]:
    """The measured sets, fetched into a folder of the benchmark's own."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            raw = fetch(settings(Path(folder), name)).path
            for file in raw.rglob("*.csv"):
                os.utime(file, (0, 0))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.csv")) / 1e6
        print(f"{', '.join(SETS)}: {size:.0f} MB; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        yield Path(folder)


def main() -> None:
    """All parts, or one of them in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("subset", nargs="?", default="all", choices=["all", "speed", "scale", "contestant", "cells"])
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("name", nargs="?")
    given = parser.parse_args()
    if given.subset in ("contestant", "cells"):
        one_part(given.subset, given.root, given.name)
        return
    if given.subset in ("all", "speed"):
        with raw_sets() as root:
            speed(root)
    if given.subset in ("all", "scale"):
        with tempfile.TemporaryDirectory() as folder:
            scale(Path(folder))


if __name__ == "__main__":
    main()
