import sys

import numpy as np
import pytest

from mtl_perception.benchmark.peers import (
    build_peer,
    export_peer,
    open_peer,
    OWN_SIZES,
    PAIRS,
    Peer,
    peer_cost,
    peers_of,
    SHOWN,
)
from mtl_perception.benchmark.subjects import Network, PEER
from mtl_perception.benchmark.worker_process import WorkerProcess
from mtl_perception.errors import ConfigError, StartError
from mtl_perception.inference.pipeline import Pipeline, PipelineOptions
from mtl_perception.inference.registry import read_spec
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

SPEC = ModelSpec(detection=LabelSet.of('car', 'person'), segmentation=LabelSet.of('a', 'b', 'c'),
                 input_size=(192, 128), candidates=200, label_stride=4)


@pytest.fixture
def frame():
    return np.random.default_rng(2).integers(0, 256, (12, 20, 3), np.uint8).repeat(8, 0).repeat(
        8, 1)


def test_peers_have_model_size_or_original_size():
    for pair, names in PAIRS.items():
        for own in (True, False):
            detector, segmenter = peers_of(SPEC, pair, own)
            assert (detector.name, segmenter.name) == names
            assert (detector.task, segmenter.task) == ('detection', 'segmentation')
            assert (detector.classes, segmenter.classes) == (2, 3)
            for peer in (detector, segmenter):
                assert peer.input_size == (OWN_SIZES[peer.name] if own else (192, 128))
                assert peer.spec.tasks == (peer.task,)
                assert peer.spec.candidates == 200


def test_peers_without_pair_are_rejected():
    with pytest.raises(ConfigError, match='two tasks; this one has detection only'):
        peers_of(SPEC.only(['detection']), 'thesis kind', True)
    with pytest.raises(ConfigError, match='no pair of peers'):
        peers_of(SPEC, 'other', True)


def test_missing_torchvision_is_reported(monkeypatch):
    # Also of what other tests have loaded of it, which would be found without its parent.
    for name in {'torchvision', *(name for name in sys.modules
                                  if name.startswith('torchvision.'))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, 'mtl_perception.benchmark.peer_networks', raising=False)
    with pytest.raises(StartError, match=r'torchvision.* is not installed'):
        build_peer(peers_of(SPEC, 'mobile kind', True)[0])


def test_unknown_name_is_rejected():
    with pytest.raises(ConfigError, match="no peer 'resnet'"):
        build_peer(Peer('resnet', 'thesis kind', 'detection', (320, 320), 2))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize('which', [0, 1])
def test_exported_peer_agrees_with_torch(which, frame, tmp_path):
    pytest.importorskip('torchvision')
    pytest.importorskip('onnx')
    peer = peers_of(SPEC, 'mobile kind', False)[which]
    path = export_peer(peer, tmp_path)
    assert read_spec(path) == peer.spec
    assert list(tmp_path.iterdir()) == [path]
    results = []
    for source, runtime in ((path, 'onnxruntime'), (peer, 'torch')):
        opened = open_peer(source, runtime, threads=1)
        assert opened.runtime.name == runtime
        assert opened.runtime.spec.input_size == (192, 128)
        timings = opened.run(frame)
        assert min(timings.preprocess, timings.run, timings.postprocess) > 0
        results.append(Pipeline(opened.runtime).run(frame, 'bgr'))
    ours, theirs = results
    if peer.task == 'detection':
        assert len(ours.detections) == len(theirs.detections) > 0
        np.testing.assert_allclose(ours.detections.boxes, theirs.detections.boxes, atol=0.5)
    else:
        assert ours.label_map.shape == frame.shape[:2]
        assert (ours.label_map == theirs.label_map).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize('name', [names[0] for names in PAIRS.values()])
def test_threshold_keeps_a_small_share_of_boxes(name):
    torch = pytest.importorskip('torch')
    pytest.importorskip('torchvision')
    peer = Peer(name, '', 'detection', (320, 320), 20)
    network = build_peer(peer)
    state = torch.random.get_rng_state()
    from mtl_perception.models.graph import DeployableGraph
    image = np.random.default_rng(5).integers(0, 256, (20, 20, 3), np.uint8)
    image = image.repeat(16, 0).repeat(16, 1)
    with torch.no_grad():
        _, scores, _ = DeployableGraph(network, peer.spec)(torch.from_numpy(image[None]))
    shown = int((scores >= PipelineOptions().score_threshold).sum())
    assert SHOWN / 6 <= shown <= SHOWN * 10
    assert scores.shape == (1, 1000)
    # The same weights each time, and the caller's random numbers are its own.
    again = build_peer(peer)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(
        network.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.slow
def test_cost_agrees_with_torchvision():
    pytest.importorskip('torchvision')
    from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights
    stated = LRASPP_MobileNet_V3_Large_Weights.DEFAULT.meta
    peer = Peer('lraspp_mobilenet_v3_large', '', 'segmentation', (520, 520), 21)
    cost = peer_cost(peer)
    assert cost.parameters == stated['num_params']
    # Its figure is of a batch resized to 520 on the shorter side.
    assert cost.macs / 1e9 == pytest.approx(stated['_ops'], rel=0.05)


def test_torch_rejects_other_runtime_and_precision():
    peer = peers_of(SPEC, 'mobile kind', False)[0]
    with pytest.raises(ConfigError, match='needs the peer as an exported file'):
        open_peer(peer, 'openvino')
    with pytest.raises(StartError, match='fp32, not bf16'):
        open_peer(peer, 'torch', 'bf16')


@pytest.mark.slow
def test_worker_opens_peer_by_name(frames):
    pytest.importorskip('torchvision')
    text = peers_of(SPEC, 'mobile kind', False)[1].to_text()
    with WorkerProcess() as worker:
        facts = worker.load([Network(PEER, peer=text, runtime='torch')], frames)
        assert (worker.run(1).seconds > 0).all()
    assert facts.networks[0]['input_size'] == [192, 128]
