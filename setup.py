"""Build of the ament_python package, for colcon and for pip."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'mtl_perception'
SHARE = Path('share') / NAME


def files(folder: str) -> list[str]:
    """Return the files in a folder beside this script, sorted."""
    return sorted(str(path) for path in Path(folder).glob('*') if path.is_file())


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
    entry_points={
        'console_scripts': [
            f'mtl = {NAME}.main:main',
            f'perception_node = {NAME}.nodes.perception_node:main',
            f'camera_node = {NAME}.nodes.camera_node:main',
            f'recorder_node = {NAME}.nodes.recorder_node:main',
        ],
    },
)
