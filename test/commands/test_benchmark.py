import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mtl_perception.benchmark.results import RATIOS
from mtl_perception.extras import remedy
from mtl_perception.main import main
from mtl_perception.resources import model_path

pytestmark = pytest.mark.slow

QUICK = ['--rounds', '3', '--frames', '1', '--threads', '1']


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> str:
    """Return a folder of two small images, the second one of another size."""
    folder = tmp_path_factory.mktemp('images')
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    cv2.imwrite(str(folder / 'a.png'), noise)
    cv2.imwrite(str(folder / 'b.png'), noise[:60])
    return str(folder)


def benchmark(*arguments) -> int:
    return main(['benchmark', *map(str, arguments)])


def test_prints_tables_and_writes_all_values(paint_model, images, tmp_path, capsys) -> None:
    output = tmp_path / 'found.json'
    assert benchmark(paint_model(), *QUICK, '--images', images, '--runtimes', 'onnxruntime',
                     'openvino:fp32', '--json', output) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines()[:-1])) <= 100
    values = json.loads(output.read_text())
    assert values['format'] == 1 and not values['interrupted']
    assert values['frames'] == {'source': Path(images).name, 'size': [200, 120], 'count': 2}
    assert values['model']['detection'] == ['red', 'green', 'blue']
    targets = ['onnxruntime fp32', 'openvino fp32']
    assert list(values['ratios_by_runtime']) == list(values['bare_loop']) == targets
    for target in targets:
        assert target in said
        found = {item['what']: item for item in values['subjects'] if item['target'] == target}
        assert set(found) == {'multitask', 'detection', 'segmentation', 'sequential', 'parallel'}
        for item in found.values():
            spread = item['milliseconds']
            assert 0 < spread['low'] <= spread['median'] <= spread['high']
            assert spread['p95'] > 0
            assert len(item['rounds']) == 3
            assert item['threads'] == 1 and item['input_size'] == [96, 64]
        both = found['detection']['peak_bytes'] + found['segmentation']['peak_bytes']
        assert found['parallel']['peak_bytes'] == pytest.approx(both, rel=0.05)
        assert found['multitask']['peak_bytes'] < both
        assert len(found['sequential']['networks']) == 2
        ratio = values['ratios_by_runtime'][target]
        assert ratio['single_sequential_over_multitask']['median'] == pytest.approx(np.median(
            np.array(found['sequential']['rounds']) / found['multitask']['rounds']))
        assert ratio['peak_memory']['median'] == pytest.approx(
            found['sequential']['peak_bytes'] / found['multitask']['peak_bytes'])
    assert set(values['ratios']) == set(RATIOS)
    assert values['ratios']['torch_eager_over_best_runtime'] is None
    assert set(values['across_runtimes']) == set(targets)
    assert values['across_runtimes'][values['fastest']]['over_fastest']['median'] == 1


def test_writes_a_page_and_an_image(paint_model, images, tmp_path, capsys) -> None:
    pytest.importorskip('matplotlib')
    output = tmp_path / 'made' / 'here'
    assert benchmark(paint_model(), *QUICK, '--images', images, '--runtimes', 'onnxruntime',
                     '--output', output) == 0
    files = [output / name for name in ('benchmark.html', 'benchmark.png', 'benchmark.json')]
    assert capsys.readouterr().out.splitlines()[-3:] == [str(path) for path in files]
    assert 'onnxruntime fp32' in files[0].read_text()
    assert cv2.imread(str(files[1])) is not None
    assert json.loads(files[2].read_text())['format'] == 1


def test_a_runtime_that_does_not_start_is_named_and_left_out(
        paint_model, images, capsys) -> None:
    assert benchmark(paint_model(), *QUICK, '--images', images, '--runtimes', 'onnxruntime',
                     'onnxruntime:bf16', 'torch') == 0
    said = capsys.readouterr().out
    assert 'not measured: onnxruntime:bf16: it computes in fp32 as the model' in said
    assert 'not measured: torch: it reads .pt files' in said


def test_where_nothing_starts_it_says_why(paint_model, images, capsys) -> None:
    assert benchmark(paint_model(), *QUICK, '--images', images, '--runtimes', 'torch') == 1
    assert 'nothing to measure: torch: it reads .pt files' in capsys.readouterr().err


def test_given_single_task_models_are_taken(paint_model, images, tmp_path, capsys) -> None:
    output = tmp_path / 'found.json'
    single = paint_model(segmentation=False), paint_model(detection=False)
    assert benchmark(paint_model(), *QUICK, '--images', images, '--runtimes', 'onnxruntime',
                     '--detection', single[0], '--segmentation', single[1],
                     '--json', output) == 0
    found = {item['what']: item for item in json.loads(output.read_text())['subjects']}
    assert found['detection']['networks'][0]['file'] == single[0].name
    assert [item['file'] for item in found['parallel']['networks']] == [
        path.name for path in single]
    assert benchmark(paint_model(), *QUICK, '--detection', single[1],
                     '--segmentation', single[1]) == 1
    assert 'not for detection only' in capsys.readouterr().err
    assert benchmark(paint_model(), *QUICK, '--detection', single[0]) == 1
    assert '--segmentation is missing' in capsys.readouterr().err


