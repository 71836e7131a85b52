#!/usr/bin/env python3
"""
Pack what `run_packed_experiment.py` needs of an experiment on a machine without a network.

    python tools/pack_experiment.py config/experiment.yaml --data DATA \
      --weights mobilenet_v2.pth --output runs/packed

writes data sets (re-encoded, see `packed_data`), initial weights (FP16), wheels of the packages
that a machine with torch, torchvision, OpenCV, PyYAML, tqdm, NumPy, lxml, Jinja2, torchmetrics and
lightning-utilities lacks, and the experiment itself. With the working tree, it all has at most
--limit MiB. Sets that are drawn are not packed: the machine draws them.
"""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
import subprocess
import sys
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402

from mtl_perception.data.manifest import load_manifest  # noqa: E402
from mtl_perception.data.yaml_file import load_yaml  # noqa: E402
from mtl_perception.errors import ConfigError, MtlError  # noqa: E402
from mtl_perception.files import make_folder, write_text  # noqa: E402
from mtl_perception.training.experiment_file import load_experiment  # noqa: E402
from tools.packed_data import choose_quality, file_sets, pack_sets, Source  # noqa: E402

DATA_FOLDER, WHEELS_FOLDER = 'data', 'wheels'
MANIFEST_FILE, EXPERIMENT_FILE, WEIGHTS_FILE = 'data.yaml', 'experiment.yaml', 'weights.pth'

PACKAGES = ('annotated-types', 'apsw', 'backports.zstd', 'lightning-fabric', 'lz4', 'pycocotools',
            'pydantic', 'pydantic-core', 'rosbags', 'ruamel.yaml', 'simplejpeg',
            'typing-extensions', 'typing-inspection')
"""What training and evaluation import besides; of rosbags, all that it needs."""

PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_27_x86_64', 'manylinux_2_17_x86_64',
             'manylinux2014_x86_64')
"""Tags of wheels for Ubuntu 20.04 and newer."""

CLASSIFIERS = ('classifier.', 'fc.')
"""Layers of torchvision's networks that no backbone has."""

RESERVE = 0.04
"""Share of the room for data that annotations may take and the estimate be wrong by."""


def pack(experiment: Path, data: Path | None, weights: Path | None, output: Path, limit: int,
         images: int, python: str, packages: list[str]) -> None:
    """
    Write the packed folder, of at most `limit` bytes with the working tree; raises MtlError.

    `images` is the most training images of each set; 0: all.
    """
    if (output / EXPERIMENT_FILE).exists():
        raise ConfigError(f'{output}: has a packed experiment; remove it or name another folder')
    source = Source(load_experiment(experiment).manifest, data, images)
    make_folder(output)
    tree = tree_bytes(output)
    if packages:
        download_wheels(output / WHEELS_FOLDER, python, packages)
    content = dict(load_yaml(experiment).value)
    content['manifest'] = MANIFEST_FILE
    content['train'] = {key: value for key, value in content.get('train', {}).items()
                        if key != 'weights'}
    if weights is not None:
        save_half(weights, output / WEIGHTS_FILE)
        content['train']['weights'] = WEIGHTS_FILE
    used = tree + folder_bytes(output)
    print(f'working tree {mib(tree)}, wheels and weights {mib(used - tree)}')

    manifest = load_manifest(source.manifest, source.data)
    names = file_sets(manifest)
    sections: dict[str, Any] = {}
    if names:
        quality = choose_quality(source, names, int((limit - used) * (1 - RESERVE)))
        print(f'quality {quality}', flush=True)
        sections = pack_sets(source, output / DATA_FOLDER, names, quality)
    raw = dict(load_yaml(source.manifest).value)
    raw['root'] = DATA_FOLDER
    raw['sets'] = {name: sections.get(name, raw['sets'][name]) for name in raw['sets']}
    write_yaml(output / MANIFEST_FILE, raw)
    write_yaml(output / EXPERIMENT_FILE, content)
    total = tree + folder_bytes(output)
    print(f'data {mib(folder_bytes(output / DATA_FOLDER))}; with the working tree {mib(total)}')
    if total > limit:
        raise ConfigError(f'{output}: {mib(total)} with the working tree, above {mib(limit)}; '
                          'lower --limit a little and pack again')


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as YAML, mappings in their order."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def save_half(weights: Path, output: Path) -> None:
    """Write torchvision's state dict as FP16, without the classifier that no backbone has."""
    try:
        state = torch.load(weights, map_location='cpu', weights_only=True)
        half = {key: value.half() if value.is_floating_point() else value
                for key, value in state.items() if not key.startswith(CLASSIFIERS)}
    except Exception as error:  # torch.load raises what pickle, zip and the file system do
        raise ConfigError(f'{weights}: is no state dict: {error}') from None
    torch.save({key: value if value.isfinite().all() else state[key]
                for key, value in half.items()}, output)


def download_wheels(folder: Path, python: str, packages: list[str]) -> None:
    """Download wheels for x86-64 Linux and this Python; ConfigError where there are none."""
    try:
        pinned = [f'{name}=={version(name)}' for name in packages]
    except PackageNotFoundError as error:
        raise ConfigError(f'{error.name} is not installed here, so that its version for the '
                          'other machine is not known; run `make setup-train`') from None
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
               '--only-binary=:all:', '--implementation', 'cp', '--python-version', python,
               '--dest', str(folder)]
    for platform in PLATFORMS:
        command += ['--platform', platform]
    done = subprocess.run([*command, *pinned], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f'pip cannot download the wheels: {done.stderr.strip()[-600:]}')


def tree_bytes(output: Path) -> int:
    """Return the bytes of the repository's files that git does not ignore, without `output`."""
    listed = subprocess.run(
        ['git', '-C', str(ROOT), 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
        capture_output=True, check=True).stdout.decode().split('\0')
    paths = [ROOT / name for name in listed if name]
    return sum(path.stat().st_size for path in paths
               if path.is_file() and output.resolve() not in path.parents)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in `folder`."""
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())


def mib(size: int) -> str:
    """Return the size as text in MiB."""
    return f'{size / 2 ** 20:.1f} MiB'


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description='Pack an experiment for another machine.')
    parser.add_argument('experiment', type=Path, metavar='YAML',
                        help='such as config/experiment.yaml')
    parser.add_argument('--output', type=Path, required=True, metavar='DIR',
                        help='folder to write; one that git ignores, such as runs/packed')
    parser.add_argument('--data', type=Path, metavar='DIR',
                        help='folder of the data sets (default: $MTL_DATA, else the manifest)')
    parser.add_argument('--weights', type=Path, metavar='FILE',
                        help="initial weights of the backbone, a state dict of torchvision's "
                        'model (default: random numbers)')
    parser.add_argument('--limit', type=float, default=60, metavar='MIB',
                        help='most that working tree and folder have together, on which the '
                        'quality of the images depends (default: %(default)s)')
    parser.add_argument('--images', type=int, default=0, metavar='N',
                        help='most training images of each set, evenly spread; fewer leave room '
                        'for a better quality; 0: all (default: %(default)s)')
    parser.add_argument('--python', default='3.12', metavar='VERSION',
                        help="the other machine's Python (default: %(default)s)")
    parser.add_argument('--packages', nargs='*', default=list(PACKAGES), metavar='NAME',
                        help='packages that the other machine lacks (default: %(default)s)')
    args = parser.parse_args(arguments)
    try:
        pack(args.experiment, args.data, args.weights, args.output, int(args.limit * 2 ** 20),
             args.images, args.python, args.packages)
    except MtlError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
