"""
How images get from process to process: the transports of Fast DDS, chosen before ROS starts.

A Fast DDS sender writes into a segment of shared memory of its own. By default it has 512 KiB,
less than an image: what does not fit of a best-effort image is lost. The nodes therefore use a
profile with a larger segment, `config/fastdds.xml`, unless their user has chosen otherwise. It
keeps the default's kinds of transport, so that processes with and without it see each other; that
is not so for `FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA`.

Imports neither ROS nor anything heavy: nodes, launch file and demo share it.
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
"""What names the file with the profile; of the distributions below, the older one alone."""

_OLDER = ('humble', 'iron', 'jazzy')
"""Distributions with Fast DDS 2."""
_OLDER_RCLPY = 7
"""Major version of the last rclpy among them."""

_LOCAL_PROFILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')
"""Files that Fast DDS 3 and 2 read in the current folder."""

_SEGMENT = 16 << 20
"""Bytes of `segment_size` in the profiles."""
_SPARE = 2 << 20
"""Bytes that the ports and the segments of others need besides."""


@dataclass(frozen=True)
class Transport:
    """What to set for a process that is about to start ROS."""

    environment: dict[str, str] = field(default_factory=dict)
    """Variables to set; empty where the user has chosen, or where Fast DDS is not used."""
    warning: str = ''
    """What will not work as it is, and the remedy."""


def choose_transport(environment: Mapping[str, str]) -> Transport:
    """
    Return the transport for a process with these environment variables.

    The profile is that for one machine where the variables keep ROS to it. Fast DDS's own default
    remains where another RMW, a profile or transports are chosen already, and where shared memory
    has no room for the segment.

    :raises ConfigError: the profile is not where the package was installed.
    """
    variable = profile_variable(environment)
    if 'fastrtps' not in (environment.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'):
        return Transport()
    if chosen := environment.get('FASTDDS_BUILTIN_TRANSPORTS'):
        if chosen.startswith('LARGE_DATA'):
            return Transport(warning=(
                f'FASTDDS_BUILTIN_TRANSPORTS={chosen}: processes without it are not seen and do '
                'not see this one; unset it'))
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
        # Either would add transports of its own, with a small segment, to the profile's. Empty
        # and not '0', of which Jazzy warns that it is deprecated.
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT', 'ROS_LOCALHOST_ONLY': ''})


def remedy(environment: Mapping[str, str]) -> str:
    """Return what gives another process room for images: `VARIABLE=path of the profile`."""
    return f'{profile_variable(environment)}={config_path("fastdds.xml")}'


def profile_variable(environment: Mapping[str, str]) -> str:
    """Return the variable by which the installed Fast DDS finds its profile."""
    if distribution := environment.get('ROS_DISTRO'):
        older = distribution in _OLDER
    else:  # wheels, which set no variable
        older = _is_older_rclpy()
    return _OLDER_VARIABLE if older else _VARIABLE


def _is_older_rclpy() -> bool:
    """
    Return whether the installed rclpy is one of `_OLDER`.

    By the name of the folder of its metadata: `importlib.metadata`, which looks there too, takes
    3 MB and 20 ms of every node.
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
    # Peers elsewhere that are named one by one come with the range only.
    return (environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '').upper() == 'LOCALHOST'
            and not environment.get('ROS_STATIC_PEERS'))


def _free_shared_memory() -> int:
    """Return the bytes that are free for segments."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
