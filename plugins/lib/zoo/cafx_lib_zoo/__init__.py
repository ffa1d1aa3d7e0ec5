"""Models that others can get: cards, sources, downloads, verification, publishing and conversion.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = publish(Path(folder, "m"), Card("M"), {"deploy.prototxt": b'name: "M"'})
    ...     model.card.files["deploy.prototxt"].size, model.damaged()
    (9, [])
"""

from cafx_lib_zoo.card import Card, Stated, card_text, parse_card
from cafx_lib_zoo.checking import Verified, verify
from cafx_lib_zoo.convert import convert
from cafx_lib_zoo.download import digest
from cafx_lib_zoo.fitting import fill
from cafx_lib_zoo.folder import ModelFolder
from cafx_lib_zoo.getting import Wish, get
from cafx_lib_zoo.needs import lacking, layers_of
from cafx_lib_zoo.publishing import publish
from cafx_lib_zoo.references import about, reference_net, references
from cafx_lib_zoo.sources import Source, open_source
from cafx_lib_zoo.store import Store
from cafx_lib_zoo.web import Limits

__version__ = "0.1.0"
__all__ = [
    "Card",
    "Limits",
    "ModelFolder",
    "Source",
    "Stated",
    "Store",
    "Verified",
    "Wish",
    "about",
    "card_text",
    "convert",
    "digest",
    "fill",
    "get",
    "lacking",
    "layers_of",
    "open_source",
    "parse_card",
    "publish",
    "reference_net",
    "references",
    "verify",
]
