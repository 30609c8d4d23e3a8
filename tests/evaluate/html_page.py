"""The report as a browser would see it, by the standard library's parser."""

import re
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """What a browser would see: tags in balance, addresses that are asked for, tables with their values."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.columns: dict[str, list[str]] = {}
        self._table = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [found[key] for key in ("src", "srcset", "data", "action") if key in found]
        if tag == "link":
            self.addresses.append(found["href"])
        if tag == "a":
            self.links.append(found["href"])
        if "id" in found:
            self.anchors.append(found["id"])
        if tag == "table":
            self._table = found["data-name"]
            self.tables[self._table] = []
            self.columns[self._table] = found.get("data-columns", "").split(",")
        if tag == "tr":
            self.tables[self._table].append([])
        if tag == "td":
            self.tables[self._table][-1].append(found["data-value"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"


def prose(text: str) -> str:
    """The page without its markup and images, spaces made plain."""
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"base64,[^\"]*", "", text)).replace("\u00a0", " ").split())
