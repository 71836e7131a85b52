import pytest

from mtl_perception.labels import LabelSet
from mtl_perception.main import main
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.checkpoint import save_checkpoint  # noqa: E402
from mtl_perception.models.cost import part_costs  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.second = torch.nn.Conv2d(8, 2, 1, stride=2)

    def forward(self, x):
        return self.second(self.first(x))


def test_cost_of_small_network():
    first, second = part_costs(Small(), (20, 10))
    assert (first.part, first.parameters, first.macs) == ('first', 8 * 28, 8 * 27 * 200)
    assert (second.part, second.parameters, second.macs) == ('second', 18, 16 * 50)


def test_resnet50_lean_has_stated_size():
    spec = ModelSpec(backbone='resnet50', detection=LabelSet.of(*'abcd'),
                     segmentation=LabelSet.of(*'abcdef'), input_size=(320, 320))
    costs = part_costs(build_model(spec), spec.input_size)
    assert {c.part for c in costs} == {'backbone', 'pyramid', 'detection', 'segmentation'}
    assert sum(c.parameters for c in costs) == pytest.approx(25e6, rel=0.05)
    assert sum(c.macs for c in costs) == pytest.approx(10.6e9, rel=0.05)


def test_info_prints_parts_and_provenance(tmp_path, capsys):
    spec = ModelSpec(detection=LabelSet.of('car'), provenance={'steps': '77'})
    save_checkpoint(build_model(spec), spec, tmp_path / 'm.pt')
    assert main(['info', str(tmp_path / 'm.pt')]) == 0
    out = capsys.readouterr().out
    for text in ('mobilenet_v2', '640x640', 'car', 'steps         77', 'pyramid', 'GMAC'):
        assert text in out
    assert 'segmentation' not in out
