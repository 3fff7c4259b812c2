"""Four processes that are the ranks of a gloo group on the loopback interface: ``python torch_ranks.py FOLDER``.

Each runs all cases of torch_rank_cases.py, one after the other, and writes what it found to FOLDER/RANK.json: the name
of each case with an empty text, or the traceback of the first that failed. They are forked from one process that has
imported PyTorch, which takes most of the time. A rank that waits for others gives up after half a minute.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path

import simdrop.torch as st
import torch
import torch.distributed as dist
from torch_rank_cases import CASES

WORLD = 4


def run(rank: int, folder: Path) -> None:
    """Run the cases as one of the ranks."""
    found: dict[str, str] = {}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'store'}",
        rank=rank,
        world_size=WORLD,
        timeout=datetime.timedelta(seconds=30),
    )
    st.install()
    for name, case in CASES.items():
        try:
            case(rank)
            found[name] = ""
        except BaseException:
            found[name] = traceback.format_exc()
            break
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def main() -> int:
    """Fork the ranks and wait for them."""
    folder = Path(sys.argv[1])
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    warnings.filterwarnings("error", message=".*random operators may not have complete support.*")
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    logging.getLogger("torch.distributed.tensor").setLevel(logging.ERROR)  # hints on the speed of collectives
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)])  # imports what all ranks need
    children = []
    for rank in range(WORLD):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(rank, folder)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


if __name__ == "__main__":
    sys.exit(main())
