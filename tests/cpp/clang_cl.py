"""What clang-cl makes of the leaf files with our flags: nothing fused, and no instruction that was not asked for.

    python clang_cl.py CLANG LEAF=FLAG;FLAG;... ...

Any clang can play the part of clang-cl, without Windows: the leaf files ask little of the standard library. Microsoft's
own flags for the same purpose, /fp:precise and /arch:AVX2, let clang-cl do both; that they do so here shows that the
check can fail.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "cpp"
# Fused multiplication and addition; BMI, BMI2 and LZCNT. None of them is among the features that
# cpp/runtime/cpu.cpp checks.
FUSED = r"vfn?m(?:add|sub)[a-z0-9]*"
UNASKED = r"andn[lq]?|bextr|bls[a-z]+|tzcnt[a-z]|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt[a-z]"
CASES = """
float sum(float a, float b, float c) { return a * b + c; }
unsigned long long shifted(unsigned long long a, int n) { return a << n; }
"""
# The two headers of the standard library that the leaf files include, in terms of clang's own.
TYPES = "#include <stdint.h>\n#include <stddef.h>\nnamespace std {{\n{}}}\n"
NAMES = ("size_t", "uintptr_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t")


def instructions(clang: str, source: Path, *flags: str) -> dict[str, set[str]]:
    """Return the fused and the unasked instructions that the compiler makes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cstdint", "cstddef"):
            (Path(folder) / name).write_text(TYPES.format("".join(f"using ::{t};\n" for t in NAMES)))
        assembly = Path(folder) / "out.s"
        command = [
            clang, "--driver-mode=cl", "--target=x86_64-pc-windows-msvc", "/O2", "/std:c++20", "/W4", "/WX",
            "-Werror=unknown-argument", "/clang:-ffreestanding", "-imsvc", folder, *flags,
        ]  # fmt: skip
        subprocess.run([*command, str(source), "/clang:-S", f"/clang:-o{assembly}"], check=True)
        words = re.findall(r"^\t([a-z]\w*)", assembly.read_text(), re.MULTILINE)
    assert len(words) > 3, "no instructions"
    kinds = {"fused": FUSED, "unasked": UNASKED}
    return {kind: {w for w in words if re.fullmatch(pattern, w)} for kind, pattern in kinds.items()}


def main(clang: str, *leaves: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.cpp"
        cases.write_text(CASES)
        theirs = instructions(clang, cases, "/fp:precise", "/arch:AVX2")
        assert all(theirs.values()), f"the check has lost its teeth: {theirs}"
    bad = 0
    for leaf in leaves:
        name, _, flags = leaf.partition("=")
        # as CMakeLists.txt passes them to clang-cl
        ours = [f"/clang:{flag}" for flag in flags.split(";")]
        found = instructions(clang, SOURCES / "kernels" / f"isa_{name}.cpp", f"/I{SOURCES}", *ours)
        print(f"{name} with {' '.join(ours)}: {found}")
        bad += any(found.values())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
