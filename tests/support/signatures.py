"""The public interface in lines of text; ``python tests/support/signatures.py`` writes ``tests/data/signatures.txt``.

test_signatures.py compares the lines with that file. Annotations are left out: test_types.py is about them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import typing
from collections.abc import Iterator
from typing import Any

from places import DATA

FILE = DATA / "signatures.txt"
MODULES = (
    "simdrop",
    "simdrop.layers",
    "simdrop.schedules",
    "simdrop.torch",
    "simdrop.torch.nn",
    "simdrop.jax",
    "simdrop.jax.linen",
    "simdrop.jax.nnx",
    "simdrop.dask",
    "simdrop.keras",
)
NEEDS = {"torch": ("torch",), "jax": ("jax", "flax"), "dask": ("dask",), "keras": ("keras", "torch")}
os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported
HEADER = "# Every public name and its signature; written by `python tests/support/signatures.py`.\n"


def missing(module: str) -> list[str]:
    """The packages that a module needs and that are not installed."""
    part = module.partition(".")[2].partition(".")[0]
    return [name for name in NEEDS.get(part, ()) if importlib.util.find_spec(name) is None]


def signature(thing: Any) -> str:
    """Names, kinds and defaults of the parameters; for compiled functions the first line of their documentation."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        documentation = (thing.__init__ if inspect.isclass(thing) else thing).__doc__ or ""
        lines = re.findall(r"^(?:1\. )?\w+(\(.*\)) -> ", documentation, re.MULTILINE)
        return re.sub(r": [\w.]+", "", lines[0]) if lines else "(...)"
    if inspect.isclass(thing) and list(found.parameters) == ["args", "kwargs"]:
        # that of __new__, which Python up to 3.11.3 prefers to a derived class' __init__ (gh-105080)
        own = inspect.signature(thing.__init__)
        found = own.replace(parameters=list(own.parameters.values())[1:])
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    shown = str(found.replace(parameters=parameters, return_annotation=found.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", shown)


def describe(name: str, thing: Any) -> Iterator[str]:
    if inspect.ismodule(thing):
        yield f"{name}: module"
    elif typing.get_origin(thing) is not None:
        yield f"{name}: type alias"
    elif inspect.isclass(thing):
        yield f"{name}: class {signature(thing)}"
        for member, value in sorted(vars(thing).items()):
            if not member.startswith("_"):
                function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                yield f"{name}.{member}: {signature(function) if callable(function) else 'attribute'}"
    elif callable(thing):
        yield f"{name}: {signature(thing)}"
    else:
        yield f"{name}: {type(thing).__name__}"


def interface(module: str) -> list[str]:
    """The lines of one module."""
    found = importlib.import_module(module)
    return [line for name in sorted(found.__all__) for line in describe(f"{module}.{name}", getattr(found, name))]


def pinned() -> dict[str, list[str]]:
    """The lines of the file, by module."""
    lines: dict[str, list[str]] = {}
    for line in FILE.read_text().splitlines():
        if line.startswith("## "):
            lines[line[3:]] = []
        elif line and not line.startswith("#"):
            lines[list(lines)[-1]].append(line)
    return lines


def main() -> None:
    FILE.write_text(HEADER + "".join(f"\n## {name}\n" + "\n".join(interface(name)) + "\n" for name in MODULES))
    print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
