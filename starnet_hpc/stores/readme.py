"""The text that every store carries: all that somebody needs who finds it in five years, without the package."""

import textwrap
from collections.abc import Mapping

from starnet_hpc.stores.layout import Layout

_TEXT = """\
{name}: {what}

Made by `starnet-hpc {made_by} CONFIG` of the Python package starnet_hpc (after Bialek et al. 2020,
https://doi.org/10.1093/mnras/staa2582). The attribute `recipe` holds all settings that the content is a function of,
`software` the versions. The store may be trusted when `complete` is true. It is plain Zarr (format 3), for instance
for zarr-python:

    import zarr
    store = zarr.open_group("{name}", mode="r")
    wavelength, flux = store["wavelength"][:], store["flux"][0:{shard_rows}]

Arrays
{arrays}

Signal-to-noise ratio: {snr}

Chunks: {chunks} Fluxes are not compressed: they are mostly noise, so that good codecs leave 0.6 to 0.7 of the bytes,
but take 6 to 20 times as long to read straight from the file, whose length would no longer tell whether it is whole.

Markers: beside the store lies {markers}/, with one small JSON for each file of fluxes: digests of what made it
(`recipe`) and of its values (`digest`), and what was noted when it was made (`facts`). They are needed to go on with a
build that was interrupted, and by `starnet-hpc verify`; who only reads needs none.
"""
_SHARDED = (
    "a file (shard) holds {shard_rows} rows and is written once, as a whole. Inside, {inner_rows} rows are an inner "
    "chunk: single rows come quickly, whole shards at the disk's rate."
)
_MAPPED = "a file is one chunk of {shard_rows} rows and nothing else, so that single rows can be read at their places."
_WIDTH = 100


def readme(
    name: str, layout: Layout, *, what: str, made_by: str, arrays: Mapping[str, str], snr: str = "not known."
) -> str:
    """Return the attribute `readme` of a store.

    Args:
        name: of the store's folder, `train.zarr`.
        layout: of the store.
        what: one sentence that says what its rows are.
        made_by: the command that makes it.
        arrays: what each array holds: shape, unit, meaning; `wavelength` and `flux` included.
        snr: how the signal-to-noise ratio is defined.
    """
    chunks = (_MAPPED if layout.mapped else _SHARDED).format(shard_rows=layout.shard_rows, inner_rows=layout.inner_rows)
    listed = [f"  {array}: {meaning}" for array, meaning in arrays.items()]
    text = _TEXT.format(
        name=name,
        what=what,
        made_by=made_by,
        shard_rows=layout.shard_rows,
        arrays="\n".join(textwrap.fill(line, _WIDTH, subsequent_indent="      ") for line in listed),
        snr=snr,
        chunks=chunks,
        markers=f"{name.removesuffix('.zarr')}.markers",
    )
    as_they_are = ("    ", "Arrays")
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if one.startswith(as_they_are) else textwrap.fill(one, _WIDTH) for one in paragraphs)
