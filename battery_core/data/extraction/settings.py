"""Settings of the measurements from raw curves: windows in voltage and current, and the criterion for a step."""

from __future__ import annotations

from pydantic import model_validator

from battery_core.base_settings import SectionSettings, setting


class ExtractionSettings(SectionSettings):
    """Set the windows in which numbers are extracted from the curves of a cell.

    Example:
        >>> ExtractionSettings(ica_window_V="3.6,4.0").ica_window_V
        (3.6, 4.0)
    """

    charge_cutoff_V: float | None = setting(
        None, "voltage at which charges end; none: the plateau of each charge's constant-voltage part", unit="V", gt=0.0
    )
    window_V: float = setting(
        0.2, "charge statistics begin this far below the charge cut-off", unit="V", gt=0.0, le=2.0
    )
    cv_window_per_h: tuple[float, float] = setting(
        (0.25, 0.05), "constant-voltage statistics: from this current down to that, per nominal capacity", unit="1/h"
    )
    cc_tolerance: float = setting(
        0.03, "a current within this share of the charge current is constant", unit="fraction", gt=0.0, lt=0.5
    )
    sample_s: float = setting(1.0, "charge statistics are of samples at this distance", unit="s", gt=0.0)
    ica_window_V: tuple[float, float] = setting(
        (3.75, 4.15), "the main dQ/dV peak of a charge is looked for here", unit="V"
    )
    ica_grid_V: float = setting(0.005, "distance of the voltage levels of dQ/dV", unit="V", gt=0.0, le=0.1)
    ica_smooth_V: float = setting(0.06, "width of the Savitzky-Golay window of dQ/dV", unit="V", gt=0.0, le=0.5)
    dva_window: tuple[float, float] = setting(
        (0.05, 0.8), "dV/dQ peaks are looked for from this to that charge passed", unit="of nominal"
    )
    dva_grid: float = setting(0.004, "distance of the charges of dV/dQ", unit="of nominal", gt=0.0, le=0.05)
    dva_smooth: float = setting(0.05, "width of the Savitzky-Golay window of dV/dQ", unit="of nominal", gt=0.0, le=0.5)
    dva_prominence_V: float = setting(
        0.15, "a dV/dQ peak counts that stands out by this much, times 1 / nominal capacity", unit="V", gt=0.0
    )
    step_min_per_h: float = setting(
        0.2, "smallest current step that counts for a resistance, per nominal capacity", unit="1/h", gt=0.0
    )
    step_delay_s: float = setting(0.1, "resistance is read at the first sample this long after rest", unit="s", ge=0.0)
    step_max_delay_s: float = setting(20.0, "a step that is read later than this does not count", unit="s", gt=0.0)
    step_max_charge: float = setting(
        0.1, "steps count while a half cycle has passed less charge than this", unit="of nominal", gt=0.0, le=0.5
    )

    @model_validator(mode="after")
    def _windows_run_the_right_way(self) -> ExtractionSettings:
        first, last = self.cv_window_per_h
        if not first > last > 0:
            raise ValueError(f"cv_window_per_h: expected a high and a lower current above 0, got {first:g},{last:g}")
        low, high = self.ica_window_V
        if not 0 < low < high:
            raise ValueError(f"ica_window_V: expected a low and a higher voltage, got {low:g},{high:g}")
        first, last = self.dva_window
        if not 0 <= first < last <= 1:
            raise ValueError(f"dva_window: expected a low and a higher share from 0 to 1, got {first:g},{last:g}")
        if self.step_max_delay_s < self.step_delay_s:
            raise ValueError(
                f"step_max_delay_s: {self.step_max_delay_s:g} is less than step_delay_s {self.step_delay_s:g}"
            )
        return self
