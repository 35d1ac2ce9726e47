"""Results that stages leave on disk: typed, frozen, with a version of their layout.

A stage hands over a ``StageResult``, a small reference. The next stage reads the artefact that it points at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from battery_core.errors import DataError
from battery_core.files import read_json, write_json


@dataclass(frozen=True)
class StageResult:
    """A reference to what a stage left; the only thing that tasks hand over.

    Args:
        path: the artefact, a file or a folder.
        version: hash of its content, or of all that it was made from.
        skipped: whether it was there already for exactly this input.
        message: one line for the log.
    """

    path: Path
    version: str
    skipped: bool
    message: str


def _finite_or_none(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite is None in memory as well as on disk."""
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _stated_or_none(value: Any) -> Any:
    """A missing label of a table is NaN in pandas; here it is None."""
    return None if isinstance(value, float) and math.isnan(value) else value


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A figure; None where it is not finite."""
Label = Annotated[float | str | None, BeforeValidator(_stated_or_none)]
"""A condition of cells, such as a temperature in degC or the name of a group; None where it is not stated."""
CellNumbers = dict[str, Number]
"""One figure a cell, by its cell_id."""


class Value(BaseModel):
    """A part of an artefact. Keys that readers of the files rely on are aliases of fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Artifact(Value):
    """A result on disk, one JSON file."""

    SCHEMA: ClassVar[int] = 1
    """Version of the layout; raised when a field is renamed, removed or changes its meaning."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the artefact in a file.

        Raises:
            DataError: there is no such file, it is not whole, or it was written with another layout.
        """
        if not path.is_file():
            raise DataError(f"{cls.__name__}: expected '{path}', got no such file - {_REPEAT}")
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{cls.__name__}: expected a JSON object in '{path}', got a damaged file - {_REPEAT}")
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: Mapping[str, Any], path: Path) -> Self:
        """Return the artefact from the content of a file.

        Args:
            content: with ``schema_version``.
            path: the file, for the error.

        Raises:
            DataError: it was written with another layout.
        """
        fields = dict(content)
        version = fields.pop("schema_version", None)
        if version != cls.SCHEMA:
            got = "none" if version is None else repr(version)
            raise DataError(
                f"{cls.__name__}: expected schema_version {cls.SCHEMA} in '{path}', got {got}: the file is of another "
                f"release - {_REPEAT}"
            )
        try:
            return cls.model_validate(fields)
        except ValidationError as err:
            first = err.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{cls.__name__}: field '{name}' of '{path}': {first['msg'][:1].lower()}{first['msg'][1:]}, got "
                f"{str(first['input'])[:80]!r} - {_REPEAT}"
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return {"schema_version": self.SCHEMA, **self.model_dump(mode="json", by_alias=True)}

    def write(self, path: Path) -> None:
        """Write the file in one step."""
        write_json(path, self.to_json())


_REPEAT = "run the stage that writes it again"


# ---------------------------------------------------------------------------------------------------- training


class Metrics(Value):
    """Errors over all rows: RMSE and MAE as fractions of SOH, MAPE in %."""

    rmse: Number
    mae: Number
    mape: Number
    r2: Number


class ConformalState(Value):
    """What calibrated the intervals of a model, as ``Conformal.to_json`` writes it."""

    coverage: float
    guaranteed: float
    quantiles: tuple[tuple[float, Number], ...]
    n_cells: int
    n_rows: int
    correction: float = 1.0


