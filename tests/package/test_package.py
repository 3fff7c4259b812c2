"""The installed package: what it holds, what it imports, what its stub and its documentation say."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import simdrop
from places import ROOT
from simdrop import _core

PACKAGE = Path(simdrop.__file__).parent
EXTENSION_DIR = Path(_core.__file__).parent

KNOWN_ISAS = ("avx512", "avx2", "neon", "scalar")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "SIMDROP_ISA"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean, **environment},
    )


def test_the_public_names() -> None:
    for name in simdrop.__all__:
        assert hasattr(simdrop, name)
    assert len(simdrop.__all__) == len(set(simdrop.__all__))


def test_version() -> None:
    assert simdrop.__version__ == importlib.metadata.version("simdrop")
    assert simdrop.MASK_FORMAT == 1


def test_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_core.pyi").is_file()


def test_the_stub_lists_the_names_of_the_extension() -> None:
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    stub: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            stub.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            stub.add(node.target.id)
        elif isinstance(node, ast.Assign):
            stub.update(target.id for target in node.targets if isinstance(target, ast.Name))
    standard = {"__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}
    private_aliases = {name for name in stub if name.startswith("_") and not hasattr(_core, name)}
    assert stub - private_aliases == set(dir(_core)) - standard
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name, node in classes.items():
        if hasattr(_core, name):
            listed = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            listed |= {
                n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
            }
            public = {n for n in vars(getattr(_core, name)) if not n.startswith("_")}
            assert public == {n for n in listed if not n.startswith("_")}, name


def test_it_imports_numpy_and_the_standard_library_only() -> None:
    done = python(
        "import sys, numpy; before = set(sys.modules); import simdrop; import numpy as np;"
        "simdrop.dropout(np.ones(9, np.float32), rng=simdrop.Stream(1)); simdrop.Mask(9, .1, seed=1).keep();"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(roots - set(sys.stdlib_module_names) - {'numpy'}))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['simdrop']"


def test_it_requires_numpy_only() -> None:
    required = importlib.metadata.requires("simdrop") or []
    unconditional = [line for line in required if "extra ==" not in line]
    assert len(unconditional) == 1
    assert unconditional[0].startswith("numpy")


def test_builds_share_no_directory() -> None:
    # With a fixed one inside the tree, two `pip install .` of one clone write over each other's objects. The task
    # two-installs shows it with two compilers at work.
    pyproject = ROOT / "pyproject.toml"
    if not pyproject.is_file():
        pytest.skip("not beside its sources")
    assert not re.search(r"^(build-dir|build\.dir)\b", pyproject.read_text(), re.MULTILINE)


def test_it_prints_nothing() -> None:
    done = python("import simdrop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", simdrop.available_isas())
def test_the_environment_variable_chooses(name: str) -> None:
    done = python("import simdrop; print(simdrop.active_isa())", SIMDROP_ISA=name)
    assert (done.returncode, done.stdout.strip()) == (0, name), done.stderr


def test_the_best_is_chosen_without_it() -> None:
    done = python("import simdrop; print(simdrop.active_isa(), *simdrop.available_isas())")
    active, *available = done.stdout.split()
    assert active == available[0]
    assert available[-1] == "scalar"
    assert [name for name in KNOWN_ISAS if name in available] == available, "best first, and all names known"


@pytest.mark.parametrize(
    ("name", "why"),
    [("sse9", "no such name"), ("AVX2", "names are lower case"), (" scalar", "spaces count")]
    + [(name, "not on this machine") for name in KNOWN_ISAS if name not in simdrop.available_isas()],
)
def test_a_wrong_environment_variable_is_an_error(name: str, why: str) -> None:
    done = python("import simdrop", SIMDROP_ISA=name)
    assert done.returncode != 0, "never a fallback"
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError"), done.stderr
    assert repr(name) in last
    assert "SIMDROP_ISA" in last
    for accepted in simdrop.available_isas():
        assert accepted in last
    with pytest.raises(ValueError, match="scalar"):
        simdrop.use_isa(name)


def documented() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("simdrop", simdrop)]
    for name in simdrop.__all__:
        thing = getattr(simdrop, name)
        if inspect.isclass(thing) or callable(thing):
            found.append((name, thing))
        if inspect.isclass(thing):
            fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
            for member in vars(thing):
                if not member.startswith("_") and member not in fields:
                    found.append((f"{name}.{member}", getattr(thing, member)))
    return found


@pytest.mark.parametrize("name", [n for n in simdrop.__all__ if dataclasses.is_dataclass(getattr(simdrop, n))])
def test_numbers_are_documented_as_parameters(name: str) -> None:
    thing = getattr(simdrop, name)
    named = re.findall(r"^([\w, ]+) : ", inspect.getdoc(thing) or "", re.MULTILINE)
    assert [one for line in named for one in line.split(", ")] == [field.name for field in dataclasses.fields(thing)]


@pytest.mark.parametrize(("name", "thing"), documented(), ids=[name for name, _ in documented()])
def test_docstrings(name: str, thing: Any) -> None:
    text = inspect.getdoc(thing)
    assert text, f"{name} is not documented"
    is_attribute = not callable(thing) and thing is not simdrop
    (test,) = doctest.DocTestFinder(recurse=False).find(thing, name, globs={"simdrop": simdrop}) or (None,)
    assert is_attribute or (test is not None and test.examples), f"{name} shows no example"
    if test is not None:
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append)
        assert result.failed == 0, "".join(report)


def test_names_are_found_whether_their_module_has_been_loaded_or_not() -> None:
    """In a process of its own each: a name that nobody has used yet, and what is loaded before it is."""
    script = """
import sys, simdrop
loaded = [name for name in sys.modules if name.startswith("simdrop")]
assert "simdrop.layers" not in loaded and "simdrop.functional.attention" not in loaded, loaded
assert set(simdrop.__all__) <= set(dir(simdrop))
for name in simdrop.__all__:
    assert getattr(simdrop, name) is getattr(simdrop, name), name
from simdrop import layers, zoneout, Noise
assert simdrop.layers is layers and simdrop.zoneout is zoneout
try:
    simdrop.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError("a name that is not there was found")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
