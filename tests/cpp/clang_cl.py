"""What clang-cl makes of our flags: products and sums are not fused, and no instruction comes that was not asked for.

    python clang_cl.py CLANG FLAG ...

The flags are those of the leaf files. Microsoft's own, which clang-cl gets from CMake by default for the same purpose,
do both (/fp:precise, /arch:AVX2); that they do so here shows that the check can fail.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = """
float sum(float a, float b, float c) { return a * b + c; }
double sum(double a, double b, double c) { return a * b + c; }
unsigned long long shifted(unsigned long long a, int n) { return a << n; }
"""
# fused multiplication and addition; the shifts of BMI2
UNWANTED = ("vfmadd", "shlx")


def found(clang: str, *flags: str) -> list[str]:
    """Return which of the unwanted instructions the compiler makes."""
    with tempfile.TemporaryDirectory() as folder:
        source, assembly = Path(folder) / "sum.cpp", Path(folder) / "sum.s"
        source.write_text(SOURCE)
        command = [clang, "--driver-mode=cl", "--target=x86_64-pc-windows-msvc", "/O2", *flags]
        subprocess.run([*command, "/c", str(source), "/clang:-S", f"/clang:-o{assembly}"], check=True)
        text = assembly.read_text()
    assert "sum" in text
    return [name for name in UNWANTED if name in text]


def main(clang: str, *flags: str) -> int:
    # as CMakeLists.txt passes them to clang-cl
    ours = [f"/clang:{flag}" if flag.startswith("-f") else flag for flag in flags]
    assert found(clang, "/fp:precise", "/arch:AVX2") == list(UNWANTED), "the check has lost its teeth"
    bad = found(clang, *ours)
    print(f"clang-cl with {' '.join(ours)}: {', '.join(bad) or 'nothing unwanted'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
