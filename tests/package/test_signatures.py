"""Every public name, its parameters and their defaults are those of tests/data/signatures.txt."""

from __future__ import annotations

import pytest
import signatures


@pytest.mark.parametrize("module", signatures.MODULES)
def test_the_interface_is_the_pinned_one(module: str) -> None:
    if absent := signatures.missing(module):
        pytest.skip(f"not installed: {', '.join(absent)}")
    found = signatures.interface(module)
    wanted = signatures.pinned()[module]
    gone = [f"- {line}" for line in wanted if line not in found]
    new = [f"+ {line}" for line in found if line not in wanted]
    assert found == wanted, "\n".join([*gone, *new, "after a change that is meant: python tests/support/signatures.py"])


def test_a_module_that_is_left_out_would_show() -> None:
    assert list(signatures.pinned()) == list(signatures.MODULES)
    assert all(lines for lines in signatures.pinned().values())
