"""Every developer task in one place: ``python tasks.py`` lists them, ``python tasks.py NAME ...`` runs them.

``.ci/run`` makes a fresh environment and runs the same tasks. The standard library is all this file needs; the tools
that a task calls come from the ``dev`` extra or from the system, and a task whose tool is missing says so and is
skipped. Build directories lie under ``build/``, which git ignores.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
HARNESS = Path("tests") / "cpp" / "kernel_harness"  # in a folder that cpp() returns


class SkippedError(Exception):
    """A tool is missing; the text says which."""


TASKS: dict[str, Callable[[], None]] = {}
# What has to pass. The two parts have nothing in common, and .ci/run runs them side by side.
CPP = ["lint", "cpp-release", "cpp-debug", "cpp-clang", "cpp-aarch64", "sanitize", "thread-sanitizer", "fuzz"]
PYTHON = ["types", "python-asan", "package", "docs"]
GROUPS = {"cpp": CPP, "python": PYTHON, "ci": CPP + PYTHON}


def task(function: Callable[[], None]) -> Callable[[], None]:
    """List a function under its name, with dashes for underscores."""
    TASKS[function.__name__.replace("_", "-")] = function
    return function


def need(*tools: str) -> None:
    """Skip the task unless these programs can be found beside this Python or on the path."""
    missing = [tool for tool in tools if shutil.which(tool, path=search_path()) is None]
    if missing:
        raise SkippedError(f"{', '.join(missing)} not found")


def search_path() -> str:
    """Return the path on which tools are looked for: this environment first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Show a command, run it, and stop when it fails."""
    words = [str(word) for word in command]
    print("+", *(f"{k}={v}" for k, v in environment.items()), *words, flush=True)
    subprocess.run(words, cwd=cwd, check=True, env={**os.environ, "PATH": search_path(), **environment})


def sources() -> list[str]:
    """List the C++ files."""
    return sorted(
        str(path.relative_to(ROOT))
        for folder in ("cpp", "tests/cpp")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".cpp", ".hpp"}
    )


@task
def lint() -> None:
    """Check style, spelling and workflows: ruff, clang-format, codespell, zizmor, actionlint."""
    need("ruff", "clang-format", "codespell")
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")
    run("clang-format", "--dry-run", "-Werror", *sources())
    run("codespell")
    need("zizmor")
    run("zizmor", "--offline", "--quiet", ".github/workflows")
    if shutil.which("actionlint", path=search_path()) is None:  # a program in Go, which no Python package has
        print("SKIPPED: actionlint, because it was not found")
    else:
        run("actionlint")


@task
def format() -> None:
    """Rewrite the sources as lint wants them."""
    need("ruff", "clang-format")
    run("ruff", "check", "--fix", ".")
    run("ruff", "format", ".")
    run("clang-format", "-i", *sources())


@task
def types() -> None:
    """Check types: mypy, strict; and what mypy and pyright tell users of the installed package."""
    need("mypy")
    everything = ["python/simdrop", "tests", "bench", "tasks.py"]
    if importlib.util.find_spec("torch") is None:  # what is missing has no types
        print("SKIPPED: the types of the PyTorch part, because torch is not installed")
        run("mypy", "--exclude", "torch|keras", *everything)
    else:
        run("mypy", *everything)
    if shutil.which("node", path=search_path()) is None:
        print("SKIPPED: pyright, because Node.js was not found")
    run(sys.executable, "-m", "pytest", "-q", "tests/package/test_types.py")


@task
def test() -> None:
    """Run the Python tests against the installed package."""
    run(sys.executable, "-m", "pytest")


@task
def large() -> None:
    """Run the tests that need more than 8 GB of memory."""
    run(sys.executable, "-m", "pytest", "-m", "large")


def cpp(name: str, *options: str, kind: str = "Release", tests: str = ".*") -> Path:
    """Build the C++ tests in a directory of their own, without Python, and run them."""
    need("cmake", "ninja")
    folder = BUILD / f"cpp-{name}"
    run(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, f"-DCMAKE_BUILD_TYPE={kind}"),
        *("-DSIMDROP_EXTENSION=OFF", "-DSIMDROP_TESTS=ON", "-DSIMDROP_WERROR=ON"),
        *options,
    )
    run("cmake", "--build", folder)
    run("ctest", "--output-on-failure", "--no-tests=error", "-R", tests, cwd=folder)
    return folder


@task
def cpp_release() -> None:
    """Test the kernels, the threads and the symbols of the leaf objects: g++, release."""
    cpp("release")


@task
def cpp_debug() -> None:
    """Do the same in a debug build, and run it on an emulated processor without AVX."""
    folder = cpp("debug", kind="Debug")
    need("qemu-x86_64")
    # An AVX instruction outside its leaf file would die here of SIGILL.
    run("qemu-x86_64", "-cpu", "Nehalem", folder / HARNESS, "--quick", "--once", "--expect", "scalar")


@task
def cpp_clang() -> None:
    """Do the same with clang."""
    need("clang++-14")
    cpp("clang", "-DCMAKE_CXX_COMPILER=clang++-14")


@task
def cpp_aarch64() -> None:
    """Cross-compile for AArch64, run under emulation, compare the fingerprint of all bytes written."""
    need("aarch64-linux-gnu-g++", "qemu-aarch64")
    emulator = "qemu-aarch64;-L;/usr/aarch64-linux-gnu"
    arm = cpp(
        "aarch64",
        *("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        f"-DCMAKE_CROSSCOMPILING_EMULATOR={emulator}",
        "-DSIMDROP_EXPECT=neon,scalar",
    )
    compare_digests(*emulator.split(";"), str(arm / HARNESS))


@task
def cpp_wasm() -> None:
    """Do the same for WebAssembly, with Emscripten (Debian's packages have one) and Node.js."""
    need("em++", "em-config", "node")
    root = subprocess.run(["em-config", "EMSCRIPTEN_ROOT"], capture_output=True, text=True, check=True).stdout.strip()
    toolchain = Path(root) / "cmake" / "Modules" / "Platform" / "Emscripten.cmake"
    folder = cpp("wasm", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DSIMDROP_EXPECT=scalar", tests="kernels")
    compare_digests("node", str(folder / HARNESS.with_suffix(".js")))


def compare_digests(*theirs: str) -> None:
    """Run the kernel harness of another machine, and this machine's: all instruction sets have one fingerprint."""
    found: list[set[str]] = []
    for command in ((str(cpp("release") / HARNESS),), theirs):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(set(re.findall(r"digest ([0-9a-f]{16})", done.stdout)))
    print("digests:", *found)
    if len(found[0]) != 1 or found[0] != found[1]:
        raise subprocess.CalledProcessError(1, "comparison of the digests")


@task
def sanitize() -> None:
    """Test the C++ code under AddressSanitizer and UndefinedBehaviorSanitizer."""
    cpp("asan", "-DSIMDROP_SANITIZE=address,undefined", kind="RelWithDebInfo")


@task
def thread_sanitizer() -> None:
    """Test streams, the pool of threads and the engine under ThreadSanitizer."""
    cpp("tsan", "-DSIMDROP_SANITIZE=thread", kind="RelWithDebInfo", tests="threads")


@task
def fuzz() -> None:
    """Compare all kernels with their definition on arbitrary inputs: libFuzzer, SIMDROP_FUZZ_SECONDS (60)."""
    need("cmake", "ninja", "clang++-14")
    if not list(Path("/usr/lib/llvm-14").glob("lib/clang/*/lib/linux/libclang_rt.fuzzer-*")):
        raise SkippedError("libFuzzer (libclang-rt-14-dev) not found")
    folder = BUILD / "cpp-fuzz"
    run(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=RelWithDebInfo"),
        *("-DSIMDROP_EXTENSION=OFF", "-DSIMDROP_TESTS=ON", "-DSIMDROP_FUZZ=ON"),
        *("-DSIMDROP_SANITIZE=fuzzer-no-link,address,undefined", "-DCMAKE_CXX_COMPILER=clang++-14"),
    )
    run("cmake", "--build", folder, "--target", "fuzz")
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    seconds = os.environ.get("SIMDROP_FUZZ_SECONDS", "60")
    run(
        folder / "tests" / "cpp" / "fuzz",
        *(f"-max_total_time={seconds}", "-max_len=512", "-print_final_stats=1", corpus),
        cwd=folder,
    )


@task
def python_asan() -> None:
    """Run the Python tests that are about memory under AddressSanitizer; all of them with SIMDROP_ASAN_ALL=1."""
    need("g++")
    # The C++ library must be there before AddressSanitizer looks for its __cxa_throw, and Python does not load it.
    runtime = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    if not all(Path(library).is_absolute() for library in runtime):
        raise SkippedError("libasan not found")
    site = BUILD / "asan-site"
    shutil.rmtree(site, ignore_errors=True)
    # UndefinedBehaviorSanitizer triples the time that the compiler takes; the task `sanitize` has it for the kernels.
    everything = bool(os.environ.get("SIMDROP_ASAN_ALL"))
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, ROOT),
        f"--config-settings=cmake.define.SIMDROP_SANITIZE={'address,undefined' if everything else 'address'}",
        f"--config-settings=build-dir={BUILD / 'asan'}",
        *(
            "--config-settings=cmake.build-type=Sanitized",
            "--config-settings=cmake.define.CMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",
        ),
        CXXFLAGS="-O1 -g1",
    )
    # Python itself leaks what lives until it ends, so leaks are not looked for. The tests of memory use and of the
    # benchmarks would measure the sanitizer.
    core = ("arrays", "errors", "errors_memory", "malformed", "properties", "tiles")
    chosen = [f"tests/core/test_{name}.py" for name in core]
    family = ("edges", "threads")
    chosen += [f"tests/family/test_family_{name}.py" for name in family]
    chosen += ["tests/family/test_members_golden.py", "tests/package/test_stability.py"]
    run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        "--ignore=tests/bench",
        *("--deselect", "tests/core/test_arrays.py::test_nothing_as_large_as_the_input_is_allocated"),
        *([] if everything else chosen),
        LD_PRELOAD=" ".join(runtime),
        ASAN_OPTIONS=f"detect_leaks=0:allocator_may_return_null=1:log_path={BUILD / 'asan-report'}",
        PYTHONPATH=str(site),
    )


