"""Every snippet of README and docs runs, as do the examples in the docstrings of the public names.

A page is read from top to bottom in one namespace: a block with prompts is a doctest, another is executed. What a page
takes for granted (a model, an array x) is given in PAGES, with the reason for each block that is not run. The examples
of ``simdrop`` itself are run by test_package.py, those of layers by test_family_layers.py.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import signatures
from places import ROOT

if not (ROOT / "docs" / "index.md").is_file():
    pytest.skip("the documentation is not part of this installation", allow_module_level=True)

ARRAYS = "import numpy as np, simdrop; s = simdrop.Stream(42); x = np.ones((64, 1024), np.float32); grad = x.copy()"
MODEL = "import torch; model = torch.nn.Linear(4, 4)"
# page: (what it needs, what it takes for granted, how the blocks begin that are not run)
PAGES: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "README.md": ((), "", ()),
    "docs/index.md": ((), "", ()),
    "docs/numpy.md": ((), "", ()),
    "docs/uncertainty.md": ((), "", ()),
    "docs/reproduce.md": ((), "", ()),
    "docs/random-numbers.md": ((), "", ()),
    "docs/family.md": ((), ARRAYS, ()),
    # Excerpts of scripts that test_examples.py runs whole.
    "docs/examples.md": ((), "", ("class Network", "network = ", "for p in", "active = ", "self.paths")),
    "docs/distributed.md": (("dask", "torch"), "", ()),
    # Compiling takes minutes and is what test_torch_compile.py is about.
    "docs/torch.md": (("torch",), MODEL, ("compiled = ",)),
    # The last block needs a file; test_keras.py saves one and loads it so.
    "docs/keras.md": (("keras", "torch"), "import numpy as np; x = np.ones((4, 8), 'float32')", ("layers = ",)),
    # Sharded needs several devices, which test_jax_sharding.py makes.
    "docs/jax.md": (("jax", "flax", "optax"), "import optax", ("part = ",)),
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def absent(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if importlib.util.find_spec(name) is None]


def run_doctest(text: str, name: str, names: dict[str, Any]) -> int:
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    assert runner.run(test, out=report.append, clear_globs=False).failed == 0, "".join(report)
    names.update(test.globs)
    return len(test.examples)


def test_every_page_with_snippets_is_listed() -> None:
    written = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")]
    assert {page for page in ["README.md", *written] if blocks(page)} == set(PAGES)
    for page, (_, _, left_out) in PAGES.items():
        for start in left_out:
            assert any(block.startswith(start) for block in blocks(page)), f"{page}: no block begins with {start!r}"


def test_every_example_is_in_the_gallery() -> None:
    listed = re.findall(r'^    \("(\w+)", ', (ROOT / "docs" / "gallery.py").read_text(), re.MULTILINE)
    apart = {"network", "torch_ranks"}  # what the others share; what starts processes of its own, which tests/torch run
    assert set(listed) == {path.stem for path in (ROOT / "examples").glob("*.py")} - apart
    shown = re.findall(r"^gallery/(\w+)$", (ROOT / "docs" / "gallery.md").read_text(), re.MULTILINE)
    assert shown == listed


@pytest.mark.parametrize("module", signatures.MODULES)
def test_every_public_name_has_an_entry_in_the_reference(module: str) -> None:
    # The build of the reference says so too, but needs Sphinx.
    entries = set()
    for page in (ROOT / "docs" / "api").glob("*.rst"):
        current = ""
        for line in page.read_text().splitlines():
            if found := re.match(r"\.\. (currentmodule|autoclass|autofunction|data):: ([\w.]+)", line):
                current = found[2] if found[1] == "currentmodule" else current
                entries.add(f"{current}.{found[2]}".replace("simdrop.simdrop.", "simdrop."))
    names = {re.match(r"([\w.]+)", line)[1] for line in signatures.pinned()[module]}  # type: ignore[index]
    wanted = {name for name in names if name.count(".") == module.count(".") + 1 and "__" not in name}
    assert wanted - entries - set(signatures.MODULES) == set()


@pytest.fixture
def _unchanged() -> Iterator[None]:
    """Take back what the pages do to the process."""
    backend = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    yield
    if importlib.util.find_spec("torch"):
        importlib.import_module("simdrop.torch").uninstall()
    if backend is None:
        del os.environ["KERAS_BACKEND"]
    else:
        os.environ["KERAS_BACKEND"] = backend


@pytest.mark.usefixtures("_unchanged")
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of(page: str) -> None:
    needs, given, left_out = PAGES[page]
    if absent(needs):
        pytest.skip(f"not installed: {absent(needs)}")
    names: dict[str, Any] = {"__name__": "snippets"}
    exec(given, names)
    ran = 0
    for number, block in enumerate(blocks(page)):
        if block.startswith(left_out or ("\0",)):
            continue
        where = f"{page}, block {number}"
        if ">>> " in block:
            ran += run_doctest(block, where, names)
        else:
            exec(compile(block, where, "exec"), names)
            ran += 1
    assert ran or left_out


def described(module: str) -> list[tuple[str, Any]]:
    """The public classes and functions of a module, and the methods of its classes."""
    if signatures.missing(module):
        return []
    found = importlib.import_module(module)
    things = [(f"{module}.{name}", getattr(found, name)) for name in found.__all__]
    things = [(name, thing) for name, thing in things if inspect.isclass(thing) or inspect.isroutine(thing)]
    methods = [
        (f"{name}.{member}", value)
        for name, thing in things
        if inspect.isclass(thing)
        for member, value in vars(thing).items()
        if not member.startswith("_") and inspect.isfunction(value) and value.__doc__
    ]
    return things + methods


@pytest.mark.usefixtures("_unchanged")
@pytest.mark.parametrize("module", [m for m in signatures.MODULES if m not in ("simdrop", "simdrop.layers")])
def test_the_docstrings_of(module: str) -> None:
    if signatures.missing(module):
        pytest.skip(f"not installed: {signatures.missing(module)}")
    ran = 0
    for name, thing in described(module):
        assert inspect.getdoc(thing), f"{name} is not documented"
        names: dict[str, Any] = {"np": np}
        ran += run_doctest(inspect.getdoc(thing) or "", name, names)
    assert ran
