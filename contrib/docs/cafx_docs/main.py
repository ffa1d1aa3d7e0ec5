"""``cafx-docs``: build, preview and check the documentation."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cafx.kernel import CafxError
from cafx_docs.paths import OUT, PAGES

FOLDER = click.Path(file_okay=False, path_type=Path)
pages_option = click.option("--pages", type=FOLDER, default=PAGES, help="Folder of the pages (default: those of cafx).")
out_option = click.option("--out", type=FOLDER, default=OUT, help="Output folder (default: contrib/docs/build).")
jobs_option = click.option("-j", "--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cafx_docs() -> None:
    """Build, check and preview the documentation of cafx and of the plugins installed here."""


@cafx_docs.command()
@pages_option
@out_option
@click.option("--strict/--no-strict", default=True, help="Warnings are errors (default), or are not.")
@click.option("--no-gallery", is_flag=True, help="Do not run the examples of the gallery.")
@click.option("--no-examples", is_flag=True, help="Do not run the examples in the pages.")
@jobs_option
@click.option("-v", "--verbose", is_flag=True, help="Print what Sphinx does.")
def build(pages: Path, out: Path, strict: bool, no_gallery: bool, no_examples: bool, jobs: int, verbose: bool) -> None:
    """Build the site, run the examples and check the result.

    \b
    Example:
    cafx-docs build --out /tmp/docs
    """
    from cafx_docs.site import build_site

    start = time.monotonic()
    if not no_examples:
        _run_examples(pages, jobs)
    _say("building the pages and catalogues")
    site = build_site(pages, out, strict=strict, run_gallery=not no_gallery, jobs=jobs, verbose=verbose)
    _check_site(site)
    if not no_gallery:
        from cafx_docs.notebooks import check_notebooks

        _say(f"{check_notebooks(site, pages.parent / 'gallery')} notebooks have the code of the examples that were run")
    count = sum(1 for _ in site.rglob("*.html"))
    click.echo(f"{count} pages in {site} ({time.monotonic() - start:.0f} s)")
    click.echo(f"Next: cafx-docs serve, or open {site / 'index.html'}")


@cafx_docs.command()
@pages_option
@out_option
@click.option("--site/--no-site", default=True, help="Check the built pages too (default), or do not.")
@jobs_option
def check(pages: Path, out: Path, site: bool, jobs: int) -> None:
    """Run the examples in the pages and check the built site's links.

    \b
    Example:
    cafx-docs check --no-site
    """
    _run_examples(pages, jobs)
    if site:
        _check_site(out / "html")


@cafx_docs.command()
@out_option
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for any.")
def serve(out: Path, port: int) -> None:
    """Preview the built site, on this machine only.

    \b
    Example:
    cafx-docs serve --port 8080
    """
    from cafx_docs.preview import serve_site

    serve_site(out / "html", port)


def _run_examples(pages: Path, jobs: int) -> None:
    from cafx_docs.examples import run_examples
    from cafx_docs.site import sources

    _say("running the examples in the pages")
    outcomes = run_examples(sources(pages), jobs)
    failed = [outcome for outcome in outcomes if outcome.failures]
    for outcome in failed:
        click.echo(outcome.failures, err=True)
    if failed:
        names = ", ".join(str(outcome.page.relative_to(pages)) for outcome in failed)
        raise CafxError("examples fail", where=names)
    click.echo(f"{sum(outcome.attempted for outcome in outcomes)} examples in {len(outcomes)} pages pass")


def _check_site(site: Path) -> None:
    from cafx_docs.links import problems

    found = problems(site)
    for problem in found:
        click.echo(problem, err=True)
    if found:
        raise CafxError(f"{len(found)} problems in the built pages", where=str(site))


def _say(text: str) -> None:
    click.echo(f"{text} …", err=True)


def main() -> None:
    """Entry point: errors are one line, as those of ``cafx``."""
    from cafx.cli.main import run
    from cafx.cli.process import exit_after

    exit_after(lambda: run(None, cafx_docs, "cafx-docs"))