@task
def package() -> None:
    """Build the sdist and the wheel without git, check what they hold, and try the wheel in an empty environment."""
    need("git")
    out = BUILD / "package"
    shutil.rmtree(out, ignore_errors=True)
    tree = out / "tree"  # the files that git knows, without git
    tree.mkdir(parents=True)
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(
        b"\0"
    ):
        source = ROOT / name.decode()
        if name and source.is_file():
            target = tree / name.decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    # The wheel is made from the sdist, not from the tree.
    run(sys.executable, "-m", "build", "--outdir", out / "dist", tree)
    (wheel,) = (out / "dist").glob("*.whl")
    (sdist,) = (out / "dist").glob("*.tar.gz")
    if sys.platform == "linux":
        need("auditwheel", "patchelf")
        run("auditwheel", "show", wheel)
        run("auditwheel", "repair", "--wheel-dir", out / "repaired", wheel)
        (wheel,) = (out / "repaired").glob("*.whl")
    run(sys.executable, "tests/release/check_dist.py", wheel, sdist)
    run(sys.executable, "-m", "venv", out / "empty")
    python = out / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, ROOT / "tests" / "release" / "smoke.py", cwd=out)


@task
def docs() -> None:
    """Build the reference into build/docs, warnings as errors; check its links, its search, its page with a mask."""
    needed = ("sphinx", "myst_parser", "numpydoc", "dask", "flax", "keras", "torch", "xarray")
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:  # whose docstrings would be missing
        raise SkippedError(f"{', '.join(absent)} not found")
    out = BUILD / "docs"
    shutil.rmtree(out, ignore_errors=True)  # a page that is no longer written must not be found
    run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", BUILD / "doctrees", ROOT / "docs", out)
    run(sys.executable, "tests/release/check_docs.py", out)


