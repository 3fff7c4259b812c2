"""The PyTorch benchmark runs at tiny sizes and writes what it promises; nothing is judged by its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench_scripts import bench_script

SCRIPT = bench_script("bench_torch.py", "torch", "rich", "matplotlib", "tqdm", "sklearn")


def test_a_quick_run(tmp_path: Path) -> None:
    words = ["--quick", "--threads", "1", "--seconds", "0.001", "--output-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"torch.json", "torch.png", "torch-training.png"}
    content = json.loads((tmp_path / "torch.json").read_text())
    by_case = {(result["case"], result["contestant"]): result["measure"] for result in content["results"]}
    assert len(by_case) == len(content["results"])
    for size in ("1 Ki", "64 Ki"):
        assert by_case[f"saved/{size}", "simdrop"]["median"] == 0
        assert by_case[f"saved/{size}", "PyTorch"]["median"] > 0
        for what in ("forward", "forward+backward"):
            assert by_case[f"{what}/bfloat16/{size}", "simdrop against PyTorch"]["unit"] == "ratio"
    for model in ("encoder 16", "GPT 256", "MLP"):
        assert {name for case, name in by_case if case == f"step/{model}"} >= {"PyTorch", "simdrop", "no dropout"}
    assert by_case["attention peak/1x2x128", "simdrop"]["unit"] == "bytes"
    for case in (
        "attention/1x2x128",
        "attention/1x2x128, bfloat16",
        "compiled/forward+backward/float32/64 Ki",
        "compiled attention/2x8x128",
        "compiled step/encoder 16",
    ):
        assert {name for one, name in by_case if one == case} >= {"PyTorch", "simdrop", "simdrop against PyTorch"}
    assert set(content["training"]["curves"]) == {"PyTorch", "simdrop"}
