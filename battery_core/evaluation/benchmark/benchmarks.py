"""The boards of the leaderboard: each a question asked of every model, and the cells that judge the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from battery_core.errors import unknown_name


@dataclass(frozen=True)
class Benchmark:
    """One table of the leaderboard.

    Args:
        name: what it is called on the command line.
        source: whose cells.
        about: what is asked, for people.
        groups: only cells of these groups; empty: all.
        test_temps_degC: these temperatures are held out as test cells; empty: the source's frozen test cells.
        goal: mean per-cell MAPE in % that the best model is meant to reach.
        history_sets: feature sets of history where not those that the source recommends.
        leaking: judged by the published protocol, which looks into the future of the test cells.
    """

    name: str
    source: str
    about: str
    groups: tuple[str, ...] = ()
    test_temps_degC: tuple[float, ...] = ()
    goal: float | None = None
    history_sets: tuple[str, ...] = ()
    leaking: bool = False


_HELD_OUT = "trained and validated at 25 and 45 degC, tested at 35 degC"
_UNSEEN = ("early_deviation",)  # chosen on other conditions that no training cell had: docs/accuracy.md
BENCHMARKS = {
    board.name: board
    for board in (
        Benchmark("xjtu", "xjtu", "XJTU, six groups of protocols, published test cells", goal=0.68),
        Benchmark("tju", "tju", "TJU, three chemistries, every fifth cell of each in test", goal=0.56),
        Benchmark("hust", "hust", "HUST, published test cells", goal=1.10),
        Benchmark(
            "tju-35-nca", "tju", f"TJU NCA alone, {_HELD_OUT}", ("NCA",), (35.0,), goal=1.15, history_sets=_UNSEEN
        ),
        Benchmark(
            "tju-35-ncm", "tju", f"TJU NCM alone, {_HELD_OUT}", ("NCM",), (35.0,), goal=0.78, history_sets=_UNSEEN
        ),
        Benchmark(
            "tju-35", "tju", f"TJU, all chemistries together, {_HELD_OUT}", (), (35.0,), goal=1.35, history_sets=_UNSEEN
        ),
        Benchmark("xjtu-published", "xjtu", "XJTU, one fit per group", leaking=True),
        Benchmark("tju-published", "tju", "TJU, one fit per chemistry", leaking=True),
        Benchmark("hust-published", "hust", "HUST", leaking=True),
    )
}


def chosen_benchmarks(names: Sequence[str]) -> list[Benchmark]:
    """Boards by name, all where none is named.

    Raises:
        UnknownNameError: there is no such board; the text has the nearest.

    Example:
        >>> [board.source for board in chosen_benchmarks(["tju-35", "hust"])]
        ['tju', 'hust']
    """
    for name in names:
        if name not in BENCHMARKS:
            raise unknown_name("board", name, BENCHMARKS)
    return [BENCHMARKS[name] for name in dict.fromkeys(names or BENCHMARKS)]
