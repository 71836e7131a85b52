import numpy as np
import pytest

torch = pytest.importorskip('torch')

from mtl_perception.data.manifest import load_manifest  # noqa: E402
from mtl_perception.data.training_set import TrainingSamples  # noqa: E402
from mtl_perception.errors import ConfigError  # noqa: E402
from mtl_perception.training.batches import Batches, draw_schedule  # noqa: E402
from mtl_perception.training.options import BatchOptions  # noqa: E402
from mtl_perception.training.process_group import ProcessGroup  # noqa: E402
from mtl_perception.training.train import for_tasks  # noqa: E402


@pytest.fixture(scope='module')
def samples(manifest_path):
    return TrainingSamples(load_manifest(manifest_path), 'train', 1 << 30)


def options(detection: int, segmentation: int, **others) -> BatchOptions:
    return BatchOptions(detection, segmentation, crop_size=64, **others)


def test_overfitting_uses_the_first_images_and_always_the_same_crops(manifest_path):
    samples = TrainingSamples(load_manifest(manifest_path), 'train', 1 << 30, limit=1)
    assert samples.sizes == [1]
    batches = Batches(samples, 3, options(1, 1, overfit=1), 0)
    first = batches[0].images
    assert torch.equal(first[0], first[1]) and torch.equal(first, batches[2].images)


def test_batch_is_split_into_parts(samples):
    batch = Batches(samples, 1, options(2, 3), 0)[0]
    parts = batch.split(2)
    assert [len(part.images) for part in parts] == [3, 2]
    assert torch.equal(parts[1].images, batch.images[1::2])
    assert torch.equal(parts[0].labels, batch.labels[::2])
    assert parts[1].truths == batch.truths[1::2]


@pytest.mark.parametrize('size, accumulate, parts, smallest', [
    (1, 1, 1, 5), (1, 2, 2, 2), (1, 9, 5, 1), (2, 2, 2, 1), (2, 9, 2, 1), (3, 2, 1, 1)])
def test_all_processes_have_the_same_number_of_parts(samples, size, accumulate, parts, smallest):
    made = [Batches(samples, 1, options(2, 3, accumulate=accumulate), 0, ProcessGroup(rank, size))
            for rank in range(size)]
    assert {batches.parts for batches in made} == {parts}
    assert {batches.smallest_part for batches in made} == {smallest}
    found = [len(part.images) for batches in made for part in batches[0].split(parts)]
    assert min(found) == smallest and sum(found) == 5


def test_more_processes_than_images_are_rejected(samples):
    with pytest.raises(ConfigError, match='fewer images than there are processes'):
        Batches(samples, 1, options(1, 1), 0, ProcessGroup(0, 3))


def test_batches_are_determined_by_seed_and_step(samples):
    first, again, other = (Batches(samples, 6, options(2, 1), seed) for seed in (5, 5, 6))
    for step in (4, 1):
        a, b, c = first[step], again[step], other[step]
        assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        assert not torch.equal(a.images, c.images)
        assert a.images.shape == (3, 64, 64, 3) and a.labels.shape == (3, 64, 64)
        assert all(truth.labelled.all() for truth in a.truths)


def test_sets_are_drawn_by_weight_and_their_images_in_passes():
    schedule = draw_schedule([3, 1, 0], [10, 5, 7], 4000, np.random.default_rng(0))
    share = np.bincount(schedule[:, 0], minlength=3) / 4000
    assert share[0] == pytest.approx(0.75, abs=0.03) and share[2] == 0
    first = schedule[schedule[:, 0] == 0, 1]
    for start in range(0, 100, 10):
        assert sorted(first[start:start + 10]) == list(range(10))


MIXED = """
detection: {names: [car, large_vehicle]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  masks_only: &synthetic
    reader: synthetic
    splits: {train: {first_seed: 5, flights: 1, frames: 2}}
    options: {width: 160, height: 120}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
  boxes_only:
    reader: synthetic
    splits: {train: {first_seed: 6, flights: 1, frames: 2}}
    options: {width: 160, height: 120}
    boxes: &boxes {classes: {car: car, large_vehicle: large_vehicle}, complete: [car]}
    boxes_as_masks: {car: vehicle}
  both:
    <<: *synthetic
    boxes: *boxes
"""


def open_mixed(tmp_path, tasks='both', **others):
    path = tmp_path / 'mixed.yaml'
    path.write_text(MIXED)
    manifest = for_tasks(load_manifest(path), tasks, **others)
    return TrainingSamples(manifest, 'train', 1 << 30)


def test_drawn_labels_of_a_network_for_both_tasks_are_those_of_networks_for_one(tmp_path):
    only = {'drawn_labels_only': True}
    both = Batches(open_mixed(tmp_path, boxes_as_masks=False), 8, options(3, 2, **only), 0)
    detection = Batches(open_mixed(tmp_path, 'detection'), 8, options(3, 0, **only), 0)
    segmentation = Batches(open_mixed(tmp_path, 'segmentation'), 8, options(0, 2, **only), 0)
    for step in range(8):
        batch, boxes, masks = both[step], detection[step], segmentation[step]
        assert torch.equal(batch.images, torch.cat((boxes.images, masks.images)))
        assert torch.equal(batch.labels[3:], masks.labels) and (batch.labels[:3] == 255).all()
        for truth, alone in zip(batch.truths[:3], boxes.truths, strict=True):
            assert all(map(torch.equal, truth, alone))
        assert not any(truth.labelled.any() or len(truth.boxes) for truth in batch.truths[3:])


