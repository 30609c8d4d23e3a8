"""Zarr stores: written by whole shards with markers, read only when complete."""

from starnet_hpc.stores.build import StoreBuild, building, checked, finished, write_shard
from starnet_hpc.stores.bulk import page_aligned
from starnet_hpc.stores.files import (
    explain_full_disk,
    only_writer,
    read_arrays,
    read_json,
    write_arrays,
    write_atomically,
    write_json,
)
from starnet_hpc.stores.footprint import Footprint, StorePlan, footprint, forecast
from starnet_hpc.stores.growing import Cell, Field, GrowingTable, Kind, growing_table, one_line
from starnet_hpc.stores.layout import Layout
from starnet_hpc.stores.reading import MappedRows, Store, is_complete, open_store
from starnet_hpc.stores.readme import readme
from starnet_hpc.stores.state import StoreState, state_of
from starnet_hpc.stores.verification import (
    Damage,
    ShardCheck,
    check_columns,
    check_shards,
    discard_damaged,
    unfinished_shards,
)

__all__ = [
    "Cell",
    "Damage",
    "Field",
    "Footprint",
    "GrowingTable",
    "Kind",
    "Layout",
    "MappedRows",
    "ShardCheck",
    "Store",
    "StoreBuild",
    "StorePlan",
    "StoreState",
    "building",
    "check_columns",
    "check_shards",
    "checked",
    "discard_damaged",
    "explain_full_disk",
    "finished",
    "footprint",
    "forecast",
    "growing_table",
    "is_complete",
    "one_line",
    "only_writer",
    "open_store",
    "page_aligned",
    "read_arrays",
    "read_json",
    "readme",
    "state_of",
    "unfinished_shards",
    "write_arrays",
    "write_atomically",
    "write_json",
    "write_shard",
]
