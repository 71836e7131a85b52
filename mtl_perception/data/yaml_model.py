"""Validation of a YAML file by a pydantic model, with errors of one line that name the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails, PydanticCustomError

from mtl_perception.data.yaml_file import brief, Keys, YamlFile

_NO_MAPPING = 'is a mapping, not {input}'
_PROBLEMS = {
    'missing': 'is missing',
    'union_tag_not_found': 'is missing',
    'union_tag_invalid': 'is one of {expected_tags}, not {tag!r}',
    'extra_forbidden': 'is not a known key',
    'string_type': 'is of type str, not {input}',
    'bool_type': 'is of type bool, not {input}',
    'int_type': 'is of type int, not {input}',
    'float_type': 'is of type float, not {input}',
    'list_type': 'is of type list, not {input}',
    'dict_type': _NO_MAPPING,
    'model_type': _NO_MAPPING,
    'model_attributes_type': _NO_MAPPING,
    'finite_number': 'is a finite number, not {input}',
    'greater_than': 'is above {gt}, not {input}',
    'greater_than_equal': 'is at least {ge}, not {input}',
    'less_than': 'is below {lt}, not {input}',
    'less_than_equal': 'is at most {le}, not {input}',
}
"""Type of a pydantic error -> the predicate of the message; others keep pydantic's own text."""

_OWN = 'problem'
KEY = '[key]'
"""What pydantic adds to the place of an error in a key, as opposed to its value."""

M = TypeVar('M', bound=pydantic.BaseModel)
T = TypeVar('T')


class Section(pydantic.BaseModel):
    """
    A mapping of a YAML file: every key is known and has a value of exactly its type.

    An int is accepted for a float.
    """

    model_config = pydantic.ConfigDict(extra='forbid', strict=True, frozen=True)


def problem(predicate: str) -> PydanticCustomError:
    """Return the error that a validator raises; `predicate` follows the key in the message."""
    return PydanticCustomError(_OWN, '{predicate}', {'predicate': predicate})


def _check_given(value: Any) -> Any:
    if value is None:
        raise problem('has no value; write one or remove the key')
    return value


OptionalKey = Annotated[T | None, pydantic.BeforeValidator(_check_given)]
"""`OptionalKey[X] = None`: a key that may be left out, which differs from a key without value."""


def validate_yaml(file: YamlFile, model: type[M],
                  keys_of: Callable[[Keys], Keys] = lambda location: location) -> M:
    """
    Return what `file` holds as `model`.

    `keys_of` turns pydantic's location of an error into keys of the file, where unions of models
    make them differ. Raises ConfigError with the first thing that is wrong.
    """
    try:
        return model.model_validate(file.value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
    keys = keys_of(first['loc'])
    if keys[-1:] == (KEY,):
        keys = keys[:-1]
    if first['type'].startswith('union_tag'):
        keys = (*keys, first['ctx']['discriminator'].strip("'"))
    raise file.error(keys, _predicate(first))


def _predicate(error: ErrorDetails) -> str:
    if error['type'] == _OWN:
        return str(error['ctx']['predicate'])
    if error['type'] in _PROBLEMS:
        return _PROBLEMS[error['type']].format(
            input=brief(error['input']), **error.get('ctx', {}))
    text = ' '.join(error['msg'].removeprefix('Value error, ').split())
    return f'is not valid: {text[:200]}'
