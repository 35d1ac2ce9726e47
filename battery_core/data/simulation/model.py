"""Equations and parameters of the simulated cell: PyBaMM's single particle model of the LG M50T with ageing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from battery_core.data.simulation.protocols import CellPlan
from battery_core.data.simulation.state import CellState, INITIAL_SEI_m
from battery_core.errors import DataError
from battery_core.units import convert

_OPTIONS = {
    "SEI": "interstitial-diffusion limited",
    "SEI film resistance": "average",
    "lithium plating": "partially reversible",
    "particle mechanics": "swelling only",
    "loss of active material": "stress-driven",
    "contact resistance": "true",
    "calculate discharge energy": "true",
}
# the ageing rates of the mean cell, as factors on the published set OKane2022: see docs/simulated-data.md
_RATES = {
    "SEI lithium interstitial diffusivity [m2.s-1]": ("sei_rate", 5.2e4),
    "Lithium plating kinetic rate constant [m.s-1]": ("plating_rate", 1.0),
    "Negative electrode LAM constant proportional term [s-1]": ("lam_rate", 6.0),
    "Positive electrode LAM constant proportional term [s-1]": ("lam_rate", 6.0),
}
# and what the mean cell has otherwise, as factors on the same set
_FACTORS = {
    "SEI resistivity [Ohm.m]": 0.1,
    "Dead lithium decay constant [s-1]": 3.0,
    "Electrode width [m]": 0.957,  # gives the measured first C/10 capacity, 4.82-4.89 Ah
}
_N, _P = "X-averaged negative", "X-averaged positive"
# field of CellState -> the model's variable that starts from it, and the variable it is read back from: of a particle
# that is the mean, for a rested particle is uniform
CELL_VARIABLES = {
    "eps_negative": (f"{_N} electrode active material volume fraction",) * 2,
    "eps_positive": (f"{_P} electrode active material volume fraction",) * 2,
    "c_negative": (
        f"{_N} particle concentration [mol.m-3]",
        "Average negative particle concentration [mol.m-3]",
    ),
    "c_positive": (
        f"{_P} particle concentration [mol.m-3]",
        "Average positive particle concentration [mol.m-3]",
    ),
    "c_sei": (f"{_N} SEI concentration [mol.m-3]",) * 2,
    "c_plated": (f"{_N} lithium plating concentration [mol.m-3]",) * 2,
    "c_dead": (f"{_N} dead lithium concentration [mol.m-3]",) * 2,
}


def import_pybamm() -> ModuleType:
    """Import PyBaMM; only this function and the protocols need it.

    Raises:
        DataError: it is not installed.
    """
    try:
        import pybamm
    except ImportError as err:
        raise DataError(
            "simulated data: making them anew needs the package pybamm; found none - "
            'run: pip install -e ".[simulate]" -c constraints.txt (the shipped snapshot needs nothing)'
        ) from err
    pybamm.set_logging_level("ERROR")
    module: ModuleType = pybamm
    return module


def build_simulation(cycles: list[Any]) -> Any:
    """Build a PyBaMM simulation of these cycles; rates, temperature and initial state of a cell are inputs.

    So the equations are built once, and every cell and every ageing set solves them with numbers of its own.
    """
    pybamm = import_pybamm()
    model = pybamm.lithium_ion.SPM(_OPTIONS)
    fields = {start: field for field, (start, _) in CELL_VARIABLES.items()}
    for variable in model.initial_conditions:
        if (field := fields.get(variable.name)) is not None:
            start = pybamm.InputParameter(f"start {field}")
            for domain in ["current collector", *(d for d in variable.domain if "particle" in d)]:
                start = pybamm.PrimaryBroadcast(start, domain)
            model.initial_conditions[variable] = start
    return pybamm.Simulation(
        model,
        experiment=pybamm.Experiment(cycles),
        parameter_values=_parameters(pybamm),
        solver=pybamm.IDAKLUSolver(rtol=1e-6, atol=1e-8),
    )


def _parameters(pybamm: ModuleType) -> Any:
    values = pybamm.ParameterValues("OKane2022")
    for name, factor in _FACTORS.items():
        values[name] = values[name] * factor
    for name, (field, factor) in _RATES.items():
        values[name] = values[name] * factor * pybamm.InputParameter(field)
    values["Electrode width [m]"] = values["Electrode width [m]"] * pybamm.InputParameter("electrode_width")
    values["Initial SEI thickness [m]"] = INITIAL_SEI_m
    values["Contact resistance [Ohm]"] = pybamm.InputParameter("contact_ohm")
    values["Ambient temperature [K]"] = pybamm.InputParameter("temperature_K")
    values["Initial temperature [K]"] = pybamm.InputParameter("temperature_K")
    return values


def inputs(plan: CellPlan, start: CellState, temperature_degC: float) -> dict[str, float]:
    """Return the inputs of one solve: cell, temperature and initial state."""
    cell_parameters = ("sei_rate", "plating_rate", "lam_rate", "electrode_width", "contact_ohm")
    return {
        **{name: float(getattr(plan, name)) for name in cell_parameters},
        **{f"start {field}": float(getattr(start, field)) for field in CELL_VARIABLES},
        "temperature_K": convert(temperature_degC, "degC", "K"),
    }


def electrode_area_m2(plan: CellPlan) -> float:
    """Return the area of the electrode sheet of one cell."""
    return 0.065 * 1.58 * _FACTORS["Electrode width [m]"] * plan.electrode_width
