"""Build of the ament_python package, for colcon and for pip."""

from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory

from setuptools import Distribution, find_packages, setup

NAME = 'mtl_perception'
SHARE = Path('share') / NAME


def files(folder: str) -> list[str]:
    """Return the files in a folder beside this script, sorted."""
    return sorted(str(path) for path in Path(folder).glob('*') if path.is_file())


def requirements(name: str = '') -> list[str]:
    """Return the lines of a requirements file that ask for a package."""
    # `colcon build --symlink-install` works in a folder that has links to what it knows of.
    folder = Path(__file__).resolve().parent
    path = folder / (f'requirements-{name}.txt' if name else 'requirements.txt')
    lines = (line.strip() for line in path.read_text(encoding='utf-8').splitlines())
    return [line for line in lines if line and not line.startswith('#')]


PYTHON_SCRIPT = f'{NAME}-python'

# An installer replaces the first line: by its Python, or by a shell's lines that start it.
START_PYTHON = """\
#!python
import runpy
import sys

# The command's file is the first argument.
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
"""

# To Python, what the shell reads is a text: Python runs the file as well.
START_FROM_SHELL = f"""\
#!/bin/sh
''':'
case $0 in */*) self=$0 ;; *) self=./$0 ;; esac
if [ -h "$self" ]; then self=$(readlink -f "$self"); fi
script=${{self%/*}}/{PYTHON_SCRIPT}
IFS= read -r python < "$script" || exit 1
set -- "${{python#??}}" "$script" "$self" "$@"
if env --default-signal=INT true 2> /dev/null; then exec env --block-signal=INT "$@"; fi
exec "$@"
'''
"""


class BuildScripts(Distribution().get_command_class('build_scripts')):  # type: ignore[misc]
    """
    Has the commands start with Ctrl-C held back, until the first line of ours lets it in.

    Before that line Python answers it with a traceback. `env` holds it back without a shell in
    between, which may lose it. Where a wheel is built, only its installer knows the Python, and
    writes it into scripts that begin with `#!python`: there is one more of these, from which the
    commands, as scripts of a shell, take the Python that `env` starts.
    """

    def run(self) -> None:
        """Copy the scripts and make them start their Python."""
        super().run()
        # So the build of a wheel calls Python, that of an editable one as well.
        in_wheel = self.executable == 'python'
        head = START_FROM_SHELL if in_wheel else first_line_here()
        if in_wheel:
            self.write(PYTHON_SCRIPT, START_PYTHON)
        else:
            (Path(self.build_dir) / PYTHON_SCRIPT).unlink(missing_ok=True)
        for name in self.distribution.scripts:
            rest = Path(name).read_text(encoding='utf-8').partition('\n')[2]
            self.write(Path(name).name, head + rest)

    def write(self, name: str, text: str) -> None:
        """Write a script that can be executed."""
        script = Path(self.build_dir) / name
        script.write_text(text, encoding='utf-8')
        script.chmod(0o755)


def first_line_here() -> str:
    """Return the first line of a script that the Python of this build is to run."""
    first = f'#!/usr/bin/env -S --block-signal=INT {sys.executable}\n'
    return first if can_start(first) else f'#!{sys.executable}\n'


def can_start(first: str) -> bool:
    """Return whether a script with this first line runs here: not with every `env`, or path."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / 'script'
        script.write_text(first, encoding='utf-8')
        script.chmod(0o755)
        try:
            return subprocess.run([script], capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False


setup(
    name=NAME,
    version='0.1.0',
    description='Object detection and semantic segmentation of camera images in one forward pass',
    license='Apache-2.0',
    maintainer='mtl_perception maintainers',
    maintainer_email='maintainers@mtl-perception.example',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={f'{NAME}.{part}': ['templates/*.j2'] for part in ('benchmark', 'evaluation')},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (str(SHARE), ['package.xml']),
        (str(SHARE / 'config'), files('config')),
        (str(SHARE / 'launch'), files('launch')),
        (str(SHARE / 'models'), files('resource/models')),
    ],
    install_requires=['setuptools'],
    # No `install_requires` of these: on a robot they come from rosdep, under other names. By the
    # extra `test`, `colcon test` knows that pytest runs the tests.
    extras_require={
        'test': ['pytest'],
        'run': requirements(),
        **{name: requirements() + requirements(name)
           for name in ('train', 'openvino', 'tensorrt')},
    },
    zip_safe=False,
    # No console_scripts, which start with a traceback when Ctrl-C comes early; see there.
    scripts=files('scripts'),
    cmdclass={'build_scripts': BuildScripts},
)
