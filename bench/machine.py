"""What a measurement must name to mean anything: CPU, caches, instruction set, threads, versions, commit."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def limited_to(cpus: int) -> Iterator[None]:
    """Let the process see only `cpus` CPUs inside the block.

    Some libraries size their thread pool once, by the CPUs they see when it starts, and offer no other way to ask.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cpus])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's entry of /proc/cpuinfo, empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _bytes(text: str) -> int:
    """Return the number of bytes in a size as Linux writes it: 48K, 1024K, 32M."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def caches() -> dict[str, int]:
    """Return the data caches of the first CPU in bytes, by name (L1, L2, L3); empty where Linux does not tell."""
    found: dict[str, int] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (index / "type").read_text().strip() != "Instruction":
                found["L" + (index / "level").read_text().strip()] = _bytes((index / "size").read_text().strip())
        except (OSError, ValueError):
            continue
    return found


def memory_bytes() -> int | None:
    """Return the memory of the machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


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
    info = _cpuinfo()
    family = [info[key] for key in ("cpu family", "model", "stepping") if key in info]
    status = _git("status", "--porcelain", "--untracked-files=no")
    simdrop = optional("simdrop")
    return {
        "cpu": info.get("model name", platform.processor() or "unknown"),
        "cpu_model": "/".join(family),
        "architecture": platform.machine(),
        "usable_cpus": usable_cpus(),
        "caches": caches(),
        "memory_bytes": memory_bytes(),
        "clock_ghz_estimate": clock_ghz(),
        "load_average_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.system() + " " + platform.release(),
        "isas": list(simdrop.available_isas()) if simdrop else [],
        "isa": simdrop.active_isa() if simdrop else None,
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
    clock = machine.get("clock_ghz_estimate")
    parts = [f"{machine['cpu']} ({machine['cpu_model']})" if machine["cpu_model"] else machine["cpu"]]
    if clock:
        parts.append(f"about {clock} GHz")
    parts += [f"{machine['usable_cpus']} CPUs", f"simdrop {machine['versions'].get('simdrop', 'not installed')}"]
    if machine["isa"]:
        parts.append(machine["isa"])
    return ", ".join(parts)
