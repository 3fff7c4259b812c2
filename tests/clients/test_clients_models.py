"""Models of transformers, peft and timm train on the kernels, by PyTorch's seeds, and go on where they were saved."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

libraries = ("torch", "transformers", "peft", "timm", "sklearn")
missing = [name for name in libraries if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"not installed: {missing}", allow_module_level=True)

import simdrop.torch as st  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from client_models import BATCH, CLIENTS, HUGGING_FACE, SMALL, Client, batch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 8
by_name = pytest.mark.parametrize("client", CLIENTS, ids=str)


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are small, and other tests may run beside these
    with st.accelerated():
        yield
    torch.set_num_threads(before)


class Training:
    """A training run that can be saved and gone on with."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client = client
        torch.manual_seed(seed)
        self.model = client.make(SMALL).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-3)

    def steps(self, n: int) -> list[float]:
        losses = []
        for _ in range(n):
            loss = self.client.loss(self.model, *batch())
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            losses.append(float(loss.detach()))
        return losses

    def saved(self) -> Any:
        return copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict(), torch.get_rng_state()))

    def load(self, state: Any) -> None:
        model, optimizer, generator = state
        self.model.load_state_dict(model)
        self.optimizer.load_state_dict(optimizer)
        torch.set_rng_state(generator)


@by_name
def test_training(client: Client) -> None:
    first = Training(client, 1)
    calls = st.kernel_calls()
    loss = client.loss(first.model, *batch())
    assert st.kernel_calls() == calls + client.dropouts
    loss.backward()
    assert st.kernel_calls() >= calls + client.dropouts + 1
    first.model.eval()
    calls = st.kernel_calls()
    client.loss(first.model, *batch())
    assert st.kernel_calls() == calls

    first = Training(client, 1)
    losses = first.steps(STEPS // 2)
    state = first.saved()
    losses += first.steps(STEPS // 2)
    assert min(losses[-3:]) < losses[0] - 0.02, "it does not learn"
    assert Training(client, 1).steps(STEPS) == losses, "the seed does not reproduce it"
    other = Training(client, 2)
    assert other.steps(STEPS // 2) != losses[: STEPS // 2]
    other.load(state)
    assert other.steps(STEPS // 2) == losses[STEPS // 2 :], "it does not go on where it was saved"


@pytest.mark.parametrize("eager", HUGGING_FACE[::2], ids=str)
def test_masks_are_the_same_in_both_kinds_of_attention(eager: Client) -> None:
    fused = HUGGING_FACE[HUGGING_FACE.index(eager) + 1]
    torch.testing.assert_close(Training(fused, 3).steps(2), Training(eager, 3).steps(2))


@pytest.mark.parametrize("client", HUGGING_FACE, ids=str)
def test_checkpoints_have_the_gradients_of_the_model_without(client: Client) -> None:
    gradients = []
    for reentrant in (None, False, True):
        training = Training(client, 4)
        if reentrant is not None:
            training.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        torch.manual_seed(5)
        calls = st.kernel_calls()
        client.loss(training.model, *batch()).backward()
        gradients.append([p.grad for p in training.model.parameters() if p.grad is not None])
        if reentrant is None:
            plain = st.kernel_calls() - calls
        else:
            assert st.kernel_calls() - calls > plain, "nothing was computed again"
    for others in gradients[1:]:
        assert len(others) == len(gradients[0]) > 10
        for got, expected in zip(others, gradients[0], strict=True):
            if client.name.startswith("t5"):  # the parts of its encoder's gradient are added in another order
                torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
            else:
                assert torch.equal(got, expected)


class _Digits(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 160

    def __getitem__(self, index: int) -> Any:
        tokens = batch()[0][index % BATCH].reshape(-1)
        return {"input_ids": tokens, "labels": tokens}


def test_trainer(tmp_path: Path) -> None:
    client = next(client for client in CLIENTS if client.name == "gpt2-eager")

    def run(checkpoint: bool = False) -> tuple[list[float], int]:
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=20,
            per_device_train_batch_size=8,
            learning_rate=5e-3,
            logging_steps=1,
            save_steps=12,
            seed=3,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        transformers.set_seed(3)
        trainer = transformers.Trainer(client.make(SMALL), arguments, train_dataset=_Digits())
        trainer.remove_callback(transformers.PrinterCallback)
        calls = st.kernel_calls()
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12") if checkpoint else None)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return losses, st.kernel_calls() - calls

    losses, calls = run()
    assert calls == 20 * 2 * client.dropouts
    assert len(losses) == 20
    assert sum(losses[-5:]) < sum(losses[:5]) - 1
    assert run()[0] == losses
    resumed, calls = run(checkpoint=True)
    assert calls == 8 * 2 * client.dropouts
    assert resumed == losses, "Trainer's own checkpoint does not go on as it would have"
