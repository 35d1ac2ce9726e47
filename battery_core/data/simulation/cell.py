"""Simulation of one cell in steps: ageing sets and check-ups, each solved with PyBaMM from a rested state.

Not every cycle is solved: a few are, then the degradation state jumps over the rest of the ageing set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from battery_core.data.simulation.model import CELL_VARIABLES, build_simulation, inputs
from battery_core.data.simulation.protocols import (
    CHECKUP_STEP_INDEX,
    CHECKUP_STEPS,
    CellPlan,
    CHECKUP_TEMPERATURE_degC,
    Protocol,
)
from battery_core.data.simulation.state import POSITIVE_MAXIMUM, CellState, jump

Array = npt.NDArray[np.float64]
_TOTALS = ("Time [h]", "Throughput capacity [A.h]", "Throughput energy [W.h]")


@dataclass(frozen=True)
class AgeingSet:
    """Store the result of one ageing set: the final state and its totals over charge and discharge."""

    end: CellState
    days: float
    throughput_Ah: float
    energy_Wh: float


@dataclass(frozen=True)
class Checkup:
    """Store the noise-free results of one check-up (RPT); the curve is its C/10 discharge, current negative."""

    end: CellState
    c10_Ah: float
    c2_Ah: float
    resistance_ohm: float
    full: CellState
    empty: CellState
    curve: dict[str, Array]


@dataclass(frozen=True)
class CellHistory:
    """Store one simulated history: check-up 0, ageing set 1, check-up 1, ageing set 2 and so on."""

    plan: CellPlan
    sets: list[AgeingSet]
    checkups: list[Checkup]


class CellSimulator:
    """Simulate ageing sets and check-ups of any cell of one protocol; the equations are built once."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        cycle = tuple(step() if callable(step) else step for step in protocol.cycle)
        edge_before = [protocol.before] if protocol.before else []
        edge_after = [protocol.after] if protocol.after else []
        self._ageing = build_simulation([*edge_before, *[cycle] * protocol.solved_cycles, *edge_after])
        self._solved = slice(len(edge_before), len(edge_before) + protocol.solved_cycles)
        self._checkup = build_simulation([CHECKUP_STEPS])

    def age(self, plan: CellPlan, start: CellState) -> AgeingSet:
        """Simulate one ageing set, from a charged cell to a charged cell."""
        solution = self._ageing.solve(inputs=inputs(plan, start, plan.temperature_degC), calc_esoh=False)
        solved = solution.cycles[self._solved]
        # the first solved cycle still carries the check-up's rest: the trend is read from the others
        first, last, trend = solved[0], solved[-1], len(solved) - 1
        jumped = self._protocol.set_cycles - len(solved)
        end = jump(_state(first), _state(last), jumped / trend)
        end = _almost_charged(end, charged=_state(solution.cycles[-1]))
        hours, charge, energy = _totals(last) + jumped * (_totals(last) - _totals(first)) / trend
        return AgeingSet(end, float(hours) / 24.0, float(charge), float(energy))

    def checkup(self, plan: CellPlan, start: CellState) -> Checkup:
        """Simulate one check-up at 25 degC: C/10 discharge with its curve, C/2 discharge, 0.1 s resistance."""
        solution = self._checkup.solve(inputs=inputs(plan, start, CHECKUP_TEMPERATURE_degC), calc_esoh=False)
        steps = {name: solution.cycles[0].steps[index] for name, index in CHECKUP_STEP_INDEX.items()}
        curve, pulse = _curve(steps["c10"]), steps["pulse"]
        drop = steps["rest_before_pulse"]["Voltage [V]"].entries[-1] - pulse["Voltage [V]"].entries[-1]
        counter = "Discharge capacity [A.h]"
        return Checkup(
            end=_state(solution.cycles[0]),
            c10_Ah=float(-curve["capacity_Ah"][-1]),
            c2_Ah=float(steps["c2"][counter].entries[-1] - pulse[counter].entries[0]),
            resistance_ohm=float(drop / pulse["Current [A]"].entries[-1]),
            full=_state(steps["rest"]),
            empty=_state(steps["c10"]),
            curve=curve,
        )


def _state(solution: Any) -> CellState:
    return CellState(**{field: float(solution[name].entries[-1]) for field, (_, name) in CELL_VARIABLES.items()})


def _totals(solution: Any) -> Array:
    return np.array([solution[name].entries[-1] for name in _TOTALS])


def _almost_charged(jumped: CellState, charged: CellState) -> CellState:
    """Return the jumped state at about 60 % SOC; the next charge then fits a shrunken negative electrode."""
    c_positive = charged.c_positive + 0.25 * POSITIVE_MAXIMUM
    return replace(jumped, c_positive=c_positive).with_lithium(jumped.lithium())


def _curve(step: Any) -> dict[str, Array]:
    charge = step["Discharge capacity [A.h]"].entries
    time = step["Time [s]"].entries
    return {
        "time_s": time - time[0],
        "voltage_V": step["Voltage [V]"].entries,
        "current_A": -step["Current [A]"].entries,
        "capacity_Ah": charge[0] - charge,
    }
