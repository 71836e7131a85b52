"""
A synthetic flight: the frames of a nadir camera that flies over a procedurally drawn town.

It downloads nothing, and its ground truth is exact: boxes and mask come from the pixels that are
drawn. The town is painted once; a frame is a rotated and scaled cut of it with the vehicles,
their shadows, lens, motion and sensor added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import math

import cv2
import numpy as np

from mtl_perception.data.synthetic.composing import (
    draw_person,
    lay,
    periodic_cut,
    visible_boxes,
)
from mtl_perception.data.synthetic.layout import lay_out
from mtl_perception.data.synthetic.optics import Optics
from mtl_perception.data.synthetic.painting import paint_town
from mtl_perception.data.synthetic.parking import standing_free
from mtl_perception.data.synthetic.person_images import Pose
from mtl_perception.data.synthetic.plan import rectangle
from mtl_perception.data.synthetic.town import BUILDING, CROWN, Town, VEHICLE
from mtl_perception.data.synthetic.vehicles import make_fleet, OVERSAMPLING
from mtl_perception.errors import ConfigError

BOX_NAMES = ('car', 'large_vehicle')
"""Classes of the boxes, by index, of a flight without clutter."""

CLUTTER_BOX_NAMES = (*BOX_NAMES, 'person')
"""Classes of the boxes, by index, of a flight with clutter."""

PERSON = CLUTTER_BOX_NAMES.index('person')
"""Class of a person."""

MASK_NAMES = ('building', 'road', 'vegetation', 'water', 'ground', 'vehicle')
"""Classes of the mask, by index."""

MIN_SIDE, MAX_SIDE = 32, 4096
"""Limits of a frame's width and height in pixels; they bound the memory of the town."""

MIN_SCALE, MAX_SCALE = 6.0, 16.0
"""Pixels per metre of the lowest and highest resolved flight."""


@dataclass(frozen=True)
class SyntheticFrame:
    """One frame of a flight with its ground truth."""

    image: np.ndarray
    """uint8 [H, W, 3] RGB."""
    boxes: np.ndarray
    """float32 [N, 4] x0, y0, x1, y1 in pixels: tight around the visible part of each vehicle
    and person."""
    classes: np.ndarray
    """int32 [N], indices into the flight's `box_names`."""
    mask: np.ndarray
    """uint8 [H, W], indices into MASK_NAMES; every pixel has a class, a person's the ground's."""
    headings: np.ndarray
    """float32 [N]: where each nose points, in radians from the x towards the y axis."""


