"""The folders of cpp/ are rules (CONTRIBUTING.md): who may include whom, and where intrinsics and Python may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import ROOT

CPP = ROOT / "cpp"
if not CPP.is_dir():
    pytest.skip("the C++ sources are not part of this installation", allow_module_level=True)
ORDER = ("format", "kernels", "runtime", "engine", "bindings")  # includes go to the left only
BORDER = "kernels/table.hpp"  # all that others may know of the kernels
SOURCES = sorted(path for path in CPP.rglob("*") if path.suffix in (".cpp", ".hpp"))


def included(path: Path) -> list[str]:
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)


def test_every_file_is_in_a_folder() -> None:
    assert {path.relative_to(CPP).parts[0] for path in SOURCES} == set(ORDER)
    assert all(len(path.relative_to(CPP).parts) == 2 for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CPP)))
def test_includes_go_one_way(path: Path) -> None:
    folder = path.parent.name
    for name in included(path):
        assert (CPP / name).is_file(), f"{name}: write the folder too"
        theirs = name.split("/")[0]
        assert ORDER.index(theirs) <= ORDER.index(folder), f"{folder} may not know {name}"
        assert theirs == folder or theirs != "kernels" or name == BORDER, f"{name} is the kernels' own"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CPP)))
def test_what_belongs_elsewhere(path: Path) -> None:
    text, folder = path.read_text(), path.parent.name
    assert folder == "bindings" or "pybind11" not in text, "only bindings know Python"
    assert folder in ("kernels", "runtime") or "immintrin.h" not in text, "intrinsics belong to the kernels"
    if folder == "kernels":
        assert not re.search(r"#include <(?!cstddef|cstdint|concepts|type_traits|immintrin|arm_neon)[a-z_]+>", text), (
            "leaf files instantiate no templates of the standard library"
        )
        assert "namespace {" in text or path.name == "table.hpp", "a leaf file shares no symbol"
