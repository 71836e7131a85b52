"""
Cache of engines on disk: each is built once and reused.

The file name of an engine states everything that it depends on: the TensorRT and its version, the
GPUs, the largest batch, and a hash of the ONNX file's content. TensorRT for RTX builds for a
compute capability: `rtx-1.7.1.116-sm86-b4-<hash>.engine` is for all GPUs of 8.6, and may have been
built on another machine. TensorRT itself builds for one GPU model, whose name is added:
`trt-10.3.0-sm87-orin-b4-<hash>.engine`. Exactly one name is looked up; other files in the folder
are ignored.

Loading an engine executes its code, so the folder is created with access for its owner only, and a
file is loaded only if it belongs to this user (or root) and nobody else may write to it. A file
starts with a header of its type and a SHA-256 over its name and content: a file that is truncated,
or renamed from another version, is detected before TensorRT reads it.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import errno
import fcntl
import hashlib
import os
from pathlib import Path
import re
import stat
import tempfile
import time
from typing import BinaryIO, TypeVar

from mtl_perception.errors import StartError
from mtl_perception.inference.runtime import Say
from mtl_perception.inference.trt.flavour import Flavour

_MAGIC = b'mtl_perception engine 1\n'
_HEADER_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
_LOCK, _PART = 'lock', '.part'

_ABANDONED = 600.0
"""Seconds after which a partially written file is considered abandoned."""

Engine = TypeVar('Engine')


def engine_name(model: bytes, flavour: Flavour, capability: tuple[int, int], gpu: str | None,
                batch: int) -> str:
    """
    Return the name of the file for the engine of an ONNX file's bytes.

    `gpu` is the GPU's name, used for TensorRT itself only; `batch` the largest batch.
    """
    parts = ['rtx' if flavour.is_rtx else 'trt', flavour.version,
             f'sm{capability[0]}{capability[1]}']
    if not flavour.is_rtx:
        parts.append(slug(gpu or 'unknown'))
    return '-'.join((*parts, f'b{batch}', hashlib.sha256(model).hexdigest()[:32])) + '.engine'


def slug(text: str) -> str:
    """Return text as lower-case letters, digits and hyphens, for a file name."""
    return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')


class EngineFolder:
    """A folder of engines and other cached files of TensorRT."""

    def __init__(self, path: Path | None, say: Say) -> None:
        """Use the folder, which need not exist; None: no folder is available."""
        self.path = path
        self._say = say

    def read(self, name: str) -> memoryview | None:
        """Return the content of the file `name`; None if it is not usable, which is reported."""
        if self.path is None:
            return None
        path = self.path / name
        try:
            with path.open('rb') as file:
                refusal = _distrust(os.fstat(file.fileno()))
                content = b'' if refusal else file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._say(f'{path}: not loaded ({reason(error)})')
            return None
        data = memoryview(content)[_HEADER_BYTES:]
        if not refusal and content[:_HEADER_BYTES] != _header(name, data):
            refusal = 'it is truncated, or of another version'
        if refusal:
            self._say(f'{path}: not loaded ({refusal})')
            return None
        return data

    def write(self, name: str, data: bytes | memoryview) -> Path:
        """Write `data` to the file `name` atomically and return its path; raises OSError."""
        folder = self._made()
        descriptor, part = tempfile.mkstemp(_PART, dir=folder)
        try:
            with os.fdopen(descriptor, 'wb') as file:
                file.write(_header(name, data))
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(part).replace(folder / name)
        finally:
            Path(part).unlink(missing_ok=True)
        return folder / name

    def lock(self) -> BinaryIO:
        """
        Wait for the folder's lock, which is required to build an engine there, and return it.

        It is held until it is closed. There is one lock for all engines, since simultaneous builds
        would distort each other's timing of kernels. It is reported if another process holds the
        lock. Raises OSError if the folder is not writable.
        """
        folder = self._made()
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        lock = os.fdopen(descriptor, 'r+b', buffering=0)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f'{folder}: another process is building an engine there; waiting for it')
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._clear(folder)
        except BaseException:
            lock.close()
            raise
        return lock

    def changed(self, name: str) -> object:
        """Return a value that changes when the file `name` is replaced; None if it is missing."""
        if self.path is None:
            return None
        try:
            found = (self.path / name).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _made(self) -> Path:
        """Return the folder, created with access for its owner only if it is missing."""
        if self.path is None:
            raise OSError('this user has no home folder')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        return self.path

    @staticmethod
    def _clear(folder: Path) -> None:
        """Remove partially written files of killed processes."""
        for part in folder.glob(f'*{_PART}'):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    part.unlink()


class LoadError(Exception):
    """TensorRT rejects the engine; the text is the reason."""


def open_engine(folder: EngineFolder, name: str, build: Callable[[], memoryview],
                load: Callable[[memoryview], Engine], say: Say) -> Engine:
    """
    Return the engine `name`, loaded from its file, or built and cached there.

    `load` creates an engine from a file's bytes; if it raises LoadError, the file is replaced.
    Concurrent processes build it once. If it cannot be cached, `say` receives the reason. Raises
    StartError if a newly built engine does not load, and the errors of `build`.
    """
    seen = folder.changed(name)
    engine = _load(folder, name, load, say)
    if engine is not None:
        return engine
    try:
        lock = folder.lock()
    except OSError as error:
        say(f'{folder.path}: the engine is not cached there ({reason(error)})')
        data = build()
    else:
        with lock:
            if folder.changed(name) != seen:
                # Another process built it while this one waited.
                engine = _load(folder, name, load, say)
                if engine is not None:
                    return engine
            data = build()
            try:
                folder.write(name, data)
            except OSError as error:
                say(f'{folder.path}: the engine is not cached there ({reason(error)})')
    try:
        return load(data)
    except LoadError as error:
        raise StartError(f'TensorRT does not load the engine that it has just built ({error})',
                         'update the driver, or select another runtime') from None


def _load(folder: EngineFolder, name: str, load: Callable[[memoryview], Engine],
          say: Say) -> Engine | None:
    data = folder.read(name)
    if data is None:
        return None
    try:
        return load(data)
    except LoadError as error:
        say(f'{folder.path}/{name}: TensorRT does not load it ({error}); it is built again')
        return None


def reason(error: OSError) -> str:
    """Return the system's error text, without the path."""
    return error.strerror or str(error)


def _header(name: str, data: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(name.encode() + b'\0')
    digest.update(data)
    return _MAGIC + digest.digest()


def _distrust(found: os.stat_result) -> str:
    """Return why a file must not be loaded; '' if it may."""
    if found.st_uid not in (os.geteuid(), 0):
        return f'it belongs to another user, with id {found.st_uid}; remove it, or chown it'
    if found.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        return 'other users may write to it; chmod go-w it'
    return ''
