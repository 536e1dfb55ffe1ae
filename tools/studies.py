"""Publish finished runs of a workspace in studies/, with which the program opens.

    python -m tools.studies --workspace PATH --study RUN --maps RUN RUN --name NAME
    python -m tools.studies --workspace PATH --study RUN --name NAME    adds the study to maps that are there
    python -m tools.studies --check                                     size, paths and images of all of studies/

No image is written and no path of this machine: absolute paths in what a run recorded are cut down to
their last part. Maps must show the same images; the first names the VAE whose latents are stored.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from derm_core.arms import arm_file
from derm_core.config import EmbedConfig, from_dict
from derm_core.data.manifest import Dataset, load_dataset
from derm_core.data.recognition import describe_classes
from derm_core.data.store import open_store
from derm_core.errors import ConfigError, DermError, RunError
from derm_core.files import read_json, write_atomic, write_json
from derm_core.insight.packed_map import LATENTS, quantise_latents
from derm_core.insight.placement import open_placer
from derm_core.insight.publish_map import MapParts, save_images, save_latents, save_packed
from derm_core.insight.saved_map import SavedMap, read_map
from derm_core.insight.traversal_sources import open_traversal
from derm_core.jobs.store import RunStore
from derm_core.published import ABOUT, About, SourceDataset, StoredVae, read_published
from derm_core.records import to_json
from derm_core.report.reproduce import PROGRAM, commands, reproducible_config
from derm_core.study.study_result import StudyResult, read_study
from derm_core.workspace import RunFiles, Workspace, check_id, studies_folder
from tools.portable import problems, without_paths


def main(arguments: list[str] | None = None) -> int:
    """Write a published result, or check all of them."""
    args = _arguments(arguments)
    try:
        if not args.check:
            publish(Workspace.open(args.workspace), args.name, args.study, args.maps, args.title)
    except DermError as error:
        print(error, file=sys.stderr)
        return 1
    sentences = problems(studies_folder())
    print("\n".join(sentences) or "studies/ is small enough, and holds no image and no path.")
    return 1 if sentences else 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.studies", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--workspace", metavar="PATH", help="where the runs are")
    parser.add_argument("--study", metavar="RUN", help="a finished comparison")
    parser.add_argument("--maps", metavar="RUN", nargs="+", default=[], help="finished maps")
    parser.add_argument("--name", metavar="NAME", help="folder below studies/, and name in the app")
    parser.add_argument("--title", metavar="TEXT", help="what the app calls it")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(arguments)
    if not args.check and not (args.name and (args.study or args.maps)):
        parser.error("give --name, and --study or --maps; or --check")
    return args


def publish(
    workspace: Workspace,
    name: str,
    study: str | None = None,
    maps: list[str] | None = None,
    title: str | None = None,
) -> Path:
    """Write studies/NAME from finished runs; what is there of the other kind stays.

    Returns:
        The folder.

    Raises:
        DermError: a run is not finished, the licence of its data is not known, or what is there was
            made from other data.
    """
    folder = studies_folder() / check_id(name)
    before = read_published(folder).about if (folder / ABOUT).exists() else None
    result = read_study(_finished(workspace, study, "study").study) if study else None
    saved = [read_map(workspace, _finished(workspace, run, "embed").id) for run in maps or []]
    names = _map_names(name, saved)
    dataset = load_dataset(workspace, result.dataset.name if result else saved[0].info.dataset)
    source = _source(dataset)
    if before is not None and before.dataset.fingerprint != source.fingerprint:
        raise ConfigError(f"studies/{name} was made from another dataset; choose another --name.")
    vae = before.vae if before else None
    runs, made = (dict(before.runs), list(before.commands)) if before else ({}, [])
    if result and study:
        save_study(result, workspace.run(study), folder)
        runs[name], made = study, [*commands(result), *made]
    if saved:
        vae = save_maps(workspace, dataset, saved, names, folder / "maps")
        runs |= {public: run for run, public in names.items()}
        made += [_embed_command(one, names) for one in saved]
    made.append(_own_command(name, study, maps))
    about = About(
        name=title or (before.name if before and not result else _title(source, result)),
        note=_note(source),
        licence=source.license,
        dataset=source,
        created=time.strftime("%Y-%m-%d"),
        runs=runs,
        commands=tuple(dict.fromkeys(made)),
        vae=vae,
    )
    write_json(folder / ABOUT, to_json(about))
    for path in (folder, *folder.rglob("*")):  # published: whoever has the program reads it
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


# ---- what it says of itself --------------------------------------------------------------------


def _finished(workspace: Workspace, run_id: str, kind: str) -> RunFiles:
    run = RunStore(workspace).get(run_id)
    if (run.kind, run.state) != (kind, "done"):
        raise ConfigError(f"{run_id} is a {run.kind} that is {run.state}; give a finished {kind}.")
    return workspace.run(run_id)


def _source(dataset: Dataset) -> SourceDataset:
    info = dataset.info
    if not info.license or not info.citation:
        raise ConfigError(
            f"The licence and citation of {dataset.name} are not known: what is made from it cannot "
            "be published."
        )
    return SourceDataset(
        name=info.known_as or dataset.name,
        known_as=info.known_as,
        fingerprint=dataset.fingerprint,
        images=len(dataset),
        classes=dataset.classes,
        class_descriptions=info.class_descriptions or describe_classes(dataset.classes),
        license=info.license,
        attribution=info.citation,
    )


def _title(source: SourceDataset, result: StudyResult | None) -> str:
    if result is None:
        return f"{source.name}, maps"
    folds = result.split.folds
    return f"{source.name}, comparison in {folds} folds" if folds else f"{source.name}, comparison"


def _note(source: SourceDataset) -> str:
    return (
        f"Published result, made from {source.name} ({source.attribution}) and under its licence, "
        f"{source.license}. Changes: images were resized, features and numbers were computed from "
        "them; no image is contained. Research only, not for diagnosis."
    )


def _embed_command(saved: SavedMap, names: dict[str, str]) -> str:
    config = from_dict(saved.info.params, EmbedConfig)
    aligned = names.get(config.aligned_to or "")
    parts = [PROGRAM, "embed", "--dataset", config.dataset, "--arm", config.arm]
    return " ".join([*parts, *(["--align-to", aligned] if aligned else [])])


def _own_command(name: str, study: str | None, maps: list[str] | None) -> str:
    parts = ["python -m tools.studies --workspace PATH"]
    parts += [f"--study {study}"] if study else []
    parts += [f"--maps {' '.join(maps)}"] if maps else []
    return " ".join([*parts, f"--name {name}"])


# ---- a study -----------------------------------------------------------------------------------


def save_study(result: StudyResult, run: RunFiles, folder: Path) -> None:
    """Write the result of a study, its curves, decisions, config and protocol.

    Curves have five significant digits, probabilities three decimals.
    """
    name, files = folder.name, RunFiles(folder)
    study = read_json(run.study) | {"run_id": name}
    for arm, entry in study["arms"].items():
        if entry.get("curves"):
            table = pd.read_csv(run.curves(arm))
            text = table.to_csv(index=False, float_format="%.5g")
            path = Path("artefacts", "curves", f"{arm_file(arm)}.csv.gz")
            write_atomic(folder / path, _gzip(text))
            entry["curves"] = path.as_posix()
    write_atomic(files.artefacts / "study.json.gz", _gzip(_dump(without_paths(study))))
    write_json(files.config, without_paths(reproducible_config(result, run.root)))
    if run.protocol.exists():
        write_json(files.protocol, without_paths(read_json(run.protocol)))
    if run.decisions.exists():
        table = pd.read_parquet(run.decisions)
        numbers = table.select_dtypes("float").columns
        table[numbers] = table[numbers].round(3)
        packed = table.to_parquet(index=False, compression="zstd", compression_level=19)
        write_atomic(files.decisions, packed)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _gzip(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


# ---- maps --------------------------------------------------------------------------------------


def _map_names(name: str, saved: list[SavedMap]) -> dict[str, str]:
    """Published name by run id: NAME and the arm, or the library's model, that a map shows."""
    names = {one.run_id: check_id(f"{name}-{_shown(one)}"[:40].strip("-")) for one in saved}
    if len(set(names.values())) < len(names):
        raise ConfigError("Two of the maps show the same arm; give one of each.")
    return names


