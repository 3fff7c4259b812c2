"""Small models of real libraries with random weights, on scikit-learn's digits; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # A build for GPUs beside a PyTorch for CPUs: its operators are missing, and two of them are looked for by their
    # names while the Python part is imported, which transformers and timm do.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import peft
import timm
import transformers
from sklearn.datasets import load_digits

LEVELS, CLASSES = 17, 10
BATCH = 16


@dataclass(frozen=True)
class Size:
    """How large a model is, and what it reads."""

    width: int = 32
    layers: int = 2
    heads: int = 2
    side: int = 8  # of images, whose pixels are the tokens of text models

    @property
    def tokens(self) -> int:
        return self.side**2


SMALL = Size()


@cache
def batch() -> tuple[Any, Any]:
    """Return 8 x 8 images of integers from 0 to 16, as tensors, and which digits they show."""
    data = load_digits()
    return torch.from_numpy(data.images[:BATCH]).long(), torch.from_numpy(data.target[:BATCH]).long()


@dataclass(frozen=True)
class Client:
    """A model of a library: how it is made, and its loss on a batch of digits."""

    name: str
    make: Callable[[Size], Any]
    loss: Callable[[Any, Any, Any], Any]
    dropouts: int  # calls of a kernel in a forward pass

    def __str__(self) -> str:
        return self.name


def _tokens(images: Any) -> Any:
    return images.flatten(1)


def _classified(model: Any, images: Any, labels: Any) -> Any:
    return model(input_ids=_tokens(images), labels=labels).loss


def _continued(model: Any, images: Any, labels: Any) -> Any:
    return model(input_ids=_tokens(images), labels=_tokens(images)).loss


def _translated(model: Any, images: Any, labels: Any) -> Any:
    return model(input_ids=_tokens(images), labels=labels[:, None]).loss


def _seen(model: Any, images: Any, labels: Any) -> Any:
    return model(pixel_values=images[:, None] / 16, labels=labels).loss


def _judged(model: Any, images: Any, labels: Any) -> Any:
    return torch.nn.functional.cross_entropy(model(images[:, None] / 16), labels)


def bert(attention: str, size: Size) -> Any:
    config = transformers.BertConfig(
        vocab_size=LEVELS,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        max_position_embeddings=size.tokens,
        num_labels=CLASSES,
        attn_implementation=attention,
    )
    return transformers.BertForSequenceClassification(config)


def gpt2(attention: str, size: Size) -> Any:
    config = transformers.GPT2Config(
        vocab_size=LEVELS,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        n_positions=size.tokens,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attention,
    )
    return transformers.GPT2LMHeadModel(config)


def t5(attention: str, size: Size) -> Any:
    config = transformers.T5Config(
        vocab_size=LEVELS,
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=4 * size.width,
        num_layers=size.layers,
        num_heads=size.heads,
        decoder_start_token_id=0,
        pad_token_id=0,
        attn_implementation=attention,
    )
    return transformers.T5ForConditionalGeneration(config)


def vit(attention: str, size: Size) -> Any:
    config = transformers.ViTConfig(
        image_size=size.side,
        patch_size=2,
        num_channels=1,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        num_labels=CLASSES,
        attn_implementation=attention,
    )
    return transformers.ViTForImageClassification(config)


def lora(size: Size) -> Any:
    """Return a BERT of which only low-rank additions are trained, with dropout before them."""
    adapters = peft.LoraConfig(
        task_type="SEQ_CLS", r=4, lora_alpha=16, lora_dropout=0.2, target_modules=["query", "value"]
    )
    model = bert("eager", size)
    for module in model.modules():  # so that what is dropped is LoRA's alone
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return peft.get_peft_model(model, adapters)


def timm_vit(size: Size) -> Any:
    """Return timm's vision transformer with dropout and stochastic depth."""
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=size.side,
        patch_size=2,
        in_chans=1,
        embed_dim=size.width,
        depth=size.layers,
        num_heads=size.heads,
        num_classes=CLASSES,
        drop_rate=0.1,
        pos_drop_rate=0.1,
        proj_drop_rate=0.1,
        attn_drop_rate=0.1,
        drop_path_rate=0.3,
    )


# For a model of SMALL: one dropout of the embeddings, then of each layer's attention and its two results; BERT has one
# before its classifier, T5 one before each norm, in its feed-forward parts and in attention to the encoder too.
HUGGING_FACE = [
    Client(f"{make.__name__}-{attention}", partial(make, attention), loss, dropouts)
    for make, loss, dropouts in (
        (bert, _classified, 1 + 3 * SMALL.layers + 1),
        (gpt2, _continued, 1 + 3 * SMALL.layers),
        (t5, _translated, 4 + (4 + 6) * SMALL.layers),
        (vit, _seen, 1 + 3 * SMALL.layers),
    )
    for attention in ("eager", "sdpa")
]
# LoRA's are before the additions to queries and values. timm's are those of positions, before the classifier, of the
# attention, its result and twice in the feed-forward part.
CLIENTS = [
    *HUGGING_FACE,
    Client("bert-lora", lora, _classified, 2 * SMALL.layers),
    Client("timm-vit", timm_vit, _judged, 2 + 4 * SMALL.layers),
]
