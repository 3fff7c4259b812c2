"""What members return with ``return_drawn=True``: values that print, compare, hash, pickle and check their numbers."""

from __future__ import annotations

import json
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest
import simdrop
from helpers import assert_same_bits, refused
from places import DATA

MASK = simdrop.Mask((2, 3), 0.4, seed=3)
VALUES: dict[str, tuple[simdrop.Drawn, simdrop.Drawn]] = {  # and another one of the same class
    "AffineDrawn": (simdrop.AffineDrawn(MASK, scale=2.5, shift=0.5, dropped=-1.0), simdrop.AffineDrawn(MASK)),
    "ZoneoutDrawn": (simdrop.ZoneoutDrawn(MASK, expected=0.25), simdrop.ZoneoutDrawn(MASK)),
    "BiasDropoutAddDrawn": (
        simdrop.BiasDropoutAddDrawn(MASK, scale=2.5, has_bias=False),
        simdrop.BiasDropoutAddDrawn(MASK, scale=2.5),
    ),
    "DropConnectDrawn": (
        simdrop.DropConnectDrawn(
            MASK, scale=2.5, variance=0.5, noise=simdrop.Noise((4, 2), 1.0, multiplicative=False, seed=7, stream=1)
        ),
        simdrop.DropConnectDrawn(MASK, scale=2.5),
    ),
    "AttentionDrawn": (
        simdrop.AttentionDrawn(MASK, scale=0.5, is_causal=True),
        simdrop.AttentionDrawn(MASK, scale=0.5),
    ),
    "EmbeddingDrawn": (
        simdrop.EmbeddingDrawn(simdrop.Mask((9,), 0.4, seed=3), scale=2.5),
        simdrop.EmbeddingDrawn(simdrop.Mask((9,), 0.4, seed=3)),
    ),
    "SamplesDrawn": (simdrop.SamplesDrawn(MASK, scale=2.5), simdrop.SamplesDrawn(MASK)),
    "Noise": (
        simdrop.Noise((2, 3), 0.5, multiplicative=False, seed=2**64 - 1, stream=4, offset=9),
        simdrop.Noise((2, 3), 0.5, seed=3),
    ),
    "BlockMask": (
        simdrop.BlockMask((1, 2, 4, 4), 3, simdrop.Mask((1, 1, 2, 2), 0.3, seed=5)),
        simdrop.BlockMask((1, 1, 4, 4), 3, simdrop.Mask((1, 1, 2, 2), 0.3, seed=5)),
    ),
    "TokenMask": (
        simdrop.TokenMask(2, 9, 4, prefix=1, ordered=False, seed=8, stream=2),
        simdrop.TokenMask(2, 9, 4, seed=8),
    ),
    "ConcreteMask": (
        simdrop.ConcreteMask((2, 3), 0.3, 0.5, seed=8, stream=2),
        simdrop.ConcreteMask((2, 3), 0.3, 0.5, seed=8),
    ),
}
by_class = pytest.mark.parametrize("name", VALUES)


def golden() -> dict[str, str]:
    return dict(json.loads((DATA / "pickles_v2.json").read_text())["pickles"])


def test_all_classes_are_here() -> None:
    public = {name: getattr(simdrop, name) for name in simdrop.__all__}
    drawn = {name for name, thing in public.items() if isinstance(thing, type) and issubclass(thing, simdrop.Drawn)}
    drawn.remove("Drawn")
    assert set(VALUES) == drawn == set(golden())


@by_class
def test_it_is_a_value(name: str) -> None:
    one, other = VALUES[name]
    again = eval(repr(one), {"simdrop": simdrop})
    assert type(one).__name__ == name
    assert again == one != other
    assert hash(again) == hash(one)
    assert eval(repr(other), {"simdrop": simdrop}) == other
    with pytest.raises(AttributeError):
        one.seed = 1  # type: ignore[attr-defined]
    with pytest.raises((AttributeError, TypeError)):
        one.another = 1  # type: ignore[attr-defined]


@by_class
def test_it_pickles_by_public_names(name: str) -> None:
    for value in VALUES[name]:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(value, protocol)
            assert pickle.loads(data) == value
        data = pickle.dumps(value, 2)
        named = {arg for opcode, arg, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}
        assert all(module == "simdrop" for module, _ in (str(n).split() for n in named)), named
        assert len(data) < 600


@by_class
def test_pickles_of_version_0_1_load(name: str) -> None:
    assert pickle.loads(bytes.fromhex(golden()[name])) == VALUES[name][0]


@by_class
def test_loading_checks_the_numbers(name: str) -> None:
    value = VALUES[name][0]
    make, (cls,), state = value.__reduce__()
    for key in state:
        wrong = make(cls)
        with pytest.raises((TypeError, ValueError)):
            wrong.__setstate__({**state, key: object()})


