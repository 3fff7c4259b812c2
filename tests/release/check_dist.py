"""What the wheel and the sdist hold: ``python check_dist.py WHEEL SDIST``."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from pathlib import Path

MEGABYTE = 1_000_000


def main(wheel: Path, sdist: Path) -> None:
    print(f"{wheel.name}: {wheel.stat().st_size} bytes")
    assert wheel.stat().st_size < MEGABYTE
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (listed,) = (name for name in names if name.endswith(".dist-info/sboms/simdrop.cdx.json"))
        compiled = json.loads(archive.read(listed))
    assert wheel.name.startswith(f"simdrop-{compiled['metadata']['component']['version']}-"), compiled
    assert [part["name"] for part in compiled["components"]] == ["pybind11"], compiled
    extensions = [name for name in names if name.startswith("simdrop/_core.") and name.endswith((".so", ".pyd"))]
    assert len(extensions) == 1, extensions
    for needed in ("simdrop/py.typed", "simdrop/_core.pyi", "simdrop/__init__.py"):
        assert needed in names, needed
    for name in names:
        assert name.startswith(("simdrop/", "simdrop-", "simdrop.libs/")), name
        assert not name.endswith((".cpp", ".hpp", ".o", ".a")), name
    assert any(name.endswith("licenses/LICENSE") for name in names), "the licence is missing"

    print(f"{sdist.name}: {sdist.stat().st_size} bytes")
    with tarfile.open(sdist) as source:
        held = {name.partition("/")[2] for name in source.getnames()}
    for needed in (
        "pyproject.toml",
        "CMakeLists.txt",
        "LICENSE",
        "README.md",
        "cpp/bindings/module.cpp",
        "tests/conftest.py",
    ):
        assert needed in held, f"{needed} is missing"
    assert not any(name.endswith((".so", ".o", ".whl")) or "__pycache__" in name for name in held)
    print("fine")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
