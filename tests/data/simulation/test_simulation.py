"""The simulation: lithium is conserved over a jump, a jump equals solving every cycle, a seed gives the same files."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from battery_core.data.simulation import simulate
from battery_core.data.simulation.protocols import PROTOCOLS, CellPlan, plan_cells
from battery_core.data.simulation.run import pack
from battery_core.data.simulation.state import CellState, NEGATIVE_THICKNESS_m, jump
from battery_core.data.sources.lgm50t.reader import read_lgm50t
from battery_core.errors import DataError

STANDARD = PROTOCOLS[-1]


def test_the_sei_jumps_with_the_root_of_time_and_the_rest_linearly() -> None:
    first = CellState(c_sei=100.0, c_dead=0.0)
    after = dataclasses.replace(first, c_sei=110.0, c_dead=1.0, eps_negative=0.749, eps_positive=0.6645)
    end = jump(first, after, times=10.0)
    assert end.c_sei == pytest.approx((110.0**2 + 10 * (110.0**2 - 100.0**2)) ** 0.5)
    assert end.c_dead == pytest.approx(11.0)
    assert (end.eps_negative, end.eps_positive) == pytest.approx((0.739, 0.6595))


def test_a_jump_moves_lithium_but_makes_none() -> None:
    first = CellState()
    # one stretch binds 5 mol/m3 in the SEI, taken out of the particles
    after = dataclasses.replace(first, c_sei=first.c_sei + 5.0)
    after = after.with_lithium(first.lithium() - NEGATIVE_THICKNESS_m * 5.0)
    end = jump(first, after, times=7.0)
    assert end.lithium() + end.bound() == pytest.approx(first.lithium() + first.bound(), rel=1e-12)
    assert end.lithium() < after.lithium()


def test_cells_are_planned_from_the_seed_alone() -> None:
    plans = plan_cells(0)
    assert plans == plan_cells(0) != plan_cells(1)
    assert len({plan.name for plan in plans}) == len(plans) == 36
    assert {plan.ambient_degC for plan in plans} == {10, 25, 40}


def test_without_pybamm_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybamm", None)
    with pytest.raises(DataError, match=r'needs the package pybamm; found none - run: pip install -e "\.\[simulate\]"'):
        simulate(tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("1\n")
    with pytest.raises(DataError, match="expected an empty folder"):
        simulate(tmp_path, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.csv"]


def test_a_folder_packs_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        for file in sorted(("b.csv", "sub/a.csv"), reverse=name == "two"):
            (tmp_path / name / file).write_text(file)
        pack(tmp_path / name, tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.simulate
def test_a_seed_gives_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("pybamm", reason="the simulate extra is not installed")
    cells = [plan for plan in plan_cells(7) if plan.name == "expt5-E"]
    seen: list[tuple[int, int, str]] = []
    for name in ("one", "two"):
        out = tmp_path / name
        progress = lambda *step: seen.append(step)  # noqa: E731
        assert simulate(out, seed=7, cells=cells, ageing_sets=1, progress=progress) == 1
        pack(out, tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert seen == [(1, 1, "expt5-E")] * 2
    tables = read_lgm50t(tmp_path / "one")
    assert tables.checkups["capacity_Ah"].between(4.5, 4.95).all()
    assert tables.checkups["capacity_Ah"].is_monotonic_decreasing


@pytest.mark.simulate
def test_a_jump_equals_solving_every_cycle() -> None:
    pytest.importorskip("pybamm", reason="the simulate extra is not installed")
    from battery_core.data.simulation.cell import CellSimulator

    plan = CellPlan(STANDARD, "A", 25, 28.2)
    capacity = {}
    for solved in (STANDARD.solved_cycles, STANDARD.set_cycles):
        simulator = CellSimulator(dataclasses.replace(STANDARD, solved_cycles=solved))
        fresh = simulator.checkup(plan, CellState())
        capacity[solved] = simulator.checkup(plan, simulator.age(plan, fresh.end).end).c10_Ah / fresh.c10_Ah
    jumped, every = capacity.values()
    assert jumped == pytest.approx(every, abs=0.003)  # of a fade of 0.05 in the first, fastest set
