"""One simulated cell: a single particle model of the LG M50T that ages, carried from check-up to check-up.

Simulating every cycle is not needed: a few cycles are solved, then the degradation state jumps over the rest of
the ageing set (Sulzer et al. 2021, J. Electrochem. Soc. 168, 120531). The next solve starts from that state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from battery_core.data.simulation.protocols import CHECKUP_STEPS, CHECKUP_TEMPERATURE_degC, CellPlan, Protocol
from battery_core.errors import DataError
from battery_core.units import convert

Array = npt.NDArray[np.float64]
FARADAY_Ah_per_mol = 96485.33212 / 3600.0
_OPTIONS = {
    "SEI": "interstitial-diffusion limited",
    "SEI film resistance": "average",
    "lithium plating": "partially reversible",
    "particle mechanics": "swelling only",
    "loss of active material": "stress-driven",
    "contact resistance": "true",
    "calculate discharge energy": "true",
}
_NEGATIVE, _POSITIVE = "X-averaged negative", "X-averaged positive"
# the model's variable -> the field of CellState it starts from
_STARTS = {
    f"{_NEGATIVE} electrode active material volume fraction": "eps_negative",
    f"{_POSITIVE} electrode active material volume fraction": "eps_positive",
    f"{_NEGATIVE} particle concentration [mol.m-3]": "c_negative",
    f"{_POSITIVE} particle concentration [mol.m-3]": "c_positive",
    f"{_NEGATIVE} SEI concentration [mol.m-3]": "c_sei",
    f"{_NEGATIVE} lithium plating concentration [mol.m-3]": "c_plated",
    f"{_NEGATIVE} dead lithium concentration [mol.m-3]": "c_dead",
}
_AVERAGES = {
    f"{_NEGATIVE} particle concentration [mol.m-3]": "Average negative particle concentration [mol.m-3]",
    f"{_POSITIVE} particle concentration [mol.m-3]": "Average positive particle concentration [mol.m-3]",
}


@dataclass(frozen=True)
class CellState:
    """The degradation state of a rested, charged cell: all that one check-up hands to the next.

    Units: active material volume fractions; concentrations in mol per m3, of the particles (``c_negative``,
    ``c_positive``) or of the electrode (SEI, plated and dead lithium).
    """

    eps_negative: float = 0.75
    eps_positive: float = 0.665
    c_negative: float = 29866.0
    c_positive: float = 17038.0
    c_sei: float = 0.0
    c_plated: float = 0.0
    c_dead: float = 0.0


@dataclass(frozen=True)
class AgeingSet:
    """What one ageing set did: the state it leaves, and its totals (A h and W h count charge and discharge)."""

    end: CellState
    days: float
    throughput_Ah: float
    energy_Wh: float


@dataclass(frozen=True)
class Checkup:
    """What one check-up (RPT) measures, before any measurement noise; the curve is the 0.1C discharge."""

    end: CellState
    c10_Ah: float
    c2_Ah: float
    resistance_ohm: float
    stoichiometry: dict[str, float]
    curve: dict[str, Array]


def import_pybamm() -> ModuleType:
    """The simulator, imported only here: nothing else of the project needs it.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pybamm
    except ImportError as err:
        raise DataError(
            'simulated data: making them anew needs pybamm; found no such package - '
            'run: pip install -e ".[simulate]" -c constraints.txt (the shipped snapshot needs nothing)'
        ) from err
    pybamm.set_logging_level("ERROR")
    return pybamm


class CellSimulator:
    """Solves ageing sets and check-ups; one instance serves all cells of one protocol.

    The per-cell rates, the temperature and the starting state are inputs, so the equations are built once.
    """

    def __init__(self, protocol: Protocol) -> None:
        pybamm = import_pybamm()
        self._protocol = protocol
        self._values = _parameter_values(pybamm)
        steps = [step() if callable(step) else step for step in protocol.cycle]
        cycles = [tuple(steps)] * protocol.solved_cycles
        ageing = [protocol.before, *cycles, protocol.after] if protocol.before else [*cycles]
        self._first = 1 if protocol.before else 0
        self._ageing = self._simulation(pybamm, ageing)
        self._checkup = self._simulation(pybamm, [CHECKUP_STEPS])

    def _simulation(self, pybamm: ModuleType, cycles: list[Any]) -> Any:
        model = pybamm.lithium_ion.SPM(_OPTIONS)
        for variable in model.initial_conditions:
            if (field := _STARTS.get(variable.name)) is not None:
                start = pybamm.InputParameter(f"start {field}")
                is_particle = variable.domain and "particle" in variable.domain[0]
                model.initial_conditions[variable] = (
                    pybamm.PrimaryBroadcast(pybamm.PrimaryBroadcast(start, "current collector"), variable.domain)
                    if is_particle
                    else pybamm.PrimaryBroadcast(start, variable.domain)
                )
        return pybamm.Simulation(
            model,
            experiment=pybamm.Experiment(cycles),
            parameter_values=self._values,
            solver=pybamm.IDAKLUSolver(rtol=1e-6, atol=1e-8),
        )
