"""Paints the plan of a town into one large periodic image with its mask and its light."""

from __future__ import annotations

from collections.abc import Iterator
import math

import cv2
import numpy as np

from mtl_perception.data.synthetic import textures
from mtl_perception.data.synthetic.clutter import Ground, place_clutter
from mtl_perception.data.synthetic.clutter_painting import paint_object, Planes
from mtl_perception.data.synthetic.persons import Persons
from mtl_perception.data.synthetic.plan import BAY, Building, LANE, Plan, Point, rectangle, Road
from mtl_perception.data.synthetic.roofs import roof_texture
from mtl_perception.data.synthetic.rooftops import furnish_roof
from mtl_perception.data.synthetic.town import (
    BUILDING,
    CROWN,
    GROUND,
    ROAD,
    Town,
    VEGETATION,
    WATER,
)

_CLASS_OF_MATERIAL = np.zeros(256, np.uint8)
for _materials, _label in (
        ((textures.GRASS, textures.MEADOW, textures.CROP), VEGETATION),
        ((textures.DIRT, textures.PAVING, textures.GRAVEL, textures.SAND), GROUND),
        ((textures.ASPHALT, textures.OLD_ASPHALT), ROAD),
        ((textures.WATER, textures.POOL), WATER)):
    _CLASS_OF_MATERIAL[list(_materials)] = _label


