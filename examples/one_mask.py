"""One mask for an array in pieces: chunks of Dask, however they are cut, get the bits that the whole would have.

Draws the mask of an array of 24 x 48, then two ways to cut the array, with a labelled xarray on top of the second.
Writes docs/pictures/one_mask.png. Needs ``pip install simdrop[dask] xarray``.
"""

from __future__ import annotations

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import simdrop
import simdrop.dask
import xarray
from network import arguments, save

SHAPE = (24, 48)


def main() -> None:
    options = arguments(__doc__, "one_mask.png")
    x = np.ones(SHAPE, np.float32)
    whole = simdrop.dropout(x, 0.3, rng=options.seed)
    cuts = {"four rows of chunks": (6, 48), "chunks of another shape": (10, 17)}
    figure, panels = plt.subplots(1, 3, figsize=(12, 2.9))
    panels[0].imshow(whole != 0, cmap="Blues", vmin=-0.3, vmax=1.4)
    panels[0].set_title("the whole")
    for panel, (name, chunks) in zip(panels[1:], cuts.items(), strict=True):
        pieces = simdrop.dask.dropout(da.from_array(x, chunks=chunks), 0.3, rng=options.seed)
        computed = pieces.compute(scheduler="processes" if not options.quick else "sync")
        same = computed.tobytes() == whole.tobytes()
        print(f"{name}: {pieces.npartitions} chunks, equal to the whole: {same}")
        panel.imshow(computed != 0, cmap="Blues", vmin=-0.3, vmax=1.4)
        for axis, line in zip(pieces.chunks, (panel.axhline, panel.axvline), strict=True):
            for border in np.cumsum(axis)[:-1]:
                line(border - 0.5, color="C1", linewidth=1.6)
        panel.set_title(name)
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.grid(visible=False)

    labelled = xarray.DataArray(x, dims=("time", "place")).chunk({"time": 10})
    dropped = xarray.apply_ufunc(simdrop.dask.dropout, labelled, 0.3, dask="allowed", kwargs={"rng": options.seed})
    print(f"xarray {dict(dropped.sizes)}: equal to the whole: {bool((dropped.compute().values == whole).all())}")
    save(figure, options.output)


if __name__ == "__main__":
    main()
