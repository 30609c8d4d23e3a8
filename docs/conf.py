"""How Sphinx builds these pages: `make docs`."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from configuration_reference import reference  # noqa: E402  # stands beside this file

project = "starnet_hpc"
author = "the starnet_hpc team"
release = metadata.version("starnet_hpc")
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"starnet_hpc {release}"
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # `page.md#a-heading` is a link


def write_reference(app: Sphinx) -> None:
    """Write the page of all keys, as the package that is installed checks them."""
    page, text = HERE / "configuration.md", reference()
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_reference)
