"""Digests tell equal things from different ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from starnet_hpc import provenance

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
recipes = st.dictionaries(st.text(max_size=5), plain, max_size=5)


@given(recipe=recipes)
def test_the_order_of_keys_does_not_matter(recipe: dict[str, Any]) -> None:
    assert provenance.digest_recipe(dict(reversed(recipe.items()))) == provenance.digest_recipe(recipe)


@given(recipe=recipes, other=recipes)
def test_recipes_differ_where_and_only_where_differences_are_listed(
    recipe: dict[str, Any], other: dict[str, Any]
) -> None:
    assert provenance.differences(recipe, recipe) == []
    if provenance.differences(recipe, other):
        assert provenance.digest_recipe(recipe) != provenance.digest_recipe(other)


@given(
    array=arrays.arrays(
        st.sampled_from(["f2", "f4", "f8", "i4", "?"]), arrays.array_shapes(max_dims=3, min_side=0, max_side=5)
    )
)
def test_an_array_in_any_memory_order_has_one_digest(array: np.ndarray) -> None:
    digest = provenance.digest_array(array)
    assert provenance.digest_array(np.asfortranarray(array)) == digest
    assert provenance.digest_array(np.repeat(array, 2, axis=-1)[..., ::2]) == digest
    assert provenance.digest_array(array[np.newaxis]) != digest


def test_shape_type_and_every_bit_count() -> None:
    zeros = np.zeros((2, 3), dtype=np.float32)
    others = [zeros.reshape(3, 2), zeros.astype(np.float64), zeros.astype(">f4"), zeros + 1e-45, -zeros]
    assert len({provenance.digest_array(array) for array in (zeros, *others)}) == 6


def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert provenance.digest_file(tmp_path / "file") == provenance.digest_bytes(content)


@pytest.mark.parametrize(
    ("ours", "theirs", "lines"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, ["b.c: 3 -> 2"]),
        ({"a": 1}, {"b": 2}, ["b: 2 -> null", "a: null -> 1"]),
        ({"arms": [{"step": 1}, {"step": 2}]}, {"arms": [{"step": 1}, {"step": 3}]}, ["arms.1.step: 3 -> 2"]),
        ({"arms": [1]}, {"arms": [1, 2]}, ["arms: [1, 2] -> [1]"]),
        ({"a": "x" * 100}, {"a": ""}, [f'a: "" -> "{"x" * 56}...']),
    ],
)
def test_differences_name_the_innermost_key(ours: dict[str, Any], theirs: dict[str, Any], lines: list[str]) -> None:
    assert provenance.differences(ours, theirs) == lines


def test_software_names_what_is_absent() -> None:
    versions = provenance.software()
    assert versions["numpy"] == np.__version__
    assert all(versions.values())
