"""The record of a cell as a cycler writes it: time, voltage and current of each sample."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Record:
    """Store samples in time order; all arrays have shape (N,).

    Args:
        time_s: time since the start of the test; never decreases.
        voltage_V: cell voltage.
        current_A: charge current is positive.
        temperature_degC: cell temperature; NaN where it was not measured.
        cycle: cycle number as the cycler counted it, or None.

    Example:
        >>> record = Record(*np.array([[0.0, 3600.0], [3.0, 3.1], [1.0, 1.0], [25.0, 25.0]]))
        >>> record.turned().current_A.tolist()
        [-1.0, -1.0]
    """

    time_s: Array
    voltage_V: Array
    current_A: Array
    temperature_degC: Array
    cycle: Array | None = None

    def __len__(self) -> int:
        return len(self.time_s)

    def turned(self) -> Record:
        """Return the same record with the current sign inverted."""
        return replace(self, current_A=-self.current_A)


def passed_charge(record: Record, max_gap_s: float, rest_A: float) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the charge passed between neighbouring samples (trapezoid rule), and where the record has a gap.

    Over a longer gap no charge is counted. With current of one sign on both sides, it is a hole of unknown charge;
    else it is a rest that was left out of the export.

    Shape: (N - 1,) each. Units: Ah.

    Example:
        >>> record = Record(*np.array([[0.0, 1800.0, 9000.0], [3.0, 3.1, 3.2], [1.0, 3.0, 1.0], [25.0] * 3]))
        >>> charge, hole = passed_charge(record, max_gap_s=3600.0, rest_A=0.01)
        >>> charge.tolist(), hole.tolist()
        ([1.0, 0.0], [False, True])
    """
    step = np.diff(record.time_s)
    flows = np.where(np.abs(record.current_A) > rest_A, np.sign(record.current_A), 0.0)
    gap = step > max_gap_s
    hole = gap & (flows[1:] * flows[:-1] > 0.0)
    charge = 0.5 * (record.current_A[1:] + record.current_A[:-1]) * step / SECONDS_PER_HOUR
    return np.where(gap, 0.0, charge), hole
