"""cpp/bindings/xla_ffi.hpp against the headers that the installed jaxlib ships: every size, offset and number."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT

jax = pytest.importorskip("jax")
OURS = ROOT / "cpp" / "bindings" / "xla_ffi.hpp"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
if not OURS.is_file() or COMPILER is None:
    pytest.skip("without the sources or a compiler", allow_module_level=True)

# Our structure, XLA's, and their fields in pairs; a structure without a star has the same size.
STRUCTURES = {
    "Extension XLA_FFI_Extension_Base": "struct_size type next",
    "ApiVersion XLA_FFI_Api_Version": "struct_size extensions:extension_start major:major_version minor:minor_version",
    "Metadata* XLA_FFI_Metadata": "struct_size version:api_version traits",
    "MetadataExtension XLA_FFI_Metadata_Extension": "base:extension_base metadata",
    "Buffer XLA_FFI_Buffer": "struct_size extensions:extension_start dtype data rank dims",
    "ByteSpan XLA_FFI_ByteSpan": "data:ptr size:len",
    "Array XLA_FFI_Array": "dtype size data",
    "Buffers XLA_FFI_Args": "struct_size extensions:extension_start size types items:args",
    "Buffers XLA_FFI_Rets": "struct_size extensions:extension_start size types items:rets",
    "Attributes XLA_FFI_Attrs": "struct_size extensions:extension_start size types names items:attrs",
    "ErrorCreate XLA_FFI_Error_Create_Args": "struct_size extensions:extension_start message code:errc",
    "ErrorDestroy XLA_FFI_Error_Destroy_Args": "struct_size extensions:extension_start error",
    "Schedule XLA_FFI_ThreadPool_Schedule_Args": "struct_size extensions:extension_start context:ctx task data",
    "NumThreads XLA_FFI_ThreadPool_NumThreads_Args": (
        "struct_size extensions:extension_start context:ctx threads:num_threads"
    ),
    "Api* XLA_FFI_Api": (
        "struct_size extensions:extension_start version:api_version internal:internal_api "
        "error_create:XLA_FFI_Error_Create error_get_message:XLA_FFI_Error_GetMessage "
        "error_destroy:XLA_FFI_Error_Destroy schedule:XLA_FFI_ThreadPool_Schedule "
        "num_threads:XLA_FFI_ThreadPool_NumThreads"
    ),
    "CallFrame* XLA_FFI_CallFrame": (
        "struct_size extensions:extension_start api context:ctx stage arguments:args results:rets attributes:attrs"
    ),
}
NUMBERS = {
    "kMajor": "XLA_FFI_API_MAJOR",
    "kMetadata": "XLA_FFI_Extension_Metadata",
    "kInvalidArgument": "XLA_FFI_Error_Code_INVALID_ARGUMENT",
    "kExhausted": "XLA_FFI_Error_Code_RESOURCE_EXHAUSTED",
    "kExecute": "XLA_FFI_ExecutionStage_EXECUTE",
    "kBuffer": "XLA_FFI_ArgType_BUFFER",
    "kArray": "XLA_FFI_AttrType_ARRAY",
    "kU32": "XLA_FFI_DataType_U32",
    "kS64": "XLA_FFI_DataType_S64",
    "kF16": "XLA_FFI_DataType_F16",
    "kF32": "XLA_FFI_DataType_F32",
    "kF64": "XLA_FFI_DataType_F64",
    "kBF16": "XLA_FFI_DataType_BF16",
}


def asserts() -> list[str]:
    lines = [f"ours::{mine} == static_cast<int>({theirs})" for mine, theirs in NUMBERS.items()]
    lines += ["ours::kBuffer == static_cast<int>(XLA_FFI_RetType_BUFFER)", "ours::kMinor <= XLA_FFI_API_MINOR"]
    for names, fields in STRUCTURES.items():
        mine, theirs = names.split()
        if mine.endswith("*"):
            mine = mine[:-1]
            lines.append(f"sizeof(ours::{mine}) <= sizeof({theirs})")
        else:
            lines.append(f"sizeof(ours::{mine}) == sizeof({theirs})")
        for field in fields.split():
            own, _, other = field.partition(":")
            other = other or own
            lines.append(f"offsetof(ours::{mine}, {own}) == offsetof({theirs}, {other})")
            lines.append(f"sizeof(ours::{mine}::{own}) <= sizeof({theirs}::{other})")
    return lines


def compiles(lines: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "abi.cpp"
    checks = "\n".join(f"static_assert({line});" for line in lines)
    source.write_text(f'#include "{OURS}"\n#include "xla/ffi/api/c_api.h"\nnamespace ours = simdrop::xla;\n{checks}\n')
    words = [str(COMPILER), "-std=c++20", "-fsyntax-only", "-Wno-invalid-offsetof", f"-I{jax.ffi.include_dir()}"]
    return subprocess.run([*words, str(source)], capture_output=True, text=True, check=False)


def test_ours_is_xlas(tmp_path: Path) -> None:
    done = compiles(asserts(), tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_structure_field_and_number_is_compared() -> None:
    text = re.sub(r"//.*", "", OURS.read_text())
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL):
        fields = set(re.findall(r"(\w+)(?:\)\(.*?\))?(?:\[\d+\])?;", body))
        compared = {
            field.partition(":")[0]
            for names, found in STRUCTURES.items()
            if names.split()[0].rstrip("*") == name
            for field in found.split()
        }
        assert compared == fields - {"others"}, name
    assert set(re.findall(r"\b(k[A-Z]\w*) =", text)) == set(NUMBERS) | {"kMinor"}


@pytest.mark.parametrize(
    "wrong",
    ["ours::kF16 == static_cast<int>(XLA_FFI_DataType_BF16)",
     "offsetof(ours::Api, schedule) == offsetof(XLA_FFI_Api, XLA_FFI_DeviceMemory_Free)"],
)  # fmt: skip
def test_a_difference_is_found(wrong: str, tmp_path: Path) -> None:
    assert "static assertion failed" in compiles([wrong], tmp_path).stderr.replace(
        "static_assert failed", "static assertion failed"
    )
