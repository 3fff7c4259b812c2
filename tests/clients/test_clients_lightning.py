"""A Lightning module trains on the kernels, by its seed, and goes on from Lightning's checkpoint."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

missing = [name for name in ("torch", "lightning", "sklearn") if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"not installed: {missing}", allow_module_level=True)

import client_models  # noqa: E402, F401  # before Lightning, which looks for torchvision too
import lightning  # noqa: E402
import simdrop.torch as st  # noqa: E402
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
BATCHES, BATCH = 10, 32


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    with st.accelerated():
        yield


class Classifier(lightning.LightningModule):
    """Keeps its losses, and the state of PyTorch's generator in its checkpoints, which Lightning leaves to users."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(64, 10)
        )
        self.losses: list[float] = []
        self.generator: Any = None

    def training_step(self, batch: Any, index: int) -> Any:
        loss = torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.losses.append(float(loss.detach()))
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["generator"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.generator = checkpoint["generator"]

    def on_train_start(self) -> None:
        if self.generator is not None:
            torch.set_rng_state(self.generator)


def fit(epochs: int, seed: int = 1, **options: Any) -> tuple[Classifier, Any]:
    lightning.seed_everything(seed, verbose=False)
    data = load_digits()
    images = torch.from_numpy(data.data[: BATCHES * BATCH]).float() / 16
    labels = torch.from_numpy(data.target[: BATCHES * BATCH])
    own = torch.Generator()  # a loader draws from the generator of the masks otherwise, when Lightning begins an epoch
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels), batch_size=BATCH, generator=own
    )
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = lightning.Trainer(accelerator="cpu", devices=1, max_epochs=epochs, **quiet)
    model = Classifier()
    trainer.fit(model, loader, **options)
    return model, trainer


def test_lightning(tmp_path: Path) -> None:
    calls = st.kernel_calls()
    model, _ = fit(4)
    assert st.kernel_calls() == calls + 2 * 4 * BATCHES
    assert model.losses[-1] < 0.5 * model.losses[0]
    assert fit(4)[0].losses == model.losses
    assert fit(1, seed=2)[0].losses != model.losses[:BATCHES]
    path = tmp_path / "model.ckpt"
    fit(2)[1].save_checkpoint(path)
    assert fit(4, seed=9, ckpt_path=path, weights_only=False)[0].losses == model.losses[2 * BATCHES :]
