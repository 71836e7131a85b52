"""The drawing board on which a synthetic town is planned."""

from __future__ import annotations

import numpy as np

from mtl_perception.data.synthetic.plan import Building, Plan, Point
from mtl_perception.data.synthetic.vehicles import Fleet


class Draft:
    """A plan in the making, with the town's character and its source of chance."""

    def __init__(self, rng: np.random.Generator, side: float, fleet: Fleet) -> None:
        self.rng = rng
        self.fleet = fleet
        self.plan = Plan(side, walk=rng.uniform(2.2, 3.6))
        self.greenery = rng.uniform(0.5, 1.2)
        self.bustle = rng.uniform(0.45, 1.0)
        self.pitched = rng.uniform(0.3, 0.95)

    def area(self, material: int, polygon: np.ndarray) -> None:
        """Cover `polygon` [N, 2] with a material of `textures`; later areas lie on top."""
        self.plan.areas.append((int(material), polygon))

    def tree(self, point: Point, low: float = 1.6, high: float = 4.2) -> None:
        """Plant a tree with a crown of `low` to `high` metres radius."""
        self.plan.trees.append((float(point[0]), float(point[1]),
                                float(self.rng.uniform(low, high))))

    def build(self, centre: Point, heading: float, length: float, width: float,
              height: float, roof: str) -> None:
        """Put a house there; its ridge runs along the longer side."""
        if width > length:
            heading, length, width = heading + np.pi / 2, width, length
        self.plan.buildings.append(Building((float(centre[0]), float(centre[1])), float(heading),
                                            float(length), float(width), float(height), roof))

    def park(self, point: Point, heading: float, models: np.ndarray) -> None:
        """Park one of `models` of the fleet there, as carelessly as people do."""
        rng, parked = self.rng, self.plan.parked
        parked.model.append(int(rng.choice(models)))
        parked.position.append((float(point[0] + rng.normal(0, 0.12)),
                                float(point[1] + rng.normal(0, 0.12))))
        parked.heading.append(float(heading + rng.normal(0, 0.025)))
