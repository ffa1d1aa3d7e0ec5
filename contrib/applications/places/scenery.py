"""Draws places: an environment, a category and attributes that are known because the drawing put them there."""

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 64
TYPES = ("indoor", "outdoor")
INDOOR = ("bedroom", "kitchen", "corridor", "library")
OUTDOOR = ("beach", "forest", "mountain", "desert", "street", "skyscrapers")
CATEGORIES = INDOOR + OUTDOOR
ATTRIBUTES = (
    "natural light",
    "man-made",
    "vegetation",
    "open water",
    "clouds",
    "sun",
    "night",
    "snow",
    "people",
    "wooden floor",
    "carpet",
    "lamp",
)


class Place(NamedTuple):
    """A scene: its picture (SIDE×SIDE×3 bytes, BGR), environment, category, and a 0 or 1 per attribute."""

    image: np.ndarray
    type: int
    category: int
    attributes: np.ndarray


def place(rng):
    """Draw a scene of a random category with random attributes.

    Args:
        rng: draws everything.
    """
    category = CATEGORIES[rng.integers(len(CATEGORIES))]
    scene = Drawing(rng)
    (scene.indoors if category in INDOOR else scene.outdoors)(category)
    scene.maybe(0.35, "people", scene.people)
    noisy = scene.image * rng.uniform(0.8, 1.15) + rng.normal(0, 8, scene.image.shape)
    marks = np.array([name in scene.attributes for name in ATTRIBUTES], np.uint8)
    outdoor = int(category in OUTDOOR)
    return Place(np.clip(noisy, 0, 255).astype(np.uint8), outdoor, CATEGORIES.index(category), marks)


