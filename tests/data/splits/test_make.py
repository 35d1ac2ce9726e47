"""Cells, not rows, are divided; every part is there; test cells stay test cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from battery_core.data.registries import SOURCES, SPLITS
from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.data.settings import SplitSettings
from battery_core.data.splits.cell_split import CellSplit
from battery_core.data.splits.make import make_split, resolve, temperature_split
from battery_core.data.splits.sampling import draw
from battery_core.errors import SettingsError, SplitError


def make_cells(per_condition: int = 4, temperatures=(10.0, 25.0, 40.0), groups=("E1", "E5")) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"{g}-{t:g}-{i}", g, t, f"{g} protocol") for g in groups for t in temperatures for i in range(per_condition)],
        columns=["cell_id", "group", "ambient_temperature_degC", "protocol"],
    )


CASES = {
    "random": {},
    "temperature": {"test_temps_degC": (25,)},
    "by_group": {"test_groups": ("E5",)},
    "by_protocol": {"test_groups": ("E1 protocol",)},
    "leave_one_cell_out": {"fold": 3},
    "grouped_kfold": {"fold": 1},
    "fixed": {"test_cells": ("E1-10-0", "E5-40-1")},
}


@pytest.mark.parametrize("strategy", CASES)
def test_every_strategy_gives_three_disjoint_parts_and_repeats(strategy):
    cells, settings = make_cells(), SplitSettings(strategy=strategy, **CASES[strategy])
    split = make_split(cells, settings)
    assert split.train
    assert split.val
    assert split.test
    assert sorted(split.train + split.val + split.test + split.unused) == sorted(cells["cell_id"])
    assert make_split(cells.sample(frac=1, random_state=1), settings) == split  # the order of rows plays no part
    assert CellSplit.from_json(split.to_json()) == split


def test_every_registered_strategy_is_tested():
    assert set(SPLITS) == {*CASES, "published"}


def test_held_out_conditions_are_held_out():
    cells = make_cells()
    split = make_split(cells, SplitSettings(strategy="temperature", test_temps_degC=(25,)))
    assert {c.split("-")[1] for c in split.test} == {"25"}
    assert {c.split("-")[1] for c in split.train + split.val} == {"10", "40"}
    assert {c.rsplit("-", 1)[0] for c in split.val} == {"E1-10", "E1-40", "E5-10", "E5-40"}  # one per condition
    split = make_split(cells, SplitSettings(strategy="by_group", test_groups=("E5",)))
    assert {c.split("-")[0] for c in split.test} == {"E5"}


def test_val_temps_alone_divide_the_held_out_cells_between_validation_and_test():
    split = make_split(
        make_cells(), SplitSettings(strategy="temperature", train_temps_degC=(10, 40), val_temps_degC=(25,))
    )
    assert len(split.val) == len(split.test) == 4
    assert {c.split("-")[1] for c in split.val + split.test} == {"25"}


def test_all_three_temperatures_named_and_the_rest_unused():
    cells = make_cells(2, (5.0, 10.0, 25.0, 40.0))
    names = {"train_temps_degC": (10,), "val_temps_degC": (40,), "test_temps_degC": (25,)}
    split = make_split(cells, SplitSettings(strategy="temperature", **names))
    assert {c.split("-")[1] for c in split.unused} == {"5"}
    assert {c.split("-")[1] for c in split.train} == {"10"}


def test_random_sees_every_condition_in_every_part_where_it_can():
    cells = make_cells(5)
    for seed in range(10):
        split = make_split(cells, SplitSettings(strategy="random", seed=seed))
        for part in (split.train, split.val, split.test):
            assert {c.rsplit("-", 1)[0] for c in part} == {f"{g}-{t}" for g in ("E1", "E5") for t in (10, 25, 40)}
    assert len({make_split(cells, SplitSettings(strategy="random", seed=s)).test for s in range(10)}) > 5


@examples(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.floats(0.01, 0.99), st.booleans(), st.integers(0, 99))
def test_a_draw_takes_its_share_and_never_everything(sizes, share, each, seed):
    rows = [(f"{t}-{i}", "g", float(t)) for t, size in enumerate(sizes) for i in range(size)]
    cells = pd.DataFrame(rows, columns=["cell_id", "group", "ambient_temperature_degC"])
    if len(cells) < 2:
        return
    drawn = draw(cells, share, seed, each=each)
    assert 1 <= len(set(drawn)) == len(drawn) < len(cells)
    taken = [sum(c.startswith(f"{t}-") for c in drawn) for t in range(len(sizes))]
    if each:
        assert all(n >= 1 for n, size in zip(taken, sizes, strict=True) if size > 1)
    else:
        assert len(drawn) == min(max(1, round(share * len(cells))), len(cells) - 1)
    if any(n == size for n, size in zip(taken, sizes, strict=True)):  # a condition is emptied only when none can give
        assert all(n >= size - 1 for n, size in zip(taken, sizes, strict=True))


def test_folds_cover_every_cell_once():
    cells = make_cells()
    folds = [make_split(cells, SplitSettings(strategy="grouped_kfold", fold=k)).test for k in range(5)]
    assert sorted(c for fold in folds for c in fold) == sorted(cells["cell_id"])
    one_out = [make_split(cells, SplitSettings(strategy="leave_one_cell_out", fold=k)).test for k in range(len(cells))]
    assert sorted(c for fold in one_out for c in fold) == sorted(cells["cell_id"])


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"strategy": "temperature", "test_temps_degC": (30,)}, "split.test_temps_degC = 30.0; there are: 10, 25, 40"),
        ({"strategy": "temperature"}, "name the held-out cells in split.test_temps_degC; there are: 10, 25, 40"),
        ({"strategy": "temperature", "test_temps_degC": (10, 25, 40)}, "24 of 24 cells in test and 0 left"),
        ({"strategy": "temperature", "test_temps_degC": (25,), "val_temps_degC": (25,)}, "25.0 is in val_temps_"),
        ({"strategy": "by_group", "test_groups": ("E9",)}, "split.test_groups = E9; there are: E1, E5"),
        ({"strategy": "by_protocol", "test_groups": ("E1",)}, "there are: E1 protocol, E5 protocol"),
        ({"strategy": "fixed", "test_cells": ("X",)}, "no cell for split.test_cells = X; there are: E1-10-0, "),
        ({"strategy": "fixed", "test_cells": ("E1-10-0",), "train_cells": ("E1-10-0",)}, "is in train_cells and in"),
        ({"strategy": "leave_one_cell_out", "fold": 24}, r"there are 24 cells \(0 to 23\)"),
        ({"strategy": "grouped_kfold", "fold": 5}, "fold 5 of 5 over 24 cells"),
        ({"strategy": "published"}, "no published test cells for source 'none'"),
    ],
)  # fmt: skip
def test_an_impossible_split_says_what_there_is(given_settings, message):
    with pytest.raises(SplitError, match=message):
        make_split(make_cells(), SplitSettings(**given_settings))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_cells_are_refused(n):
    with pytest.raises(SplitError, match=rf"{n} cell\(s\), at least 3 are needed"):
        make_split(make_cells().head(n), SplitSettings(strategy="random"))


def test_three_cells_are_enough():
    for temperatures in ((25.0,), (10.0, 25.0, 40.0)):
        cells = make_cells(3 // len(temperatures), temperatures, ("E1",))
        split = make_split(cells, SplitSettings(strategy="random"))
        assert (len(split.train), len(split.val), len(split.test)) == (1, 1, 1)


def test_known_cells_keep_their_part_and_new_cells_train():
    settings = SplitSettings(strategy="random")
    before = make_split(make_cells(4), settings)
    after = make_split(make_cells(6), settings, previous=before)
    assert (after.test, after.val) == (before.test, before.val)
    assert set(after.train) - set(before.train) == set(make_cells(6)["cell_id"]) - set(make_cells(4)["cell_id"])
    assert make_split(make_cells(6), settings, previous=after) == after
    again = make_split(make_cells(6), SplitSettings(strategy="random", seed=1), previous=before)
    assert again.test != before.test  # other settings: a new split


def test_a_new_cell_of_a_held_out_condition_is_never_trained_on():
    settings = SplitSettings(strategy="temperature", test_temps_degC=(25,))
    before = make_split(make_cells(3), settings)
    after = make_split(make_cells(4), settings, previous=before)
    assert after.test == before.test
    assert after.unused == ("E1-25-3", "E5-25-3")
    assert {"E1-10-3", "E5-40-3"} <= set(after.train)
    named = SplitSettings(strategy="temperature", train_temps_degC=(10,), val_temps_degC=(40,), test_temps_degC=(25,))
    after = make_split(make_cells(4), named, previous=make_split(make_cells(3), named))
    assert after.unused == ("E1-25-3", "E1-40-3", "E5-25-3", "E5-40-3")


def test_an_older_split_without_a_newer_setting_still_holds():
    settings = SplitSettings(strategy="random")
    before = make_split(make_cells(4), settings)
    fewer = {k: v for k, v in before.settings.items() if k != "n_folds"}
    older = CellSplit(before.train, before.val, before.test, before.strategy, fewer)
    assert make_split(make_cells(5), settings, previous=older).test == before.test


def test_a_split_is_checked_when_it_is_made_and_when_it_is_read():
    with pytest.raises(SplitError, match="cell 'A' is in train and in test"):
        CellSplit(("A",), ("B",), ("A",), "fixed")
    with pytest.raises(SplitError, match="no cell in val"):
        CellSplit(("A",), (), ("B",), "fixed")
    with pytest.raises(SplitError, match="cannot be read"):
        CellSplit.from_json("{}")
    with pytest.raises(SplitError, match="cannot be read"):
        CellSplit.from_json("not json")


def test_auto_is_the_recommendation_of_the_source_under_what_was_set_by_hand():
    source = SOURCES.get("xjtu")
    assert resolve(SplitSettings(seed=7), source).model_dump(include={"strategy", "seed"}) == {
        "strategy": "published",
        "seed": 7,
    }
    with pytest.raises(SettingsError, match=r"unknown split strategy 'temprature': did you mean 'temperature'\?"):
        SplitSettings(strategy="temprature")


def test_published_cells_come_from_the_source():
    cells = pd.DataFrame(
        {"cell_id": [f"2C_battery-{i}" for i in range(1, 9)], "group": "2C", "ambient_temperature_degC": np.nan}
    )
    split = make_split(cells, SplitSettings(), SOURCES.get("xjtu"))
    assert (split.strategy, split.test) == ("published", ("2C_battery-4", "2C_battery-8"))
    assert (len(split.train), len(split.val)) == (5, 1)


def test_temperature_split_of_samples_is_that_of_the_guide():
    meta = [SampleMeta(f"c{t}", i, t) for t in (10.0, 25.0, 40.0) for i in range(3)]
    all_samples = Samples(np.zeros((9, 2)), np.ones(9), meta)
    train, val = temperature_split(all_samples, train_temps=[10, 40], val_temps=[25])
    assert isinstance(train, Samples)
    assert (len(train), len(val), train[0].feature_dim) == (6, 3, 2)
    assert not {s.meta.cell_id for s in train} & {s.meta.cell_id for s in val}
    with pytest.raises(SplitError, match=r"no sample at val_temps \[30.0\] degC; there are: 10, 25, 40"):
        temperature_split(list(all_samples), [10], [30])
    with pytest.raises(SplitError, match=r"25.0 is in train_temps and in val_temps"):
        temperature_split(all_samples, [10, 25], [25])


def test_a_cell_that_is_away_for_a_night_keeps_its_part() -> None:
    settings, cells = SplitSettings(strategy="random", test_share=0.4), make_cells(6)
    before = make_split(cells, settings)
    away = cells[cells["cell_id"] != before.test[0]]
    assert make_split(cells, settings, previous=make_split(away, settings, previous=before)) == before
    with pytest.raises(SplitError, match=r"none of the .* cells frozen in test is in the data any more"):
        make_split(cells[~cells["cell_id"].isin(before.test)], settings, previous=before)
