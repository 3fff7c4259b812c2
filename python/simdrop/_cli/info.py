"""Show version, CPU, instruction sets, threads, mask format and NumPy version."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
from pathlib import Path

import numpy as np

import simdrop

HELP = "show version, CPU, instruction sets, threads and mask format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is nothing to choose."""


def run(args: argparse.Namespace) -> None:
    """Print the facts, one a line."""
    for name, value in facts().items():
        print(f"{name:<16} {value}")


def facts() -> dict[str, str]:
    """Return what there is to say about this installation, in the order to say it."""
    forced = os.environ.get("SIMDROP_ISA")
    chosen = f"{simdrop.active_isa()} (available: {', '.join(simdrop.available_isas())})"
    python = f"{platform.python_implementation()}, {platform.system()} {platform.machine()}"
    return {
        "simdrop": simdrop.__version__,
        "CPU": cpu_name(),
        "instruction set": chosen + (f", forced by SIMDROP_ISA={forced}" if forced else ""),
        "threads": str(simdrop.get_num_threads()),
        "mask format": str(simdrop.MASK_FORMAT),
        "NumPy": np.__version__,
        "Python": f"{platform.python_version()} ({python})",
    }


def cpuinfo() -> dict[str, str]:
    """Return what ``/proc/cpuinfo`` says about the first processor; nothing where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def cpu_name() -> str:
    """Return the processor's model name, or its architecture where the system does not tell."""
    name, fields = "", cpuinfo()
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    if "CPU part" in fields:
        # AArch64 kernels give numbers instead of a name (Arm's list of implementers and parts says what they mean).
        name = f"{platform.machine()}, implementer {fields.get('CPU implementer', '?')}, part {fields['CPU part']}"
    return fields.get("model name") or name or platform.processor() or platform.machine() or "unknown"
