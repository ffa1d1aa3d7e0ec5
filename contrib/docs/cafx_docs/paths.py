"""Where the documentation's sources and results are."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
REPOSITORY = ROOT.parents[1]
PAGES = ROOT / "pages"
STATIC = PACKAGE / "static"
OUT = ROOT / "build"
GENERATED = ("catalogue", "api", "gallery", "project", "applications")
"""Folders within the pages that a build writes."""
