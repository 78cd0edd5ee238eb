"""The parameters of chapters and experiments: their names, types and ranges.

A chapter annotates each line of its parameters cell with one of these types; the builder
validates what the command line and the presets say against them, and the experiments
validate their fields with the same ones.
"""

import ast
import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictFloat,
    TypeAdapter,
    ValidationError,
)

from lib.compute import provenance
from lib.compute.registered import NameIn

Dataset = Annotated[str, NameIn("datasets")]
"""A file of :mod:`lib.stages.datasets`."""

Architecture = Annotated[str, NameIn("networks")]
"""A file of :mod:`lib.stages.networks`; ``shallow``, ``base`` and ``dense`` are the paper's."""

Method = Literal["fgsm", "pgd"]
"""The two attacks of the paper."""

Part = Literal["test", "validation"]
"""Which images choose filters: the paper's are test images; validation images leave those alone."""

Rung = Annotated[str, NameIn("attackers")]
"""What an attacker does, a file of :mod:`lib.stages.attackers`: the weakest first.

Of every rung, an image counts as withstood only if its clean version is read correctly, too. So
``static`` is static *and clean*, and may be below the paper's static accuracy.
"""

Criterion = Literal[
    "change",
    "relative change",
    "gradient",
    "change, again",
    "least change",
    "random",
    "random, again",
    "all",
    "none",
]
"""By which filters are chosen, see :class:`lib.stages.criteria.Contender`."""

Epsilon = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""L-infinity radius in pixel units, where 0 is black and 1 is white."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, 0 to 1."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Seed of every random draw."""

Label = Annotated[int, Field(ge=0, lt=10)]
"""A class of the images, 0 to 9."""

Count = Annotated[int, Field(ge=1)]
"""A number of things of which there must be at least one."""


def family(dataset: str) -> str:
    """Return what a data set is a sample of: samples bear its name, as ``mnist-5k`` does."""
    return dataset.partition("-")[0]


def _each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("the same twice: it would count twice")
    return values


_SOME = (Field(min_length=1), AfterValidator(_each_once))

Datasets = Annotated[tuple[Dataset, ...], *_SOME]
Architectures = Annotated[tuple[Architecture, ...], *_SOME]
Epsilons = Annotated[tuple[Epsilon, ...], *_SOME]
Fractions = Annotated[tuple[Fraction, ...], *_SOME]
Seeds = Annotated[tuple[Seed, ...], *_SOME]
Counts = Annotated[tuple[Count, ...], *_SOME]
Rungs = Annotated[tuple[Rung, ...], *_SOME]
Criteria = Annotated[tuple[Criterion, ...], *_SOME]


class RefusedError(ValueError):
    """What was asked for is not possible; nothing has been computed."""

    def _render_traceback_(self) -> list[str]:
        return [f"Error: {self}"]  # in a notebook the line alone: the user's value is wrong, not us


def type_named(annotation: str) -> Any:
    """Return the type that a parameters cell names.

    Raises
    ------
    RefusedError
        There is no such type here.
    """
    found = str if annotation == "str" else globals().get(annotation)
    if found is None or not (annotation == "str" or annotation[0].isupper()):
        raise RefusedError(f"its type {annotation} is not one of lib.compute.parameters")
    return found


def named_path(variable: str) -> Path | None:
    """Return the file or folder that a variable of the environment names, or None if none is.

    A relative name starts in the folder of this process, ``~`` is the user's.

    Raises
    ------
    RefusedError
        There is no such user.
    """
    named = os.environ.get(variable, "").strip()
    try:
        return Path(named).expanduser().absolute() if named else None
    except RuntimeError as error:
        raise RefusedError(f"{variable}: {named} is not allowed: {error}") from None


def _no_integer(value: object) -> object:
    return value if isinstance(value, float) else str(value)


class _KerasFile(BaseModel):
    """What Keras reads of a user's ``keras.json``, and would stop at."""

    floatx: Literal["float16", "float32", "float64"] = "float32"
    epsilon: Annotated[StrictFloat, BeforeValidator(_no_integer)] = 1e-7
    image_data_format: Literal["channels_last", "channels_first"] = "channels_last"


def check_keras_file() -> None:
    """Check a ``keras.json`` of the user before Keras does, which does not name it.

    Raises
    ------
    RefusedError
        Keras would not start with it, or it cannot be read.
    """
    path = (named_path("KERAS_HOME") or Path("~/.keras").expanduser()) / "keras.json"
    if path.is_file():
        try:
            _KerasFile.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RefusedError(
                f"{path}: {where}{': ' * bool(where)}{first['msg']}: mend it or delete it"
            ) from None


class _PlainLoader(yaml.SafeLoader):
    """YAML as people write it: 010 is ten and 1:30 a text, as in YAML 1.2; a name comes once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a name that comes twice, of which the last would count without a word."""
        names = [str(key.value) for key, _ in node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]} is given twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _resolve(kind: str, written: str, read: Callable[[str], Any]) -> None:
    tag = f"tag:yaml.org,2002:{kind}"
    _PlainLoader.add_implicit_resolver(tag, re.compile(f"({written})$"), None)
    _PlainLoader.add_constructor(tag, lambda _, node: read(node.value))