class TrainingResult(Artifact):
    """A fitted candidate: result.json of a training job or of the weighted ensemble.

    Args:
        model: name of the model.
        key: hash of everything the result depends on.
        run_id: name of its folder below ``artifacts/runs``.
        val: errors on the validation rows.
        val_mean_cell_mape: mean per-cell MAPE on the validation cells, %.
        conformal: what calibrated its intervals.
        n_train_rows: check-ups it was fitted on.
        features: names of its features.
        seconds: duration of the fitting, in s.
        data_hash: content of tables and split; empty for the ensemble.
        device, precision: where and with which numbers it was fitted; empty for the ensemble.
        best_epoch, stop_reason, batch_size: of a model that is fitted step by step.
        length_scale, alpha: of kernel ridge regression.
        ensemble_weights: weight of each member by the name of its model; empty for a single model.
        reused: whether an earlier run had made it.
    """

    model: str
    key: str
    run_id: str
    val: Metrics
    val_mean_cell_mape: Number
    conformal: ConformalState | None
    n_train_rows: int
    features: tuple[str, ...]
    seconds: float
    data_hash: str = ""
    device: str = ""
    precision: str = ""
    best_epoch: int | None = None
    stop_reason: str | None = None
    batch_size: int | None = None
    length_scale: Number = None
    alpha: Number = None
    ensemble_weights: dict[str, float] = Field(default={}, validation_alias="parts", serialization_alias="parts")
    reused: bool = False


class CandidateList(Artifact):
    """Models that go to evaluation: candidates.json of the stage ensemble.

    Args:
        run_ids: folders below ``artifacts/runs``, the trained models first, then the ensemble where one was built.
        reused: those of them that an earlier run had made.
        ensemble: why an ensemble was built or not.
    """

    run_ids: tuple[str, ...]
    reused: tuple[str, ...]
    ensemble: str


# -------------------------------------------------------------------------------------------------- evaluation


class CellScores(Value):
    """Errors of one cell: MAPE in %, RMSE and bias in points of SOH."""

    cell_id: str
    ambient_temperature_degC: Label = None
    group: Label = None
    protocol: Label = None
    n: int
    mape: Number
    bias: Number
    rmse: Number


class _OfCondition(Value):
    """A line for the cells of one condition; it names one of the four."""

    ambient_temperature_degC: Label = None
    group: Label = None
    protocol: Label = None
    soh_range: str | None = None

    @property
    def condition(self) -> float | str:
        """The condition, whatever kind it is of."""
        named = (self.ambient_temperature_degC, self.group, self.protocol, self.soh_range)
        return next((value for value in named if value is not None), "not stated")

    @model_serializer(mode="wrap")
    def _without_other_conditions(
        self, serialize: SerializerFunctionWrapHandler, _info: SerializationInfo
    ) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        return {k: v for k, v in content.items() if v is not None or k not in _OfCondition.model_fields}


class ConditionScores(_OfCondition):
    """Mean errors over the cells of one condition: MAPE in % with its 95 % interval, RMSE in points of SOH."""

    n_cells: int
    mape: Number
    mape_low: Number
    mape_high: Number
    rmse: Number
    worst_rmse: Number
    n_rows: int | None = None


class ModelScores(Value):
    """Errors of one model on the test rows: MAPE in %, RMSE in points of SOH; means are over cells.

    Args:
        mean_cell_mape: the primary metric, with the ends of its 95 % interval.
        rows: errors of all rows together.
        first_checkup: errors of the first check-ups alone.
    """

    mean_cell_mape: Number
    mean_cell_mape_low: Number
    mean_cell_mape_high: Number
    mean_cell_rmse: Number
    worst_cell: str
    worst_cell_rmse: Number
    rows: Metrics
    first_checkup: Metrics | None
    n_rows: int
    n_cells: int
    per_cell: tuple[CellScores, ...]
    per_temperature: tuple[ConditionScores, ...]
    per_group: tuple[ConditionScores, ...]
    per_protocol: tuple[ConditionScores, ...]
    per_soh_range: tuple[ConditionScores, ...]


class CellCoverage(Value):
    """Coverage and width of the intervals of one cell, and the share of its check-ups in the training distribution."""

    cell_id: str
    ambient_temperature_degC: Label = None
    group: Label = None
    n: int
    coverage: Number
    width: Number
    in_distribution: Number


class ConditionCoverage(_OfCondition):
    """Coverage and width of intervals, mean over the cells of one condition."""

    n_cells: int
    coverage: Number
    width: Number


class CalibrationPoint(Value):
    """Observed against nominal coverage at one level."""

    nominal: float
    coverage: Number
    width: Number


class OutOfDistribution(Value):
    """Share of check-ups outside the training distribution, and how often each column was furthest outside."""

    share: Number
    columns: dict[str, int]


