"""Members trained at once equal the same models trained one by one."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.errors import SettingsError, TrainingError
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.mlp import MLPModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.training import BaseCallback, StopReason, Trainer

SEED, K = 5, 3
CONFIG: dict[str, Any] = {
    "epochs": 40, "batch_size": 16, "learning_rate": 0.03, "gradient_clip": 0.1, "early_stopping_patience": 4,
    "seed": SEED, "device": "cpu",
}  # fmt: skip
#: Products are summed in another order; forty epochs of it stay within these.
CLOSE = {"rtol": 2e-3, "atol": 2e-4}


def make_samples(n: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = 0.9 + 0.05 * np.tanh(x[:, :1]) + 0.01 * rng.normal(size=(n, 1))
    return Samples(x, y, [SampleMeta(f"c{i // 10}", i % 10) for i in range(n)])


TRAIN, VAL = make_samples(150, 0), make_samples(60, 1)


def make(n_members: int, seed: int = SEED, dropout: float = 0.0, **extra: Any) -> MLPModel:
    torch.manual_seed(seed)
    return MLPModel(5, [16, 8], dropout, n_members=n_members, **extra)


def test_members_start_as_single_models_of_their_seeds() -> None:
    ensemble = make(K, init="he")
    for i in range(K):
        single = make(1, SEED + i, init="he")
        for a, b in zip(ensemble.member(i).parameters(), single.parameters(), strict=True):
            assert torch.equal(a, b)


def test_the_stacked_layers_equal_torch_func_vmap() -> None:
    ensemble, singles = make(K), [make(1, SEED + i) for i in range(K)]
    stacked, _ = stack_module_state(singles)  # type: ignore[arg-type]
    x = torch.randn(K, 7, 5)
    want = vmap(lambda weights, rows: functional_call(singles[0], weights, (rows,)))(stacked, x)
    torch.testing.assert_close(ensemble(x), want)


def histories(n: int, seed: int) -> Samples:
    """Histories of one to six check-ups, their padding in front."""
    rng = np.random.default_rng(seed)
    mask = np.arange(6) >= rng.integers(0, 6, n)[:, None]
    x = (rng.normal(size=(n, 6, 5)) * mask[..., None]).astype(np.float32)
    t = np.cumsum(rng.uniform(1, 30, (n, 6)), axis=1).astype(np.float32)
    y = 0.9 + 0.05 * np.tanh(x[:, -1, :1])
    return Samples(x, y, [SampleMeta(f"c{i // 10}", i % 10) for i in range(n)], mask, t)


OF_HISTORIES: list[tuple[Any, dict[str, Any]]] = [
    (LSTMAttentionModel, {"hidden_dim": 8, "num_layers": 2, "head_dims": (8,), "dropout": 0.0}),
    (NeuralODEModel, {"latent_dim": 4, "hidden_dim": 8, "head_dims": (8,)}),
]


def made(kind: Any, given: dict[str, Any], n_members: int, seed: int = SEED) -> Any:
    torch.manual_seed(seed)
    return kind(5, **given, n_members=n_members)


@pytest.mark.parametrize(("kind", "given"), OF_HISTORIES)
def test_members_that_read_histories_equal_single_models(kind: Any, given: dict[str, Any], tmp_path: Path) -> None:
    ensemble, told = made(kind, given, K), histories(40, 0)
    each = ensemble.predict_members(told.x, told.mask, told.t)
    singles = [made(kind, given, 1, SEED + i) for i in range(K)]
    want = np.stack([single.predict(told.x, told.mask, told.t) for single in singles])
    assert np.array_equal(each, want)
    assert np.array_equal(ensemble.predict(told.x, told.mask, told.t), want.mean(axis=0))
    ensemble.save(tmp_path)
    assert np.array_equal(kind.load(tmp_path).predict_members(told.x, told.mask, told.t), each)
    assert np.array_equal(copy.deepcopy(ensemble).member(1).predict(told.x, told.mask, told.t), want[1])


@pytest.mark.parametrize(("kind", "given"), OF_HISTORIES)
def test_each_member_that_reads_histories_trains_as_a_single_run(kind: Any, given: dict[str, Any]) -> None:
    config = CONFIG | {"epochs": 12, "early_stopping_patience": 3, "learning_rate": 0.003}
    train, val = histories(150, 0), histories(60, 1)
    ensemble = made(kind, given, K)
    history = Trainer(ensemble, config).fit(train, val)
    for i in range(K):
        single = made(kind, given, 1, SEED + i)
        alone = Trainer(single, config | {"seed": SEED + i}).fit(train, val)
        assert alone.best_epoch == history.best_epochs[i]
        want = single.predict(val.x, val.mask, val.t)
        np.testing.assert_allclose(ensemble.member(i).predict(val.x, val.mask, val.t), want, **CLOSE)
    assert min(history["train_loss"]) < 0.8 * history["train_loss"][0]


def test_members_drop_units_only_while_they_train() -> None:
    model, told = made(LSTMAttentionModel, {"hidden_dim": 8, "dropout": 0.5}, 2), histories(20, 0)
    given = (torch.from_numpy(told.x), torch.from_numpy(told.mask), torch.from_numpy(told.t))
    model.train()
    assert not torch.equal(model(*given), model(*given))
    model.eval()
    assert torch.equal(model(*given), model(*given))


@pytest.mark.parametrize(("kind", "given"), OF_HISTORIES)
def test_members_answer_requests_side_by_side(kind: Any, given: dict[str, Any]) -> None:
    model, asked = made(kind, given, K), [histories(30, seed).x for seed in range(40)]
    alone = [model.predict_members(x) for x in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.predict_members, asked))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_explanations_of_members() -> None:
    told = histories(9, 0)
    given = (torch.from_numpy(told.x), torch.from_numpy(told.mask), torch.from_numpy(told.t))
    lstm, ode = (made(kind, settings, 2) for kind, settings in OF_HISTORIES)
    each = torch.stack([lstm.member(i).explain(*given) for i in range(2)])
    torch.testing.assert_close(lstm.explain(*given), each.mean(dim=0))
    assert not torch.equal(each[0], each[1])
    assert torch.equal(ode.explain(*given).latent, ode.member(0).explain(*given).latent)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "mape", "physics_informed"])
def test_a_few_epochs_of_a_member_equal_the_single_run_closely(name: str) -> None:
    weights = {"monotonicity_weight": 0.1, "smoothness_weight": 0.1} if name == "physics_informed" else {}
    loss, few = {"name": name, **weights}, CONFIG | {"epochs": 3}
    ensemble, single = make(K), make(1, SEED + 2)
    Trainer(ensemble, few, loss_config=loss).fit(TRAIN, VAL)
    Trainer(single, few | {"seed": SEED + 2}, loss_config=loss).fit(TRAIN, VAL)
    np.testing.assert_allclose(ensemble.member(2).predict(VAL.x), single.predict(VAL.x), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("loss", [None, {"name": "huber", "delta": 0.02}])
def test_member_i_equals_a_single_run_with_seed_i(loss: Any) -> None:
    ensemble = make(K)
    history = Trainer(ensemble, CONFIG, loss_config=loss).fit(TRAIN, VAL)
    assert history.stop_reason == StopReason.PATIENCE
    singles, val_losses = [], []
    for i in range(K):
        singles.append(make(1, SEED + i))
        single = Trainer(singles[i], CONFIG | {"seed": SEED + i}, loss_config=loss).fit(TRAIN, VAL)
        assert single.best_epoch == history.best_epochs[i]
        val_losses.append(single["val_loss"])
        np.testing.assert_allclose(ensemble.member(i).predict(VAL.x), singles[i].predict(VAL.x), **CLOSE)
    assert len({*history.best_epochs}) > 1 or loss is not None  # the members do stop at epochs of their own
    assert history["val_loss"][0] == pytest.approx(np.mean([v[0] for v in val_losses]), rel=1e-4)
    mean = np.mean([single.predict(VAL.x) for single in singles], axis=0)
    np.testing.assert_allclose(ensemble.predict(VAL.x), mean, **CLOSE)
    assert ensemble.predict_members(VAL.x).shape == (K, 60, 1)


def test_biases_are_spared_in_members_too() -> None:
    config = CONFIG | {"decay_biases_and_norms": False, "weight_decay": 5.0, "epochs": 5}
    ensemble, single = make(K), make(1, SEED + 1)
    Trainer(ensemble, config).fit(TRAIN, VAL)
    Trainer(single, config | {"seed": SEED + 1}).fit(TRAIN, VAL)
    np.testing.assert_allclose(ensemble.member(1).predict(VAL.x), single.predict(VAL.x), **CLOSE)


def test_accumulated_members_equal_the_large_batch() -> None:
    models = [make(K), make(K)]
    for model, sizes in zip(models, ({"batch_size": 64}, {"batch_size": 16, "accumulate": 4}), strict=True):
        Trainer(model, CONFIG | sizes | {"epochs": 5}).fit(TRAIN)
    np.testing.assert_allclose(models[0].predict(VAL.x), models[1].predict(VAL.x), rtol=1e-4, atol=1e-5)


def test_a_killed_ensemble_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Kill(BaseCallback):
        def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
            if (epoch, batch) == (6, 3):
                raise KeyboardInterrupt

    def train(folder: Path, **fit: Any) -> MLPModel:
        model = make(K, dropout=0.2)
        kill = [] if folder.name == "whole" or fit else [Kill()]
        Trainer(model, CONFIG, run_dir=folder, callbacks=kill).fit(TRAIN, VAL, **fit)
        return model

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed")
    resumed = train(tmp_path / "killed", resume=tmp_path / "killed")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    best = torch.load(tmp_path / "whole" / "checkpoints" / "best.pt", weights_only=True)["model_state_dict"]
    assert all(torch.equal(best[name], tensor) for name, tensor in whole.state_dict().items())


def test_save_and_load_keep_the_members(tmp_path: Path) -> None:
    model = make(K)
    model.save(tmp_path)
    assert np.array_equal(MLPModel.load(tmp_path).predict_members(VAL.x), model.predict_members(VAL.x))
    assert make(1).predict_members(VAL.x).shape == (1, 60, 1)
    linear = MLPModel(5, [], 0.0, n_members=2)
    assert linear.predict(VAL.x).shape == (60, 1)


def test_a_bad_row_of_any_member_stops_all() -> None:
    train = make_samples(150, 0)
    train.x[37] = np.nan
    history = Trainer(make(K), CONFIG).fit(train, VAL)
    assert history.stop_reason == StopReason.NON_FINITE
    assert history.offending_cells == ["c3"]


def test_what_members_cannot_do_is_refused() -> None:
    two = Samples(TRAIN.x, np.hstack([TRAIN.y, TRAIN.y]), TRAIN.meta)
    two.y[0, 1] = np.nan
    with pytest.raises(TrainingError, match=r"some targets are missing: train the members one by one \(n_members=1\)"):
        Trainer(make(K, output_dim=2), CONFIG).fit(two)
    with pytest.raises(SettingsError, match=r"MLPModel n_members: expected at least 1, got 0"):
        make(0)
    assert isinstance(make(1).member(0), nn.Module)
