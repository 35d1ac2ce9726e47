"""Degradation state of a simulated cell, and its extrapolation over cycles that are not solved."""

from __future__ import annotations

from dataclasses import dataclass, replace

# LG M50T electrodes after Chen et al. 2020 (J. Electrochem. Soc. 167, 080534), as in the set OKane2022
NEGATIVE_THICKNESS_m, POSITIVE_THICKNESS_m = 85.2e-6, 75.6e-6
NEGATIVE_MAXIMUM, POSITIVE_MAXIMUM = 33133.0, 63104.0  # mol m-3
SEI_MOLAR_VOLUME, NEGATIVE_RADIUS_m = 9.585e-5, 5.86e-6  # m3 mol-1, m
EPS_NEGATIVE, EPS_POSITIVE = 0.75, 0.665
INITIAL_SEI_m = 50e-9  # after formation


@dataclass(frozen=True)
class CellState:
    """Store the state of a charged, rested cell: all that one check-up passes to the next step.

    Active material volume fractions; concentrations in mol per m3 of the particles (``c_negative``, ``c_positive``)
    or of the electrode (``c_sei``, ``c_plated``, ``c_dead``: SEI, plated and dead lithium).

    Example:
        >>> round(CellState().lithium(), 3)  # mol per m2 of electrode
        2.765
    """

    eps_negative: float = EPS_NEGATIVE
    eps_positive: float = EPS_POSITIVE
    c_negative: float = 29866.0
    c_positive: float = 17038.0
    c_sei: float = INITIAL_SEI_m * 3.0 * EPS_NEGATIVE / NEGATIVE_RADIUS_m / SEI_MOLAR_VOLUME
    c_plated: float = 0.0
    c_dead: float = 0.0

    def lithium(self) -> float:
        """Return the cyclable lithium in the particles of both electrodes, in mol per m2."""
        return (
            NEGATIVE_THICKNESS_m * self.eps_negative * self.c_negative
            + POSITIVE_THICKNESS_m * self.eps_positive * self.c_positive
        )

    def bound(self) -> float:
        """Return the lithium bound in SEI, plated and dead lithium, in mol per m2."""
        return NEGATIVE_THICKNESS_m * (self.c_sei + self.c_plated + self.c_dead)

    def with_lithium(self, lithium: float) -> CellState:
        """Return the same cell with this amount of lithium; the negative electrode takes the difference."""
        rest = lithium - POSITIVE_THICKNESS_m * self.eps_positive * self.c_positive
        return replace(self, c_negative=rest / (NEGATIVE_THICKNESS_m * self.eps_negative))


def jump(first: CellState, last: CellState, times: float) -> CellState:
    """Return the state after ``times`` more stretches like the one from ``first`` to ``last``.

    Active material and dead lithium go on linearly; the SEI squared does (growth limited by diffusion through itself).
    Lithium is conserved: what SEI and dead lithium bind, and what is lost inside dead active material, is gone.

    Reference: Sulzer et al. 2021, J. Electrochem. Soc. 168, 120531.

    Example:
        >>> fresh = CellState()
        >>> from dataclasses import replace
        >>> after = jump(fresh, replace(fresh, eps_negative=0.749), 10.0)
        >>> round(after.eps_negative, 4)
        0.739
    """
    inside_lost_material = (first.lithium() + first.bound()) - (last.lithium() + last.bound())
    moved = replace(
        last,
        eps_negative=last.eps_negative + times * (last.eps_negative - first.eps_negative),
        eps_positive=last.eps_positive + times * (last.eps_positive - first.eps_positive),
        c_sei=(last.c_sei**2 + times * (last.c_sei**2 - first.c_sei**2)) ** 0.5,
        c_dead=last.c_dead + times * (last.c_dead - first.c_dead),
    )
    newly_bound = moved.bound() - last.bound()
    return moved.with_lithium(last.lithium() - newly_bound - times * inside_lost_material)
