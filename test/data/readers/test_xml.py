"""XML annotations: elements with their lines, and files of strangers rejected at little cost."""

from pathlib import Path
import time
import tracemalloc

import pytest

from mtl_perception.data.readers.xml import read_xml
from mtl_perception.errors import DataError

LIMIT = 8 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'a.xml'


def test_elements_attributes_text_and_lines(path: Path) -> None:
    path.write_text('<?xml version="1.0"?>\n<!-- first -->\n<top>\n<a x="1.5">\n <b> 7 </b></a>'
                    '<?work?><a/><c>1<!-- in it -->2<![CDATA[3]]>&amp;</c></top>')
    top = read_xml(path, 'top', LIMIT)
    assert (top.tag, top.line) == ('top', 3)
    assert [child.tag for child in top.children] == ['a', 'a', 'c']
    first, second = top.all('a')
    assert (first.line, first.where) == (4, f'{path}: line 4')
    assert first.attribute_number('x') == 1.5
    assert 'x' in first.attributes and 'x' not in second.attributes
    assert first.number('b') == 7
    assert top.only('c').text == '123&'
    for call, problem in (
            (lambda: top.only('a'), 'line 3: <top> has 2 <a> elements; it needs one'),
            (lambda: top.only('d'), 'line 3: <top> has 0 <d> elements; it needs one'),
            (lambda: second.attribute('x'), 'line 5: <a> has no x'),
            (lambda: top.number('c'), "line 5: <c> is '123&', not a number")):
        with pytest.raises(DataError, match=f'^{path}: {problem}$'):
            call()


@pytest.mark.parametrize('encoding', [
    'utf-8', 'utf-16', 'utf-8-sig', 'iso-8859-1', 'cp1252', 'latin-1', 'ms949', 'gb2312', 'gbk',
    'gb18030', 'big5', 'shift_jis', 'cp932', 'euc-kr', 'koi8-r', 'ansi', 'x-sjis'])
def test_file_is_decoded_as_it_declares(path: Path, encoding: str) -> None:
    declared = 'utf-8' if encoding == 'utf-8-sig' else encoding
    codec = {'ansi': 'cp1252', 'x-sjis': 'shift_jis'}.get(encoding, encoding)
    # A letter of each encoding: not all of them have the same.
    letters = next(word for word in ('gr\u00fcn', '\u6c7d\u8eca', '\u6c7d\u8f66', '\u0434')
                   if word.encode(codec, 'ignore').decode(codec) == word)
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<a>\n{letters}</a>'
    path.write_bytes(text.encode(codec))
    element = read_xml(path, 'a', LIMIT)
    assert (element.text, element.line) == (letters, 2)


@pytest.mark.parametrize('content', [
    '<?xml version="1.0" encoding="UTF-8"?>\n<a>gr\u00fcn</a>'.encode('latin-1'),
    '\n<a>gr\u00fcn</a>'.encode('latin-1'),
    b'<?xml version="1.0" encoding="no-such"?>\n<a>b</a>',
    b'<?xml version="1.0" encoding="gb2312"?>\n<a>\xff\xff</a>',
    b'<?xml version="1.0" encoding="ms949"?>\n<a>\xff\xff</a>',
    b'<?xml version="1.0" encoding="hex"?>\n<a>b</a>',
    b'<?xml version="1.0" encoding="UTF-16"?>\n<a>b</a>',
    '<a>\u0001</a>'.encode(), b'<a>\0</a>', b'\xff\xfe', b'<a>&b;</a>', b'<a b=1/>', b'<a/><a/>',
])
def test_file_that_is_not_xml_in_its_encoding_is_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_xml(path, 'a', LIMIT)
    text = str(caught.value)
    assert text.startswith(f'{path}: line ') and ': is not XML: ' in text and '\n' not in text


def entities(text: str, count: int) -> str:
    """Return a document type whose last entity expands to `text` 10 ** (count - 1) times."""
    return '<!DOCTYPE a [' + f'<!ENTITY e0 "{text}">' + ''.join(
        f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, count)) + ']>\n'


@pytest.mark.parametrize('content', [
    entities('ha', 12) + '<a>&e11;</a>',
    entities('ha', 12) + '<a b="&e11;"/>',
    entities('x' * 1_000_000, 1) + '<a>' + '&e0;' * 100_000 + '</a>',
    '<!DOCTYPE a [<!ENTITY % p "<!-- -->"><!ENTITY % q "' + '&#37;p;' * 9999 + '">%q;]><a/>',
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n<a>&b;</a>',
    '<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<a/>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">\n<a/>',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>\n<a/>',
    '<!DOCTYPE a>\n<a/>',
])
def test_document_type_is_rejected_before_it_is_read(path: Path, content: str) -> None:
    for encoding in ('utf-8', 'utf-16', 'utf-32'):
        path.write_bytes(
            f'<?xml version="1.0" encoding="{encoding}"?>\n{content}'.encode(encoding))
        tracemalloc.start()
        begin = time.perf_counter()
        with pytest.raises(DataError, match=f'^{path}: line 2: has a DOCTYPE; remove it$'):
            read_xml(path, 'a', LIMIT)
        assert time.perf_counter() - begin < 2
        assert tracemalloc.get_traced_memory()[1] < 4 * path.stat().st_size + (1 << 20)
        tracemalloc.stop()


def test_document_type_in_a_rare_encoding_is_rejected(path: Path) -> None:
    for name in ('e0', 'e11'):
        text = f'<?xml version="1.0" encoding="utf-7"?>{entities("ha", 12)}<a b="&{name};"/>'
        prolog, _, rest = text.partition('?>')
        path.write_bytes(f'{prolog}?>'.encode() + rest.encode('utf-7').replace(b'!', b'+ACE-'))
        assert b'<!' not in path.read_bytes()
        with pytest.raises(DataError, match=f'^{path}: (has a DOCTYPE|line .*amplif|line .*loop)'):
            read_xml(path, 'a', LIMIT)


def test_included_file_is_not_read(path: Path) -> None:
    path.write_text('<a xmlns:xi="http://www.w3.org/2001/XInclude">'
                    '<xi:include href="file:///etc/passwd" parse="text"/></a>')
    assert read_xml(path, 'a', LIMIT).text == ''


@pytest.mark.parametrize('content', ['<a>' * 300, '<a>' * 300 + '</a>' * 300, '<a>' * 1_000_000])
def test_deep_nesting_is_rejected(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(DataError, match=rf'^{path}: line 1: is not XML: .*depth'):
        read_xml(path, 'a', LIMIT)


def test_large_file_is_rejected(path: Path) -> None:
    path.write_text('<a>' + ' ' * 1000 + '</a>')
    with pytest.raises(DataError, match=f'^{path}: has 1007 bytes, above the limit of 1000$'):
        read_xml(path, 'a', 1000)
