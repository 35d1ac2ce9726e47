"""A synthetic cell on a synthetic cycler: open-circuit voltage, one resistance, linear fade. Nothing was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

NOMINAL_Ah = 2.0
LOWER_V, UPPER_V = 2.8, 4.2
RESISTANCE_ohm = 0.05
REST_s = 600.0


@dataclass(frozen=True)
class Cycled:
    """A record with charge-positive current, and the capacity of each full discharge as the cell really gave it."""

    record: pd.DataFrame
    capacities_Ah: list[float]


def open_circuit_V(soc):
    """Monotone, steep at both ends."""
    return (
        3.2 + 0.95 * soc + 0.04 * np.tanh((soc - 0.5) * 8) - 0.5 * np.exp(-soc / 0.03) + 0.06 * np.exp((soc - 1) / 0.03)
    )


def cycled(n_cycles, *, fade=0.01, rate=1.0, slow_every=0, step_s=60.0, temperature=25.0, first_Ah=NOMINAL_Ah):
    """Full cycles: constant current and voltage charge, rest, discharge (at 0.1 C each ``slow_every``), rest."""
    parts, capacities, soc, clock, resistance = [], [], 0.05, 0.0, RESISTANCE_ohm
    for cycle in range(n_cycles):
        full_Ah = first_Ah * (1.0 - fade * cycle)
        slow = slow_every and cycle % slow_every == 0
        down = 0.1 if slow else rate
        for current, seconds in (
            (0.5 * NOMINAL_Ah, step_s),
            (0.0, step_s),
            (-down * NOMINAL_Ah, step_s / down),
            (0.0, step_s),
        ):
            time, volts, amps, soc = _step(current, seconds, soc, full_Ah, resistance)
            parts.append(
                pd.DataFrame({"time_s": clock + time, "voltage_V": volts, "current_A": amps, "cycle": cycle + 1})
            )
            clock += time[-1] + 1.0  # a cycler writes the end of a step and the beginning of the next
            if current < 0:
                capacities.append(float(-np.trapezoid(amps, time) / 3600.0))
    record = pd.concat(parts, ignore_index=True)
    generator = np.random.default_rng(n_cycles)
    record["temperature_degC"] = temperature + generator.normal(0, 0.05, len(record)).round(3)
    return Cycled(record, capacities)


def _step(current, step_s, soc, full_Ah, resistance):
    """Samples of one step, both ends included, and the state of charge after it; a discharge ends at the cut-off."""
    if current == 0.0:
        time = np.arange(0.0, REST_s + 1.0, step_s)
        return time, np.full(len(time), open_circuit_V(soc)), np.zeros(len(time)), soc
    if current < 0.0:
        ends = np.linspace(soc, -0.05, 20001)
        end = ends[np.argmax(open_circuit_V(ends) + current * resistance <= LOWER_V)]
        seconds = (soc - end) * full_Ah / -current * 3600.0
        time = np.append(np.arange(0.0, seconds, step_s), seconds)
        volts = open_circuit_V(soc + current * time / 3600.0 / full_Ah) + current * resistance
        return time, volts, np.full(len(time), current), float(end)
    time, volts, amps = [0.0], [float(open_circuit_V(soc)) + current * resistance], [current]
    while amps[-1] > 0.05 * NOMINAL_Ah:
        now = amps[-1]
        soc += now * step_s / 3600.0 / full_Ah
        ocv = float(open_circuit_V(soc))
        if ocv + current * resistance > UPPER_V:  # constant voltage, with a cycler that regulates
            now = 0.5 * (max((UPPER_V - ocv) / resistance, 0.0) + now)
        time.append(time[-1] + step_s)
        amps.append(now)
        volts.append(min(ocv + now * resistance, UPPER_V))
    return np.array(time), np.array(volts), np.array(amps), soc
