"""The symbol gate: each leaf object exports its one table and nothing else, and runs nothing when it is loaded.

    python symbols.py OBJECT ...

A leaf file is compiled for an instruction set that the machine may not have. A function of it that another file could
call, or that the linker could choose over an equal one from the baseline (a weak symbol: any ``std::`` template, any
``inline`` function outside an anonymous namespace), would crash there; so would a static constructor.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# What a leaf file may ask of others: memory moves, which the compiler calls on its own.
WANTED = {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_guard"}


def output(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def problems(path: Path) -> list[str]:
    found = []
    exported = []
    for line in output("nm", "--demangle", str(path)):
        kind, name = re.fullmatch(r"(?:[0-9a-f]+|\s+) (\S) (.*)", line).groups()  # type: ignore[union-attr]
        if kind in "vVwWu":
            found.append(f"weak symbol {name}")
        elif kind == "U":
            if name not in WANTED:
                found.append(f"needs {name}")
        elif kind.isupper():
            exported.append(name)
    if len(exported) != 1 or not re.fullmatch(r"simdrop::k\w+Table", exported[0]):
        found.append(f"exports {exported or 'nothing'}, not one table")
    sections = " ".join(output("objdump", "--section-headers", str(path)))
    found.extend(f"has a section {name}" for name in (".init_array", ".ctors") if name in sections)
    return found


def main(paths: list[str]) -> int:
    failed = False
    for path in map(Path, paths):
        found = problems(path)
        failed |= bool(found)
        print(f"{path.name}: {'; '.join(found) or 'one table, nothing else'}")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