def test_missing_torch_is_reported_and_costs_are_unknown(images, tmp_path) -> None:
    output = tmp_path / 'found.json'
    # The shipped model has a checkpoint beside it, which nothing can read without torch.
    arguments = ['benchmark', str(model_path()), *QUICK, '--images', images, '--runtimes',
                 'onnxruntime', 'torch', '--json', str(output)]
    # In a process of its own: costs that were computed with torch are cached.
    code = ('import sys\nsys.modules["torch"] = None\n'
            f'from mtl_perception.main import main\nsys.exit(main({arguments!r}))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f'not measured: torch: torch is not installed; {remedy("torch")}' in ' '.join(
        done.stdout.split())
    values = json.loads(output.read_text())
    network = values['subjects'][0]['networks'][0]
    assert network['gmac'] is None and network['parameters'] > 2_000_000
    assert values['ratios']['weights_memory']['median'] > 1.6


def test_a_broken_model_is_one_line(tmp_path, capsys) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x08' * 1000)
    assert benchmark(broken) == 1
    said = capsys.readouterr()
    assert said.out == '' and len(said.err.splitlines()) == 1
    assert said.err.startswith(f'mtl: error: {broken}')


def test_a_model_that_no_runtime_can_load_is_one_line(
        paint_proto, images, tmp_path, capsys) -> None:
    proto = paint_proto()
    proto.graph.node[0].op_type = 'NoSuchOperator'
    path = tmp_path / 'spoilt.onnx'
    path.write_bytes(proto.SerializeToString())
    assert benchmark(path, *QUICK, '--images', images, '--runtimes', 'onnxruntime') == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('mtl: error: nothing to measure: onnxruntime: ONNX Runtime cannot load')


@pytest.mark.parametrize('arguments', [
    ['--rounds', '0'], ['--frames', '0'], ['--seconds', '-1'], ['--size', 'large'],
    ['--size', '8x8'], ['--threads', '-1'], ['--runtimes', 'caffe'],
    ['--runtimes', 'onnxruntime:fp4'], ['--json', '/nowhere/found.json'],
    ['--images', '/nowhere']])
def test_invalid_options_are_one_line(paint_model, arguments, capsys) -> None:
    assert benchmark(paint_model(), *arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith('mtl: error: ')


def test_a_model_of_one_task_is_rejected(paint_model, capsys) -> None:
    assert benchmark(paint_model(detection=False)) == 1
    assert 'has no detection; give a model of both tasks' in capsys.readouterr().err


def test_interrupted_it_keeps_what_it_has(paint_model, images, tmp_path) -> None:
    output = tmp_path / 'found.json'
    process = subprocess.Popen(
        [sys.executable, '-m', 'mtl_perception.main', 'benchmark', str(paint_model()),
         '--rounds', '10000', '--frames', '1', '--threads', '1', '--images', images,
         '--runtimes', 'onnxruntime', '--seconds', '1000', '--json', str(output)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    for line in process.stderr:
        if 'interleaved' in line:
            break
    time.sleep(4)
    children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    assert len(children) >= 4
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.endswith('mtl: interrupted\n')
    values = json.loads(output.read_text())
    assert values['interrupted'] and len(values['subjects']) == 5
    assert values['ratios']['single_sequential_over_multitask']['median'] > 0
    assert 'onnxruntime fp32' in out
    assert not any(Path(f'/proc/{pid}').exists() for pid in children)


@pytest.mark.timeout(600)
def test_a_checkpoint_runs_in_torch_and_as_onnx(images, tmp_path) -> None:
    torch = pytest.importorskip('torch')
    from mtl_perception.labels import LabelSet
    from mtl_perception.models.checkpoint import save_checkpoint
    from mtl_perception.models.network import build_model
    from mtl_perception.spec import ModelSpec

    spec = ModelSpec('lean', 'resnet18', LabelSet.of('a', 'b'), LabelSet.of('c', 'd'),
                     input_size=(64, 64))
    torch.manual_seed(0)
    model, output = tmp_path / 'small.pt', tmp_path / 'found.json'
    save_checkpoint(build_model(spec), spec, model)
    assert benchmark(model, *QUICK, '--images', images, '--runtimes', 'onnxruntime', 'torch',
                     '--json', output) == 0
    values = json.loads(output.read_text())
    assert set(values['ratios_by_runtime']) == {'onnxruntime fp32', 'torch fp32'}
    assert values['ratios']['torch_eager_over_best_runtime']['median'] > 1
    gmac = {item['what']: sum(network['gmac'] for network in item['networks'])
            for item in values['subjects']}
    assert 0 < gmac['detection'] < gmac['multitask'] < gmac['sequential']
