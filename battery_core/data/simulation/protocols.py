"""Test plan of the simulated cells: ageing protocols, the check-up, and the variation between cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from battery_core.seeding import derive_seed

NOMINAL_CAPACITY_Ah = 5.0
CHECKUP_TEMPERATURE_degC = 25.0
# mean surface temperature while cycling, as published for the real cells (ambient -> cell): self-heating included
CELL_TEMPERATURE_degC = {10: 16.3, 25: 28.2, 40: 40.6}

_CHARGE = ("Charge at 0.3C until 4.2 V", "Hold at 4.2 V until C/100")
CHECKUP_STEPS = (
    *_CHARGE,
    "Rest for 1 hour",
    "Discharge at C/10 until 2.5 V (5 minute period)",
    "Rest for 1 hour",
    *_CHARGE,
    "Rest for 1 hour (10 minute period)",
    "Discharge at C/2 for 0.1 seconds (0.05 second period)",
    "Discharge at C/2 until 2.5 V",
    *_CHARGE,
    "Rest for 1 hour",
)
CHECKUP_STEP_INDEX = {"rest": 2, "c10": 3, "rest_before_pulse": 7, "pulse": 8, "c2": 9}


@dataclass(frozen=True)
class Protocol:
    """Define one ageing experiment: folder, description, and one cycle from a full cell.

    ``before`` brings the full cell into the cycled window and ``after`` charges it again. An entry of ``cycle`` is
    a step in words or a function that makes it. Of ``set_cycles`` cycles per ageing set, ``solved_cycles`` are solved.
    """

    number: str
    folder: str
    words: str
    cell_word: str
    set_cycles: int
    cycle: tuple[str | Callable[[], Any], ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    solved_cycles: int = 6


def drive_cycle_step() -> Any:
    """Return a stylised drive cycle, repeated until the cell is empty: bursts, cruising, braking (mean 0.5C)."""
    import pybamm

    # (C-rate, seconds): discharge positive
    parts = [(0.4, 60.0), (1.5, 20.0), (0.6, 90.0), (-0.3, 15.0), (0.0, 15.0), (0.9, 40.0)]
    time, rows = 0.0, []
    while time < 3.0 * 3600:
        for rate, seconds in parts:
            rows += [(time, rate), (time + seconds - 1.0, rate)]
            time += seconds
    return pybamm.step.current(
        np.array(rows) * [1.0, NOMINAL_CAPACITY_Ah],
        duration=f"{rows[-1][0]} seconds",
        termination="< 2.5 V",
        period="10 seconds",
    )


PROTOCOLS = (
    Protocol(
        "2,2", "Expt 2,2 - C-based Degradation 2", "70-85 % SOC cycling", "cell", 515,
        ("Discharge at 1C for 9 minutes or until 2.5 V", "Charge at 0.3C for 30 minutes or until 4.2 V"),
        before=("Discharge at 1C for 9 minutes",), after=_CHARGE, solved_cycles=12,
    ),
    Protocol(
        "4", "Expt 4 - Drive Cycle Aging (Control)", "0-100 % SOC drive cycle", "cell", 78,
        (drive_cycle_step, *_CHARGE), solved_cycles=5,
    ),
    Protocol(
        "5", "Expt 5 - Standard Cycle Aging (Control)", "0-100 % SOC cycling", "Cell", 78,
        ("Discharge at 1C until 2.5 V", *_CHARGE),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class CellPlan:
    """Define one simulated cell: its experiment and its deviation from the mean cell (factors around 1)."""

    protocol: Protocol
    letter: str
    ambient_degC: int
    temperature_degC: float
    electrode_width: float = 1.0
    lithium: float = 1.0
    sei_rate: float = 1.0
    plating_rate: float = 1.0
    lam_rate: float = 1.0
    contact_ohm: float = 0.010

    @property
    def name(self) -> str:
        """Return the cell id, unique over experiments, in the form of the reader.

        Example:
            >>> CellPlan(PROTOCOLS[-1], "A", 10, 16.3).name
            'expt5-A'
        """
        return f"expt{self.protocol.number.replace(',', '-')}-{self.letter}"


def plan_cells(seed: int) -> list[CellPlan]:
    """Return all cells of the simulated data set: every protocol at every temperature, four cells each."""
    plans = []
    for protocol in PROTOCOLS:
        letters = iter("ABCDEFGHIJKL")
        for ambient, measured in CELL_TEMPERATURE_degC.items():
            for _ in range(4):
                letter = next(letters)
                rng = np.random.default_rng(derive_seed(seed, "cell", protocol.number, letter))
                plan = CellPlan(protocol, letter, ambient, measured + rng.normal(0.0, 0.4))
                plans.append(
                    dataclasses.replace(
                        plan,
                        electrode_width=float(np.clip(rng.normal(1.0, 0.004), 0.99, 1.01)),
                        lithium=float(rng.normal(1.0, 0.001)),
                        sei_rate=float(rng.lognormal(0.0, 0.06)),
                        plating_rate=float(rng.lognormal(0.0, 0.15)),
                        lam_rate=float(rng.lognormal(0.0, 0.08)),
                        contact_ohm=float(rng.normal(0.010, 0.0007)),
                    )
                )
    return plans
