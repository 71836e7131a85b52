"""Output of OpenCV and its FFmpeg, silenced; imports nothing, to be called before OpenCV is."""

from __future__ import annotations

import os


def keep_opencv_quiet() -> None:
    """
    Keep OpenCV and its FFmpeg from printing URLs, and errors that our own lines report.

    Called before OpenCV is imported; what the user has set stays as it is.
    """
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    # AV_LOG_QUIET: its errors may have the URL in them, user and password included.
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
