"""Five photographic styles as functions of a picture: H×W×3 values from 0 to 1, red first."""

import cv2
import numpy as np

SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def vintage(image, strength, rng):
    """Brown tones, little contrast, dark corners and grain."""
    faded = mixed(image, image @ SEPIA.T, 0.7 * strength) * (1 - 0.3 * strength) + 0.15 * strength
    return darkened(faded, 0.4 * strength) + 0.03 * strength * rng.standard_normal(image.shape)


def noir(image, strength, rng):
    """Hardly any colour, much contrast, dark corners."""
    drained = mixed(image, grey(image), 0.5 + 0.5 * strength)
    return darkened((drained - 0.5) * (1 + strength) + 0.5 - 0.1 * strength, 0.6 * strength)


def pastel(image, strength, rng):
    """Light and soft, with pale colours."""
    pale = mixed(image, grey(image), 0.3 * strength)
    return mixed(cv2.GaussianBlur(pale, (0, 0), 1), 1.0, 0.5 * strength)


def hdr(image, strength, rng):
    """Strong colours, and details that stand out from their surroundings."""
    detailed = image + 1.2 * strength * (image - cv2.GaussianBlur(image, (0, 0), 8))
    return mixed(grey(detailed), detailed, 1 + 0.8 * strength)


def long_exposure(image, strength, rng):
    """All that moves is drawn out along one direction."""
    length = 5 + 2 * round(12 * strength)
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), rng.uniform(0, 180), 1)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    line = cv2.warpAffine(line, turn, (length, length))
    return cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REFLECT)


STYLES = {"vintage": vintage, "noir": noir, "pastel": pastel, "HDR": hdr, "long exposure": long_exposure}


def mixed(one, other, share):
    """A share of the other picture, the rest of the one."""
    return one + share * (other - one)


def grey(image):
    """The picture without colours."""
    return np.repeat((image @ LUMA)[:, :, None], 3, axis=2)


def darkened(image, amount):
    """The picture with dark corners."""
    height, width = image.shape[:2]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return image * (1 - amount * np.minimum(1, (x**2 + y**2) / 2))[:, :, None].astype(np.float32)
