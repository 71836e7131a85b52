import math

import pytest

from mtl_perception.errors import ConfigError
from mtl_perception.labels import LabelSet
from mtl_perception.spec import ModelSpec

torch = pytest.importorskip('torch')

from mtl_perception.models.checkpoint import save_checkpoint  # noqa: E402
from mtl_perception.models.network import build_model  # noqa: E402
from mtl_perception.models.outputs import CellOutputs  # noqa: E402
from mtl_perception.training.config import TeacherPaths  # noqa: E402
from mtl_perception.training.distillation import (  # noqa: E402
    LABELLED_WEIGHT,
    soft_box_loss,
    soft_class_loss,
    soft_pixel_loss,
    Teachers,
)

STUDENT = ModelSpec(
    detection=LabelSet.of('car', 'person'), segmentation=LabelSet.of('road', 'sky'))
CPU = torch.device('cpu')


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_unsure_teacher_causes_no_loss():
    student = torch.tensor([[[logit(0.9)], [logit(0.001)]]])
    teacher = torch.tensor([[[logit(0.2)], [logit(0.2)]]])
    found = soft_class_loss(student, teacher, torch.tensor([[False]]))
    assert found.total.item() == 0 and found.count.item() == 0


def test_sure_teacher_is_a_target_with_less_weight_where_there_are_labels():
    student = torch.tensor([[[0.0, 0.0]]])
    teacher = torch.tensor([[[logit(0.8), logit(0.01)]]])
    found = soft_class_loss(student, teacher, torch.tensor([[False, True]]))
    object_loss = 0.3 ** 2 * math.log(2)  # BCE at logit 0 is log 2 whatever the target
    background_loss = 0.49 ** 2 * math.log(2)
    assert found.total.item() == pytest.approx(
        object_loss + LABELLED_WEIGHT * background_loss, rel=1e-4)
    assert found.count.item() == pytest.approx(0.8)
    same = soft_class_loss(teacher, teacher, torch.tensor([[False, True]]))
    assert same.total.item() == pytest.approx(0, abs=1e-6)


def test_boxes_have_a_loss_where_the_teacher_detects_an_object():
    seen = CellOutputs(torch.tensor([[[logit(0.8)], [logit(0.1)]]]),
                       torch.tensor([[[0.0, 0, 16, 16], [0, 0, 9, 9]]]), None)
    student = torch.tensor([[[0.0, 0, 16, 12], [5, 5, 6, 6]]], requires_grad=True)
    found = soft_box_loss(student, seen, torch.tensor([[False]]))
    assert found.total.item() == pytest.approx(0.25 * 0.8, rel=1e-4)
    assert found.count.item() == pytest.approx(0.8)
    found.total.backward()
    assert (student.grad[0, 1] == 0).all() and (student.grad[0, 0] != 0).any()


def test_pixel_loss_is_the_divergence_from_the_teacher():
    teacher = torch.tensor([0.8, 0.2]).log().view(1, 2, 1, 1).expand(2, 2, 3, 4)
    student = torch.tensor([0.5, 0.5]).log().view(1, 2, 1, 1).expand(2, 2, 3, 4)
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    found = soft_pixel_loss(student, teacher, torch.tensor([1.0, 0.5]))
    assert found.mean().item() == pytest.approx(expected, rel=1e-5)
    assert found.count.item() == 18
    assert soft_pixel_loss(teacher, teacher, torch.ones(2)).mean().item() == pytest.approx(
        0, abs=1e-6)


@pytest.fixture(scope='module')
def teacher_paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teachers')
    specs = {
        'detection': ModelSpec(detection=LabelSet.of('person', 'car')),
        'segmentation': ModelSpec(segmentation=LabelSet.of('sky', 'road')),
        'fine': ModelSpec(detection=LabelSet.of('person', 'car'), finest_level=2),
        'other': ModelSpec(detection=LabelSet.of('tractor', 'car'))}
    for name, spec in specs.items():
        save_checkpoint(build_model(spec), spec, folder / f'{name}.pt')
    return {name: folder / f'{name}.pt' for name in specs}


def test_teacher_outputs_have_the_class_order_of_the_student(teacher_paths):
    teachers = Teachers(STUDENT, TeacherPaths(
        teacher_paths['detection'], teacher_paths['segmentation']), CPU)
    images = torch.randn(2, 3, 64, 96)
    targets = teachers(images)
    raw = teachers.detection(images).detection.class_logits
    assert torch.equal(targets.detection.class_logits, raw.flip(-1))
    assert targets.label_logits.shape == (2, 2, 16, 24)
    assert torch.equal(targets.label_logits, teachers.segmentation(images).label_logits.flip(1))
    assert not targets.label_logits.requires_grad


@pytest.mark.parametrize('detection, segmentation, message', [
    ('segmentation', None, 'has no task detection'),
    ('other', None, 'tractor'),
    ('fine', None, 'finest_level')])
def test_unsuitable_teachers_are_rejected(detection, segmentation, message, teacher_paths):
    with pytest.raises(ConfigError, match=message):
        Teachers(STUDENT, TeacherPaths(
            teacher_paths.get(detection), teacher_paths.get(segmentation)), CPU)
