"""The page of all keys of a configuration, from the models that check them."""

import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from starnet_hpc.config import ExperimentConfig

HEAD = """# All keys of a configuration

One YAML file describes one experiment. It is checked before anything starts: unknown keys, values out of range and
paths that name an unset variable are told with the key, what was expected, and what was meant if a key is misspelt.
`--set section.key=value` changes a key for one command. What is resolved from it is written to `config.yaml` in the run
directory, and into every artefact.

This page is made from the models that check the file (`starnet_hpc/config/`).
"""
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def reference() -> str:
    """Return the page as Markdown."""
    return "\n".join([HEAD, *_section("", ExperimentConfig, set())])


def _section(name: str, model: type[BaseModel], told: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the lines of one section, and those of the sections within it."""
    told.add(model)
    if name:
        yield f"## `{name}`\n"
        yield f"{_flat(model.__doc__ or '')}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    inner: list[tuple[str, type[BaseModel]]] = []
    for key, field in model.model_fields.items():
        models = [part for part in _models(field.annotation) if part not in told]
        meaning = field.description or next((part.__doc__ for part in _models(field.annotation)), "")
        yield f"| `{key}` | {_kind(field)} | {_default(field)} | {_flat(meaning or '')} |"
        inner += [(f"{name}.{key}".lstrip("."), part) for part in models]
    yield ""
    for place, part in inner:
        if part not in told:
            yield from _section(place, part, told)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the sections that a value can be, or hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {_number(getattr(limit, name))}"
        for limit in field.metadata
        for name, sign in SIGNS.items()
        if isinstance(limit, annotated_types.BaseMetadata) and getattr(limit, name, None) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds]).replace("|", r"\|")


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:g}"


def _type(annotation: Any) -> str:
    """Return what a value is, in a reader's words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys("nothing" if part is type(None) else _type(part) for part in parts))
    if origin is tuple and len(parts) == 2 and parts[1] is not Ellipsis:
        return f"[{_type(parts[0])}, {_type(parts[1])}]"
    if origin in (tuple, list):
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"{_type(parts[1])} by {_type(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section"
    names = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, BaseModel):
        return "see there"
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple | list):
        value = [list(part) if isinstance(part, tuple) else part for part in value]
    text = f"`{str(value).lower() if isinstance(value, bool) else value}`"
    return text.replace("|", r"\|")


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