@task
def reproducible() -> None:
    """Build the wheel twice from the sdist, in two places: the same bytes, for the same SOURCE_DATE_EPOCH."""
    out = BUILD / "reproducible"
    shutil.rmtree(out, ignore_errors=True)
    os.environ.pop("SKBUILD_BUILD_DIR", None)  # each build has a place of its own
    epoch = "1700000000"
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, ROOT, SOURCE_DATE_EPOCH=epoch)
    (sdist,) = out.glob("*.tar.gz")
    wheels: list[Path] = []
    for place in ("one", "another-one"):
        tree = out / place
        tree.mkdir()
        run("tar", "-xzf", sdist, "-C", tree, "--strip-components", "1")
        run(sys.executable, "-m", "build", "--wheel", "--outdir", tree / "dist", tree, SOURCE_DATE_EPOCH=epoch)
        wheels += (tree / "dist").glob("*.whl")
    first, second = (wheel.read_bytes() for wheel in wheels)
    print(f"{wheels[0].name}: {len(first)} bytes, twice the same: {first == second}")
    if first != second:
        raise subprocess.CalledProcessError(1, f"comparison of {wheels[0]} with {wheels[1]}")


@task
def pythons() -> None:
    """Build a wheel for every Python of SIMDROP_PYTHONS (paths, or what is on the path), with g++-11; try each."""
    need("auditwheel", "patchelf", "g++-11")  # the oldest compiler that the project is tried with
    os.environ.pop("SKBUILD_BUILD_DIR", None)  # each build has a place of its own
    names = [f"python3.{minor}{kind}" for minor in range(10, 16) for kind in ("", "t")]
    found = os.environ.get("SIMDROP_PYTHONS", "").split() or [name for name in names if shutil.which(name)]
    for python in found:
        tag = "import sys, sysconfig; print(sys.version.split()[0], sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
        version = subprocess.run([python, "-c", tag], capture_output=True, text=True, check=True).stdout.split()
        out = BUILD / "pythons" / "-".join(version)
        shutil.rmtree(out, ignore_errors=True)
        run(python, "-m", "venv", out / "venv")
        here = out / "venv" / "bin" / "python"
        run(here, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT, CXX="g++-11")
        (wheel,) = out.glob("*.whl")
        run("auditwheel", "repair", "--wheel-dir", out / "repaired", wheel)
        (wheel,) = (out / "repaired").glob("*.whl")
        run(here, "-m", "pip", "install", "--quiet", wheel)
        run(here, ROOT / "tests" / "release" / "smoke.py", cwd=out)
        print(f"Python {' '.join(version)}: {wheel.name}")


