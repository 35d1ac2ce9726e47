"""Export perceptron and LSTM as ONNX graphs: features in physical units in, SOH out.

Imputing, clipping, scaling and the mean over members are part of the graph. The caller computes the features, which
the contract beside the graph lists.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from battery_core.errors import TrainingError
from battery_core.models.nn.base import TorchModel
from battery_core.models.registry import model_spec
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import WeightedEnsemble

OPSET = 17
GRAPH_FILE, CONTRACT_FILE = "model.onnx", "contract.json"
_TOLERANCE = 1e-5  # of SOH
_INT64 = 7  # ONNX type number of int64


def export_onnx(candidate: Pipeline | WeightedEnsemble, rows: pd.DataFrame, folder: Path) -> list[str]:
    """Write graph and contract of each perceptron and LSTM of the candidate, each in a folder; return the folder names.

    Args:
        candidate: a pipeline, or an ensemble, of which each member gets a separate graph.
        rows: raw test rows, on all of which graph and model must agree.
        folder: parent of the folders, which are named as in the package.

    Raises:
        TrainingError: a graph differs from its model by more than 1e-5 of SOH.
    """
    written = []
    for i, (weight, pipeline) in enumerate(candidate.weighted_pipelines):
        if model_spec(pipeline.model_name).exports_onnx:
            name = pipeline.model_name if pipeline is candidate else f"{i}-{pipeline.model_name}"
            _export(pipeline, rows, folder / name, weight)
            written.append(name)
    return written


def inputs_of(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs of the graph for raw rows.

    Shape: features (N, F), or (N, T, F) with mask (N, T) and t (N, T) for a sequence model.
    """
    features = pipeline.features(rows).to_numpy(dtype=np.float64)
    if not pipeline.feature_pipeline.takes_sequences:
        return {"features": features}
    index = pipeline.feature_pipeline.sequence_index(rows)
    return {"features": features[index.rows], "mask": index.mask, "t": index.t}


def _export(pipeline: Pipeline, rows: pd.DataFrame, folder: Path, weight: float) -> None:
    folder.mkdir(parents=True)
    inputs = inputs_of(pipeline, rows)
    axes = {
        name: {0: "checkups", 1: "history"} if pipeline.feature_pipeline.takes_sequences else {0: "checkups"}
        for name in inputs
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the exporter about shapes, which are checked below
        torch.onnx.register_custom_op_symbolic("aten::argsort", _stable_argsort, OPSET)  # type: ignore[attr-defined]
        torch.onnx.export(
            _ExportedPipeline(pipeline).eval(),
            tuple(torch.as_tensor(values[:2]) for values in inputs.values()),
            str(folder / GRAPH_FILE),
            input_names=list(inputs),
            output_names=["soh"],
            dynamic_axes=axes | {"soh": {0: "checkups"}},
            opset_version=OPSET,
            dynamo=False,  # the newer exporter takes ten times as long and cannot do the LSTM's sort
        )
    worst = _largest_difference(folder / GRAPH_FILE, inputs, pipeline.predict(rows))
    if not worst <= _TOLERANCE:
        raise TrainingError(
            f"ONNX of '{pipeline.model_name}': expected the SOH of the model on all {len(rows)} test rows to "
            f"{_TOLERANCE:g}, found a difference of {worst:.2g} - leave release.onnx off until that is fixed"
        )
    contract = _contract(pipeline, inputs, weight) | {"checked": {"rows": len(rows), "largest_difference": worst}}
    (folder / CONTRACT_FILE).write_text(json.dumps(contract, indent=2) + "\n")


def _largest_difference(file: Path, inputs: dict[str, npt.NDArray[Any]], expected: npt.NDArray[np.float64]) -> float:
    """Return the largest difference in SOH between ONNX runtime and model; NaN if a prediction is NaN."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (predicted,) = session.run(None, inputs)
    return float(np.abs(predicted - expected).max())


def _contract(pipeline: Pipeline, feature_names: dict[str, npt.NDArray[Any]], weight: float) -> dict[str, Any]:
    shape = ["checkups", "history"] if pipeline.feature_pipeline.takes_sequences else ["checkups"]
    inputs: dict[str, Any] = {
        "features": {
            "type": "float64",
            "shape": [*shape, len(pipeline.feature_names)],
            "columns": list(pipeline.feature_names),
            "made_by": pipeline.feature_pipeline.settings.model_dump(mode="json"),
            "made_from": list(pipeline.raw_columns),
            "units": "as in the names, not scaled; NaN where a value is missing: it becomes the training median",
        }
    }
    if pipeline.feature_pipeline.takes_sequences:
        time = pipeline.feature_pipeline.settings.history_time
        inputs["mask"] = {"type": "bool", "shape": shape, "meaning": "true where a row of the history is real"}
        inputs["t"] = {"type": "float32", "shape": shape, "meaning": f"'{time}' of each row, rising"}
    return {
        "model": pipeline.model_name,
        "opset": OPSET,
        "inputs": {name: inputs[name] for name in feature_names},
        "output": {"soh": {"type": "float64", "shape": ["checkups"], "meaning": "State of Health, 1.0 is fresh"}},
        "soh_reference": pipeline.metadata.get("soh_reference"),
        "data_version": pipeline.metadata.get("data_version"),
        "weight_in_candidate": weight,
    }


class _ExportedPipeline(nn.Module):
    """The pipeline after its features: the scaler in double precision, as in the package, then the network."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        network = cast(TorchModel, pipeline.model)
        self.members = nn.ModuleList(network.member(i) for i in range(network.n_members))
        self.scale, self.offset = pipeline.target_scale, pipeline.target_mean
        scaler = pipeline.feature_pipeline.scaler
        self.clips = bool(np.isfinite(scaler.low).any() or np.isfinite(scaler.high).any())
        fitted = (scaler.median, scaler.low, scaler.high, scaler.mean, scaler.std)
        self.median, self.low, self.high, self.mean, self.std = (torch.as_tensor(values) for values in fitted)

    def forward(self, features: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Return the SOH of each check-up, shape (N,)."""
        x = torch.where(torch.isnan(features) | torch.isinf(features), self.median, features)
        if self.clips:
            x = torch.minimum(torch.maximum(x, self.low), self.high)
        x = ((x - self.mean) / self.std).to(torch.float32)
        each = [member(x) if mask is None else member(x, mask=mask, t=t) for member in self.members]
        scaled = torch.stack(each).to(torch.float64).mean(dim=0).squeeze(-1)  # (K, N, 1) -> (N,)
        return scaled * self.scale + self.offset


def _stable_argsort(g: Any, values: Any, _stable: Any, _dim: Any, _descending: Any) -> Any:
    """Sort the rows of a history by 0 (real) and 1 (padding); for equal values TopK returns the earlier first."""
    steps = g.op("Gather", g.op("Shape", values), g.op("Constant", value_t=torch.tensor([1])))
    _, order = g.op("TopK", g.op("Cast", values, to_i=_INT64), steps, axis_i=1, largest_i=0, sorted_i=1, outputs=2)
    return order
