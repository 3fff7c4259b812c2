"""A campaign of generated malformed calls (malformed.py): each is refused, nothing crashes, nothing is changed.

``SIMDROP_MALFORMED=100000 python -m pytest tests/core/test_malformed.py`` runs the long form.
"""

from __future__ import annotations

import os
import subprocess
import sys

import simdrop
from places import SUPPORT

COUNT = int(os.environ.get("SIMDROP_MALFORMED", "4000"))


def test_malformed_calls_are_refused() -> None:
    # In a process of its own: a crash then fails this test and no other.
    script = SUPPORT / "malformed.py"
    done = subprocess.run(
        [sys.executable, str(script), str(COUNT)], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, f"on {simdrop.active_isa()}: {done.stdout}\n{done.stderr}"
    assert done.stdout.startswith(f"{COUNT} malformed calls, 0 not refused properly"), done.stdout


def test_no_entry_of_the_extension_crashes() -> None:
    """Private or not: malformed_core.py has a valid call of every entry, and fails when one is missing."""
    script = SUPPORT / "malformed_core.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