def test_wrong_numbers_are_refused_by_name() -> None:
    block, tokens, concrete, noise = simdrop.BlockMask, simdrop.TokenMask, simdrop.ConcreteMask, simdrop.Noise
    seeds = simdrop.Mask((1, 1, 2, 2), 0.3, seed=5)
    refused(lambda: block("abc", -3, None), TypeError, "shape")  # type: ignore[arg-type]
    refused(lambda: block((1, 1, 4, 4), -3, seeds), ValueError, "size")
    refused(lambda: block((1, 1, 4, 4), 0, seeds), ValueError, "size")
    refused(lambda: block((1, 1, 4, 4), 3, None), TypeError, "seeds")  # type: ignore[arg-type]
    refused(lambda: block((1, 1, 4, 5), 3, seeds), ValueError, "seeds", "shape")
    refused(lambda: block((4, 4), 3, seeds), ValueError, "shape")
    refused(lambda: concrete((2,), 7, -1, seed=-3), ValueError, "p")
    refused(lambda: concrete((2,), 0.5, -1, seed=3), ValueError, "temperature")
    refused(lambda: concrete((2,), 0.5, np.nan, seed=3), ValueError, "temperature")
    refused(lambda: concrete((2,), 0.5, 1, seed=-3), ValueError, "seed")
    refused(lambda: concrete((-2,), 0.5, 1, seed=3), ValueError, "shape")
    refused(lambda: tokens(2, 3, 30, seed=1), ValueError, "kept")
    refused(lambda: tokens(2, -3, 1, seed=1), ValueError, "tokens")
    refused(lambda: tokens(2, 3, 1, prefix=-1, seed=1), ValueError, "prefix")
    refused(lambda: tokens(2, 3, 1, seed=2**64), ValueError, "seed")
    refused(lambda: noise((2,), -1.0, seed=1), ValueError, "sd")
    refused(lambda: simdrop.AffineDrawn(3), TypeError, "mask")  # type: ignore[arg-type]
    refused(lambda: simdrop.AffineDrawn(MASK, scale="2"), TypeError, "scale")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_inference_keeps_the_bits_of_gradients(dtype: str) -> None:
    # a signalling NaN, minus zero, infinity: nothing is computed where nothing was dropped or scaled
    kind = np.dtype(dtype)
    grad = np.array([-0.0, np.inf, np.nan, 1e-7], dtype)
    grad.view(f"u{kind.itemsize}")[2] -= 1 << (np.finfo(kind).nmant - 1)
    grad.view(f"u{kind.itemsize}")[2] += 1
    for member in (simdrop.dropout, simdrop.drop_path, simdrop.alpha_dropout, simdrop.gaussian_dropout):
        _, drawn = member(np.ones(4, dtype), 0.5, training=False, return_drawn=True)
        assert_same_bits(drawn.backward(grad), grad)


def test_what_scaling_did_is_known() -> None:
    ones = np.ones(4)
    _, drawn = simdrop.dropout(ones, 0.5, training=False, scaling="classic", return_drawn=True)
    np.testing.assert_array_equal(drawn.backward(ones), 0.5 * ones)
    _, drawn = simdrop.dropout(ones, 1.0, training=False, scaling="classic", return_drawn=True)
    np.testing.assert_array_equal(drawn.backward(np.full(4, np.nan)), 0 * ones)
    _, connect = simdrop.drop_connect(
        np.full((1, 1), 3.0), np.ones((1, 1)), p=0.5, training=False, scaling="classic", return_drawn=True
    )
    assert connect.backward(np.ones((1, 1)), np.full((1, 1), 3.0), np.ones((1, 1)))[1] == 1.5
    _, zoned = simdrop.zoneout(ones, ones, 0.25, training=False, return_drawn=True)
    assert [g[0] for g in zoned.backward(ones)] == [0.75, 0.25]


@by_class
def test_errors_of_backward_name_the_gradient(name: str) -> None:
    needs: dict[str, tuple[Any, ...]] = {
        "DropConnectDrawn": (np.ones((4, 3)), np.ones((2, 3))),
        "AttentionDrawn": (np.ones((2, 1)), np.ones((3, 1)), np.ones((3, 1))),
        "EmbeddingDrawn": (np.array([0, 1]),),
        "ConcreteMask": (np.ones((2, 3)),),
    }
    for wrong in ([1.0], np.ones((2, 3), int), np.ma.masked_array(np.ones((2, 3)))):
        if name == "TokenMask" and isinstance(wrong, np.ndarray) and not isinstance(wrong, np.ma.MaskedArray):
            continue  # integers are tokens, too
        refused(lambda wrong=wrong: VALUES[name][0].backward(wrong, *needs.get(name, ())), TypeError, "grad")  # type: ignore[misc]
    refused(lambda: VALUES[name][0].backward(np.ones((7, 7)), *needs.get(name, ())), ValueError, "grad", "shape")


def main() -> None:
    """Write the golden file. Only for a new class: what it holds must load for ever."""
    pickles = {name: pickle.dumps(values[0], 2).hex() for name, values in VALUES.items()}
    comment = "What return_drawn gives, as version 0.1 pickled it (protocol 2, hexadecimal). See test_drawn.py."
    (DATA / "pickles_v2.json").write_text(json.dumps({"_comment": comment, "pickles": pickles}, indent=1) + "\n")


if __name__ == "__main__":
    main()
