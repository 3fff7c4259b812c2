"""What a release says of itself: one version, links that work outside of the repository, pinned actions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simdrop
from places import ROOT

if not (ROOT / ".github").is_dir():
    pytest.skip("the workflows are not part of the sdist", allow_module_level=True)

HOME, COMMIT = "https://example.org/someone/simdrop", "0123abc"


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^()\s]+)\)", text)


def test_the_readme_of_a_release_has_absolute_links(tmp_path: Path) -> None:
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, str(ROOT / "tests" / "release" / "absolute_links.py"), HOME, COMMIT, str(tmp_path)]
    subprocess.run(command, check=True)
    before, after = links((ROOT / "README.md").read_text()), links((tmp_path / "README.md").read_text())
    assert len(after) == len(before) > 20
    for old, new in zip(before, after, strict=True):
        if old.startswith("https:"):
            assert new == old
        else:
            assert re.fullmatch(rf"{HOME}/(raw|blob)/{COMMIT}/{re.escape(old)}", new), new
            assert (ROOT / old.partition("#")[0]).exists(), f"{old} leads nowhere"
            assert ("/raw/" in new) == old.endswith(".png"), new
    assert f'Homepage = "{HOME}"' in (tmp_path / "pyproject.toml").read_text()
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode != 0
    assert "[project.urls] already" in again.stderr


def test_the_version_is_in_one_place() -> None:
    # pyproject.toml reads it there; the changelog has a section for it
    places = [path for path in (ROOT / "python").rglob("*.py") if f'"{simdrop.__version__}"' in path.read_text()]
    assert places == [ROOT / "python" / "simdrop" / "__init__.py"]
    assert f'"{simdrop.__version__}"' not in (ROOT / "pyproject.toml").read_text()
    assert f"## {simdrop.__version__} " in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("workflow", ["ci.yml", "wheels.yml"])
def test_actions_are_pinned_to_a_commit(workflow: str) -> None:
    used = re.findall(r"uses: (\S+)(.*)", (ROOT / ".github" / "workflows" / workflow).read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: which version is it?"
