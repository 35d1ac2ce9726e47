"""Package a pipeline folder as an MLflow pyfunc: code, weights and JSON, loadable without this repository."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import battery_core
from battery_core.data.tables.schema import TEXT_COLUMNS
from battery_core.models.registry import model_spec
from battery_core.predictors.base import SohPredictor
from battery_core.predictors.weighted_ensemble import load_predictor

_NEEDED_BY_ALL = ("mlflow", "numpy", "pandas", "pydantic")
_NOT_PACKED = ("__pycache__", "*.zip", "simulation", "tests")


def log_pipeline(pipeline_folder: Path) -> str:
    """Log the pipeline into the active MLflow run as a model with a signature.

    Args:
        pipeline_folder: folder that ``save`` of the predictor wrote.

    Returns:
        The URI of the logged model.
    """
    import mlflow

    pipeline = load_predictor(pipeline_folder)
    names = [single.model_name for _, single in pipeline.weighted_pipelines]
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "battery_core"
        source = Path(battery_core.__file__).parent
        shutil.copytree(source, package, ignore=shutil.ignore_patterns(*_NOT_PACKED))
        warnings.filterwarnings("ignore", ".*An input example was not provided")  # the signature is complete
        logged = mlflow.pyfunc.log_model(
            name="soh",
            python_model=str(source / "release" / "package" / "pyfunc_model.py"),
            artifacts={"pipeline": str(pipeline_folder)},
            code_paths=[str(package)],
            signature=signature_of(pipeline),
            pip_requirements=requirements(*names),
            metadata={key: value for key, value in pipeline.metadata.items() if key != "seen_cells"},
        )
    return str(logged.model_uri)


def signature_of(pipeline: SohPredictor) -> Any:
    """Return the signature: columns of a raw row, with units in their names, and SOH with its interval.

    Measured columns are marked optional, although the model needs them. MLflow would reject a missing column without
    naming its unit; the model rejects it itself, see ``predictors.input_validation``.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    kinds = {"checkup_index": "long"} | dict.fromkeys(TEXT_COLUMNS, "string")
    inputs: list[Any] = [
        ColSpec(kinds.get(name, "double"), name, required=name in ("cell_id", "checkup_index"))
        for name in pipeline.raw_columns
    ]
    outputs: list[Any] = [ColSpec("double", name) for name in ("soh", "soh_lower", "soh_upper")]
    outputs.append(ColSpec("boolean", "in_distribution"))
    details: Any = ParamSpec("details", "boolean", False)
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs), params=ParamSchema([details]))


def requirements(*model_names: str) -> list[str]:
    """Return the pinned requirements of the packaged model, without local build tags such as ``+cpu``.

    Example:
        >>> [line.split("==")[0] for line in requirements("lgbm")]
        ['mlflow', 'numpy', 'pandas', 'pydantic', 'lightgbm']
    """
    needed = [package for name in model_names for package in model_spec(name).requirements]
    names = dict.fromkeys([*_NEEDED_BY_ALL, *needed])
    return [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in names]


def package_folder(model_uri: str) -> Path:
    """Return the folder of a registered model, downloaded if its store is remote."""
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))