def _shown(saved: SavedMap) -> str:
    kind, _, name = saved.info.arm.partition(":")
    return name or kind


def save_maps(
    workspace: Workspace,
    dataset: Dataset,
    saved: list[SavedMap],
    names: dict[str, str],
    folder: Path,
) -> StoredVae | None:
    """Write the maps, what they share, and the latents of the first map's VAE.

    Returns:
        What is stored of the VAE; None where the first map shows none.

    Raises:
        RunError: the maps show other images or other models' predictions.
    """
    first = saved[0]
    for one in saved[1:]:
        if (
            one.points["image_id"].tolist() != first.points["image_id"].tolist()
            or one.info.opinions != first.info.opinions
        ):
            raise RunError(
                f"The maps {first.run_id} and {one.run_id} show other images or other models' "
                "predictions; make them again with the same options."
            )
    save_images(folder, first)
    for one in saved:
        _save_map(workspace, one, names, RunFiles(folder / names[one.run_id]))
    return _save_latents(workspace, dataset, first, folder)


def _save_map(
    workspace: Workspace, saved: SavedMap, names: dict[str, str], files: RunFiles
) -> None:
    aligned = names.get(saved.info.params.get("aligned_to") or "")
    config = saved.info.params | {"aligned_to": aligned}
    info = dataclasses.replace(saved.info, params=config, aligned_to=aligned)
    write_json(files.config, without_paths(config))
    write_json(files.map_info, without_paths(to_json(info)))
    issues = workspace.run(saved.run_id).data_issues
    placer = open_placer(workspace, saved.run_id)
    table = pd.read_parquet(issues) if issues.exists() else None
    save_packed(files, MapParts(saved, table, placer.space_nd, placer.mean, placer.std))


def _save_latents(
    workspace: Workspace, dataset: Dataset, saved: SavedMap, folder: Path
) -> StoredVae | None:
    source = saved.info.arm.partition(":")[2] or saved.info.params.get("vae") or ""
    try:
        traversal = open_traversal(workspace, check_id(source))
    except DermError as error:
        print(f"No latents are stored: {error}", file=sys.stderr)
        (folder / LATENTS).unlink(missing_ok=True)
        return None
    images = open_store(workspace, dataset, traversal.size).images
    mu_nd = traversal.encode(images[saved.points["row"].to_numpy()])
    packed = quantise_latents(mu_nd)
    save_latents(folder, packed)
    change_nd = (packed.restore() - mu_nd) / mu_nd.std(0).clip(1e-6)
    return StoredVae(
        source=source,
        sha256=traversal.vae,
        dimensions=mu_nd.shape[1],
        rms_error=round(float((change_nd**2).mean() ** 0.5), 4),
    )


if __name__ == "__main__":
    raise SystemExit(main())
