"""PyTorch's operator information with and without `install`: where PyTorch passes its own checks, so do we.

Outcomes are compared, not expected: the next release of PyTorch tells what has changed by itself.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # which torch.testing._internal needs
import simdrop.torch as st  # noqa: E402
from torch_op_checks import CHECKS  # noqa: E402
from torch_op_samples import ENTRIES, InapplicableError, samples  # noqa: E402

# What stock may fail with where we pass: a difference in values, by itself or within gradcheck, and in-place randomness
# on a tensor that has no batch, which PyTorch's composed attention has under vmap and one kernel has not.
DIFFERS = ("AssertionError", "GradcheckError", "RuntimeError: vmap: Cannot ask for different inplace randomness")


def outcome(check: Any, op: Any, sample: Any) -> str:
    """Return what comes of a check: nothing, or an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's internals
        try:
            check(op, sample)
        except InapplicableError:
            return "inapplicable"
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip()[:100]}"
    return ""


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("check", CHECKS)
def test_checks_that_pytorch_passes(name: str, check: str) -> None:
    op, passed = ENTRIES[name], 0
    for sample in samples(op, torch.float64):
        stock = outcome(CHECKS[check], op, sample)
        with st.accelerated():
            ours = outcome(CHECKS[check], op, sample)
        assert ours == stock or (ours == "" and stock.startswith(DIFFERS)), sample
        passed += stock == ""
    # a check that PyTorch fails with every sample of its simplest entry is a check with a mistake
    assert passed or name != "nn.functional.dropout"


def test_there_are_entries_and_samples_that_drop() -> None:
    assert len(ENTRIES) >= 8
    assert all(samples(op, torch.float64) for op in ENTRIES.values())
