"""Loading of YAML files: lines of values, and files of strangers rejected at little cost."""

import json
from pathlib import Path
import time

import pytest
import yaml

from mtl_perception.data import yaml_file
from mtl_perception.data.yaml_file import load_yaml, Place
from mtl_perception.errors import ConfigError, DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'a.yaml'


def test_values_and_lines(path: Path) -> None:
    path.write_text('one: 1\nlist:\n- a\n- {deep: [x,\n    y]}\n')
    file = load_yaml(path)
    assert file.value == {'one': 1, 'list': ['a', {'deep': ['x', 'y']}]}
    place = Place(file) / 'list' / 1 / 'deep'
    assert str(place.error('is wrong')) == f'{path}: line 4: list.1.deep is wrong'
    assert str((place / 1).error('is wrong')) == f'{path}: line 5: list.1.deep.1 is wrong'
    # A key that is missing is reported on the line of what it is missing in.
    assert str((Place(file) / 'list' / 'gone').error('is missing')) == (
        f'{path}: line 2: list.gone is missing')
    assert str(Place(file).error('is wrong')) == f'{path}: line 1: the file is wrong'


def test_lines_of_aliases_and_merged_keys(path: Path) -> None:
    path.write_text('a: &a\n  x: 1\nb: *a\nc:\n  <<: *a\n  y: 2\n')
    file = load_yaml(path)
    assert file.value == {'a': {'x': 1}, 'b': {'x': 1}, 'c': {'x': 1, 'y': 2}}
    for keys, line in ((('b',), 3), (('b', 'x'), 2), (('c', 'x'), 2), (('c', 'y'), 6)):
        assert str(file.error(keys, '')).startswith(f'{path}: line {line}: ')


def test_empty_file_has_no_value(path: Path) -> None:
    path.write_text('# nothing\n')
    assert load_yaml(path).value is None


def laughs(levels: int, kind: str) -> str:
    """Return nested aliases that expand to 10 ** `levels` values."""
    lines = [f'a0: &a0 {kind[0]}{"x: 1" if kind == "{}" else "x"}{kind[1]}']
    for level in range(1, levels):
        alias = f'*a{level - 1}'
        items = ', '.join(f'k{n}: {alias}' if kind == '{}' else alias for n in range(10))
        lines.append(f'a{level}: &a{level} {kind[0]}{items}{kind[1]}')
    return '\n'.join(lines)


@pytest.mark.parametrize('kind', ['[]', '{}'])
def test_aliases_that_expand_a_file_are_rejected(path: Path, kind: str) -> None:
    path.write_text(laughs(4, kind))
    assert load_yaml(path).value['a3']
    path.write_text(laughs(30, kind))
    begin = time.perf_counter()
    with pytest.raises(DataError, match=rf'^{path}: line \d: more than 200000 values, counting'):
        load_yaml(path)
    assert time.perf_counter() - begin < 5


def test_merged_keys_that_expand_a_file_are_rejected(path: Path) -> None:
    lines = ['a0: &a0 {x: 1}', *(
        f'a{n}: &a{n} {{<<: [{", ".join([f"*a{n - 1}"] * 10)}]}}' for n in range(1, 30))]
    path.write_text('\n'.join(lines))
    with pytest.raises(DataError, match='more than 200000 values'):
        load_yaml(path)


def test_value_inside_of_itself_is_rejected(path: Path) -> None:
    path.write_text('a: 1\nb: &b [1, *b]\n')
    with pytest.raises(DataError, match=rf'^{path}: line 2: an alias is inside of its own anchor'):
        load_yaml(path)


def test_deep_nesting_is_rejected(path: Path) -> None:
    path.write_text('[' * 5000)
    with pytest.raises(DataError, match=rf'^{path}: is not YAML: '):
        load_yaml(path)


@pytest.mark.parametrize(('text', 'key'), [
    ('a:\n  b:\n    1: x', '1'), ('a:\n  b:\n    on: x', 'on'), ('a:\n  b:\n    ~: x', '~'),
    ('a:\n  b:\n    2026-11-28: x', '2026-11-28')])
def test_key_that_is_not_text_is_rejected(path: Path, text: str, key: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=(
            rf'^{path}: line 2: a\.b has the key {key}, which is not text; quote it$')):
        load_yaml(path)


@pytest.mark.parametrize('text', [
    'a: !!python/name:os.system', 'a: !!python/object/apply:os.system [x]', 'a: !x y',
    '!!python/module:os', '? [a]\n: b'])
def test_nothing_but_plain_values_is_constructed(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=rf'^{path}: line 1: '):
        load_yaml(path)


def test_file_that_is_not_utf8_is_rejected(path: Path) -> None:
    path.write_bytes(b'a: \xff\xfe')
    with pytest.raises(DataError, match=rf'^{path}: line 1: is not UTF-8 text; save it as UTF-8$'):
        load_yaml(path)


def test_error_is_one_line_whatever_the_keys_are(path: Path) -> None:
    for key in ('a\nb', 'a\x1b[2J', 'a\u2028b', 'long' * 10_000):
        path.write_text(yaml.safe_dump({key: {key: 1}}))
        text = str((Place(load_yaml(path)) / key / key).error(f'is not {key}'))
        assert text.startswith(f'{path}: line ') and text.isprintable() and len(text) < 3000
        path.write_text(f'? {json.dumps(key)}\n: 1\n? {json.dumps(key)}\n: 2\n')
        with pytest.raises(DataError, match='occurs twice') as caught:
            load_yaml(path)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_quoted_value_is_one_short_line() -> None:
    for value in ('a\nb' * 1000, [['x' * 1000] * 1000] * 1000, {'k\n': {'v': {'w': {'x': 1}}}}):
        text = yaml_file.brief(value)
        assert '\n' not in text and 0 < len(text) <= 60
