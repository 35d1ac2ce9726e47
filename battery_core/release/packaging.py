"""One MLflow pyfunc out of a pipeline folder: code, weights and JSON, loadable without this repository."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import battery_core
from battery_core.data.schema import TEXT_COLUMNS
from battery_core.models.pipeline import Pipeline

_NEEDED_BY_ALL = ("mlflow", "numpy", "pandas", "pydantic")
_NEEDED_BY = {
    "lgbm": ("lightgbm",),
    "mlp": ("torch",),
    "lstm": ("torch",),
    "neural_ode": ("torch", "torchdiffeq"),
    "kernel": (),
}
_NOT_PACKED = ("__pycache__", "*.zip", "simulation", "tests")


def log_pipeline(pipeline_folder: Path) -> str:
    """Log the pipeline into the active MLflow run as a model with a signature.

    Args:
        pipeline_folder: what ``Pipeline.save`` wrote.

    Returns:
        The URI of the logged model.
    """
    import mlflow

    pipeline = Pipeline.load(pipeline_folder)
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "battery_core"
        source = Path(battery_core.__file__).parent
        shutil.copytree(source, package, ignore=shutil.ignore_patterns(*_NOT_PACKED))
        warnings.filterwarnings("ignore", ".*An input example was not provided")  # the signature is given in full
        logged = mlflow.pyfunc.log_model(
            name="soh",
            python_model=str(source / "release" / "pyfunc_model.py"),
            artifacts={"pipeline": str(pipeline_folder)},
            code_paths=[str(package)],
            signature=signature_of(pipeline),
            pip_requirements=requirements(pipeline.model_name),
            metadata={key: value for key, value in pipeline.facts.items() if key != "seen_cells"},
        )
    return str(logged.model_uri)


def signature_of(pipeline: Pipeline) -> Any:
    """Columns a raw row must have, their units in their names, and the SOH that comes out."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    kinds = {"checkup_index": "long"} | dict.fromkeys(TEXT_COLUMNS, "string")
    inputs: list[Any] = [ColSpec(kinds.get(name, "double"), name) for name in pipeline.raw_columns]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double", "soh")]))


def requirements(model_name: str) -> list[str]:
    """What the packed model needs, pinned; local build tags such as ``+cpu`` are left out.

    Example:
        >>> [line.split("==")[0] for line in requirements("lgbm")]
        ['mlflow', 'numpy', 'pandas', 'pydantic', 'lightgbm']
    """
    names = (*_NEEDED_BY_ALL, *_NEEDED_BY[model_name])
    return [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in names]


def load_pipeline(model_uri: str) -> Pipeline:
    """The pipeline inside a registered model, for scoring it again on new rows."""
    import mlflow

    folder: Any = mlflow.artifacts.download_artifacts(artifact_uri=model_uri)
    return Pipeline.load(Path(folder) / "artifacts" / "pipeline")
