"""The `mtl` command: a table of its subcommands, each in its own module."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
import contextlib
import errno
from importlib import import_module
import io
import os
import signal
import sys
import threading
from typing import NoReturn

from mtl_perception import __version__
from mtl_perception.crash_report import write_crash_report
from mtl_perception.credentials import hide_credentials
from mtl_perception.errors import MtlError, one_line
from mtl_perception.extras import missing_package
from mtl_perception.files import readable
from mtl_perception.unused_modules import leave_out_unused

COMMANDS = {
    'demo': ('mtl_perception.commands.demo', 'fly through the nodes and report'),
    'predict': ('mtl_perception.commands.predict', 'detect and segment images or a video'),
    'evaluate': ('mtl_perception.commands.evaluate', 'score models on labelled data'),
    'benchmark': ('mtl_perception.commands.benchmark',
                  'compare one network with the two that it replaces'),
    'data': ('mtl_perception.commands.data', 'check the data sets of a manifest'),
    'train': ('mtl_perception.commands.train', 'train a network on a manifest'),
    'distill': ('mtl_perception.commands.distill',
                'train a network on labels and the outputs of single-task teachers'),
    'experiment': ('mtl_perception.commands.experiment',
                   'train networks under equal conditions and compare them'),
    'average': ('mtl_perception.commands.average',
                'write the mean of the weights of models with a common start'),
    'calibrate': ('mtl_perception.commands.calibrate',
                  'shift the scores of a model so that one threshold fits all classes'),
    'export': ('mtl_perception.commands.export', 'write a checkpoint as ONNX'),
    'quantize': ('mtl_perception.commands.quantize',
                 'write an ONNX model in INT8'),
    'runtimes': ('mtl_perception.commands.runtimes',
                 'list the runtimes of this machine'),
    'build-engine': ('mtl_perception.commands.build_engine',
                     'build a TensorRT engine in advance'),
    'info': ('mtl_perception.commands.info', 'print the contents and cost of a model'),
}
"""Subcommand -> its module, which has `add_arguments(parser)` and `run(args)`, and its help."""

_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writing to a file that has no name here: those of a full or broken disk."""


class _Parser(argparse.ArgumentParser):
    """A parser whose error messages hide users and passwords of URLs."""

    def error(self, message: str) -> NoReturn:
        super().error(hide_credentials(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line; return its exit code.

    0: success; 1: an error that the user can fix, in one line; 2: invalid arguments; 70
    (EX_SOFTWARE of sysexits.h): a defect, in one line that names a file with the traceback; 130:
    Ctrl-C; 141: the reader of the output has gone.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # Names of files need not be UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    try:
        try:
            return _run(arguments)
        finally:
            # Not at the end of the process, where Python prints what fails.
            sys.stdout.flush()
    except BrokenPipeError:  # such as `mtl runtimes | head`
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:  # such as a full disk that the output goes to
        _discard_output()
        return _report(error, arguments)


def _run(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code. OSError only from writing the output."""
    leave_out_unused()
    parser = _Parser(prog='mtl', description=__doc__)
    parser.add_argument('--version', action='version', version=f'mtl_perception {__version__}')
    subparsers = parser.add_subparsers(dest='command', required=True)
    interrupted: list[int] = []
    try:
        with _ended_by_interrupt():
            for name, (module, text) in COMMANDS.items():
                subparser = subparsers.add_parser(name, help=text, description=text)
                # Only the requested command is imported: predicting needs no torch.
                if arguments and arguments[0] == name:
                    command = import_module(module)
                    command.add_arguments(subparser)
            args = parser.parse_args(arguments)
        with _noting_interrupts(interrupted):
            command.run(args)
            sys.stdout.flush()
    except MtlError as error:
        print(f'mtl: error: {error}', file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        # During the import of a C module, KeyboardInterrupt becomes an ImportError.
        if interrupted or isinstance(error, KeyboardInterrupt):
            print('mtl: interrupted', file=sys.stderr)
            return 130
        return _report(error, arguments)
    return 0


def _report(error: Exception, arguments: Sequence[str]) -> int:
    """Print one line about an error that is no MtlError, and return the exit code."""
    missing = missing_package(error) if isinstance(error, ImportError) else None
    if missing is not None:
        print(f'mtl: error: {missing}', file=sys.stderr)
        return 1
    if isinstance(error, OSError) and (error.filename or error.errno in _OF_OUTPUT):
        # What the output goes to has no name here.
        name = readable(hide_credentials(os.fsdecode(error.filename or 'output')))
        print(f'mtl: error: {name}: {error.strerror}', file=sys.stderr)
        return 1
    if isinstance(error, MemoryError):
        print(f'mtl: error: out of memory: {one_line(error)}', file=sys.stderr)
        return 1
    path = write_crash_report(error, arguments)
    where = f'the traceback is in {path}' if path else 'its traceback could not be written'
    print(f'mtl: internal error: {type(error).__name__}: {one_line(error)}; {where}',
          file=sys.stderr)
    return os.EX_SOFTWARE


def _discard_output() -> None:
    """Send what stdout still holds nowhere: at the end, Python would fail to flush it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """
    Let Ctrl-C end the process at once by the signal, without a message.

    Modules that are being imported would turn KeyboardInterrupt into another error.
    """
    change = _interrupt_is_pythons()
    if change:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The script that started the process blocked it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if change:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _noting_interrupts(interrupted: list[int]) -> Iterator[None]:
    """Append to `interrupted` at Ctrl-C, and raise KeyboardInterrupt as Python does."""
    def interrupt(number: int, frame: object) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    change = _interrupt_is_pythons()
    if change:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if change:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt_is_pythons() -> bool:
    """Return whether Ctrl-C raises KeyboardInterrupt: not in the background of a script."""
    return (signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and threading.current_thread() is threading.main_thread())


if __name__ == '__main__':
    sys.exit(main())
