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


class BuildScripts(Distribution().get_command_class('build_scripts')):  # type: ignore[misc]
    """
    Has the commands start with Ctrl-C held back, until the first line of ours lets it in.

    Before that line Python answers it with a traceback. `env` holds it back without a shell in
    between, which may lose it.
    """

    def run(self) -> None:
        """Copy the scripts and name the Python that they start in their first line."""
        super().run()
        first = f'#!/usr/bin/env -S --block-signal=INT {sys.executable}'
        if not can_start(first):
            first = f'#!{sys.executable}'
        for name in self.distribution.scripts:
            script = Path(self.build_dir) / Path(name).name
            rest = script.read_text(encoding='utf-8').partition('\n')[2]
            script.write_text(f'{first}\n{rest}', encoding='utf-8')


def can_start(first: str) -> bool:
    """Return whether a script with this first line runs here: not with every `env`, or path."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / 'script'
        script.write_text(f'{first}\n', encoding='utf-8')
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
    package_data={f'{NAME}.evaluation': ['templates/*.j2']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (str(SHARE), ['package.xml']),
        (str(SHARE / 'config'), files('config')),
        (str(SHARE / 'launch'), files('launch')),
        (str(SHARE / 'models'), files('resource/models')),
    ],
    install_requires=['setuptools'],
    # By this, `colcon test` knows that pytest runs the tests.
    extras_require={'test': ['pytest']},
    zip_safe=False,
    # No console_scripts, which start with a traceback when Ctrl-C comes early; see there.
    scripts=files('scripts'),
    cmdclass={'build_scripts': BuildScripts},
)
