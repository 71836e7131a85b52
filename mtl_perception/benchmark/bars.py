"""
Horizontal bars with values, intervals and ratios, shared by the figures of a benchmark.

Colours are those of M. Okabe and K. Ito, Color Universal Design, 2008: readers who are
colour-blind can distinguish them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = Mapping[str, Any]

MULTITASK, SEQUENTIAL, PARALLEL, OTHER = '#0072B2', '#E69F00', '#CC79A7', '#8C8C8C'
INK, SOFT, WARNING = '#1F2328', '#6E7781', '#D55E00'

KINDS = {
    'multitask': ('one multitask network', MULTITASK),
    'sequential': ('two networks, one after the other', SEQUENTIAL),
    'parallel': ('two networks, at once', PARALLEL),
}
"""`what` of a subject -> its legend and colour."""

BAR = 0.8
"""Height of a bar; 1 is the distance between bars of a group."""

_REACH = 1.5
"""Intervals are drawn up to this multiple of the longest bar, and printed as numbers beyond it."""


def grouped_bars(axes: Axes, groups: Sequence[tuple[str, list[Values]]],
             value_of: Callable[[Any], float], text_of: Callable[[float], str],
             interval_of: Callable[[Any], tuple[float, float]] | None = None,
             ratio_of: Callable[[Any], float | None] = lambda item: None) -> None:
    """
    Draw a group of bars for each target, with each one's value and ratio to one network.

    `ratio_of` returns a ratio measured in rounds; otherwise the ratio of the values is used.
    """
    y, ticks, seen = 0.0, [], set()
    # The long interval of a disturbed subject would shorten all bars.
    reach = _REACH * max((value_of(item) for _, items in groups for item in items), default=0)
    for _, items in groups:
        ticks.append(y + (len(items) - 1) / 2)
        base = next((value_of(item) for item in items if item['what'] == 'multitask'), None)
        for item in items:
            name, color = KINDS[item['what']]
            interval = interval_of(item) if interval_of else None
            cut = ''
            if interval and interval[1] > reach:
                cut = f' (to {text_of(interval[1])})'
                interval = interval[0], reach
            bar(axes, y, value_of(item), color, interval, None if name in seen else name)
            seen.add(name)
            over = ratio_of(item) or (value_of(item) / base if base else None)
            label_bar(axes, y, max(value_of(item), *(interval or (0, 0))),
                   text_of(value_of(item)) + cut,
                   '' if over is None or item['what'] == 'multitask' else f'   {over:.2f}×')
            y += 1
        y += 0.7
    finish_bars(axes, ticks, [name.replace(' ', '\n', 1) for name, _ in groups], y)
    if groups:
        axes.legend(frameon=False, loc='upper left', bbox_to_anchor=(-0.01, 0.0), fontsize=13,
                    handlelength=1, ncols=3, columnspacing=1.2, handletextpad=0.5)


def bar(axes: Axes, y: float, value: float, color: str,
         interval: tuple[float, float] | None = None, label: str | None = None) -> None:
    """Draw a bar of length `value` at the height `y`, with its interval."""
    axes.barh(y, value, height=BAR, color=color, label=label)
    if interval:
        low, high = interval
        axes.errorbar(value, y, xerr=[[max(value - low, 0)], [max(high - value, 0)]], color=INK,
                      linewidth=1.4, capsize=3)


def label_bar(axes: Axes, y: float, x: float, value: str, ratio: str) -> None:
    """Write a value, and a ratio in bold, beside the end `x` of a bar."""
    axes.annotate(value, (x, y), (8, 0), textcoords='offset points', va='center', fontsize=12.5,
                  color=INK)
    if ratio:
        # After the width of the preceding value.
        axes.annotate(ratio, (x, y), (8 + 7.4 * len(value), 0), textcoords='offset points',
                      va='center', fontsize=13.5, fontweight='bold', color=INK)


def finish_bars(axes: Axes, ticks: Sequence[float], names: Sequence[str], bottom: float) -> None:
    """Set ticks, limits and margins of axes with bars."""
    axes.set_yticks(ticks, names)
    axes.set_ylim(bottom - 0.4, -0.7)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines['bottom'].set_visible(False)
    axes.margins(x=0.45)
    axes.set_xlim(left=0)


def remove_legend(axes: Axes) -> None:
    """Remove the legend, if any."""
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
