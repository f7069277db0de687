"""``kammerton models``: what there is, what is on disk, and how it gets there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from server.settings import load

models_app = typer.Typer(help="The models that Kammerton can run.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
WeightsOption = Annotated[Path | None, typer.Option("--weights-dir", help="Folder of fetched weights.")]


@models_app.command("list")
def list_models(config: ConfigOption = None, weights_dir: WeightsOption = None) -> None:
    """Show all profiles, their models, and which of them are on disk."""
    from server import overview

    typer.echo(overview.catalog_table(load({"weights_dir": weights_dir}, config).settings))


@models_app.command("fetch")
def fetch_models(
    profile: Annotated[str, typer.Argument(help="Whose models: cpu, gpu or gpu-large.")],
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
    endpoint: Annotated[str | None, typer.Option(metavar="URL", help="A mirror of the Hugging Face hub.")] = None,
) -> None:
    """Download the weights of a profile, verified by hash. The only command that downloads anything."""
    settings = load({"weights_dir": weights_dir}, config).settings

    from models.fetch import fetch
    from server.models_progress import progress_bars

    with progress_bars() as show:
        fetched = fetch(profile, settings.weights_dir, show, endpoint=endpoint)
    typer.echo(f"fetched {', '.join(fetched)}" if fetched else f"nothing to fetch: profile {profile} is complete")


@models_app.command("verify")
def verify_models(
    profile: Annotated[str | None, typer.Argument(help="Whose models; those that would run, if not given.")] = None,
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
) -> None:
    """Look at every file of a profile, and name each one that is altered, cut short or missing (exit code 2)."""
    settings = load({"profile": profile, "weights_dir": weights_dir}, config).settings

    from models import catalog

    resolved = catalog.resolve(settings.profile, settings.weights_dir)
    faults = list(catalog.faults(resolved))
    for fault in faults:
        print("kammerton:", fault, file=sys.stderr)
    if faults:
        raise typer.Exit(2)
    names = ", ".join(model.entry.name for model in resolved.models.values())
    typer.echo(f"profile {resolved.name}: every file of {names} is what models.lock says")


@models_app.command("export")
def export_models(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.TAR", help="File to write.")],
    profile: Annotated[str | None, typer.Option(help="Whose models; those that would run, if not given.")] = None,
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
) -> None:
    """Write all weights of a profile, with licences and model cards, to one file for a machine without a network."""
    settings = load({"profile": profile, "weights_dir": weights_dir}, config).settings

    from models import catalog
    from models.bundle import export_bundle
    from server.models_progress import progress_bars

    resolved = catalog.resolve(settings.profile, settings.weights_dir)
    with progress_bars() as show:
        digest = export_bundle(resolved, bundle, show)
    typer.echo(f"profile {resolved.name} is in {bundle}, SHA-256 {digest}")


@models_app.command("import")
def import_models(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.TAR", help="File that `models export` wrote.")],
    config: ConfigOption = None,
    weights_dir: WeightsOption = None,
) -> None:
    """Put the weights of a bundle into the weights folder, when every hash is right."""
    settings = load({"weights_dir": weights_dir}, config).settings

    from models.bundle import import_bundle
    from server.models_progress import progress_bars

    with progress_bars() as show:
        profile, names = import_bundle(bundle, settings.weights_dir, show)
    typer.echo(f"imported {', '.join(names)} into {settings.weights_dir}: `kammerton serve --profile {profile}`")