@task
def other_machines() -> None:
    """See that 32-bit and big-endian machines are refused when the build is configured, with the reason."""
    for prefix, processor, reason in (
        ("i686-linux-gnu", "i686", "64-bit machines"),
        ("s390x-linux-gnu", "s390x", "little-endian machines"),
    ):
        need(f"{prefix}-g++")
        folder = BUILD / f"cpp-{processor}"
        shutil.rmtree(folder, ignore_errors=True)
        command = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DSIMDROP_EXTENSION=OFF", "-DCMAKE_SYSTEM_NAME=Linux"]
        options = [f"-DCMAKE_SYSTEM_PROCESSOR={processor}", f"-DCMAKE_CXX_COMPILER={prefix}-g++"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        said = " ".join(done.stderr.split())
        print(f"{prefix}: {done.returncode}, {said}")
        if done.returncode == 0 or f"accepted: {reason}" not in said:
            raise subprocess.CalledProcessError(1, f"refusal of {prefix}")


@task
def two_installs() -> None:
    """Install the package from this tree twice at the same time: the builds share nothing, and leave nothing behind."""
    site = BUILD / "two-installs"
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    before = sorted(BUILD.iterdir())
    # Debug, because what is built does not matter here.
    options = (
        "--config-settings=cmake.build-type=Debug",
        "--config-settings=cmake.define.CMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *options, "--target"]
    print("+ twice at once:", *command, site, ROOT, flush=True)
    folders = [site / "first", site / "second"]
    environment = {name: value for name, value in os.environ.items() if name != "SKBUILD_BUILD_DIR"}
    both = [subprocess.Popen([*command, str(folder), str(ROOT)], env=environment) for folder in folders]
    for code in [process.wait() for process in both]:
        if code:
            raise subprocess.CalledProcessError(code, command)
    if sorted(BUILD.iterdir()) != before:
        raise subprocess.CalledProcessError(1, f"comparison of {BUILD} before and after")
    for folder in folders:
        proof = "import simdrop; print(simdrop.__file__, simdrop.dropout(memoryview(bytearray(16)).cast('f'), rng=1))"
        run(sys.executable, "-c", proof, cwd=site, PYTHONPATH=str(folder))


@task
def dieharder() -> None:
    """Give the words of random_bits to dieharder: a selection of its tests, about ten minutes."""
    need("dieharder")
    run(sys.executable, "tests/release/run_dieharder.py", BUILD / "dieharder.txt")


@task
def testu01() -> None:
    """Go on giving the bits of masks to TestU01's BigCrush, hours of it; TESTU01 says where that is installed."""
    folder = os.environ.get("TESTU01")
    if not folder:
        raise SkippedError("TESTU01 names no folder")
    run(sys.executable, "tests/release/run_testu01.py", folder, "docs/testu01.tsv", "BigCrush", "elements")


def main(names: list[str]) -> int:
    """Run the tasks of these names one after another, all of them even if one fails."""
    if not names:
        for name, function in TASKS.items():
            print(f"{name:18}{(function.__doc__ or '').splitlines()[0]}")
        for name, group in GROUPS.items():
            print(f"{name:18}Run, in this order: {', '.join(group)}.")
        return 0
    chosen = [part for name in names for part in GROUPS.get(name, [name])]
    unknown = [name for name in chosen if name not in TASKS]
    if unknown:
        print(f"there is no task {unknown[0]!r}; there are {', '.join([*TASKS, *GROUPS])}", file=sys.stderr)
        return 2
    results: dict[str, str] = {}
    for name in chosen:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        try:
            TASKS[name]()
            result = "passed"
        except SkippedError as reason:
            result = f"SKIPPED: {reason}"
        except subprocess.CalledProcessError as error:
            result = f"FAILED: exit code {error.returncode}"
        results[name] = f"{result} ({time.monotonic() - start:.0f} s)"
        print(f"== {name}: {results[name]}", flush=True)
    if len(chosen) > 1:
        print("\nTasks")
        for name, result in results.items():
            print(f"  {name:18}{result}")
    return 1 if any(result.startswith("FAILED") for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