class EnsembleSpread(Value):
    """Mean spread of an ensemble's members, points of SOH, and its rank correlation with the error."""

    mean: Number
    rank_correlation_with_error: Number


class IntervalScores(Value):
    """How often and how tightly the intervals of one model hold the measured SOH of the test cells.

    Args:
        coverage: mean over cells, with the ends of its 95 % interval.
        width: mean over cells, points of SOH.
        calibration_correction: factor of the width; 1 is none.
    """

    nominal: float
    guaranteed: float
    calibration_cells: int
    calibration_correction: float
    coverage: Number
    coverage_low: Number
    coverage_high: Number
    worst_cell: str
    worst_cell_coverage: Number
    width: Number
    per_temperature: tuple[ConditionCoverage, ...]
    per_group: tuple[ConditionCoverage, ...]
    per_cell: tuple[CellCoverage, ...]
    calibration: tuple[CalibrationPoint, ...]
    out_of_distribution: OutOfDistribution
    spread: EnsembleSpread | None


class EvaluatedModel(TrainingResult):
    """A candidate with its scores on the test cells."""

    test: ModelScores
    intervals: IntervalScores


class SubsetScope(Value):
    """What the cells of one subset span.

    Args:
        soh: the lowest and the highest; (None, None) without rows.
    """

    cells: int
    rows: int
    temperatures_degC: tuple[float, ...]
    chemistries: tuple[str, ...]
    groups: tuple[str, ...]
    protocols: tuple[str, ...]
    nominal_capacities_Ah: tuple[float, ...]
    soh: tuple[Number, Number]


class DataScope(Value):
    """What each subset of the split spans."""

    train: SubsetScope
    val: SubsetScope
    test: SubsetScope


class SplitSummary(Value):
    """The split of an evaluation: its strategy, content version and test cells."""

    strategy: str
    version: str
    test_cells: tuple[str, ...]


class RowCounts(Value):
    """Check-ups read, kept and quarantined, and those of each subset; None where no quality report is there."""

    rows_read: int | None
    rows_kept: int | None
    rows_quarantined: int | None
    train: int
    val: int
    test: int
    unused: int


class FeatureDrift(Value):
    """Distance of the test rows from the training rows in one feature.

    Args:
        ks: Kolmogorov-Smirnov statistic, 0 to 1.
        beyond_training: share of test rows below or above all training rows.
    """

    feature: str
    ks: Number
    beyond_training: Number = Field(validation_alias="outside", serialization_alias="outside")


class CellChanges(Value):
    """Cells that came, went, grew or were corrected since an earlier table of check-ups.

    Args:
        grown_cells: how many check-ups more, by cell.
    """

    previous_version: str
    new_cells: tuple[str, ...]
    gone_cells: tuple[str, ...]
    grown_cells: dict[str, int]
    changed_cells: tuple[str, ...]


class DataChanges(Artifact):
    """What is new in the data since a model version: data_changes.json.

    Args:
        message: in words.
        no_new_data: whether data, split, settings and code are those of a registered version.
        since: URI of the version that is compared with, or "".
        changes: by cell; None where the tables of that version are not in the version store.
    """

    message: str
    no_new_data: bool = False
    since: str = ""
    changes: CellChanges | None = None


class Evaluation(Artifact):
    """Every candidate and every baseline on the same test cells: evaluation.json.

    Args:
        source, label: name of the source, and what its data are called.
        simulated: whether the cells are simulated.
        data_version, tables_version: content of the raw data and of the normalized tables.
        soh_reference: what SOH is relative to.
        interval_method: how the intervals of the means were made.
        baselines: scores by the name of the baseline.
        leak_probe: scores of the probe that reads the fraction of life.
        data_changes: what is new in the data; None where it was not compared.
        data_drift: distance of test from training cells, the largest first.
    """

    source: str
    label: str
    simulated: bool
    data_version: str
    tables_version: str
    split: SplitSummary
    soh_reference: str
    rows: RowCounts
    scope: DataScope
    interval_method: str
    models: tuple[EvaluatedModel, ...]
    baselines: dict[str, ModelScores]
    leak_probe: ModelScores
    data_changes: DataChanges | None = Field(validation_alias="news", serialization_alias="news")
    data_drift: tuple[FeatureDrift, ...] = Field(validation_alias="drift", serialization_alias="drift")


