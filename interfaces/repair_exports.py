"""
Point the CMake export files of ROS wheels at this machine's Python and NumPy.

The wheels' `share/<package>/cmake/*Export.cmake` name the include directories of the machine that
built them, and CMake refuses an imported target whose include directories do not exist. Such a
directory is replaced by the one of the running interpreter, or of the NumPy installed in it; all
else stays as it is. A second run finds nothing to do.

Usage: `python repair_exports.py PREFIX`, with the interpreter and the ament prefix to build in.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import re
import sysconfig

_INCLUDE = re.compile(
    r'(?P<python>/[^";$<>]*/include/python3\.\d+[a-z]*)(?=[";])'
    r'|(?P<numpy>/[^";$<>]*/numpy/_?core/include)(?=[";])')


def repair_text(text: str, python_include: str, numpy_include: str) -> str:
    """Return `text` with every missing Python or NumPy include directory replaced."""
    def present(match: re.Match[str]) -> str:
        if Path(match[0]).is_dir():
            return match[0]
        return python_include if match['python'] else numpy_include

    return _INCLUDE.sub(present, text)


def repair_prefix(prefix: Path, python_include: str, numpy_include: str) -> list[Path]:
    """Repair all export files below `prefix` and return those that were changed, sorted."""
    changed = []
    for path in sorted(prefix.glob('share/*/cmake/*Export.cmake')):
        text = path.read_text(encoding='utf-8')
        repaired = repair_text(text, python_include, numpy_include)
        if repaired != text:
            path.write_text(repaired, encoding='utf-8')
            changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0].strip())
    parser.add_argument('prefix', type=Path, help='ament prefix that the wheels are installed in')
    prefix = parser.parse_args(arguments).prefix
    if not (prefix / 'share').is_dir():
        parser.error(f'{prefix} is not an ament prefix: it has no folder "share"')

    # Here, so that the text repair can be tested where no NumPy is installed.
    import numpy

    changed = repair_prefix(prefix, sysconfig.get_path('include'), numpy.get_include())
    print(f'{len(changed)} export files repaired in {prefix}')


if __name__ == '__main__':
    main()
