"""Settings of the report's chapters on stars: clusters."""

from typing import Annotated

from pydantic import Field

from starnet_hpc.config.base import Section, UserPath


class StarClusterConfig(Section):
    """What is known of one cluster of stars."""

    feh: float | None = None
    """Published [Fe/H] [dex]."""
    e_feh: Annotated[float, Field(ge=0)] | None = None
    """Its error [dex]."""
    isochrone: UserPath | None = None
    """File with an isochrone of its age; of several in the file, that with the nearest [Fe/H] is drawn."""


class StarClustersConfig(Section):
    """Clusters among the stars of a survey (paper, Figs 6 and 7)."""

    members: UserPath
    """Table (CSV) with columns `id`, as in the catalogue, and `cluster`."""
    known: dict[Annotated[str, Field(min_length=1)], StarClusterConfig] = Field(default_factory=dict)
    """What is known of each cluster, by the name it has in the table."""
