"""Features by hand, and that none of them knows what a deployed model could not know."""

import numpy as np
import pandas as pd
import pytest

from battery_core.data.registries import SOURCES
from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError, SettingsError
from battery_core.features.base import (
    FeatureSet,
    FeatureSettings,
    build_features,
    feature_names,
    is_ordered,
    pieces_of_cells,
)
from battery_core.features.registry import FEATURES
from battery_core.features.sets.condition import with_training_groups
from battery_core.features.sets.dva import DVA_PEAKS
from battery_core.features.sets.ica import PEAK


def make_rows(cells=("A", "B"), n: int = 8, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = pd.DataFrame([(c, i) for c in cells for i in range(n)], columns=["cell_id", "checkup_index"])
    for name in (*CHARGE_STATISTICS, "resistance_ohm", *PEAK, *DVA_PEAKS):
        rows[name] = generator.uniform(0.5, 1.5, len(rows))
    rows["cycle_count"] = rows["checkup_index"] * 78.0
    rows["time_days"] = rows["checkup_index"] * 40.0
    rows["throughput_Ah"] = rows["checkup_index"] * 390.0
    rows["capacity_Ah"] = 4.85 - 0.05 * rows["checkup_index"]
    return rows.assign(nominal_capacity_Ah=5.0, ambient_temperature_degC=25.0, group="g", chemistry="NMC")


SETS = list(FEATURES)


@pytest.mark.parametrize("name", SETS)
def test_later_rows_never_change_earlier_features(name):
    rows = make_rows()
    before = build_features(rows, [name])
    number = [c for c in rows if rows[c].dtype == float and c != "nominal_capacity_Ah"]
    for cut in range(1, 8):
        changed = rows.copy()
        later = changed["checkup_index"] >= cut
        changed.loc[later, number] = changed.loc[later, number] * 3.0 + 1.0
        after = build_features(changed, [name])
        pd.testing.assert_frame_equal(after[~later], before[~later])
        assert name == "condition" or not after[later].equals(before[later])  # the condition of a cell stays
        pd.testing.assert_frame_equal(build_features(rows[~later], [name]), before[~later])  # nor does their absence


@pytest.mark.parametrize("name", SETS)
def test_other_cells_never_change_features(name):
    rows = make_rows()
    alone = build_features(rows[rows["cell_id"] == "A"], [name])
    pd.testing.assert_frame_equal(build_features(rows, [name])[rows["cell_id"] == "A"], alone)


@pytest.mark.parametrize("name", SETS)
def test_capacity_is_never_looked_at(name):
    rows = make_rows()
    before = build_features(rows, [name])
    for other in (rows.assign(capacity_Ah=rows["capacity_Ah"][::-1].to_numpy()), rows.drop(columns="capacity_Ah")):
        pd.testing.assert_frame_equal(build_features(other, [name]), before)
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(build_features(shuffled, [name]).loc[rows.index], before)


@pytest.mark.parametrize("name", SETS)
def test_no_feature_is_the_fraction_of_life(name):
    """A cell that lives on: the features of its first half are what they were."""
    short, long = make_rows(n=6), make_rows(n=12)
    for frame in (short, long):
        for j, column in enumerate((*CHARGE_STATISTICS, "resistance_ohm", *PEAK, *DVA_PEAKS)):
            frame[column] = 1.0 + 0.01 * j * frame["checkup_index"]
    first = long["checkup_index"] < 6
    expected = build_features(short, [name]).to_numpy()
    np.testing.assert_array_equal(build_features(long, [name])[first].to_numpy(), expected)


def test_summary_by_hand():
    features = build_features(make_rows(("A",)), ["summary"], FeatureSettings(activation_energy_kJ_mol=50.0))
    row = features.iloc[4]
    assert row["equivalent_full_cycles"] == pytest.approx(4 * 390 / (2 * 5))
    assert row["sqrt_time_days"] == pytest.approx(160**0.5)
    assert row["temperature_K"] == pytest.approx(298.15)
    assert row["arrhenius"] == pytest.approx(1.0)
    hot = make_rows(("A",)).assign(ambient_temperature_degC=45.0)
    features = build_features(hot, ["summary"], FeatureSettings(activation_energy_kJ_mol=50.0))
    assert features["arrhenius"].iloc[0] == pytest.approx(np.exp(-50000 / 8.314462618 * (1 / 318.15 - 1 / 298.15)))


def test_initial_relative_by_hand():
    rows = make_rows(("A",), n=5)
    rows["cc_charge_Ah"] = [1.0, 3.0, 2.0, 8.0, 4.0]
    rows["voltage_mean_V"] = [3.0, 4.0, 3.5, 3.6, 3.7]
    features = build_features(rows, ["initial_relative"], FeatureSettings(n_initial_checkups=3))
    assert features["cc_charge_Ah_ratio_to_start"].tolist() == [1.0, 3.0 / 2.0, 1.0, 4.0, 2.0]
    assert features["voltage_mean_V_change_from_start"].tolist() == pytest.approx([0.0, 0.5, 0.0, 0.1, 0.2])


def test_charge_has_the_16_statistics_and_the_raw_cycle_number():
    features = build_features(make_rows(), ["charge"])
    assert list(features) == [*CHARGE_STATISTICS, "cycle_count"]
    assert features["cycle_count"].max() == 7 * 78


def test_the_peak_is_taken_as_measured_and_the_whole_area_never():
    rows = make_rows().assign(ica_full_area_Ah=4.9)
    features = build_features(rows, ["ica"], roles={"ica_full_area_Ah": Role.LABEL_EQUIVALENT})
    assert list(features) == list(PEAK)
    assert features["ica_peak_area_Ah"].tolist() == rows["ica_peak_area_Ah"].tolist()
    with pytest.raises(DataError, match=r"'ica': none of ica_peak_voltage_V.* has a value - set data.extraction"):
        build_features(rows.drop(columns=[*PEAK]), ["ica"])


def test_dva_peaks_are_taken_as_measured_and_what_needs_the_whole_charge_never():
    rows = make_rows().assign(dva_full_charge_Ah=4.9, dva_peak_of_full=0.3)
    hidden = dict.fromkeys(("dva_full_charge_Ah", "dva_peak_of_full"), Role.LABEL_EQUIVALENT)
    features = build_features(rows, ["dva"], roles=hidden)
    assert list(features) == list(DVA_PEAKS)
    pd.testing.assert_frame_equal(features[[*DVA_PEAKS]], rows[[*DVA_PEAKS]])
    some = build_features(rows.assign(dva_second_peak_Ah=np.nan), ["dva"])
    assert "dva_second_peak_Ah" not in some
    with pytest.raises(DataError, match=r"'dva': none of dva_peak_Ah.* has a value - dV/dQ needs a slow charge"):
        build_features(rows.drop(columns=[*DVA_PEAKS]), ["dva"])


def test_a_missing_resistance_is_the_last_one_of_the_same_cell_never_a_later_one():
    rows = make_rows(n=4)
    rows["impedance_re_ohm"] = [np.nan, 0.02, np.nan, 0.03, np.nan, np.nan, 0.05, np.nan]
    features = build_features(rows, ["resistance"])
    assert list(features) == ["resistance_ohm", "impedance_re_ohm"]
    expected = [np.nan, 0.02, 0.02, 0.03, np.nan, np.nan, 0.05, 0.05]
    np.testing.assert_array_equal(features["impedance_re_ohm"], expected)
    with pytest.raises(DataError, match=r"'resistance': none of resistance_ohm.* has a value - choose other"):
        build_features(rows[["cell_id", "checkup_index"]], ["resistance"])


def test_the_past_is_what_the_source_recommends_or_what_is_named():
    tju = SOURCES.get("tju")
    assert feature_names(FeatureSettings(), tju, with_history=True) == (
        "charge",
        "condition",
        "early_deviation",
        "expanding_mean",
    )
    early = FeatureSettings(history_sets=("early_deviation",))
    assert feature_names(early, tju, with_history=True) == ("charge", "condition", "early_deviation")
    assert feature_names(FeatureSettings(history_sets=()), tju, with_history=True) == ("charge", "condition")
    assert feature_names(early, tju) == ("charge", "condition")  # models that are not told of it
    assert feature_names(
        FeatureSettings(sets=("charge",), history_sets=("early_deviation",)), tju, with_history=True
    ) == ("charge",)
    with pytest.raises(SettingsError, match=r"features.history_sets: 'auto' stands alone, got auto, early_deviation"):
        FeatureSettings(history_sets=("auto", "early_deviation"))
    with pytest.raises(SettingsError, match=r"unknown feature set 'early_deviatio': did you mean 'early_deviation'"):
        FeatureSettings(history_sets=("early_deviatio",))


def test_conditions_are_those_of_training():
    rows = make_rows(("A", "B", "C"))
    rows["group"] = rows["cell_id"].map({"A": "2C", "B": "3C", "C": "new"})
    settings = with_training_groups(FeatureSettings(), rows["group"][rows["cell_id"] != "C"])
    features = build_features(rows, ["condition"], settings)
    assert list(features) == ["group_is_2C", "group_is_3C", "ambient_temperature_degC"]
    assert features.groupby(rows["cell_id"]).first().iloc[:, :2].values.tolist() == [[1, 0], [0, 1], [0, 0]]
    alone = build_features(rows[rows["cell_id"] == "B"], ["condition"], settings)
    assert list(alone) == list(features)
    with pytest.raises(DataError, match="no column 'group'"):
        build_features(rows.drop(columns="group"), ["condition"])


def test_absent_and_empty_columns_are_left_out_with_a_note():
    rows = make_rows().drop(columns="time_days").assign(resistance_ohm=np.nan)
    features = build_features(rows, ["summary", "initial_relative"])
    assert not {"time_days", "sqrt_time_days", "resistance_ohm", "resistance_ohm_ratio_to_start"} & set(features)
    assert not features.isna().all().any()
    assert "summary: time_days left out, not in this source" in features.attrs["notes"]
    assert "summary: resistance_ohm left out, no value in any row" in features.attrs["notes"]


def test_single_missing_values_stay_missing_for_the_imputer():
    rows = make_rows()
    rows.loc[3, "resistance_ohm"] = np.nan
    features = build_features(rows, ["summary", "initial_relative"])
    assert features["resistance_ohm"].isna().sum() == 1
    assert features["resistance_ohm_ratio_to_start"].isna().sum() == 1


def test_label_equivalent_columns_are_refused_or_left_out():
    class Cheat(FeatureSet):
        name = "cheat"
        requires = ("c2_capacity_Ah",)

        def compute(self, rows, settings):
            return rows[["c2_capacity_Ah"]]

    class Peek(Cheat):
        requires = ()

    FEATURES.register("cheat")(Cheat)
    FEATURES.register("peek")(Peek)
    rows, roles = make_rows().assign(c2_capacity_Ah=4.0), {"c2_capacity_Ah": Role.LABEL_EQUIVALENT}
    try:
        with pytest.raises(SettingsError, match="'cheat' requires 'c2_capacity_Ah', which is label-equivalent"):
            build_features(rows, ["cheat"], roles=roles)
        with pytest.raises(KeyError):  # not declared, and not there either
            build_features(rows, ["peek"], roles=roles)
        with pytest.raises(DataError, match="no column 'c2_capacity_Ah' in the rows"):
            build_features(make_rows(), ["cheat"])
    finally:
        del FEATURES._entries["cheat"], FEATURES._entries["peek"]


def test_mit_leaves_out_the_charge_that_nearly_is_the_label():
    mit = SOURCES.get("mit")
    features = build_features(make_rows(), feature_names(FeatureSettings(), mit), roles=mit.roles())
    assert "cc_charge_Ah" not in features
    charge = [name for name in features if name not in ("group_is_g", "ambient_temperature_degC")]
    assert len(charge) == 16  # fifteen statistics and the cycle number
    as_text = {column: str(role) for column, role in mit.roles().items()}  # as a saved model keeps it
    assert list(build_features(make_rows(), ["charge"], roles=as_text)) == charge


def test_nothing_left_says_so():
    rows = make_rows()[["cell_id", "checkup_index", "capacity_Ah"]]
    with pytest.raises(DataError, match="nothing is left of summary"):
        build_features(rows, ["summary"])
    with pytest.raises(DataError, match="none of the 16 charge statistics"):
        build_features(rows, ["charge"])
    with pytest.raises(SettingsError, match="unknown feature set 'sumary': did you mean 'summary'"):
        FeatureSettings(sets=("sumary",))
    with pytest.raises(SettingsError, match="'auto' stands alone"):
        FeatureSettings(sets=("auto", "charge"))


def test_a_repeating_index_is_kept():
    rows = make_rows()
    rows.index = [0] * len(rows)
    assert list(build_features(rows, ["charge", "initial_relative"]).index) == [0] * len(rows)


def test_rows_in_order_and_in_any_order_give_the_same_features() -> None:
    """Rows that are sorted already are not sorted again; cells may come in any order."""
    rng = np.random.default_rng(5)
    parts = [
        pd.DataFrame(
            {"cell_id": cell, "checkup_index": range(40)} | {c: rng.normal(1, 0.1, 40) for c in CHARGE_STATISTICS}
        )
        for cell in ("Z", "A", "M")
    ]
    rows = pd.concat(parts, ignore_index=True)
    names = ("charge", "recent_change", "early_deviation", "expanding_mean", "initial_relative")
    in_order = build_features(rows, names)
    shuffled = build_features(rows.sample(frac=1, random_state=1), names)
    pd.testing.assert_frame_equal(shuffled.sort_index(), in_order, rtol=1e-12)
    alone = build_features(rows[rows["cell_id"] == "A"], names)
    pd.testing.assert_frame_equal(alone, in_order[rows["cell_id"] == "A"], rtol=1e-12)


@pytest.mark.parametrize("rows_at_once", [1, 7, 50, 1000])
def test_pieces_hold_whole_cells_and_every_row_once(rows_at_once: int) -> None:
    cells = pd.Series(np.repeat(list("ZAMB"), [13, 1, 60, 5]))
    pieces = pieces_of_cells(cells, rows_at_once)
    assert np.concatenate([np.arange(79)[piece] for piece in pieces]).tolist() == list(range(79))
    seen = [set(cells.iloc[piece]) for piece in pieces]
    assert sum(map(len, seen)) == 4  # no cell in two pieces
    assert len(pieces) == {1: 4, 7: 4, 50: 2, 1000: 1}[rows_at_once]


@pytest.mark.parametrize(
    ("cells", "checkups", "expected"),
    [
        ("AABB", [0, 5, 0, 1], True),
        ("BBAA", [0, 1, 0, 1], True),
        ("ABAB", [0, 0, 1, 1], False),
        ("AAB", [1, 0, 0], False),
    ],
)
def test_rows_are_in_order_when_cells_stand_together(cells: str, checkups: list[int], expected: bool) -> None:
    assert is_ordered(pd.DataFrame({"cell_id": list(cells), "checkup_index": checkups})) is expected
