"""Tile under the shared suite."""

from cafx.conformance import layer_suite

TestTile = layer_suite("Tile")