class _Painter:
    def __init__(self, rng: np.random.Generator, plan: Plan, side: int, ppm: float,
                 sun: np.ndarray, haze: float, clutter: np.random.Generator | None) -> None:
        self.rng, self.plan, self.side, self.ppm = rng, plan, side, ppm
        self.clutter = clutter
        self.sun = sun
        self.to_sun = -sun / np.hypot(*sun)
        self.shadow = round(255 * haze)
        self.season = textures.SEASONS[rng.integers(len(textures.SEASONS))]
        self.material = np.full((side, side), textures.PAVING, np.uint8)
        self.light = np.full((side, side), 255, np.uint8)

    # -- primitives: metres in, drawn at every place where the period brings them into the plane

    def _wrapped(self, points: np.ndarray, margin: float = 0.0) -> Iterator[np.ndarray]:
        pixels = np.asarray(points, float) * self.ppm
        (x0, y0), (x1, y1) = (pixels.min(0) - margin).tolist(), (pixels.max(0) + margin).tolist()
        for nx in range(math.floor(-x1 / self.side) + 1, math.ceil((self.side - x0) / self.side)):
            for ny in range(math.floor(-y1 / self.side) + 1,
                            math.ceil((self.side - y0) / self.side)):
                yield pixels + (nx * self.side, ny * self.side)

    def fill(self, plane: np.ndarray, polygon: np.ndarray, value: float) -> None:
        for pixels in self._wrapped(polygon):
            cv2.fillPoly(plane, [np.round(pixels * 16).astype(np.int32)], value, cv2.LINE_8, 4)

    def stroke(self, plane: np.ndarray, path: np.ndarray, width: float, value: float) -> None:
        thick = max(1, round(width * self.ppm))
        for pixels in self._wrapped(path, thick):
            cv2.polylines(plane, [np.round(pixels * 16).astype(np.int32)], False, value, thick,
                          cv2.LINE_AA, 4)

    def dot(self, plane: np.ndarray, point: Point, radius: float, value: float) -> None:
        for pixels in self._wrapped(np.asarray(point, float)[None], radius * self.ppm):
            cv2.circle(plane, tuple(int(v) for v in np.round(pixels[0] * 16)),
                       round(radius * self.ppm * 16), value, -1, cv2.LINE_AA, 4)

    # -- layers

    def paint(self) -> Town:
        for material, polygon in self.plan.areas:
            self.fill(self.material, polygon, int(material))
        self._streets()
        albedo = self._textured()
        mask = cv2.LUT(self.material, _CLASS_OF_MATERIAL)
        self.albedo, self.mask = albedo, mask
        self._wear()
        self._markings()
        persons = None
        if self.clutter is not None:
            ground = Ground(self.plan, self.material)
            planes = Planes(albedo, mask, self.light)
            for item in place_clutter(self.clutter, ground, self.to_sun):
                places = self._wrapped(np.array([item.place]), item.reach(self.sun) * self.ppm)
                paint_object(item, places, self.ppm, self.sun, self.shadow, planes)
            persons = Persons(self.clutter, ground, self.ppm)
        self._shadows()
        for building in sorted(self.plan.buildings, key=lambda item: item.height):
            self._roof(building)
        self._crowns()
        return Town(self.ppm, albedo, mask, self.light, self.plan, self.sun, self.shadow / 255,
                    persons)

    def _road_paths(self, road: Road, aside: float, steps: int = 160) -> np.ndarray:
        return road.place(np.linspace(-4, road.period + 4, steps), aside)[0]

    def _streets(self) -> None:
        for road in self.plan.roads:
            band = self._road_paths(road, 0.0)
            self._band(band, road.half + self.plan.walk, textures.PAVING)
        kerb = self.rng.random() < 0.5
        if kerb:  # a strip of grass between the carriageway and the pavement
            for road in self.plan.roads:
                for way in (-1, 1):
                    strip = self._road_paths(road, way * (road.half + 1.0))
                    self._band(strip, 0.6, textures.GRASS)
        for road in self.plan.roads:
            for at, other in self.plan.crossings(road):
                if road.axis == 1:
                    self._corners(road, other, at)
        for road in self.plan.roads:
            self._band(self._road_paths(road, 0.0), road.half, textures.ASPHALT)

    def _band(self, path: np.ndarray, half: float, material: int) -> None:
        tangent = np.gradient(path, axis=0)
        tangent /= np.hypot(tangent[:, :1], tangent[:, 1:])
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * half
        self.fill(self.material, np.concatenate([path + normal, (path - normal)[::-1]]), material)

    def _corners(self, road: Road, other: Road, at: float) -> None:
        """Pave where two streets cross, and round the kerbs."""
        centre, heading = road.place(at, 0.0)
        cross = other.place(centre[other.axis], 0.0)[1]
        # Skewed coordinates: steps along the one street, then along the other.
        forth = np.array([np.cos(heading), np.sin(heading)])
        aside = np.array([np.cos(cross), np.sin(cross)])
        basis = np.stack([aside, forth])
        skew = abs(float(np.sin(heading - cross)))
        half = np.array([road.half, other.half]) / skew
        radius = 3.5
        reach = half + self.plan.walk + radius * 0.5
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        self.fill(self.material, centre + (corners * reach) @ basis, textures.PAVING)
        turn = np.linspace(0, np.pi / 2, 8)
        bow = np.stack([np.cos(turn), np.sin(turn)], 1)
        for sign in corners:
            arc = sign * (half + radius - radius * bow)
            middle = np.array([arc[-1] * (0, 1), (0, 0), arc[0] * (1, 0)])
            self.fill(self.material, centre + np.concatenate([arc, middle[1:2]]) @ basis,
                      textures.ASPHALT)

    def _textured(self) -> np.ndarray:
        tiles = textures.material_tiles(self.rng, self.season, self.ppm)
        repeat = -(-self.side // textures.TILE)
        albedo = np.empty((self.side, self.side, 3), np.uint8)
        self.slow = textures.wide_variation(self.rng, self.side)
        tint = textures.wide_variation(self.rng, self.side, 1.7)
        rows = textures.TILE
        present = np.unique(self.material)
        for top in range(0, self.side, rows):
            strip = albedo[top:top + rows]
            material = self.material[top:top + rows]
            for index in present:
                wide = np.tile(tiles[index], (1, repeat, 1))[:len(strip), :self.side]
                cv2.copyTo(wide, np.equal(material, index).view(np.uint8), strip)
            slow, warm = self.slow[top:top + rows], tint[top:top + rows]
            gain = 1 + 0.055 * slow[..., None] + warm[..., None] * np.array(
                [0.018, 0.004, -0.02], np.float32)
            cv2.multiply(strip, gain.astype(np.float32), strip, 1.0, cv2.CV_8U)
        return albedo

    def _wear(self) -> None:
        """Darken and lighten the roads: tyre tracks, mended patches, cracks, manholes."""
        rng = self.rng
        wear = np.full((self.side, self.side), 128, np.uint8)
        for road in self.plan.roads:
            for way in (-1, 1):
                for lane in range(road.lanes):
                    for track in (-0.8, 0.8):
                        aside = way * ((lane + 0.5) * LANE + track)
                        self.stroke(wear, self._road_paths(road, aside), 0.55,
                                    int(rng.integers(112, 123)))
        cv2.GaussianBlur(wear, (0, 0), 0.25 * self.ppm, wear)
        for road in self.plan.roads:
            for _ in range(int(road.period / 16)):
                at = rng.uniform(0, road.period)
                point, heading = road.place(at, rng.uniform(-1, 1) * (road.half - 1.4))
                self.fill(wear, rectangle(point, float(heading), rng.uniform(1.2, 9),
                                          rng.uniform(0.8, 2.6)), int(rng.integers(104, 146)))
            for _ in range(int(road.period / 9)):
                at, aside = rng.uniform(0, road.period), rng.uniform(-1, 1) * road.half
                steps = rng.normal(0, (1.0, 0.35), (7, 2)) if rng.random() < 0.5 else \
                    rng.normal(0, (0.25, 0.6), (7, 2))
                wander = np.cumsum(steps, 0)
                asides = np.clip(aside + wander[:, 1], -road.half, road.half)
                self.stroke(wear, road.place(at + wander[:, 0], asides)[0], 0.05,
                            int(rng.integers(84, 112)))
            for _ in range(int(road.period / 28)):
                self.dot(wear, road.place(rng.uniform(0, road.period),
                                          rng.uniform(-0.7, 0.7) * road.half)[0], 0.36,
                         int(rng.integers(70, 96)))
        wear[self.mask != ROAD] = 128
        rows = textures.TILE
        for top in range(0, self.side, rows):
            strip = self.albedo[top:top + rows]
            cv2.multiply(strip, cv2.merge([wear[top:top + rows]] * 3), strip, 1 / 128)
        # Kerb stones, and the rim of every lawn and yard, are a shade lighter or darker.
        edges = cv2.morphologyEx(self.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        kerb = (edges > 0) & (self.mask == GROUND)
        self.albedo[kerb] = np.minimum(self.albedo[kerb], 255 - 16) + 16

    def _markings(self) -> None:
        rng, plan = self.rng, self.plan
        paint = np.zeros((self.side, self.side), np.uint8)
        yellow = np.zeros((self.side, self.side), np.uint8)
        centre_plane = yellow if rng.random() < 0.4 else paint
        zebra = rng.random() < 0.8
        strong = int(rng.integers(150, 235))
        for road in self.plan.roads:
            dashes = np.arange(0, road.period - 2, 6.0)
            clear = plan.clear_of_crossings(road, dashes, 8.5)
            for start in dashes[clear]:
                whole = start + np.linspace(0, 6.0, 4)
                dash = start + np.linspace(0, 2.6, 3)
                if road.lanes > 1:
                    for aside in (-0.14, 0.14):
                        self.stroke(centre_plane, road.place(whole, aside)[0], 0.13, strong)
                    for way in (-1, 1):
                        self.stroke(paint, road.place(dash, way * LANE)[0], 0.13, strong)
                else:
                    self.stroke(centre_plane, road.place(dash, 0.0)[0], 0.13, strong)
                for way in (-1, 1):
                    edge = way * (road.lanes * LANE + 0.05)
                    if road.parking:
                        bay = road.place(start, way * np.array([road.half - BAY, road.half]))[0]
                        self.stroke(paint, bay, 0.11, strong // 2)
                    elif road.lanes > 1:
                        self.stroke(paint, road.place(whole, edge)[0], 0.12, strong)
            for at, other in self.plan.crossings(road):
                for way in (-1, 1):
                    near = at - way * (other.half + 4.7)
                    lanes = way * np.array([0.2, road.lanes * LANE])
                    self.stroke(paint, road.place(near, lanes)[0], 0.42, strong)
                    if road.lanes > 1:
                        self._arrow(paint, road, near - way * 7, way, strong)
                    if not zebra:
                        continue
                    for aside in np.arange(-road.half + 0.5, road.half - 0.3, 1.05):
                        for sign in (-1, 1):
                            bar = at + sign * (other.half + np.array([1.1, 3.9]))
                            self.stroke(paint, road.place(bar, aside)[0], 0.5, strong)
        for path, width in self.plan.lines:
            self.stroke(paint, path, width, strong)
        worn = np.clip(0.82 + 0.10 * self.slow, 0.45, 1.0)
        for plane, color in ((paint, (232, 232, 228)), (yellow, (222, 178, 66))):
            rows, columns = np.nonzero(plane & (0 - (self.mask == ROAD).view(np.uint8)))
            weight = (plane[rows, columns] / 255.0 * worn[rows, columns])[:, None]
            grain = 1 - 0.25 * rng.random((len(rows), 1), np.float32)
            weight = weight * grain
            under = self.albedo[rows, columns]
            self.albedo[rows, columns] = (under * (1 - weight)
                                          + np.array(color) * weight).astype(np.uint8)

    def _arrow(self, plane: np.ndarray, road: Road, at: float, way: int, strong: int) -> None:
        for lane in range(road.lanes):
            aside = way * (lane + 0.5) * LANE
            self.stroke(plane, road.place(at + way * np.array([-1.6, 0.6]), aside)[0], 0.16,
                        strong)
            tip = road.place(at + way * np.array([0.5, 1.7, 0.5]),
                             aside + np.array([-0.45, 0.0, 0.45]))[0]
            self.fill(plane, tip, strong)

    def _shadows(self) -> None:
        sun = self.sun
        for building in self.plan.buildings:
            base = rectangle(building.centre, building.heading, building.length, building.width)
            hull = cv2.convexHull(np.concatenate([base, base + sun * building.height])
                                  .astype(np.float32))[:, 0]
            self.fill(self.light, hull, self.shadow)
        crowns = textures.crown_lights(self.rng, self.to_sun)
        self.trees = []
        for x, y, radius in self.plan.trees:
            crown = crowns[self.rng.integers(len(crowns))]
            side = max(5, round(2 * radius * self.ppm / 0.85))
            patch = cv2.resize(crown, (side, side), interpolation=cv2.INTER_AREA)
            self.trees.append((x, y, radius, patch))
            dark = (255 - (255 - self.shadow) * patch[..., 1]).astype(np.uint8)
            offset = sun * radius * 1.5
            for roi, part in self._patches(x + offset[0], y + offset[1], dark):
                view = self.light[roi]
                np.minimum(view, part, out=view)
        cv2.GaussianBlur(self.light, (0, 0), max(0.5, 0.09 * self.ppm), self.light)

    def _patches(self, x: float, y: float, patch: np.ndarray
                 ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """Yield slices of the plane, and the parts of `patch` centred at x, y that fall there."""
        height, width = patch.shape[:2]
        for pixels in self._wrapped(np.array([[x, y]]), max(height, width)):
            left = int(np.floor(pixels[0, 0] - width / 2))
            top = int(np.floor(pixels[0, 1] - height / 2))
            x0, x1 = max(left, 0), min(left + width, self.side)
            y0, y1 = max(top, 0), min(top + height, self.side)
            if x0 < x1 and y0 < y1:
                yield ((slice(y0, y1), slice(x0, x1)),
                       patch[y0 - top:y1 - top, x0 - left:x1 - left])

    def _crowns(self) -> None:
        rng = self.rng
        for x, y, _radius, patch in self.trees:
            color = np.array(self.season.crowns[rng.integers(len(self.season.crowns))])
            color = color * rng.uniform(0.85, 1.18) + rng.uniform(-7, 7, 3)
            rgb = np.clip(patch[..., :1] * color, 0, 255)
            for roi, part in self._patches(x, y, np.dstack([rgb, patch[..., 1]])):
                cover = part[..., 3:]
                view = self.albedo[roi]
                view[:] = (view * (1 - cover) + part[..., :3] * cover).astype(np.uint8)
                solid = cover[..., 0] >= 0.5
                self.mask[roi][solid] = VEGETATION | CROWN
                light = self.light[roi]
                light[:] = light + (255.0 - light) * cover[..., 0]

    def _roof(self, building: Building) -> None:
        texture = roof_texture(self.rng, building, self.ppm, self.to_sun)
        if self.clutter is not None:
            furnish_roof(self.clutter, texture, building, self.ppm, self.sun)
        height, width = texture.shape[:2]
        corners = rectangle(building.centre, building.heading, building.length, building.width)
        source = np.array([(0, 0), (width, 0), (width, height)], np.float32)
        for pixels in self._wrapped(corners):
            x0, y0 = np.maximum(np.floor(pixels.min(0)).astype(int) - 1, 0)
            x1, y1 = np.minimum(np.ceil(pixels.max(0)).astype(int) + 1, self.side)
            if x0 >= x1 or y0 >= y1:
                continue
            warp = cv2.getAffineTransform(source, (pixels[:3] - (x0, y0)).astype(np.float32))
            part = cv2.warpAffine(texture, warp, (int(x1 - x0), int(y1 - y0)),
                                  flags=cv2.INTER_LINEAR).astype(np.float32)
            cover = part[..., 3:] / 255
            view = self.albedo[y0:y1, x0:x1]
            view[:] = (view * (1 - cover) + part[..., :3] * cover).astype(np.uint8)
            solid = cover[..., 0] >= 0.5
            self.mask[y0:y1, x0:x1][solid] = BUILDING
            self.light[y0:y1, x0:x1][solid] = 255


def paint_town(rng: np.random.Generator, plan: Plan, side: int, ppm: float,
               sun: np.ndarray, haze: float,
               clutter: np.random.Generator | None = None) -> Town:
    """
    Return the town of `plan`, `side` x `side` pixels; 6 bytes a pixel stay in memory.

    `clutter` is the source of chance for the things that are no vehicles, and for persons; None:
    the town has none.
    """
    return _Painter(rng, plan, side, ppm, sun, haze, clutter).paint()
