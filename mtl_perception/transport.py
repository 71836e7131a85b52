"""
Transport of images between processes: settings of Fast DDS, chosen before ROS starts.

A Fast DDS sender writes into its own segment of shared memory. The default size of 512 KiB is less
than an image, and best-effort images that do not fit are lost. The nodes therefore use a profile
with a larger segment, `config/fastdds.xml`, unless the user has chosen otherwise. It keeps the
default transports, so that processes with and without it discover each other, unlike with
`FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA`.

Imports neither ROS nor large packages; shared by nodes, launch file and demo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
import os
from pathlib import Path

from mtl_perception.resources import config_path
from mtl_perception.shared_memory import SHARED_MEMORY

_VARIABLE, _OLDER_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
"""Variables that name the profile file; the distributions below use only the older one."""

_OLDER = ('humble', 'iron', 'jazzy')
"""Distributions with Fast DDS 2."""
_OLDER_RCLPY = 7
"""Major version of the last rclpy among them."""

_LOCAL_PROFILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')
"""Files that Fast DDS 3 and 2 read in the current folder."""

_SEGMENT = 16 << 20
"""Bytes of `segment_size` in the profiles."""
_SPARE = 2 << 20
"""Bytes needed for ports and the segments of other processes."""


@dataclass(frozen=True)
class Transport:
    """Settings for a process that is about to start ROS."""

    environment: dict[str, str] = field(default_factory=dict)
    """Variables to set; empty if the user has chosen, or if Fast DDS is not used."""
    warning: str = ''
    """Warning about a problem, with the remedy."""


def choose_transport(environment: Mapping[str, str]) -> Transport:
    """
    Return the transport for a process with these environment variables.

    If the variables restrict ROS to this machine, the profile does so too. Fast DDS's default is
    kept if another RMW, a profile or transports are already chosen, or if shared memory has no
    room for the segment.

    :raises ConfigError: the profile is not where the package was installed.
    """
    variable = profile_variable(environment)
    if 'fastrtps' not in (environment.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'):
        return Transport()
    if chosen := environment.get('FASTDDS_BUILTIN_TRANSPORTS'):
        if chosen.startswith('LARGE_DATA'):
            return Transport(warning=(
                f'FASTDDS_BUILTIN_TRANSPORTS={chosen}: processes without it are not discovered '
                'and do not discover this one; unset it'))
        return Transport()
    if environment.get(variable) or environment.get(_OLDER_VARIABLE):
        return Transport()
    if environment.get('SKIP_DEFAULT_XML_FILE') != '1' and any(
            Path(name).is_file() for name in _LOCAL_PROFILES):
        return Transport()
    room = _free_shared_memory()
    if room < _SEGMENT + _SPARE:
        return Transport(warning=(
            f'{SHARED_MEMORY} has {room >> 20} MB left and not the {(_SEGMENT + _SPARE) >> 20} '
            'that images need: large best-effort images may be lost (in a container: --ipc=host '
            'or a larger --shm-size)'))
    if not _keeps_to_machine(environment):
        return Transport({variable: str(config_path('fastdds.xml'))})
    return Transport({
        variable: str(config_path('fastdds_localhost.xml')),
        # Either would add its transports, with a small segment, to those of the profile. Empty
        # instead of '0', which Jazzy reports as deprecated.
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT', 'ROS_LOCALHOST_ONLY': ''})


def remedy(environment: Mapping[str, str]) -> str:
    """Return the setting for other processes with images: `VARIABLE=path of the profile`."""
    return f'{profile_variable(environment)}={config_path("fastdds.xml")}'


def profile_variable(environment: Mapping[str, str]) -> str:
    """Return the variable from which the installed Fast DDS reads its profile."""
    if distribution := environment.get('ROS_DISTRO'):
        older = distribution in _OLDER
    else:  # wheels, which set no variable
        older = _is_older_rclpy()
    return _OLDER_VARIABLE if older else _VARIABLE


def _is_older_rclpy() -> bool:
    """
    Return whether the installed rclpy is one of `_OLDER`.

    Determined by the name of its metadata folder, since `importlib.metadata` would take 3 MB and
    20 ms in every node.
    """
    found = PathFinder.find_spec('rclpy')
    if found is None or found.origin is None:
        return False
    for folder in Path(found.origin).parents[1].glob('rclpy-*-info'):
        major = folder.name.removeprefix('rclpy-').partition('.')[0]
        return major.isdecimal() and int(major) <= _OLDER_RCLPY
    return False


def _keeps_to_machine(environment: Mapping[str, str]) -> bool:
    if environment.get('ROS_LOCALHOST_ONLY') == '1':
        return True
    # Static peers on other machines are only reached with the range.
    return (environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() == 'LOCALHOST'
            and not environment.get('ROS_STATIC_PEERS'))


def _free_shared_memory() -> int:
    """Return the number of free bytes for segments."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