_PlainLoader.yaml_implicit_resolvers = {
    first: [entry for entry in entries if entry[0].endswith((":null", ":merge"))]
    for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_resolve("int", r"[-+]?[0-9]{1,999}", int)
_resolve("float", r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", float)
_resolve("bool", r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true")


def parsed(text: str) -> Any:
    """Return the value that a person means by a text: a number, a list, true or false, or text.

    Raises
    ------
    yaml.YAMLError
        The text cannot be read, such as ``[0,``.
    """
    return yaml.load(text, _PlainLoader)


def _meant(value: object) -> object:
    """Return what a text stands for where text is not allowed: 8/255, or a list in brackets."""
    if isinstance(value, list | tuple):
        return [_meant(item) for item in value]
    if not isinstance(value, str):
        return value
    if division := re.fullmatch(r"\s*([-+.\deE]+)\s*/\s*([-+.\deE]+)\s*", value):
        return float(division[1]) / float(division[2])
    inside = parsed(value)
    return _meant(inside) if isinstance(inside, list) else inside


def validated(name: str, annotation: Any, value: object) -> Any:
    """Return a value as a chapter gets it: plain numbers, text and lists.

    Parameters
    ----------
    name
        Of the parameter.
    annotation
        Its type, one of those above or ``str``.
    value
        What was given. Numbers and lists may come as text, as ``"8/255"`` or ``"[0, 1]"``.

    Raises
    ------
    RefusedError
        The value is of the wrong type or out of range.
    """
    adapter = TypeAdapter(annotation)
    for read in (lambda given: given, _meant):
        try:
            meant = read(value)
            valid = adapter.validate_python(meant)
        except (ValueError, ArithmeticError, yaml.YAMLError):
            continue
        # Pydantic takes true for the number 1.
        if isinstance(valid, bool) or not isinstance(meant, bool):
            return adapter.dump_python(valid, mode="json")
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    raise RefusedError(f"{name}: {shown[:200]} is not allowed; it must be {in_words(annotation)}")


def in_words(annotation: Any) -> str:
    """Return what a parameter of a type may be."""
    return _schema_in_words(TypeAdapter(annotation).json_schema())


def _schema_in_words(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": values}:
            return "one of " + ", ".join(values)
        case {"type": "array", "items": items}:
            return f"a list of one or more different, as in [a, b], each {_schema_in_words(items)}"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "string"}:
            return "text"
        case {"type": "integer" | "number" as kind}:
            noun = "a whole number" if kind == "integer" else "a number"
            lowest = schema.get("minimum")
            # An open upper end is used for whole numbers only.
            highest = schema.get("maximum", schema.get("exclusiveMaximum", 0) - 1)
            if lowest is None:
                return noun
            return f"{noun} from {lowest:g} " + (
                f"to {highest:.10g}" if highest >= lowest else "up"
            )
    return str(schema.get("type", "text"))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "."


def check(namespace: dict[str, Any]) -> None:
    """Check the parameters of the chapter that runs; its first cell after them calls this.

    So a chapter is as safe under papermill alone, in Jupyter and in Colab as by the builder.
    Numbers that came as text become numbers.

    Parameters
    ----------
    namespace
        The notebook's ``globals()``. Parameters are the names annotated with a type above.

    Raises
    ------
    RefusedError
        A value is not allowed, a name was given that the chapter does not declare, a value is
        not the one that the builder gave, or the code has changed since it did.
    """
    types = [str, *(value for name, value in globals().items() if name[0].isupper())]
    declared = {
        name: annotation
        for name, annotation in namespace.get("__annotations__", {}).items()
        if annotation in types
    }
    for name, value in _injected(namespace).items():
        if name not in declared and value not in _in_presets(name):
            raise RefusedError(
                f"{name}: no such parameter{suggestion(name, declared)} "
                f"This chapter declares {', '.join(sorted(declared))}"
            )
    for name, annotation in declared.items():
        namespace[name] = validated(name, annotation, namespace[name])
    builder = json.loads(os.environ.get("LIB_RUN") or "{}")
    for name, value in builder.get("parameters", {}).items():
        if (here := namespace.get(name)) != value:
            raise RefusedError(f"{name}: this chapter runs with {here}, but was given {value}")
    if builder and provenance.running_digest(*builder["modules"]) != builder["code"]:
        raise RefusedError(
            "the code in lib has changed since the chapter was started: run it again"
        )


def _injected(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what papermill's cell of parameters sets, by name."""
    cells = [text for text in namespace.get("In", []) if text.startswith("# Parameters\n")]
    return {
        target.id: ast.literal_eval(statement.value)
        for text in cells[-1:]
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _in_presets(name: str) -> list[Any]:
    """Return the values of a name in the book's presets, which are for all chapters."""
    presets = (provenance.PACKAGE.parent / "book" / "presets").glob("*.yaml")
    return [(parsed(path.read_text("utf-8")) or {}).get(name) for path in presets]


def name_files() -> None:
    """Write out which data files the environment names, for all who read it and their children."""
    for variable in ("MNIST_NPZ", "FASHION_MNIST_NPZ"):
        with suppress(RefusedError):  # who reads such a file says that it is not there
            os.environ[variable] = str(named_path(variable) or "")


name_files()
