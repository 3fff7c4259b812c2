"""What a measurement must name to mean anything: CPU, caches, instruction set, threads, versions, commit."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import importlib
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import simdrop
from simdrop._cli.info import cpu_name, cpuinfo

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = ("simdrop", "numpy", "ml_dtypes", "numba", "torch", "jax", "jaxlib", "psutil")
# A load average above this share of the CPUs means that somebody else is at work.
BUSY = 0.25
# Two results are of one machine when these fields agree.
IDENTITY = ("cpu", "cpu_model", "architecture", "usable_cpus", "caches")


def optional(name: str) -> ModuleType | None:
    """Import a package that a benchmark can do without; return None when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    process = psutil.Process()
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count() or 1


@contextlib.contextmanager
def limited_to(cpus: int) -> Iterator[None]:
    """Let the process see only `cpus` CPUs inside the block.

    Some libraries size their thread pool once, by the CPUs they see when it starts, and offer no other way to ask.
    """
    process = psutil.Process()
    before = process.cpu_affinity() if hasattr(process, "cpu_affinity") else []
    if before:
        process.cpu_affinity(sorted(before)[:cpus])
    try:
        yield
    finally:
        if before:
            process.cpu_affinity(before)


def caches() -> dict[str, int]:
    """Return the data caches of the first CPU in bytes, by name (L1, L2, L3); empty where Linux does not tell."""
    found: dict[str, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with contextlib.suppress(OSError):
            kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
            if kind != "Instruction":
                found["L" + level] = parse_count(size + "i")  # Linux writes 48K for 48 Ki
    return found


def _multiply_chain(start: int, factor: int, step: int, rounds: int) -> int:
    """Run a chain of dependent multiply-and-add: 3 + 1 cycles a round on every x86-64 core of the last decade."""
    value = start
    for _ in range(rounds):
        value = value * factor + step
    return value


def clock_ghz() -> float | None:
    """Estimate the clock under load from a chain of known latency (x86-64, with Numba), or return None.

    A virtual machine shows its nominal clock, or none, whatever the core runs at.
    """
    numba = optional("numba")
    if numba is None or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    chain = numba.njit(nogil=True)(_multiply_chain)
    factor = 6364136223846793005
    chain(1, factor, 1442695040888963407, 1000)
    rounds, best = 1_000_000, float("inf")  # a millisecond, and the best of many: an interruption only slows one down
    for _ in range(50):
        start = time.perf_counter()
        chain(1, factor, 1442695040888963407, rounds)
        best = min(best, time.perf_counter() - start)
    return round(4 * rounds / best / 1e9, 2)


def parse_count(text: str) -> int:
    """Read a count such as 1000, 64Ki, 16Mi or 1Gi (a space is allowed, case is not minded)."""
    found = re.fullmatch(r"(\d+) *([kmg]i)?", text.strip().lower())
    if not found or int(found[1]) == 0:
        raise ValueError(f"{text!r} is not a count: use a positive number, with Ki, Mi or Gi if you like")
    return int(found[1]) << {None: 0, "ki": 10, "mi": 20, "gi": 30}[found[2]]


def count_name(elements: int) -> str:
    """Return a count in binary units, as the documents write it: 64 Ki, 16 Mi, 1 Gi."""
    power = max(0, min((elements.bit_length() - 1) // 10, 3))
    return f"{round(elements / (1 << 10 * power), 1):g} {['', 'Ki', 'Mi', 'Gi'][power]}".strip()


def _git(*arguments: str) -> str | None:
    """Return what git prints in this repository, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that take part, without the absent ones."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def describe(threads: int) -> dict[str, Any]:
    """Return everything a result file says about where it was taken."""
    info = cpuinfo()
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "cpu": cpu_name(),
        "cpu_model": "/".join(info[key] for key in ("cpu family", "model", "stepping") if key in info),
        "architecture": platform.machine(),
        "usable_cpus": usable_cpus(),
        "caches": caches(),
        "memory_bytes": psutil.virtual_memory().total,
        "clock_ghz_estimate": clock_ghz(),
        "load_average_before": round(psutil.getloadavg()[0], 2),
        "system": platform.system() + " " + platform.release(),
        "isas": list(simdrop.available_isas()),
        "isa": simdrop.active_isa(),
        "threads": threads,
        "versions": versions(),
        "commit": _git("rev-parse", "HEAD"),
        "commit_dirty": None if status is None else bool(status),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def load_warning(machine: dict[str, Any]) -> str | None:
    """Return a warning when other work was running before the measurement, else None."""
    load, cpus = machine.get("load_average_before"), machine["usable_cpus"]
    if load is None or load <= BUSY * cpus:
        return None
    return f"load average {load} on {cpus} CPUs before the start: other work makes these times unreliable"


def title(machine: dict[str, Any]) -> str:
    """Return the machine in one line, for table captions and plots."""
    model, clock = machine["cpu_model"], machine.get("clock_ghz_estimate")
    parts = [
        machine["cpu"] + (f" ({model})" if model else ""),
        f"about {clock} GHz" if clock else "",
        f"{machine['usable_cpus']} CPUs",
        f"simdrop {machine['versions']['simdrop']}",
        machine["isa"],
    ]
    return ", ".join(filter(None, parts))


def extra_memory(call: Callable[[], object]) -> int | None:
    """Return by how many bytes a call raises the peak of memory, its result included; None where nobody says it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would serve unseen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak from here on
        before = _status("VmRSS")
        result = call()
        peak = _status("VmHWM")
    except (OSError, AttributeError):
        return None
    del result
    return max(0, peak - before)


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise OSError(name)
    return int(found[1]) * 1024
