"""The catalogue: one row a spectrum, as a FITS binary table and as Parquet."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.units import Unit
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.flags import Flag
from starnet_hpc.labels import LABELS
from starnet_hpc.networks import label_pairs
from starnet_hpc.stores import write_atomically

_ONLY_WHERE = {"augment": {"workers", "scheduler"}, "predict": {"ranks_per_shard"}}
"""Keys of sections of the configuration that say where and by how many something is done."""
_PARTS = (
    ("", "ensemble mean"),
    ("_err", "standard deviation, calibrated on validation spectra"),
    ("_err_raw", "as claimed: aleatoric and epistemic in quadrature"),
    ("_aleatoric", "standard deviation that the members claim"),
    ("_epistemic", "standard deviation between the members"),
)


@dataclass(frozen=True)
class Column:
    """One column of the catalogue."""

    name: str
    values: NDArray[np.generic]
    unit: str
    """As astropy understands it; "" is none."""
    description: str


def catalogue_columns(
    identifiers: NDArray[np.object_],
    label_names: tuple[str, ...],
    parts: tuple[NDArray[np.float64], ...],
    distance: NDArray[np.float64],
    flags: NDArray[np.int32],
    n_members: int,
    correlation: NDArray[np.float64] | None = None,
    further: Sequence[Column] = (),
) -> list[Column]:
    """Return the columns of a catalogue.

    Args:
        identifiers: [rows], unique.
        label_names: [labels].
        parts: mean; calibrated, claimed, aleatoric and epistemic standard deviation; each [rows, labels], physical
            units.
        distance: of the last hidden layer from training spectra [rows].
        flags: [rows].
        n_members: size of the ensemble.
        correlation: of the members' answers for each two labels [rows, pairs]; None: no such columns.
        further: columns that follow those of the labels.
    """
    columns = [Column("id", identifiers.astype(str), "", "identifier of the spectrum")]
    for k, name in enumerate(label_names):
        label = LABELS[name]
        columns += [
            Column(f"{name}{suffix}", values[:, k], label.unit, f"{label.description}: {meaning}")
            for (suffix, meaning), values in zip(_PARTS, parts, strict=True)
        ]
    columns += further
    if correlation is not None:
        names = [(label_names[a], label_names[b]) for a, b in label_pairs(len(label_names))]
        columns += [
            Column(f"{a}_{b}_corr", values, "", f"correlation of {a} and {b} between the members, -1 to 1")
            for (a, b), values in zip(names, correlation.T, strict=True)
        ]
    columns.append(Column("feature_distance", distance, "", "from training spectra, as networks see them; theirs: 1"))
    columns.append(Column("flags", flags, "", "bits, see the header; 0: nothing to remark"))
    count = np.where(np.isfinite(parts[0]).all(axis=1), n_members, 0).astype(np.int16)
    columns.append(Column("n_members", count, "", "networks behind the prediction"))
    return columns


def settings(config: ExperimentConfig) -> str:
    """Return the configuration as JSON, but for where things lie and run, which changes nothing in a catalogue."""
    told = config.model_dump(mode="json", exclude={"run_dir", "evaluate", "cluster"})
    for section, names in _ONLY_WHERE.items():
        told[section] = {name: value for name, value in told[section].items() if name not in names}
    # FITS doubles a quote, and long text is cut at any place.
    return json.dumps(told).replace("'", r"\u0027")


def write_fits(path: Path, columns: list[Column], header: Mapping[str, tuple[str | int, str]]) -> None:
    """Write a FITS binary table with units, descriptions, the meaning of the flags, and checksums.

    No date is written: the same input gives the same bytes.
    """
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(c.name, _fits_format(values), unit=_fits_unit(c.unit), array=values)
            for c, values in zip(columns, map(_fits_values, columns), strict=True)
        ],
        name="CATALOGUE",
    )
    for number, column in enumerate(columns, start=1):
        remark = f" [{column.unit}]" if column.unit and not _fits_unit(column.unit) else ""
        table.header[f"TCOMM{number}"] = column.description + remark
    for key, value in header.items():
        table.header[key] = value
    for flag in Flag:
        table.header.add_comment(f"flag {flag.value:>8d} = bit {flag.value.bit_length() - 1:2d}: {flag.name}")
    primary = fits.PrimaryHDU()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # long digests spill into CONTINUE cards, as allowed
        for hdu in (primary, table):
            hdu.add_checksum(when="of the data and header as written")
        buffer = io.BytesIO()
        fits.HDUList([primary, table]).writeto(buffer)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def write_parquet(path: Path, columns: list[Column], header: Mapping[str, tuple[str | int, str]]) -> None:
    """Write the same table as Parquet, units and descriptions in the fields' metadata."""
    fields = [
        pa.field(c.name, pa.array(c.values[:0]).type, metadata={"unit": c.unit, "description": c.description})
        for c in columns
    ]
    metadata = {key: str(value) for key, (value, _) in header.items()}
    metadata |= {f"flag_{flag.name}": str(flag.value) for flag in Flag}
    schema = pa.schema(fields, metadata=metadata)
    table = pa.table([pa.array(c.values) for c in columns], schema=schema)
    write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))


@cache  # to say no, astropy looks for what could have been meant, among thousands of units
def _fits_unit(unit: str) -> str | None:
    """Return a unit for TUNIT, None for those that the FITS standard does not know (dex), at which readers complain."""
    try:
        Unit(unit, format="fits")
    except ValueError:
        return None
    return unit or None


def _fits_values(column: Column) -> NDArray[np.generic]:
    """Return values as FITS can hold them: its text is ASCII, and other letters of an identifier are spelt out."""
    if column.values.dtype.kind != "U":
        return column.values
    return np.array([str(text).encode("ascii", "backslashreplace").decode() for text in column.values], dtype=str)


def _fits_format(values: NDArray[np.generic]) -> str:
    if values.dtype.kind == "U":
        return f"{max(1, values.dtype.itemsize // 4)}A"
    return {"f8": "D", "i4": "J", "i2": "I"}[values.dtype.str[1:]]
