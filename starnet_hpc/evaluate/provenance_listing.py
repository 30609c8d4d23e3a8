"""Where the numbers come from: stores, catalogues, configuration, software, seeds."""

import json
from collections.abc import Mapping

from starnet_hpc import provenance
from starnet_hpc.config import resolved_yaml
from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Block, Grid, Listing, Text
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.tables import Column, Row, Table, table

_COLUMNS = (
    Column("input", "input"),
    Column("rows", "rows"),
    Column("digest", "digest", "Of recipe and content; two inputs with the same one are the same"),
    Column("made_with", "made with"),
)


def blocks(inputs: Inputs) -> tuple[Block, ...]:
    """Return the blocks of the chapter."""
    listed = table("inputs", "What was read", _COLUMNS, [*_stores(inputs), *_catalogues(inputs)])
    recipe = json.dumps(inputs.training.store.attributes.get("recipe", {}), indent=1, sort_keys=True)
    config = inputs.config
    return (
        Grid(listed),
        Text(
            f"Seed of the experiment: {config.seed}. Every random number is a function of it, the stage and the row; "
            f"each member's own seeds follow from it and are kept with its weights. This evaluation draws none."
        ),
        Listing("Configuration, defaults included", resolved_yaml(config)),
        Listing("Recipe of the training spectra", recipe),
        *software_blocks(),
    )


def inputs_table(runs: Mapping[str, Inputs]) -> Table:
    """Return what was read of several runs, by their names."""
    columns = (Column("run", "run"), *_COLUMNS)
    rows = [{"run": name, **row} for name, run in runs.items() for row in (*_stores(run), *_catalogues(run))]
    return table("inputs", "What was read", columns, rows)


def software_blocks() -> tuple[Block, ...]:
    """Return which software this evaluation ran with, and whose method it follows."""
    software = "\n".join(f"{name} {version}" for name, version in provenance.software().items())
    return (
        Listing("Software of this evaluation", software),
        Text("Method: Bialek et al. (2020), MNRAS 498, 3817, doi:10.1093/mnras/staa2582."),
    )


def _stores(inputs: Inputs) -> list[Row]:
    stores = [inputs.training.store, inputs.test.store]
    if inputs.survey is not None:
        stores.append(inputs.survey.store)
    return [
        {
            "input": store.path.name,
            "rows": len(store),
            "digest": store.content_digest,
            "made_with": f"starnet_hpc {store.attributes.get('software', {}).get('starnet_hpc', '?')}",
        }
        for store in stores
    ]


def _catalogues(inputs: Inputs) -> list[Row]:
    catalogues = [inputs.test.catalogue]
    if inputs.survey is not None:
        catalogues.append(inputs.survey.catalogue)
    return [
        {
            "input": catalogue.path.name,
            "rows": len(catalogue),
            "digest": provenance.digest_file(catalogue.path),
            "made_with": catalogue.header.get("CREATOR", words.MISSING),
        }
        for catalogue in catalogues
    ]
