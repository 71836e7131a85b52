"""The figure of an experiment: how much each network gains on the task alone, by set."""

from __future__ import annotations

from collections.abc import Sequence
import io
from typing import TYPE_CHECKING

from mtl_perception.training.experiment_scores import Score, TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#56B4E9', '#8C8C8C')
"""Of the networks, in their order: M. Okabe and K. Ito's, told apart by the colour-blind."""

_MEAN = 'mean of the sets'
_ROW = 0.34
"""Inches of a row, and of the space between two sets."""


def figure_png(scores: Sequence[Score]) -> bytes:
    """
    Return the differences from the single-task networks by set, for each task: PNG.

    A bar spans the 95 % interval over images, its ends averaged over the seeds; a large point is
    the mean over the seeds, small ones are the seeds. Without a difference, there are no panels.
    """
    from matplotlib.figure import Figure

    scores = [score for score in scores if score.differences and not score.label]
    tasks = list(dict.fromkeys(score.task for score in scores))
    networks = list(dict.fromkeys(score.network for score in scores))
    sets = {task: list(dict.fromkeys(score.data_set for score in scores if score.task == task))
            for task in tasks}
    rows = max((len(names) for names in sets.values()), default=1) * (len(networks) + 1)
    figure = Figure(figsize=(6.4 * max(len(tasks), 1), 1.7 + _ROW * rows), dpi=110,
                    layout='constrained')
    for number, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), number + 1)
        _draw(axes, [score for score in scores if score.task == task], sets[task], networks)
        axes.set_title(TITLES[task], loc='left', fontweight='bold')
    if tasks:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center',
                      ncols=min(len(networks), 4), frameon=False)
    data = io.BytesIO()
    # Without the version of matplotlib, equal results give equal files.
    figure.savefig(data, format='png', metadata={'Software': None})
    return data.getvalue()


def _draw(axes: Axes, scores: Sequence[Score], sets: Sequence[str], networks: Sequence[str]
          ) -> None:
    step = len(networks) + 1
    for score in scores:
        difference = score.difference
        assert difference is not None
        number = networks.index(score.network)
        y = sets.index(score.data_set) * step + number
        color = COLORS[number % len(COLORS)]
        axes.plot([difference.low, difference.high], [y, y], color=color, alpha=0.4, linewidth=5,
                  solid_capstyle='butt')
        axes.plot([item.value for item in score.differences.values()],
                  [y] * len(score.differences), 'o', color=color, markersize=3)
        axes.plot(difference.value, y, 'o', color=color, markersize=8,
                  label=score.network if not score.data_set else '')
    axes.axvline(0, color='#333333', linewidth=1)
    axes.set_yticks([k * step + (len(networks) - 1) / 2 for k in range(len(sets))],
                    [name or _MEAN for name in sets])
    axes.set_ylim(len(sets) * step - 1, -1)
    axes.set_xlabel('difference from the network for this task alone')
    axes.grid(axis='x', color='#D0D7DE', linewidth=0.7)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(axis='y', length=0)
