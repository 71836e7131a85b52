import tarfile

from tools import packed_results
from tools.packed_results import collect


def names(path):
    with tarfile.open(path) as archive:
        return sorted(archive.getnames())


def test_results_are_few_files_of_limited_size(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_results, 'MAX_BYTES', 100_000)
    runs = tmp_path / 'runs'
    for name in 'abcd':
        (runs / name).mkdir(parents=True)
        (runs / name / 'model.pt').write_bytes(bytes(40_000))
        (runs / name / 'last.pt').write_bytes(bytes(10))
        (runs / name / 'log.csv').write_text('step\n')
    (runs / 'e').mkdir()
    (runs / 'e' / 'report.html').write_text('page')
    (runs / 'table.md').write_text('table')
    output = tmp_path / 'out'
    assert collect(runs, [runs / 'table.md', runs / 'missing.json'], output) == []
    assert sorted(path.name for path in output.iterdir()) == [
        'logs.tar.gz', 'models-1.tar', 'models-2.tar', 'pages.tar.gz', 'table.md']
    assert names(output / 'models-1.tar') == ['a/model.pt', 'b/model.pt']
    assert names(output / 'logs.tar.gz') == [f'{name}/log.csv' for name in 'abcd']
    assert all(path.stat().st_size <= 100_000 for path in output.iterdir())


def test_what_does_not_fit_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_results, 'MAX_BYTES', 50_000)
    monkeypatch.setattr(packed_results, 'MAX_FILES', 2)
    runs = tmp_path / 'runs'
    for name, size in (('a', 60_000), ('b', 30_000), ('c', 30_000), ('d', 30_000)):
        (runs / name).mkdir(parents=True)
        (runs / name / 'model.pt').write_bytes(bytes(size))
    assert collect(runs, [], tmp_path / 'out') == ['a/model.pt', 'd/model.pt']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'models-2.tar', 'models-3.tar']