class SyntheticFlight:
    """
    A seeded flight of `frames` frames; `flight[k]` always has the same bytes.

    The seed decides the town, the season, the light, the scale (cars are 25 to 80 px long) and
    the path. Raises ConfigError for sizes, counts and rates that are not supported.

    With `clutter` the same town also has persons, and things on roofs and on the ground that look
    like vehicles at first sight: dormers, machines, containers, tents, boats.
    """

    def __init__(self, seed: int, width: int = 640, height: int = 480, frames: int = 300,
                 rate_hz: float = 10.0, clutter: bool = False) -> None:
        for name, value in (('seed', seed), ('width', width), ('height', height),
                            ('frames', frames)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise ConfigError(f'{name} {value!r} of a synthetic flight is not a whole number')
        if seed < 0:
            raise ConfigError(f'seed {seed} of a synthetic flight is negative')
        for name, value in (('width', width), ('height', height)):
            if not MIN_SIDE <= value <= MAX_SIDE:
                raise ConfigError(f'{name} {value} of a synthetic flight is not in '
                                  f'{MIN_SIDE}..{MAX_SIDE} pixels')
        if frames < 1:
            raise ConfigError(f'a synthetic flight of {frames} frames has no image')
        if not (isinstance(rate_hz, (int, float)) and 0 < rate_hz <= 1000):
            raise ConfigError(f'rate {rate_hz!r} of a synthetic flight is not in 0..1000 Hz')
        self.seed, self.width, self.height = int(seed), int(width), int(height)
        self.rate_hz = float(rate_hz)
        self._frames = int(frames)
        self.clutter = bool(clutter)
        # Of its own, so that everything else is the same with and without.
        chance = np.random.default_rng([0x636C75, self.seed]) if self.clutter else None
        rng = np.random.default_rng([0x6D746C, self.seed])
        self._town = self._make_town(rng, chance)
        self._fleet_of_town()
        self._plan_path(rng)
        self._optics = Optics(rng, self.seed, self.width, self.height, self._yaw)
        if chance is not None:
            # A camera sees the heads beside the feet of persons that are not straight below it:
            # by these shares of their height in the middle of the frame, and more outwards.
            angle = chance.uniform(0, 2 * np.pi)
            self._tilt = chance.uniform(0.2, 0.6) * np.array([np.cos(angle), np.sin(angle)])
            self._spread = chance.uniform(0.15, 0.5)

    @property
    def box_names(self) -> tuple[str, ...]:
        """Classes of the boxes, by index."""
        return CLUTTER_BOX_NAMES if self.clutter else BOX_NAMES

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[SyntheticFrame]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> SyntheticFrame:
        """Return frame `index` (0..len - 1, or negative from the end); IndexError outside."""
        if index < 0:
            index += self._frames
        if not 0 <= index < self._frames:
            raise IndexError(f'frame {index} of a flight of {self._frames}')
        return self._take(index)

    # -- once per flight

    def _make_town(self, rng: np.random.Generator, clutter: np.random.Generator | None) -> Town:
        longest, diagonal = max(self.width, self.height), math.hypot(self.width, self.height)
        side = 512 * math.ceil(max(2, min(4 * longest, 4096) / 512, 1.35 * diagonal / 512))
        # Golden-ratio steps: a run of consecutive seeds covers the scales evenly.
        step = (0.3 + 0.61803398875 * self.seed) % 1.0
        self.pixels_per_metre = MIN_SCALE * (MAX_SCALE / MIN_SCALE) ** step
        self._fleet = make_fleet(rng, self.pixels_per_metre)
        # A town has at least a block and its streets, however small the frames are.
        side = max(side, 512 * math.ceil(130 * self.pixels_per_metre / 512))
        plan = lay_out(rng, side / self.pixels_per_metre, self._fleet)
        azimuth, steepness = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.25)
        sun = steepness * np.array([np.cos(azimuth), np.sin(azimuth)])
        return paint_town(rng, plan, side, self.pixels_per_metre, sun, rng.uniform(0.38, 0.70),
                          clutter)

    def _fleet_of_town(self) -> None:
        parked = self._town.plan.parked
        model = np.array(parked.model, int)
        place = np.array(parked.position, float).reshape(-1, 2)
        heading = np.array(parked.heading, float)
        free = standing_free(self._town, self._fleet, model, place, heading)
        self._parked_model, self._parked_place = model[free], place[free]
        self._parked_heading = heading[free]

    def _plan_path(self, rng: np.random.Generator) -> None:
        duration = self._frames / self.rate_hz
        course = rng.uniform(0, 2 * np.pi)
        self._velocity = rng.uniform(6, 11) * np.array([np.cos(course), np.sin(course)])
        self._yaw = rng.uniform(0, 2 * np.pi)
        self._sway = rng.uniform(0.3, 1.0, 4) * (2.5, 0.07, 0.05, 0.015)
        self._sway_rate = rng.uniform(0.08, 0.3, 4) * 2 * np.pi * (0.5, 0.5, 0.4, 3.0)
        self._sway_phase = rng.uniform(0, 2 * np.pi, 4)
        self._turn = rng.uniform(-0.012, 0.012)
        # The path leads over water, which not every part of a town has.
        waters = self._town.plan.water
        target = np.array(waters[rng.integers(len(waters))]) if waters else np.zeros(2)
        self._start = target - self._velocity * duration * rng.uniform(0.35, 0.65)

    # -- per frame

    def _camera(self, time: float) -> np.ndarray:
        """Return the affine map [2, 3] from the town's pixels to the frame's."""
        swing = self._sway * np.sin(self._sway_rate * time + self._sway_phase)
        across = np.array([-self._velocity[1], self._velocity[0]]) / np.hypot(*self._velocity)
        centre = (self._start + self._velocity * time + across * swing[0]) * self._town.ppm
        yaw = self._yaw + self._turn * time + swing[1] + swing[3]
        zoom = 1 + swing[2]
        turn = zoom * np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        middle = np.array([self.width, self.height]) / 2
        side = self._town.albedo.shape[0]
        centre %= side
        return np.concatenate([turn, (middle - turn @ centre)[:, None]], 1)

    def _take(self, index: int) -> SyntheticFrame:
        time = index / self.rate_hz
        camera = self._camera(time)
        image, mask, light = self._ground(camera)
        ids = np.zeros(mask.shape, np.uint16)
        models, places, headings = self._vehicles(time, camera)
        persons = self._persons(time, camera)
        sunlit = light.copy()
        self._cast_shadows(light, mask, camera, models, places, headings, persons)
        hidden = mask >= CROWN
        regions, areas = [], []
        for k, (model, place, heading) in enumerate(zip(models, places, headings, strict=True)):
            region, area = self._draw(image, ids, hidden, camera, int(model), place, heading,
                                      k + 1)
            regions.append(region)
            areas.append(area)
        drawn = ids > 0
        mask &= CROWN - 1
        mask[drawn] = VEHICLE
        for number, person in enumerate(persons, len(models) + 1):
            region, area = draw_person(image, ids, hidden, mask, person, number)
            regions.append(region)
            areas.append(area)
        if persons:
            drawn = ids > 0
        np.copyto(light, sunlit, where=drawn)
        boxes, shown = visible_boxes(ids, regions, areas)
        kinds = np.array([self._fleet.models[model].kind for model in models]
                         + [PERSON] * len(persons), np.int32)
        turn = math.atan2(camera[1, 0], camera[0, 0])
        noses = np.concatenate([headings + turn, [person.heading for person in persons]])
        return SyntheticFrame(self._optics.expose(image, light, index), boxes, kinds[shown], mask,
                              noses[shown].astype(np.float32))

    def _ground(self, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cut of the town in the frame: albedo, mask with crowns, light."""
        town = self._town
        corners = np.array([(0, 0), (self.width, 0), (self.width, self.height),
                            (0, self.height)], float)
        back = cv2.invertAffineTransform(camera)
        seen = corners @ back[:, :2].T + back[:, 2]
        low = np.floor(seen.min(0)).astype(int) - 2
        high = np.ceil(seen.max(0)).astype(int) + 3
        local = camera.copy()
        local[:, 2] += camera[:, :2] @ low
        size = (self.width, self.height)
        planes = [periodic_cut(plane, low, high) for plane in
                  (town.albedo, town.mask, town.light)]
        albedo, mask, light = (
            np.asarray(cv2.warpAffine(plane, local, size, flags=flags))
            for plane, flags in zip(planes, (cv2.INTER_LINEAR, cv2.INTER_NEAREST,
                                             cv2.INTER_LINEAR), strict=True))
        return albedo, mask, light

    def _vehicles(self, time: float, camera: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return models, places in the town's pixels and headings of what the camera may see."""
        models, places, headings = ([self._parked_model], [self._parked_place],
                                    [self._parked_heading])
        for stream in self._town.plan.streams:
            along = (stream.along + stream.speed * time) % stream.road.period
            point, heading = stream.road.place(along, stream.aside)
            models.append(stream.model)
            places.append(point)
            headings.append(heading + (math.pi if stream.speed < 0 else 0.0))
        model, heading = np.concatenate(models), np.concatenate(headings)
        place, near = self._seen(np.concatenate(places), camera, 12.0)
        return model[near], place[near], heading[near]

    def _persons(self, time: float, camera: np.ndarray) -> list[Pose]:
        """Return the persons that the camera may see."""
        if self._town.persons is None:
            return []
        places, headings, strides = self._town.persons.at(time)
        place, near = self._seen(places, camera, 4.0)
        seen = np.flatnonzero(near)
        size = np.array([self.width, self.height])
        scale = self._town.ppm * math.sqrt(abs(np.linalg.det(camera[:, :2])))
        turn = math.atan2(camera[1, 0], camera[0, 0])
        feet = place[seen] @ camera[:, :2].T + camera[:, 2]
        leans = (self._tilt + self._spread * (2 * feet - size) / size.max()) * scale
        looks = self._town.persons.looks
        return [Pose(looks[k], foot, heading + turn, stride, lean * looks[k].height, scale)
                for k, foot, heading, stride, lean in zip(
                    seen, feet, headings[seen].tolist(), strides[seen].tolist(), leans,
                    strict=True)]

    def _seen(self, places: np.ndarray, camera: np.ndarray, margin: float
              ) -> tuple[np.ndarray, np.ndarray]:
        """
        Return `places` (metres) in the town's pixels, and which are at most `margin` m off frame.

        Of all the period's copies of a place the one nearest to the camera is returned.
        """
        side = self._town.albedo.shape[0]
        back = cv2.invertAffineTransform(camera)
        centre = back[:, :2] @ (self.width / 2, self.height / 2) + back[:, 2]
        place = places * self._town.ppm
        place = centre + (place - centre + side / 2) % side - side / 2
        frame = place @ camera[:, :2].T + camera[:, 2]
        margin *= self._town.ppm
        return place, ((frame > -margin)
                       & (frame < (self.width + margin, self.height + margin))).all(1)

    def _cast_shadows(self, light: np.ndarray, mask: np.ndarray, camera: np.ndarray,
                      models: np.ndarray, places: np.ndarray, headings: np.ndarray,
                      persons: list[Pose]) -> None:
        ppm = self._town.ppm
        fallen = np.zeros(light.shape, np.uint8)
        for model, place, heading in zip(models, places, headings, strict=True):
            item = self._fleet.models[model]
            base = rectangle(place, heading, item.length * ppm * 0.96, item.width * ppm * 0.96)
            shape = np.concatenate([base, base + self._town.sun * item.height * 0.85 * ppm])
            hull = cv2.convexHull((shape @ camera[:, :2].T + camera[:, 2]).astype(np.float32))
            cv2.fillConvexPoly(fallen, np.round(hull * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
            # Under the car itself it is darker still.
            rim = rectangle(place, heading, item.length * ppm + 0.2 * ppm,
                            item.width * ppm + 0.2 * ppm) @ camera[:, :2].T + camera[:, 2]
            cv2.fillConvexPoly(fallen, np.round(rim * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        sun = camera[:, :2] @ self._town.sun * ppm
        for person in persons:
            cv2.fillConvexPoly(fallen, np.round(person.shadow(sun) * 16).astype(np.int32), 255,
                               cv2.LINE_AA, 4)
        fallen = np.asarray(cv2.blur(fallen, (3, 3)))
        depth = 1 - self._town.haze
        table = np.clip(255 - depth * np.arange(256), 0, 255).astype(np.uint8)
        dark = np.asarray(cv2.LUT(fallen, table))
        dark[(mask >= CROWN) | (mask == BUILDING)] = 255
        np.minimum(light, dark, out=light)

    def _draw(self, image: np.ndarray, ids: np.ndarray, hidden: np.ndarray, camera: np.ndarray,
              model: int, place: np.ndarray, heading: float, number: int
              ) -> tuple[tuple[slice, slice] | None, float]:
        """Draw one vehicle; return where in the frame it may be seen and its whole area."""
        sprite = self._fleet.models[model].sprite
        scale = 1 / OVERSAMPLING
        turn = scale * np.array([[math.cos(heading), -math.sin(heading)],
                                 [math.sin(heading), math.cos(heading)]])
        linear = camera[:, :2] @ turn
        h, w = sprite.shape[:2]
        origin = camera[:, :2] @ place + camera[:, 2] - linear @ (w / 2 - 0.5, h / 2 - 0.5)
        area = (float(np.count_nonzero(sprite[..., 3] >= 128)) * abs(np.linalg.det(linear)))
        corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], float) @ linear.T + origin
        x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int), 0)
        x1 = min(int(np.ceil(corners[:, 0].max())) + 1, self.width)
        y1 = min(int(np.ceil(corners[:, 1].max())) + 1, self.height)
        if x0 >= x1 or y0 >= y1:
            return None, area
        warp = np.concatenate([linear, (origin - (x0, y0))[:, None]], 1)
        part = cv2.warpAffine(sprite, warp, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
        roi = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        lay(image, ids, hidden, part, roi, number)
        return roi, area
