"""The benchmark of real libraries runs at a tiny size; nothing is judged by its times."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

libraries = ("torch", "transformers", "peft", "timm", "sklearn", "rich", "tqdm")
missing = [name for name in libraries if importlib.util.find_spec(name) is None]
SCRIPT = ROOT / "bench" / "bench_clients.py"
if missing or not SCRIPT.is_file():
    pytest.skip(f"not installed: {missing or 'the benchmarks'}", allow_module_level=True)


def test_a_quick_run(tmp_path: Path) -> None:
    words = ["--quick", "--threads", "1", "--only", "vit-sdpa", "--output-dir", str(tmp_path)]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "clients.json").read_text(encoding="utf-8"))
    sides = {found["contestant"] for found in content["results"] if found["case"] == "step/vit-sdpa"}
    assert sides == {"PyTorch", "simdrop", "no dropout", "simdrop against PyTorch"}
