"""``simdrop info``: what this installation is and what it found."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import simdrop


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add this command to the command line."""
    parser = commands.add_parser(
        "info",
        help="show version, CPU, instruction sets, threads and mask format",
        description="Show version, CPU, instruction sets, threads, mask format and NumPy version.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the facts, one a line."""
    for name, value in facts().items():
        print(f"{name:<16} {value}")
    return 0


def facts() -> dict[str, str]:
    """Return what there is to say about this installation, in the order to say it."""
    forced = os.environ.get("SIMDROP_ISA")
    chosen = f"{simdrop.active_isa()} (available: {', '.join(simdrop.available_isas())})"
    return {
        "simdrop": simdrop.__version__,
        "CPU": cpu_name(),
        "instruction set": chosen + (f", forced by SIMDROP_ISA={forced}" if forced else ""),
        "threads": str(simdrop.get_num_threads()),
        "mask format": str(simdrop.MASK_FORMAT),
        "NumPy": np.__version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()} "
        f"{platform.machine()})",
    }


def cpu_name() -> str:
    """Return the processor's model name, or its architecture where the system does not tell."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            name = ""
    elif sys.platform == "linux":
        name = _linux_cpu_name()
    else:
        name = platform.processor()
    return name or platform.machine() or "unknown"


def _linux_cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    if "model name" in fields:
        return fields["model name"]
    # AArch64 kernels give numbers instead of a name (Arm's list of implementers and parts says what they mean).
    if "CPU part" in fields:
        return f"{platform.machine()}, implementer {fields.get('CPU implementer', '?')}, part {fields['CPU part']}"
    return ""
