"""Writer of simulated cells in the published LG M50T layout: folders, names, headers, units and quirks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.data.simulation import state as s
from battery_core.data.simulation.cell import CellHistory, Checkup
from battery_core.data.simulation.model import electrode_area_m2
from battery_core.data.simulation.protocols import CHECKUP_TEMPERATURE_degC
from battery_core.seeding import derive_seed

Array = npt.NDArray[np.float64]
_FARADAY_mAh_per_mol = 96485.33212 / 3.6
_START = datetime(2020, 1, 6, tzinfo=UTC)
_CHECKUP_DAYS = 3.0
_BAD_READING_SHARE = 1.0 / 150.0  # the published resistances hold readings of tens of ohms
_FILES = {
    "summary": "Summary Data/Performance Summary/Expt {n} - cell {c} ({t}degC) - Processed Data.csv",
    "sets": "Summary Data/Ageing Sets Summary/Summary per Set/expt {n} - cell {c} - set_data.csv",
    "curve": "Processed Timeseries Data/0.1C Voltage Curves/cell {c}/"
    "Expt {n} - cell {c} - RPT{k} - 0.1C discharge data.csv",
}
_HEADERS = (
    "Ageing Sets", "Ageing Cycles", "Age set start date", "Age set end date", "RPT start date", "Days of degradation",
    "Age set av. temperature [°C]", "Charge Throughput [A h]", "Energy Throughput [W h]", "C/10 Capacity [mA h]",
    "C/2 Capacity [mA h]", "0.1s Resistance [Ohms]", "Cell Capacity [mA h]", "PE Capacity [mA h]",
    "NE Capacity [mA h]", "NE_Gr Capacity [mA h]", "NE_Si Capacity [mA h]", "Electrode Offset [mA h]", "SoH", "LAM PE",
    "LAM NE_tot", "LAM NE_Gr", "LAM NE_Si", "LLI", "PE_lo", "NE_lo", "PE_hi", "NE_hi", "Gr_frac",
    "RMSE of OCV-fitting [V]",
)  # fmt: skip


def write_cell(out_dir: Path, history: CellHistory, seed: int) -> None:
    """Write all files of one cell with measurement noise: performance summary, ageing sets, curves."""
    protocol, letter = history.plan.protocol, history.plan.letter
    rng = np.random.default_rng(derive_seed(seed, "noise", protocol.number, letter))
    folder = out_dir / protocol.folder
    names = {"n": protocol.number, "c": letter, "t": history.plan.ambient_degC}

    def save(table: pd.DataFrame, kind: str, k: int = 0, *, index: bool = True) -> None:
        # Expt 5 spells "Cell" with a capital, as published
        path = folder / _FILES[kind].format(**names, k=k).replace("- cell", f"- {protocol.cell_word}")
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=index, lineterminator="\n", encoding="utf-8")

    usage = _usage(history, rng)
    save(_summary(history, usage, rng), "summary")
    save(_sets(usage), "sets")
    for k, checkup in enumerate(history.checkups):
        save(_curve(checkup, rng), "curve", k, index=False)


def write_note(out_dir: Path, seed: int, n_cells: int) -> None:
    """Write a file in the top folder that marks the data as simulated, not measured."""
    (out_dir / "SIMULATED.txt").write_text(
        f"SIMULATED data: {n_cells} LG M50T cells simulated with PyBaMM (parameter set OKane2022), seed {seed}.\n"
        "No cell was measured. Layout and headers follow Kirkaldy et al. 2024 (Zenodo 10637534).\n"
        "Parameters, and how far it is from the published ageing: docs/simulated-data.md.\n",
        encoding="utf-8",
    )


def _usage(history: CellHistory, rng: np.random.Generator) -> pd.DataFrame:
    """Return the totals of each ageing set as a cycler counts them, one row per set."""
    sets, plan = history.sets, history.plan
    gain = 1.0 + rng.normal(0.0, 2e-4, len(sets))  # current sensor
    return pd.DataFrame(
        {
            "cycles": np.full(len(sets), plan.protocol.set_cycles),
            "days": np.array([a.days for a in sets]),
            "throughput_Ah": gain * [a.throughput_Ah for a in sets],
            "energy_Wh": gain * [a.energy_Wh for a in sets],
            "temperature_degC": plan.temperature_degC + rng.normal(0.0, 0.15, len(sets)),
        }
    )


def _summary(history: CellHistory, usage: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    checkups, n = history.checkups, len(history.checkups)
    days = _cumulative(usage["days"])
    c10 = _noisy([1e3 * c.c10_Ah for c in checkups], 5e-4, rng)
    table = {
        "Ageing Sets": np.arange(n),
        "Ageing Cycles": _cumulative(usage["cycles"]).astype(int),
        **_dates(days),
        "Days of degradation": days.round(2),
        # no ageing set comes before the first check-up
        "Age set av. temperature [°C]": np.append(np.nan, usage["temperature_degC"]).round(2),
        "Charge Throughput [A h]": _cumulative(usage["throughput_Ah"]).round(2),
        "Energy Throughput [W h]": _cumulative(usage["energy_Wh"]).round(1),
        "C/10 Capacity [mA h]": c10.round(1),
        "C/2 Capacity [mA h]": _noisy([1e3 * c.c2_Ah for c in checkups], 5e-4, rng).round(1),
        "0.1s Resistance [Ohms]": _resistance(checkups, rng),
        **_electrodes(history, rng),
    }
    table["SoH"] = (c10 / c10[0]).round(5)
    return pd.DataFrame({name: table[name] for name in _HEADERS})


def _electrodes(history: CellHistory, rng: np.random.Generator) -> dict[str, Array]:
    """Return the electrode capacities of the published table: the simulated state plus a fitting error."""
    checkups = history.checkups
    full, empty = [c.full for c in checkups], [c.empty for c in checkups]
    area, n = electrode_area_m2(history.plan), len(checkups)
    eps_n = np.array([x.eps_negative for x in full])
    eps_p = np.array([x.eps_positive for x in full])
    ne = _FARADAY_mAh_per_mol * area * s.NEGATIVE_THICKNESS_m * s.NEGATIVE_MAXIMUM * eps_n
    pe = _FARADAY_mAh_per_mol * area * s.POSITIVE_THICKNESS_m * s.POSITIVE_MAXIMUM * eps_p
    lithium = np.array([x.lithium() for x in full])
    ends = {
        f"{name}_{end}": np.array([getattr(x, field) for x in states]) / maximum
        for name, field, maximum in (
            ("PE", "c_positive", s.POSITIVE_MAXIMUM),
            ("NE", "c_negative", s.NEGATIVE_MAXIMUM),
        )
        for end, states in (("lo", empty), ("hi", full))
    }
    loss = {"LAM PE": _loss(eps_p, rng), "LAM NE_tot": _loss(eps_n, rng)}
    return {
        "Cell Capacity [mA h]": np.array([1e3 * c.c10_Ah for c in checkups]).round(1),
        "PE Capacity [mA h]": pe.round(1),
        "NE Capacity [mA h]": ne.round(1),
        "NE_Gr Capacity [mA h]": ne.round(1),
        "Electrode Offset [mA h]": (ne * ends["NE_lo"] - pe * (1 - ends["PE_lo"])).round(1),
        **loss,
        "LAM NE_Gr": loss["LAM NE_tot"],
        "LLI": _loss(lithium, rng),
        **{name: values.round(5) for name, values in ends.items()},
        # the simulated negative electrode has no silicon, and nothing was fitted
        **{name: np.full(n, np.nan) for name in ("NE_Si Capacity [mA h]", "LAM NE_Si", "RMSE of OCV-fitting [V]")},
        "Gr_frac": np.ones(n),
    }


def _noisy(values: list[float], relative_noise: float, rng: np.random.Generator) -> Array:
    return np.array(values) * (1.0 + rng.normal(0.0, relative_noise, len(values)))


def _loss(left: Array, rng: np.random.Generator) -> Array:
    """Return the fraction lost since the first check-up, with an error of about 0.2 % after the first."""
    lost: Array = 1.0 - left / left[0] + rng.normal(0.0, 0.002, len(left))
    lost[0] = 0.0
    return lost.round(5)


def _resistance(checkups: list[Checkup], rng: np.random.Generator) -> Array:
    true = np.array([c.resistance_ohm for c in checkups])
    measured: Array = true * (1.0 + rng.normal(0.0, 0.01, len(true)))
    is_bad = rng.random(len(true)) < _BAD_READING_SHARE
    measured[is_bad] = rng.uniform(15.0, 60.0, len(true))[is_bad]
    return measured.round(5)


def _dates(days: Array) -> dict[str, list[str]]:
    """Return the dates of one cell: each check-up takes some days; no ageing set comes before the first."""
    begins = [_START + timedelta(days=float(day) + _CHECKUP_DAYS * k) for k, day in enumerate(days)]
    after = [(begin + timedelta(days=_CHECKUP_DAYS)).date().isoformat() for begin in begins]
    begin_dates = [begin.date().isoformat() for begin in begins]
    return {
        "Age set start date": ["", *after[:-1]],
        "Age set end date": ["", *begin_dates[1:]],
        "RPT start date": begin_dates,
    }


def _sets(usage: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Ageing Set": np.arange(1, len(usage) + 1),
            "Number of cycles": usage["cycles"],
            "Duration [days]": usage["days"].round(2),
            "Age set av. temperature [°C]": usage["temperature_degC"].round(2),
            "Charge Throughput [A h]": usage["throughput_Ah"].round(2),
            "Energy Throughput [W h]": usage["energy_Wh"].round(1),
        }
    )


def _curve(checkup: Checkup, rng: np.random.Generator) -> pd.DataFrame:
    curve, n = checkup.curve, len(checkup.curve["time_s"])
    return pd.DataFrame(
        {
            "Time (s)": curve["time_s"].round(0).astype(int),
            "Voltage (V)": (curve["voltage_V"] + rng.normal(0.0, 3e-4, n)).round(4),
            "Current (mA)": (1e3 * curve["current_A"] + rng.normal(0.0, 0.1, n)).round(1),
            "Charge (mA.h)": (1e3 * curve["capacity_Ah"]).round(1),
            "Temperature (degC)": (CHECKUP_TEMPERATURE_degC + rng.normal(0.0, 0.1, n)).round(1),
        }
    )


def _cumulative(values: pd.Series[float]) -> Array:
    return np.append(0.0, np.cumsum(values.to_numpy(dtype=float)))