def test_all_labels_of_an_image_count_by_default(tmp_path):
    batches = Batches(open_mixed(tmp_path), 8, options(3, 2), 0)
    specs = [[batches.samples.sets[number].spec.name for number, _ in step]
             for step in batches.schedule.tolist()]
    seen = set()
    for step, names in enumerate(specs):
        batch = batches[step]
        for name, truth, labels in zip(names, batch.truths, batch.labels, strict=True):
            assert truth.labelled[0].item() == (name != 'masks_only')
            assert (labels != 255).any()
            seen.add(name)
    assert seen == {'masks_only', 'boxes_only', 'both'}


BACKGROUND = """
detection: {names: [car, large_vehicle, person]}
segmentation: {names: [building, road, vegetation, water, ground, vehicle]}
sets:
  town:
    reader: synthetic
    splits: {train: {first_seed: 5, flights: 1, frames: 2}}
    options: {width: 160, height: 120}
    masks: {building: building, road: road, vegetation: vegetation, water: water, ground: ground,
            vehicle: vehicle}
    masks_as_background: {vehicle: [car, large_vehicle]}
    weight: {detection: 1, segmentation: 1}
"""


@pytest.mark.parametrize('tasks, others, of_boxes, of_masks', [
    ('both', {}, (True, True), (True, True)),
    ('both', {'drawn_labels_only': True}, (True, False), (False, True)),
    ('detection', {}, (True, False), None), ('segmentation', {}, None, (False, True))])
def test_masks_as_background_count_for_detection(tmp_path, tasks, others, of_boxes, of_masks):
    path = tmp_path / 'background.yaml'
    path.write_text(BACKGROUND)
    samples = TrainingSamples(for_tasks(load_manifest(path), tasks), 'train', 1 << 30)
    drawn = [(detection, pixels) for detection, pixels in filter(None, (of_boxes, of_masks))]
    images = int(of_boxes is not None), int(of_masks is not None)
    batch = Batches(samples, 1, options(*images, **others), 0)[0]
    assert len(batch.truths) == len(drawn)
    for truth, labels, (detection, pixels) in zip(batch.truths, batch.labels, drawn, strict=True):
        assert truth.labelled.tolist() == (
            [] if tasks == 'segmentation' else [detection, detection, False])
        assert not len(truth.boxes)
        assert (labels != 255).any().item() == pixels


def test_vehicles_in_masks_as_background_have_no_loss(tmp_path):
    path = tmp_path / 'background.yaml'
    path.write_text(BACKGROUND)
    samples = TrainingSamples(load_manifest(path), 'train', 1 << 30)
    batches = Batches(samples, 20, options(1, 0), 0)
    vehicle = samples.manifest.segmentation.index('vehicle')
    seen = 0
    for step in range(20):
        batch = batches[step]
        x0, y0, x1, y1 = batch.truths[0].ignore.T[:, None]
        rows, columns = (batch.labels[0] == vehicle).nonzero().T[..., None]
        inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
        assert inside.any(dim=1).all()
        seen += len(rows)
    assert seen


def test_pasted_objects_follow_from_seed_and_step(tmp_path):
    path = tmp_path / 'boxes.yaml'
    path.write_text("""
detection: {names: [car, large_vehicle]}
sets:
  town:
    reader: synthetic
    splits: {train: {first_seed: 5, flights: 1, frames: 3}}
    options: {width: 320, height: 240}
    boxes: {classes: {car: car, large_vehicle: large_vehicle}, complete: [car, large_vehicle]}
    paste: {car: 5}
""")
    plain = tmp_path / 'plain.yaml'
    plain.write_text(path.read_text().replace('    paste: {car: 5}\n', ''))
    samples, unchanged = (TrainingSamples(load_manifest(file), 'train', 1 << 28)
                          for file in (path, plain))
    batches = Batches(unchanged, 9, options(4, 0), 1)
    added = [len(samples.pasted(0, index, np.random.default_rng(index)).boxes.boxes)
             - len(samples.read(0, index).boxes.boxes) for index in range(3)]
    assert min(added) >= 0 and sum(added) > 0
    first, again = (Batches(samples, 9, options(4, 0), 1) for _ in range(2))
    assert (first.schedule == batches.schedule).all()
    for step in (8, 2, 5):
        assert torch.equal(first[step].images, again[step].images)
        assert not torch.equal(first[step].images, batches[step].images)
        for truth, other in zip(first[step].truths, again[step].truths, strict=True):
            assert all(map(torch.equal, truth, other))
    # The next image and its entry are found after some have been left out.
    samples.restrict([[0, 2]])
    assert samples.pasted(0, 1, np.random.default_rng(0)).name == samples.read(0, 1).name
