"""The documentation's machinery: ``cafx-docs build``, and the Sphinx extension behind it."""
