"""What a grid holds, in numbers and in a table for people."""

import math
from collections.abc import Sequence
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.labels import LABELS

_MOST_NODES = 60
"""A label with more distinct values than this is sampled, not tabulated on nodes."""
_EMPTIEST = 20
"""Labels whose values span more than so many nodes a template are sampled, too."""
_MOST_LISTED = 100
_MOST_SHOWN = 3


def summarise(labels: NDArray[np.float64], names: Sequence[str]) -> dict[str, Any]:
    """Return what a grid holds.

    Args:
        labels: [templates, labels], in the labels' units.
        names: their names.

    Returns:
        Range and number of distinct values of each label and, if these are the nodes of a lattice, how many templates
        each value has, how many nodes are empty, and the first of these. Sampled labels have no nodes, and no holes.
    """
    rounded = np.round(labels, 6) + 0.0  # minus zero is zero
    axes = [np.unique(values) for values in rounded.T]
    nodes = math.prod(axis.size for axis in axes)
    on_nodes = max(axis.size for axis in axes) <= _MOST_NODES and nodes <= _EMPTIEST * len(labels)
    columns: dict[str, dict[str, Any]] = {}
    for name, axis, values in zip(names, axes, rounded.T, strict=True):
        columns[name] = {"low": float(axis[0]), "high": float(axis[-1]), "distinct": int(axis.size)}
        if on_nodes:
            columns[name]["counts"] = [[float(value), int((values == value).sum())] for value in axis]
    summary: dict[str, Any] = {"templates": len(labels), "labels": columns, "on_nodes": on_nodes, "holes": None}
    if on_nodes:
        there = {tuple(row) for row in rounded.tolist()}
        empty = (node for node in product(*(axis.tolist() for axis in axes)) if node not in there)
        # Templates may share a node (they differ in microturbulence): nodes are counted, not templates.
        summary |= {"holes": nodes - len(there), "first_holes": [list(node) for node in islice(empty, _MOST_LISTED)]}
    return summary


def table(summary: dict[str, Any]) -> list[str]:
    """Return the summary as lines of text."""
    lines = [f"{summary['templates']} templates", "  label       low      high  distinct values  templates at each"]
    for name, column in summary["labels"].items():
        digits = LABELS[name].decimals
        counts = [count for _, count in column.get("counts", [])]
        each = f"{min(counts)} to {max(counts)}" if counts else "-"
        low, high = (f"{column[end]:9.{digits}f}" for end in ("low", "high"))
        lines.append(f"  {name:5} {low} {high}  {column['distinct']:15}  {each:>17}")
    if not summary["on_nodes"]:
        return [*lines, "  the labels are sampled, not on the nodes of a lattice"]
    nodes = math.prod(column["distinct"] for column in summary["labels"].values())
    lines.append(f"  {summary['holes']} of the {nodes} nodes that these values span are not there")
    shown = summary["first_holes"][:_MOST_SHOWN]
    for node in shown:
        values = (
            f"{name} {value:.{LABELS[name].decimals}f}" for name, value in zip(summary["labels"], node, strict=True)
        )
        lines.append(f"    {', '.join(values)}")
    if summary["holes"] > len(shown) > 0:
        lines.append(f"    ... (the first {len(summary['first_holes'])} are in the store's attribute `summary`)")
    return lines
