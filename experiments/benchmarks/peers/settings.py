"""Experiment files as the trainer reads them: one YAML tree with `extends`, then `--set key=value` overrides."""

import os
import re
from pathlib import Path

import yaml


class Loader(yaml.SafeLoader):
    """SafeLoader that also reads 1e-3 (YAML 1.2) as a number."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def load(path, overrides=()):
    """The resolved tree. Maps merge, lists replace; ${NAME} in texts is taken from the environment."""
    tree = _load_file(Path(path))
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ValueError(f"--set: expected key=value; found '{override}'")
        _assign(tree, key.split("."), yaml.load(value, Loader))
    return _expand(tree)


def _load_file(path):
    tree = yaml.load(path.read_text(encoding="utf-8"), Loader) or {}
    parent = tree.pop("extends", None)
    return tree if parent is None else _merge(_load_file(path.parent / parent), tree)


def _merge(base, over):
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in over.items()}}


def _assign(tree, keys, value):
    for key in keys[:-1]:
        tree = tree[int(key)] if isinstance(tree, list) else tree.setdefault(key, {})
    if isinstance(tree, list):
        tree[int(keys[-1])] = value
    else:
        tree[keys[-1]] = value


def _expand(value):
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    if isinstance(value, str):
        expanded = os.path.expandvars(value)
        if "${" in expanded:
            raise ValueError(f"'{value}': expected the environment to hold every name in it; found one that is not set")
        return expanded
    return value
