"""Every registered source keeps the contract that the other rooms rely on."""

import pytest

from battery_core.data.registries import SOURCES
from battery_core.data.settings import DataSettings, SplitSettings
from battery_core.data.tables.roles import Role
from battery_core.data.tables.schema import CELL_COLUMNS, CHECKUP_COLUMNS
from battery_core.errors import SettingsError
from battery_core.features.registry import FEATURES


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_source_says_what_it_is(name):
    source = SOURCES.get(name)
    assert source.name == name
    assert source.simulated == ("simulated" in source.label)
    assert set(source.default_feature_sets) <= set(FEATURES)
    SplitSettings(**source.default_split)
    assert not set(source.columns) & set(CELL_COLUMNS)
    assert set(source.columns.values()) <= set(Role)
    assert source.roles()["capacity_Ah"] == Role.LABEL_EQUIVALENT
    assert set(CHECKUP_COLUMNS[2:]) <= set(source.roles())


def test_settings_know_the_sources():
    assert DataSettings().source in SOURCES
    with pytest.raises(
        SettingsError, match=r"unknown source 'xjtuu': did you mean 'xjtu'\? There are: simulated, xjtu"
    ):
        DataSettings(source="xjtuu")
