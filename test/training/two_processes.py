"""One step of a run, to be started alone or by torchrun: writes its gradients to argv[2]."""

import sys

import torch

from mtl_perception.data.manifest import load_manifest
from mtl_perception.data.transforms import AugmentOptions
from mtl_perception.models.network import build_model
from mtl_perception.spec import ModelSpec
from mtl_perception.training.batches import Batches, Pool
from mtl_perception.training.distributed import joined_world
from mtl_perception.training.loop import Trainer
from mtl_perception.training.objective import by_task
from mtl_perception.training.options import TrainingOptions
from mtl_perception.training.state import TrainingState


def main(manifest_path: str, output: str) -> None:
    torch.set_num_threads(1)
    manifest = load_manifest(manifest_path)
    options = TrainingOptions(steps=1, detection_images=4, segmentation_images=3, workers=0,
                              crop_size=64, balance='uncertainty')
    spec = ModelSpec(detection=manifest.detection, segmentation=manifest.segmentation)
    with joined_world(cuda=False) as world:
        torch.manual_seed(0)
        state = TrainingState(build_model(spec), spec, options)
        pool = Pool(manifest, 'train', 1 << 28, progress=False)
        batches = Batches(pool, 1, 4, 3, AugmentOptions(crop_size=64), 0, world)
        trainer = Trainer(state, batches, output, torch.device('cpu'), world, progress=False)
        # Batch norm's statistics of a process are those of its own pictures: keep it out.
        state.network.eval()
        batch = batches[0]
        losses = trainer.objective(batch)
        state.balance.backward(by_task(losses), trainer.parameters)
        if world.is_first:
            torch.save({'pictures': len(batch.images), 'losses': trainer._values(losses),
                        'gradients': {name: parameter.grad for name, parameter
                                      in state.network.named_parameters()}}, output)
        else:
            trainer._values(losses)


if __name__ == '__main__':
    main(*sys.argv[1:])
