"""The `mtl` command: one subcommand per job, each in the room that does it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
import sys

from mtl_perception import __version__
from mtl_perception.errors import MtlError

COMMANDS = {
    'demo': ('mtl_perception.demo', 'fly the synthetic town through the nodes and report'),
    'predict': ('mtl_perception.inference.predict', 'detect and segment pictures or a video'),
    'evaluate': ('mtl_perception.evaluation.evaluate_command', 'score models on labelled data'),
    'data': ('mtl_perception.data.data_command', 'check the data sets of a manifest'),
    'train': ('mtl_perception.training.train_command', 'train a network on a manifest'),
    'distill': ('mtl_perception.training.distill_command',
                'train a network that single-task teachers teach'),
    'experiment': ('mtl_perception.training.experiment_command',
                   'train networks alike and compare them'),
    'export': ('mtl_perception.export_command', 'write a checkpoint as ONNX'),
    'info': ('mtl_perception.info_command', 'say what a model is and costs'),
}
"""Subcommand -> its module, which has `add_arguments(parser)` and `run(args)`, and its help."""

TRAINING_PACKAGES = ('torch', 'torchvision', 'onnx', 'onnxscript', 'jinja2')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (1: an error in one line, 130: Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog='mtl', description=__doc__)
    parser.add_argument('--version', action='version', version=f'mtl_perception {__version__}')
    subparsers = parser.add_subparsers(dest='command', required=True)
    try:
        for name, (module, text) in COMMANDS.items():
            subparser = subparsers.add_parser(name, help=text, description=text)
            # Only the command that is asked for is imported: predicting needs no torch.
            if arguments and arguments[0] == name:
                command = import_module(module)
                command.add_arguments(subparser)
        args = parser.parse_args(arguments)
        command.run(args)
    except MtlError as error:
        print(f'mtl: error: {error}', file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition('.')[0] not in TRAINING_PACKAGES:
            raise
        print(f'mtl: error: this needs the package {error.name}; `make setup-train` installs it',
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('mtl: interrupted', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
