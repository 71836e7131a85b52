"""The options of all commands: each has a help text that a user can act on."""

import argparse
from importlib import import_module
import re

import pytest

pytest.importorskip('torch')

from mtl_perception.main import COMMANDS

DEFAULT = re.compile(r'\(default: [^)]|; default: ')


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser and its subcommands, except required alternatives."""
    found = []
    alternatives = [action for group in parser._mutually_exclusive_groups if group.required
                    for action in group._group_actions]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found += options(sub)
        elif not isinstance(action, argparse._HelpAction) and action not in alternatives:
            found.append(action)
    return found


@pytest.fixture(params=COMMANDS)
def parser(request):
    parser = argparse.ArgumentParser()
    import_module(COMMANDS[request.param][0]).add_arguments(parser)
    return parser


def test_every_option_is_described_with_its_default(parser):
    for option in options(parser):
        if option.help == argparse.SUPPRESS:
            continue
        name = option.option_strings or option.dest
        assert option.help, f'{name} has no help'
        description = option.help.partition('(default')[0]
        assert len(description.split()) >= 2, f'{name}: {option.help}'
        if option.option_strings and not option.required:
            assert DEFAULT.search(option.help), f'{name} does not state its default: {option.help}'


def test_help_is_printed(parser):
    text = parser.format_help()
    assert all(line in text for line in ('usage:', 'options:'))
    assert '%(' not in text
