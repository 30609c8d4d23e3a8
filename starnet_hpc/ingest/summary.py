"""What a grid holds, in numbers and in a table for people."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.labels import LABELS

_MOST_NODES = 60
"""A label with more distinct values than this is sampled, not tabulated on nodes."""


def summarise(labels: NDArray[np.float64], names: Sequence[str]) -> dict[str, Any]:
    """Return count, range and number of distinct values of each label, and how many nodes of the lattice are empty.

    Args:
        labels: [templates, labels], in the labels' units.
        names: their names.
    """
    columns = {}
    for name, values in zip(names, labels.T, strict=True):
        distinct = np.unique(np.round(values, 6))
        columns[name] = {"low": float(distinct[0]), "high": float(distinct[-1]), "distinct": int(distinct.size)}
    counts = [column["distinct"] for column in columns.values()]
    on_nodes = max(counts) <= _MOST_NODES
    holes = math.prod(counts) - len(labels) if on_nodes else None
    return {"templates": len(labels), "labels": columns, "on_nodes": on_nodes, "holes": holes}


def table(summary: dict[str, Any]) -> list[str]:
    """Return the summary as lines of text."""
    lines = [f"{summary['templates']} templates", "  label       low      high  distinct values"]
    for name, column in summary["labels"].items():
        digits = LABELS[name].decimals
        lines.append(f"  {name:5} {column['low']:9.{digits}f} {column['high']:9.{digits}f}  {column['distinct']}")
    if summary["on_nodes"]:
        nodes = summary["templates"] + summary["holes"]
        lines.append(f"  {summary['holes']} of the {nodes} nodes that these values span are not there")
    else:
        lines.append("  the labels are sampled, not on the nodes of a lattice")
    return lines
