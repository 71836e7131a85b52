"""The state of the camera node in the standard form of /diagnostics."""

from __future__ import annotations

from dataclasses import dataclass
import socket

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header


@dataclass(frozen=True)
class CameraReport:
    """The content of a camera node's diagnostics."""

    name: str
    """Fully qualified, to distinguish cameras in different namespaces."""
    source: str
    """Without user and password."""
    state: str
    trouble: str
    """Why no images arrive; empty if they do."""
    published: int
    rate: float
    """Images per second that were published lately."""
    mean_rate: float
    """Images per second since the first one; 0 before the second."""
    breaks: int
    reconnects: int
    silence: float | None
    """Seconds since the last image; None before the first."""
    size: str
    """Width x height of the last image; empty before the first."""
    stamps: str
    """Origin of the last image's stamp; empty before the first."""


def camera_diagnostics(report: CameraReport, stamp: Time) -> DiagnosticArray:
    """Return one status, WARN while expected images do not arrive."""
    level, text = DiagnosticStatus.OK, f'{report.state}, {report.rate:.1f} images/s'
    if report.trouble:
        level, text = DiagnosticStatus.WARN, f'{report.state}: {report.source} {report.trouble}'
    values = {
        'source': report.source,
        'state': report.state,
        'images published': report.published,
        'rate [Hz]': f'{report.rate:.2f}',
        'mean rate [Hz]': f'{report.mean_rate:.2f}',
        'breaks': report.breaks,
        'reconnects': report.reconnects,
        'since last image [s]': '' if report.silence is None else f'{report.silence:.2f}',
        'size [px]': report.size,
        'stamps': report.stamps,
    }
    return DiagnosticArray(header=Header(stamp=stamp), status=[DiagnosticStatus(
        level=level, name=f'{report.name.lstrip("/")}: stream', message=text,
        hardware_id=socket.gethostname(),
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])])
