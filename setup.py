"""Build of the ament_python package, for colcon and for pip."""

from pathlib import Path
import sys

from setuptools import Distribution, find_packages, setup

NAME = 'mtl_perception'
SHARE = Path('share') / NAME


def files(folder: str) -> list[str]:
    """Return the files in a folder beside this script, sorted."""
    return sorted(str(path) for path in Path(folder).glob('*') if path.is_file())


class BuildScripts(Distribution().get_command_class('build_scripts')):  # type: ignore[misc]
    """Names this Python in the commands, as setuptools does in those that it writes itself."""

    def run(self) -> None:
        """Copy the scripts and fill in the Python that they start."""
        super().run()
        for name in self.distribution.scripts:
            script = Path(self.build_dir) / Path(name).name
            text = script.read_text(encoding='utf-8').replace('@PYTHON@', sys.executable)
            script.write_text(text, encoding='utf-8')


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
