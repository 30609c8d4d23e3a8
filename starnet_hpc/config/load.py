"""From a YAML file and `--set` options to a checked configuration, or to one message that says what is wrong."""

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from starnet_hpc.config.experiment import ExperimentConfig
from starnet_hpc.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)

_READABLE = {
    "missing": "this key is required",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "too_short": "must have at least one entry",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping (key: value lines)",
    "dict_type": "must be a mapping (key: value lines)",
    "path_type": "must be a path",
    "invalid_key": "keys are text",
}


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys, and half of a section given twice would silently count for nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice in one section", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Return the configuration in a YAML file, with `section.key=value` overrides applied.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or any key or value is wrong; all faults in one message.
    """
    path, source = Path(path), str(path)
    data = read_yaml(path)
    for override in overrides:
        _apply(data, override)
        source = f"{path} with --set"
    return check(ExperimentConfig, data, source=source)


def load_run(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Return the configuration of a run: of a YAML file, or of a run directory, which keeps its own.

    A directory that was moved since is read where it is now.

    Raises:
        ConfigError: as `load_config`, or the directory is not that of a run.
    """
    folder = Path(path)
    if not folder.is_dir():
        return load_config(path, overrides)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{folder}: holds no config.yaml, so it is not a run directory; give one, or a YAML file")
    return load_config(folder / "config.yaml", overrides).model_copy(update={"run_dir": folder.absolute()})


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a text file ({error})") from None
    try:
        data = _parse(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigError(f"{path}: expected `key: value` lines, found {found}")
    return data


def check(model: type[_Model], data: Mapping[str, Any], *, source: str) -> _Model:
    """Return `data` checked by a pydantic model.

    Raises:
        ConfigError: with one line a fault: source, key, what was expected, and the nearest valid key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [_explain(model, fault) for fault in faults if not _beside_the_point(fault, faults)]
        raise ConfigError("\n".join(f"{source}: {line}" for line in dict.fromkeys(lines))) from None


def resolved_yaml(config: BaseModel) -> str:
    """Return the whole configuration, defaults included, as YAML text that `load_config` reads again."""
    # null is a value like others: where it is not the default, leaving it out would bring the default back.
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # _Loader is safe: it only adds a check to SafeLoader
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-02-30
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set {override}: expected section.key=value, for instance --set train.epochs=5")
    try:
        value = _parse(text)
    except ValueError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML: {error}") from None
    target = data
    for name in names[:-1]:
        inner = target.get(name)
        if inner is None:  # not there, or a heading without lines
            inner = target[name] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {name} is not a section")
        target = inner
    target[names[-1]] = value


def _explain(model: type[BaseModel], fault: Any) -> str:
    place = [part for part in fault["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggest(model, place)}"
    if fault["type"] == "missing":
        return f"{key}: {_READABLE['missing']}"
    message = _READABLE.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    shown = fault["input"]
    if isinstance(shown, str | int | float | bool | list) and fault["type"] != "value_error":
        message += f", got {shown!r}"
    return f"{key}: {message}" if key else message  # of the whole: it names its keys itself


def _beside_the_point(fault: Any, faults: Sequence[Any]) -> bool:
    """Whether pydantic complains only because of another fault, or of the other alternative of `name or mapping`."""
    place = fault["loc"]
    if fault["type"] == "too_short":  # said of a list whose entries are wrong, too
        return any(other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in faults)
    chose_mapping = fault["type"] == "string_type" and isinstance(fault["input"], dict)
    chose_name = fault["type"] == "model_type" and isinstance(fault["input"], str)
    return (chose_mapping or chose_name) and _is_branch(place[-1])


def _is_branch(part: object) -> bool:
    """Whether a part of pydantic's location names an alternative of a union, not a key of the user's."""
    branches = {"InstrumentConfig", "str", "windows", "listed"}
    return isinstance(part, str) and (part in branches or part.startswith("function-"))


def _suggest(model: type[BaseModel], place: list[Any]) -> str:
    fields = _fields_at(model, place[:-1])
    near = difflib.get_close_matches(str(place[-1]), fields, n=3, cutoff=0.5)
    near.sort(key=lambda name: sorted(name) != sorted(str(place[-1])))  # letters exchanged, before letters mistaken
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; valid keys here: {', '.join(fields)}" if fields else ""


def _fields_at(model: type[BaseModel], place: list[Any]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int):  # a position in a list, whose items' model was taken with the list
            continue
        if current is None or part not in current.model_fields:
            return []
        annotation = current.model_fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return list(current.model_fields) if current else []