class Drawing:
    """A picture in the making, and the attributes that it has so far.

    Args:
        rng: draws everything.
    """

    def __init__(self, rng):
        self.rng, self.attributes = rng, set()
        self.image = np.zeros((SIDE, SIDE, 3), np.uint8)
        self.horizon = int(rng.integers(26, 40))

    def maybe(self, probability, attribute, draw):
        """Draw something with a probability, and note the attribute."""
        if self.rng.random() < probability:
            draw()
            self.attributes.add(attribute)

    def tint(self, *bgr, spread=18):
        """A colour near another."""
        return [int(level) for level in np.clip(np.add(bgr, self.rng.integers(-spread, spread + 1, 3)), 0, 255)]

    def between(self, low, high):
        """A whole number of low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def fill(self, points, colour):
        """A polygon; a pair of points is a rectangle's."""
        if len(points) == 2:
            cv2.rectangle(self.image, points[0], points[1], colour, -1)
        else:
            cv2.fillPoly(self.image, [np.array(points, np.int32)], colour)

    def oval(self, centre, axes, colour):
        """A filled ellipse."""
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    def outdoors(self, category):
        """Sky, and the land of a category."""
        night = self.rng.random() < 0.25
        top, low = ((60, 25, 10), (80, 40, 25)) if night else ((225, 150, 80), (240, 210, 170))
        shade = np.linspace(0, 1, SIDE)[:, None, None]
        self.image[:] = (1 - shade) * self.tint(*top) + shade * self.tint(*low)
        if not night:
            self.attributes.add("natural light")
            self.maybe(0.4, "sun", self.sun)
        self.maybe(0.4, "clouds", lambda: self.clouds(110 if night else 245))
        self.snowy = category in ("forest", "mountain", "street") and self.rng.random() < 0.35
        getattr(self, category)()
        if self.snowy:
            self.attributes.add("snow")
        if night:
            self.attributes.add("night")
            self.image[:] = (self.image * 0.45).astype(np.uint8)
            for _ in range(12):
                self.image[self.between(0, 20), self.between(0, SIDE - 1)] = 230

    def indoors(self, category):
        """Wall, floor and furniture of a category."""
        self.attributes.add("man-made")
        self.fill([(0, 0), (SIDE, SIDE)], self.tint(150, 170, 185, spread=35))
        self.fill([(0, self.horizon + 6), (SIDE, SIDE)], self.tint(110, 110, 115, spread=25))
        self.maybe(0.45, "wooden floor", self.planks)
        self.maybe(0.35, "carpet", self.carpet)
        getattr(self, category)()
        self.maybe(0.5, "natural light", self.window)
        self.maybe(0.4, "lamp", self.lamp)
        self.maybe(0.3, "vegetation", self.plant)

    def land(self, *bgr):
        """The ground below the horizon, white where it has snowed."""
        self.fill([(0, self.horizon), (SIDE, SIDE)], self.tint(*((235, 235, 230) if self.snowy else bgr)))

    def sun(self):
        """A yellow disc."""
        self.oval((self.between(8, 56), self.between(7, 16)), (5, 5), (60, 225, 255))

    def clouds(self, level):
        """Two or three groups of bright ovals."""
        for _ in range(self.between(2, 3)):
            x, y = self.between(4, 60), self.between(5, 18)
            for step in (-5, 0, 5):
                self.oval((x + step, y), (5, self.between(2, 4)), (level, level, level))

    def people(self):
        """One to three upright figures."""
        for _ in range(self.between(1, 3)):
            x, y = self.between(6, 58), self.between(44, 54)
            shirt = [int(level) for level in self.rng.integers(20, 256, 3)]
            self.fill([(x - 2, y - 6), (x + 2, y)], shirt)
            self.fill([(x - 2, y), (x + 2, y + 7)], (70, 40, 30))
            self.oval((x, y - 9), (2, 2), (150, 185, 225))

    def tree(self, x, base, height):
        """A trunk and a crown."""
        self.fill([(x - 1, base - height // 2), (x + 1, base)], (30, 55, 80))
        crown = self.tint(225, 230, 225) if self.snowy else self.tint(40, 110, 40)
        self.fill(
            [(x - height // 3, base - height // 3), (x + height // 3, base - height // 3), (x, base - height)], crown
        )
        self.attributes.add("vegetation")

    def beach(self):
        """The sea behind sand, and sometimes a tree."""
        self.land(120, 200, 230)
        self.fill([(0, self.horizon), (SIDE, self.horizon + self.between(8, 13))], self.tint(190, 130, 50))
        self.attributes.add("open water")
        if self.rng.random() < 0.35:
            self.tree(self.between(6, 58), self.between(50, 60), self.between(22, 32))

    def forest(self):
        """Trees, the near ones larger."""
        self.land(60, 120, 70)
        for base in sorted(self.between(self.horizon + 2, 62) for _ in range(11)):
            self.tree(self.between(0, 63), base, 10 + (base - self.horizon) // 2 + self.between(4, 10))

    def mountain(self):
        """Two or three peaks, sometimes with snow, and sometimes a lake."""
        for _ in range(self.between(2, 3)):
            x, peak, width = self.between(8, 56), self.between(6, 18), self.between(20, 32)
            slope = (self.horizon - peak) / width
            self.fill([(x - width, self.horizon), (x + width, self.horizon), (x, peak)], self.tint(105, 105, 100))
            if self.snowy:
                half = round(9 / slope)
                self.fill([(x - half, peak + 9), (x + half, peak + 9), (x, peak)], (245, 245, 245))
        self.land(80, 130, 110)
        self.maybe(0.35, "open water", lambda: self.oval((32, 52), (24, 7), self.tint(190, 130, 50)))

    def desert(self):
        """Dunes, and sometimes a cactus."""
        self.land(90, 165, 220)
        for _ in range(4):
            self.oval((self.between(0, 64), self.between(self.horizon + 6, 64)), (24, 5), self.tint(80, 150, 205))
        if self.rng.random() < 0.35:
            x, base = self.between(8, 56), self.between(50, 60)
            self.fill([(x - 1, base - 20), (x + 1, base)], (50, 120, 50))
            self.fill([(x - 6, base - 13), (x + 6, base - 11)], (50, 120, 50))
            self.attributes.add("vegetation")

    def street(self):
        """A road between houses, and sometimes a tree."""
        self.attributes.add("man-made")
        self.land(120, 125, 125)
        for left in (0, 44):
            top, width = self.between(10, 20), self.between(14, 19)
            self.fill([(left, top), (left + width, 50)], self.tint(90, 105, 160, spread=40))
            for row in range(top + 4, 44, 8):
                self.fill([(left + 4, row), (left + 7, row + 3)], (200, 215, 225))
        self.fill([(28, self.horizon), (36, self.horizon), (60, 64), (4, 64)], (80, 80, 80))
        self.fill([(31, self.horizon), (33, self.horizon), (35, 64), (29, 64)], (220, 225, 225))
        if self.rng.random() < 0.3:
            self.tree(self.between(18, 46), 50, self.between(20, 28))

    def skyscrapers(self):
        """Towers with rows of windows."""
        self.attributes.add("man-made")
        self.land(110, 115, 115)
        for _ in range(self.between(4, 6)):
            left, top, width = self.between(0, 54), self.between(3, 24), self.between(8, 12)
            self.fill([(left, top), (left + width, 58)], self.tint(150, 130, 110, spread=35))
            for row in range(top + 2, 56, 4):
                self.fill([(left + 2, row), (left + width - 2, row + 1)], self.tint(210, 215, 200))

    def planks(self):
        """A floor of boards."""
        self.fill([(0, self.horizon + 6), (SIDE, SIDE)], self.tint(50, 95, 150))
        for x in range(-32, 96, 8):
            cv2.line(self.image, (32 + (x - 32) // 2, self.horizon + 6), (x, SIDE), (30, 60, 100), 1)

    def carpet(self):
        """A coloured oval on the floor."""
        self.oval((self.between(24, 40), 56), (self.between(16, 22), 6), self.tint(70, 40, 170, spread=50))

    def window(self):
        """A bright square with a cross."""
        x, y = self.between(4, 44), self.between(4, 10)
        self.fill([(x, y), (x + 15, y + 14)], self.tint(250, 225, 190, spread=5))
        self.fill([(x + 7, y), (x + 8, y + 14)], (90, 90, 90))
        self.fill([(x, y + 7), (x + 15, y + 8)], (90, 90, 90))

    def lamp(self):
        """A yellow shade that hangs from the ceiling."""
        x, y = self.between(8, 56), self.between(6, 12)
        self.fill([(x, 0), (x, y)], (40, 40, 40))
        self.fill([(x - 5, y + 5), (x + 5, y + 5), (x, y)], (90, 230, 255))

    def plant(self):
        """A pot with leaves."""
        x = self.between(6, 58)
        self.fill([(x - 3, 54), (x + 3, 60)], (50, 80, 170))
        for step in (-4, 0, 4):
            self.oval((x + step, 47), (2, 7), self.tint(50, 130, 50))

    def bedroom(self):
        """A bed with a pillow."""
        left, top = self.between(4, 26), self.between(38, 44)
        self.fill([(left, top), (left + 30, top + 12)], self.tint(150, 90, 90, spread=60))
        self.fill([(left, top - 10), (left + 3, top + 14)], (40, 70, 110))
        self.fill([(left + 4, top - 3), (left + 12, top + 2)], (240, 240, 240))

    def kitchen(self):
        """A counter with a stove, and cupboards above."""
        top = self.between(36, 40)
        self.fill([(0, top), (SIDE, top + 14)], self.tint(200, 205, 205))
        self.fill([(0, 16), (SIDE, 24)], self.tint(170, 180, 190))
        for x in range(self.between(4, 12), SIDE, 14):
            self.fill([(x, 16), (x, 24)], (90, 90, 90))
            self.fill([(x, top + 2), (x, top + 14)], (90, 90, 90))
        left = self.between(8, 40)
        self.fill([(left, top), (left + 14, top + 14)], (50, 50, 50))
        self.fill([(left + 3, top + 5), (left + 11, top + 11)], (60, 120, 200))

    def corridor(self):
        """Walls that meet far away, with doors."""
        x, y, half = self.between(27, 37), self.between(24, 30), self.between(6, 9)
        wall = self.tint(140, 160, 170)
        self.fill([(0, 0), (x - half, y - half), (x - half, y + half), (0, SIDE)], wall)
        self.fill([(SIDE, 0), (x + half, y - half), (x + half, y + half), (SIDE, SIDE)], wall)
        self.fill([(x - half, y - half), (x + half, y + half)], self.tint(90, 90, 95))
        for left in (self.between(3, 6), self.between(52, 55)):
            self.fill([(left, 20), (left + 6, 52)], self.tint(40, 70, 120))

    def library(self):
        """Shelves of books."""
        for top in (8, 22, 36):
            self.fill([(0, top + 11), (SIDE, top + 12)], (40, 65, 100))
            for x in range(0, SIDE, 4):
                if self.rng.random() < 0.85:
                    book = [int(level) for level in self.rng.integers(30, 220, 3)]
                    self.fill([(x, top + self.between(0, 3)), (x + 2, top + 10)], book)
