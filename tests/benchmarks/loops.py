"""The loops that are compared: each trains one model and gives the time of every epoch and the last training loss."""

from __future__ import annotations

import importlib.util
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from battery_core.data.samples.sample import Samples
from battery_core.training import BaseCallback, Trainer

RATE, DECAY, CLIP, SEED = 1e-3, 0.01, 1.0, 0
Make = Callable[[], nn.Module]


@dataclass
class Timed:
    """Clock times at the end of each epoch, in CPU seconds (wall clock on a GPU)."""

    device: str
    marks: list[float] = field(default_factory=list)
    loss: float = float("nan")

    def mark(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter() if self.device == "cuda" else time.process_time())

    @property
    def epochs(self) -> list[float]:
        return [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)]


def adamw(model: nn.Module, fused: bool = True) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, **({"fused": True} if fused else {}))


def inputs(samples: Samples, device: str) -> dict[str, Tensor]:
    parts = {"x": samples.x, "y": samples.y, "mask": samples.mask, "t": samples.t}
    return {name: torch.from_numpy(part).to(device) for name, part in parts.items() if part is not None}


class _Clock(BaseCallback):
    def __init__(self, timed: Timed) -> None:
        self.timed = timed

    def on_train_start(self) -> None:
        self.timed.mark()

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        self.timed.mark()
        self.timed.loss = metrics["train_loss"]


def ours(make: Make, samples: Samples, batch: int, epochs: int, device: str, **config: Any) -> Timed:
    """The Trainer as it is."""
    timed = Timed(device)
    torch.manual_seed(SEED)
    settings = {
        "epochs": epochs,
        "batch_size": batch,
        "seed": SEED,
        "device": device,
        "use_amp": False,
        "progress": False,
    }
    Trainer(make(), settings | config, callbacks=[_Clock(timed)]).fit(samples)
    return timed


def resident(make: Make, samples: Samples, batch: int, epochs: int, device: str, extra: tuple[str, ...] = ()) -> Timed:
    """(b) By hand, over resident tensors: slices of a permuted epoch, fused AdamW, clip."""
    timed, parts = Timed(device), inputs(samples, device)
    torch.manual_seed(SEED)
    model = make().to(device).train()
    optimizer, weights = adamw(model), list(model.parameters())
    timed.mark()
    for _ in range(epochs):
        order = torch.randperm(len(samples)).to(device)
        shuffled = {name: part[order].split(batch) for name, part in parts.items()}
        losses = []
        for i, (x, y) in enumerate(zip(shuffled["x"], shuffled["y"], strict=True)):
            loss = nn.functional.mse_loss(model(x, **{name: shuffled[name][i] for name in extra}), y)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(weights, CLIP)
            optimizer.step()
            losses.append(loss.detach())
        timed.loss = torch.stack(losses).mean().item()
        timed.mark()
    return timed


def dataloader(make: Make, samples: Samples, batch: int, epochs: int, device: str, fused: bool = True) -> Timed:
    """(a) By hand, with a DataLoader."""
    timed, parts = Timed(device), inputs(samples, "cpu")
    torch.manual_seed(SEED)
    model = make().to(device).train()
    optimizer, weights = adamw(model, fused), list(model.parameters())
    data = torch.utils.data.TensorDataset(parts["x"], parts["y"])
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
    timed.mark()
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            loss = nn.functional.mse_loss(model(x.to(device)), y.to(device))
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(weights, CLIP)
            optimizer.step()
            total += loss.item() * len(x)
        timed.loss = total / len(samples)
        timed.mark()
    return timed


def lightning(make: Make, samples: Samples, batch: int, epochs: int, device: str, fused: bool = True) -> Timed | None:
    """(c) Lightning, its loggers, bar and checkpoints off."""
    if importlib.util.find_spec("lightning") is None:
        return None
    import lightning as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    timed, parts = Timed(device), inputs(samples, "cpu")
    torch.manual_seed(SEED)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = make()

        def training_step(self, rows: Any, index: int) -> Tensor:
            loss = nn.functional.mse_loss(self.model(rows[0]), rows[1])
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return adamw(self.model, fused)

        def on_train_start(self) -> None:
            timed.mark()

        def on_train_epoch_end(self) -> None:
            timed.mark()

    data = torch.utils.data.TensorDataset(parts["x"], parts["y"])
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="gpu" if device == "cuda" else device, devices=1, logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, gradient_clip_val=CLIP,
    )  # fmt: skip
    module = Module()
    trainer.fit(module, loader)
    with torch.no_grad():
        timed.loss = nn.functional.mse_loss(module.model.cpu().train()(parts["x"]), parts["y"]).item()
    return timed


def skorch(make: Make, samples: Samples, batch: int, epochs: int, device: str, fused: bool = True) -> Timed | None:
    """(d) skorch, without its print-out and validation split."""
    if importlib.util.find_spec("skorch") is None:
        return None
    from skorch import NeuralNetRegressor
    from skorch.callbacks import Callback, GradientNormClipping

    timed = Timed(device)
    torch.manual_seed(SEED)

    class Clock(Callback):  # type: ignore[misc]
        def on_train_begin(self, net: Any, **kwargs: Any) -> None:
            timed.mark()

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            timed.mark()

    net = NeuralNetRegressor(
        make(), max_epochs=epochs, batch_size=batch, optimizer=torch.optim.AdamW,
        optimizer__fused=fused or None, lr=RATE,
        optimizer__weight_decay=DECAY, train_split=None, verbose=0, iterator_train__shuffle=True, device=device,
        callbacks=[("clip", GradientNormClipping(CLIP)), ("clock", Clock())],
    )  # fmt: skip
    net.fit(samples.x, samples.y)
    timed.loss = net.history[-1, "train_loss"]
    return timed


def floor(make: Make, samples: Samples, batch: int, epochs: int, device: str) -> Timed:
    """(e) One fixed batch: forward, backward and step only."""
    timed, parts = Timed(device), inputs(samples, device)
    torch.manual_seed(SEED)
    model = make().to(device).train()
    optimizer = adamw(model)
    x, y = parts["x"][:batch].clone(), parts["y"][:batch].clone()
    steps = -(-len(samples) // batch)
    timed.mark()
    for _ in range(epochs):
        for _ in range(steps):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        timed.loss = loss.item()
        timed.mark()
    return timed
