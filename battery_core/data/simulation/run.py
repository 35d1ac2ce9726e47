"""Stage that makes the simulated data set: plan the cells, simulate each history, write the files."""

from __future__ import annotations

import multiprocessing
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

from battery_core.data.simulation.cell import CellHistory, CellSimulator
from battery_core.data.simulation.layout import write_cell, write_note
from battery_core.data.simulation.model import import_pybamm
from battery_core.data.simulation.protocols import CellPlan, Protocol, plan_cells
from battery_core.data.simulation.state import CellState
from battery_core.errors import DataError

AGEING_SETS = 15
Progress = Callable[[int, int, str], None]
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same bytes for the same content


def simulate(
    out_dir: Path,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
    cells: Sequence[CellPlan] | None = None,
    ageing_sets: int = AGEING_SETS,
) -> int:
    """Simulate the ageing of LG M50T cells and write them as the published data set is laid out.

    Args:
        out_dir: a folder that is empty or not there yet.
        seed: of the spread between cells and of the measurement noise; the same seed gives the same files.
        workers: processes; one cell is one piece of work.
        progress: called as ``progress(cells done, cells in all, cell)`` after each cell.
        cells: which cells; none: the 36 of the shipped snapshot.
        ageing_sets: ageing sets per cell; check-ups are one more.

    Returns:
        The number of cells written.

    Raises:
        DataError: PyBaMM is not installed, or the folder already holds files.
    """
    if out_dir.exists() and any(out_dir.iterdir()):
        raise DataError(f"simulate: expected an empty folder; '{out_dir}' holds files - empty it or name another one")
    import_pybamm()  # before the workers start, so that its absence is one line
    plans = list(plan_cells(seed) if cells is None else cells)
    for done, history in enumerate(_simulate_cells(plans, ageing_sets, workers), start=1):
        write_cell(out_dir, history, seed)
        if progress is not None:
            progress(done, len(plans), history.plan.name)
    write_note(out_dir, seed, len(plans))
    return len(plans)


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder as a zip with identical bytes on every run and machine."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes(), compresslevel=9)


def _simulate_cells(plans: list[CellPlan], ageing_sets: int, workers: int) -> Iterator[CellHistory]:
    if workers == 1:
        yield from (_live(plan, ageing_sets) for plan in plans)
        return
    # spawned, not forked: the solver's threads and a forked copy of them do not mix
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_live, plans, [ageing_sets] * len(plans))


def _live(plan: CellPlan, ageing_sets: int) -> CellHistory:
    """Simulate the history of one cell: a check-up, then ageing set and check-up in turn."""
    simulator = _simulator(plan.protocol)
    fresh = CellState()
    checkups = [simulator.checkup(plan, fresh.with_lithium(plan.lithium * fresh.lithium()))]
    sets = []
    for _ in range(ageing_sets):
        sets.append(simulator.age(plan, checkups[-1].end))
        checkups.append(simulator.checkup(plan, sets[-1].end))
    return CellHistory(plan, sets, checkups)


@cache
def _simulator(protocol: Protocol) -> CellSimulator:
    return CellSimulator(protocol)