class EvaluationReport(Evaluation):
    """An evaluation with the model that was chosen on validation cells: report.json.

    Args:
        challenger: ``run_id`` of the chosen model.
        probe_verdict: what the leak probe shows; empty where it shows nothing.
    """

    challenger: str
    probe_verdict: str

    @property
    def chosen(self) -> EvaluatedModel:
        """The challenger's entry."""
        return next(model for model in self.models if model.run_id == self.challenger)


# ----------------------------------------------------------------------------------------------------- release


class Comparison(Artifact):
    """Challenger against champion on the same test cells, and the decision: comparison.json.

    Args:
        promote, reason: the decision.
        run_id: of the challenger.
        challenger, champion: MAPE of each cell, %; no champion: None.
        champion_name: such as "version 3"; empty without a champion.
        baselines: mean per-cell MAPE of each baseline on the same rows, %.
        unseen_cells, test_cells: cells that the champion was not trained on, of how many.
        slices: kind of condition -> condition -> its cells.
        blocking_reason: why the two cannot be compared, or "".
        dirty: whether the code differs from its commit.
    """

    promote: bool
    reason: str
    run_id: str
    challenger: CellNumbers
    champion: CellNumbers | None
    champion_name: str
    baselines: dict[str, Number]
    unseen_cells: int
    test_cells: int
    slices: dict[str, dict[str, tuple[str, ...]]]
    blocking_reason: str
    dirty: bool


class ReleaseResult(Artifact):
    """What a retraining run came to: outcome.json.

    Args:
        version: number of the new model version.
        name: the registered model.
        promoted: whether the new version is the champion.
        reason: why, in words.
        champion: number of the champion after this run, or None.
        mlflow_run: id of the MLflow run that holds report and figures.
        report: folder of the report.
        comparison: the figures behind the decision; None where an earlier attempt of the run had registered it.
        tags: tags of the model version.
    """

    version: int
    name: str
    promoted: bool
    reason: str
    champion: int | None
    mlflow_run: str
    report: Path
    comparison: Comparison | None = None
    tags: dict[str, str] = {}


# ----------------------------------------------------------------------------------------------------- scoring


class ScoringSummary(Artifact):
    """What scoring flagged: scores.json.

    Args:
        message: one line.
        label: what the data are called.
        model: URI of the champion.
        trained_on, data_version: data version of its training, and of these scores.
        scored_at: UTC.
        usage_unit: unit of usage.
        end_of_life: SOH.
        at_end_of_life, near_end_of_life: cells.
        out_of_distribution: cell -> the column that is furthest outside.
        seen_in_training: how many of the cells the champion was trained on.
        cells: how many were scored.
    """

    message: str
    label: str
    simulated: bool
    model: str
    trained_on: str
    data_version: str
    same_data_as_training: bool
    scored_at: str
    usage_unit: str
    end_of_life: float
    at_end_of_life: tuple[str, ...]
    near_end_of_life: tuple[str, ...]
    out_of_distribution: dict[str, str]
    seen_in_training: int
    cells: int


# -------------------------------------------------------------------------------------------- cross-validation


class CrossValidatedModel(Value):
    """A model over all folds and seeds: mean per-cell MAPE in %, coverage as a share, width in points of SOH."""

    model: str
    mean: Number
    seed_spread: Number
    fold_spread: Number
    worst_cell: str
    worst: Number
    coverage: Number
    coverage_low: Number
    coverage_high: Number
    width: Number


class PairedTest(Value):
    """A model against the best one over the same cells: Wilcoxon signed-rank, Holm-corrected."""

    model: str
    best: str
    gain: float
    wins: float
    p_value: float
    n_cells: int


class CrossValidationReport(Artifact):
    """Models compared over the cells that each fold held out: validation.json."""

    source: str
    data_version: str
    folds: int
    seeds: int
    with_test_cells: bool
    nominal_coverage: float
    cells: int
    models: tuple[CrossValidatedModel, ...]
    tests: tuple[PairedTest, ...]
