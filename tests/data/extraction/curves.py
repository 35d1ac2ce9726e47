"""A synthetic charge and discharge with known numbers in them, for tests of what is measured from curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

NOMINAL_Ah = 2.0
CURRENT_A = 1.5
CUTOFF_V = 4.2
PEAK = {"at": 3.95, "spread": 0.04, "area": 0.9, "base": 0.4}
"""dQ/dV of the synthetic charge: a flat base (Ah/V) and a normal peak (V, V, Ah)."""


def passed_Ah(voltage):
    """Charge passed at a voltage of the synthetic charge, from 3.2 V on."""
    at, spread, area, base = (PEAK[k] for k in ("at", "spread", "area", "base"))
    return base * (voltage - 3.2) + area * (norm.cdf(voltage, at, spread) - norm.cdf(3.2, at, spread))


def half_width(height_share: float = 0.5) -> tuple[float, float]:
    """Voltages where dQ/dV of the synthetic charge is at a share of its peak."""
    rate = lambda v: PEAK["base"] + PEAK["area"] * norm.pdf(v, PEAK["at"], PEAK["spread"])  # noqa: E731
    target = height_share * rate(PEAK["at"])
    low = brentq(lambda v: rate(v) - target, 3.2, PEAK["at"])
    return low, brentq(lambda v: rate(v) - target, PEAK["at"], 4.2)


def charge_curve(step_V: float = 0.002, step_s: float = 20.0, tau_s: float = 1500.0) -> pd.DataFrame:
    """Rest, constant current from 3.2 to 4.2 V, constant voltage with a current that dies away, rest."""
    voltage = np.append(np.arange(3.2, CUTOFF_V, step_V), CUTOFF_V)
    time = 10.0 + 3600.0 * passed_Ah(voltage) / CURRENT_A
    held = np.arange(step_s, 4.0 * tau_s, step_s)
    columns = {
        "time_s": np.concatenate([[0.0, 9.9], time, time[-1] + held, [time[-1] + 4 * tau_s + 10.0]]),
        "voltage_V": np.concatenate([[3.0, 3.0], voltage, np.full(len(held), CUTOFF_V), [4.19]]),
        "current_A": np.concatenate(
            [[0.0, 0.0], np.full(len(voltage), CURRENT_A), CURRENT_A * np.exp(-held / tau_s), [0.0]]
        ),
    }
    return as_curve(columns, "charge")


def discharge_curve(resistance_ohm: float = 0.1, load_A: float = 2.0, hours: float = 0.8) -> pd.DataFrame:
    """Rest at 4.18 V, then a load until the end, a sample every 10 s."""
    time = np.arange(0.0, hours * 3600.0, 10.0)
    current = np.where(time < 20.0, 0.0, -load_A)
    voltage = 4.18 + resistance_ohm * current - 1.2 * np.clip(time - 20.0, 0.0, None) / (hours * 3600.0)
    return as_curve({"time_s": time, "voltage_V": voltage, "current_A": current}, "discharge")


def as_curve(columns, half_cycle: str, checkup_index: int = 0, cell_id: str = "A") -> pd.DataFrame:
    """Columns of the curves table around measured ones."""
    frame = pd.DataFrame(columns)
    return frame.assign(
        cell_id=cell_id, checkup_index=checkup_index, half_cycle=half_cycle, capacity_Ah=np.nan, temperature_degC=25.0
    )
