"""Sphinx's settings: a theme and search that work offline, Markdown, catalogues and API from what is installed."""

from __future__ import annotations

from importlib import metadata

from cafx_docs.paths import STATIC

project = "cafx"
author = "the cafx authors"
copyright = "the cafx authors, BSD-2-Clause"  # noqa: A001 - Sphinx's name for it
release = version = metadata.version("cafx-kernel")
language = "en"
smartquotes = False  # options such as --snapshot keep both their dashes

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "cafx_docs.extension",
]
exclude_patterns = ["**/.*"]
suppress_warnings = ["config.cache", "myst.header"]
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 4
myst_fence_as_directive = []
myst_dmath_allow_space = False
myst_dmath_allow_digits = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    "Shapes",
    ("Attributes", "params_style"),
    ("Class attributes", "params_style"),
    ("Read by engines", "params_style"),
]
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r">{3} |\.{3} |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "cafx"
html_static_path = [str(STATIC)]
html_css_files = ["cafx.css"]
html_favicon = html_logo = str(STATIC / "logo.svg")
html_domain_indices = False
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"
html_sidebars: dict[str, list[str]] = {"index": [], "onnx": []}
html_theme_options = {
    "logo": {"text": "cafx"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "collapse_navigation": True,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "search_as_you_type": False,
}
