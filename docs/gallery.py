"""The pages of the gallery: each example with its picture, what it printed and the code that did it.

``python docs/gallery.py`` runs every example whose code has changed since its picture was made, and keeps what it
printed and the digest of the code in docs/pictures/examples.json. `write` makes the pages from that; where the code is
another than the digest says, it runs the example first, so a page always shows what its code does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
KEPT = DOCS / "pictures" / "examples.json"
# script, title, whether it draws a picture
SCRIPTS = (
    ("overfitting", "Dropout against overfitting", True),
    ("which_p", "Which p", True),
    ("uncertainty", "Uncertainty", True),
    ("depth_and_attention", "Depth and attention", True),
    ("one_mask", "One mask, cut in two ways", True),
    ("keras_digits", "Keras, unchanged", False),
    ("jax_digits", "Flax and Optax", False),
)


def digest(script: str) -> str:
    """Return the fingerprint of the code of an example."""
    code = (EXAMPLES / f"{script}.py").read_bytes()
    shared = (EXAMPLES / "network.py").read_bytes() if b"from network import" in code else b""
    style = (DOCS.parent / "python" / "simdrop" / "pictures.mplstyle").read_bytes()
    return hashlib.sha256(code + shared + style).hexdigest()[:16]


def kept() -> dict[str, dict[str, str]]:
    """Return what the runs so far have printed, by example."""
    found: dict[str, dict[str, str]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def run(script: str) -> None:
    """Run an example in full, which writes its picture, and keep what it prints."""
    print(f"running examples/{script}.py", flush=True)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": "torch", "PYTHONWARNINGS": "ignore"},
    )
    lines = [line.rstrip() for line in done.stdout.splitlines() if not line.startswith("wrote ")]
    entry = {"digest": digest(script), "printed": "\n".join(re.sub(r".*\r", "", line) for line in lines)}
    KEPT.write_text(json.dumps({**kept(), script: entry}, indent=1, sort_keys=True) + "\n")


def update() -> None:
    """Run the examples whose code is not the one that was run last."""
    for script, _, _ in SCRIPTS:
        if kept().get(script, {}).get("digest") != digest(script):
            run(script)


def write(docs: Path) -> None:
    """Write a page for each example into docs/gallery, which git ignores."""
    update()
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    for script, title, picture in SCRIPTS:
        shown = f"![{title}](../pictures/{script}.png)\n\n" if picture else ""
        page = (
            f"# {title}\n\n{shown}It prints\n\n```text\n{kept()[script]['printed']}\n```\n\n"
            f"`examples/{script}.py`:\n\n```{{literalinclude}} ../../examples/{script}.py\n:language: python\n```\n"
        )
        target = folder / f"{script}.md"
        if not target.exists() or target.read_text() != page:  # Sphinx reads again what is newer
            target.write_text(page)


if __name__ == "__main__":
    update()
