"""The `mtl` command: a table of its subcommands, each in its own module."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
import contextlib
from importlib import import_module
import os
import signal
import sys
import threading

from mtl_perception import __version__
from mtl_perception.errors import MtlError
from mtl_perception.extras import missing_package
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (1: an error in one line, 130: Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    leave_out_unused()
    parser = argparse.ArgumentParser(prog='mtl', description=__doc__)
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
        # Such as `mtl runtimes | head`. Flushing the rest would fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:
        # During the import of a C module, KeyboardInterrupt becomes an ImportError.
        if interrupted or isinstance(error, KeyboardInterrupt):
            print('mtl: interrupted', file=sys.stderr)
            return 130
        missing = missing_package(error) if isinstance(error, ImportError) else None
        if missing is None:
            raise
        print(f'mtl: error: {missing}', file=sys.stderr)
        return 1
    return 0


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
