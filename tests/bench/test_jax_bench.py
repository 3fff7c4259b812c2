"""The JAX benchmark runs at tiny sizes and writes what it promises; nothing is judged by its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench_scripts import bench_script

SCRIPT = bench_script("bench_jax.py", "jax", "optax", "rich", "matplotlib", "tqdm")


def test_a_quick_run(tmp_path: Path) -> None:
    words = ["--quick", "--seconds", "0.001", "--output-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"jax.json", "jax.png"}
    content = json.loads((tmp_path / "jax.json").read_text())
    by_case = {(result["case"], result["contestant"]): result["measure"] for result in content["results"]}
    assert len(by_case) == len(content["results"])
    assert by_case["saved/1 Mi", "simdrop"]["median"] == 32
    assert by_case["saved/1 Mi", "JAX"]["median"] > 2**20
    for what in ("forward", "forward+backward"):
        for p in ("0.1", "0.5"):
            assert by_case[f"{what}/p={p}/64 Ki", "simdrop against JAX"]["unit"] == "ratio"
    assert {name for case, name in by_case if case == "step/encoder 16"} >= {"JAX", "simdrop", "no dropout"}
    assert by_case["call/1 Ki/more than a multiplication", "simdrop"]["unit"] == "s"
