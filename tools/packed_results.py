"""The results of a packed experiment as a few files of limited size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import shutil
import tarfile

MAX_FILES = 8
MAX_BYTES = int(15.5 * 2 ** 20)
"""Most files of the results, and bytes of each: a transfer may allow no more than 16 MiB."""

KEPT = ('log.csv', 'printed.txt', 'metrics.json')
"""Files of a run's or evaluation's folder besides models and pages."""


def collect(runs: Path, single: Sequence[Path], output: Path) -> list[str]:
    """
    Write the experiment in `runs` to `output`; return what is left out for its size, by path.

    The files `single` are copied as they are; logs and metrics go into `logs.tar.gz`, models into
    `models-1.tar` and so on, and pages of evaluations into `pages.tar.gz` where there is room.
    """
    output.mkdir(parents=True, exist_ok=True)
    written = 0
    for path in single:
        if path.is_file():
            shutil.copy(path, output / path.name)
            written += 1
    archives = [('logs.tar.gz', sorted(p for p in runs.rglob('*') if p.name in KEPT)),
                *((f'models-{number}.tar', group) for number, group in enumerate(
                    _groups(sorted(runs.glob('*/model.pt'))), 1)),
                ('pages.tar.gz', sorted(runs.rglob('report.html')))]
    left_out: list[str] = []
    for name, files in archives:
        if not files:
            continue
        if written < MAX_FILES and _archive(output / name, runs, files):
            written += 1
        else:
            left_out += [str(path.relative_to(runs)) for path in files]
    return left_out


def _groups(paths: Sequence[Path]) -> list[list[Path]]:
    """Return the files in groups that fit into an archive each; a larger one is alone."""
    groups: list[list[Path]] = []
    used = MAX_BYTES + 1
    for path in paths:
        size = path.stat().st_size + 2048  # Header and padding, and the end of the archive.
        if used + size > MAX_BYTES - 10240:
            groups.append([])
            used = 0
        groups[-1].append(path)
        used += size
    return groups


def _archive(path: Path, root: Path, files: Sequence[Path]) -> bool:
    """Write an archive; return False, without one, where it is too large."""
    with tarfile.open(path, 'w:gz' if path.suffix == '.gz' else 'w') as archive:
        for file in files:
            archive.add(file, file.relative_to(root))
    if path.stat().st_size <= MAX_BYTES:
        return True
    path.unlink()
    return False
