"""Numbers measured from a cell's raw curves, which become columns of its check-ups."""

from battery_core.data.extraction.measuring import ROLES as ROLES
from battery_core.data.extraction.measuring import measure as measure
from battery_core.data.extraction.settings import ExtractionSettings as ExtractionSettings
