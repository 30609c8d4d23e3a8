"""Zarr stores: written by whole shards with markers, read only when complete."""

from starnet_hpc.stores.build import StoreBuild, building, finished, write_shard
from starnet_hpc.stores.files import explain_full_disk, only_writer, read_json, write_atomically, write_json
from starnet_hpc.stores.layout import Layout
from starnet_hpc.stores.reading import MappedRows, Store, is_complete, open_store

__all__ = [
    "Layout",
    "MappedRows",
    "Store",
    "StoreBuild",
    "building",
    "explain_full_disk",
    "finished",
    "is_complete",
    "only_writer",
    "open_store",
    "read_json",
    "write_atomically",
    "write_json",
    "write_shard",
]
