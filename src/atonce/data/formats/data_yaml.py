"""Ultralytics' data.yaml: the names of the classes, and where the pictures of each split are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from atonce.data.classes_file import OWN_FILE_NAMES, load_yaml
from atonce.data.images import Problem
from atonce.data.pairing import MOST_PARTS, images_in, is_file, is_there, list_lines
from atonce.data.picture_index import MISSHAPEN, entries_in
from atonce.data.splits import SPLITS
from atonce.errors import DataError
from atonce.labels import IGNORE_INDEX

_EXPECTED = "Ultralytics' path, train, val and names"


@dataclass(frozen=True)
class DataYaml:
    """A data.yaml, or what stands for it where there is none.

    Attributes:
        root: the folder that was given.
        names: class index -> name.
        entries: split -> folders of pictures, or files that list pictures, as they are written.
        base: the folder that these are relative to.
        masks: the folder of PNG masks, in the place of "images" in a picture's path; "" where labels are polygons.
        label_mapping: value in the masks -> class index, or 255; empty: the values are the class indices.
        notes: what was understood otherwise than it is written.
    """

    root: Path
    names: Mapping[int, str]
    entries: Mapping[str, tuple[str, ...]]
    base: Path
    masks: str = ""
    label_mapping: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def pictures(self) -> Iterator[tuple[str, dict[str, Path], list[Problem]]]:
        """Yield for each entry: the split, its pictures by key, and what is wrong with them."""
        for split, entries in self.entries.items():
            for entry in entries:
                yield split, *self._pictures_of(entry)

    def _pictures_of(self, entry: str) -> tuple[dict[str, Path], list[Problem]]:
        path = self._resolve(entry)
        if path is None:
            found = "does not exist, but data.yaml names it"
            return {}, [Problem("missing", self.root / entry, found, "a folder of pictures", remedy="mend data.yaml")]
        if path.is_dir():
            return images_in(path)
        found_files: dict[str, Path] = {}
        problems: list[Problem] = []
        for line in list_lines(path):
            picture = next((p for p in self._candidates(line.text, path.parent) if is_file(p)), None)
            if picture is None:
                missing = path.parent / line.text
                found = f"does not exist, but line {line.number} of {path.name} lists it"
                problems.append(Problem("missing", missing, found, remedy="copy it there, or take the line out"))
            else:
                found_files[picture.stem] = picture
        return found_files, problems

    def _resolve(self, entry: str) -> Path | None:
        return next((path for path in self._candidates(entry, self.base) if is_there(path)), None)

    def _candidates(self, entry: str, base: Path) -> Iterator[Path]:
        """Yield where a path of somebody's machine may be below the root: as it is written, then by its end."""
        parts = [part for part in PurePosixPath(entry.replace("\\", "/")).parts if part not in ("/", ".")]
        yield base / entry
        parts = parts[-MOST_PARTS:]
        while parts:
            if parts[0] != "..":
                yield base.joinpath(*parts)
                yield self.root.joinpath(*parts)
            parts = parts[1:]


def file_beside(picture: Path, root: Path, kind: str, suffixes: tuple[str, ...]) -> Path:
    """The file of a picture in a folder that stands in the place of "images" in its path, else beside the picture; of
    several suffixes the first that exists, else the first."""
    relative = picture.relative_to(root) if picture.is_relative_to(root) else Path(picture.name)
    parts = list(relative.parts)
    images = [i for i, part in enumerate(parts[:-1]) if part.lower() == "images"]
    if images:
        parts[images[-1]] = kind
    path = (root if picture.is_relative_to(root) else picture.parent).joinpath(*parts)
    paths = [path.with_name(path.stem + suffix) for suffix in suffixes]
    return next((p for p in paths if is_file(p)), paths[0])


def find_data_yaml(root: Path) -> Path | None:
    """Return the data.yaml of a folder, whatever its name: YAML with names and a split."""
    paths = [path for path in entries_in(root) if path.suffix.lower() in (".yaml", ".yml")]
    for path in sorted(paths, key=lambda path: (path.stem not in ("data", "dataset"), path.name)):
        if path.name not in OWN_FILE_NAMES and path.is_file() and path.stat().st_size < 1 << 20:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            if "names:" in text and any(f"{split}:" in text for split in ("train", "val", "test", "path")):
                return path
    return None


def read_data_yaml(path: Path) -> DataYaml:
    """Read a data.yaml. Raises DataError: it is none."""
    root = path.parent
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "text in UTF-8") from None
    data = load_yaml(path, text, _EXPECTED)
    if not isinstance(data, dict) or not isinstance(data.get("names"), (dict, list)):
        raise DataError(f"{path} gives no names", _EXPECTED)
    given = data["names"]
    try:
        names = {int(k): str(v) for k, v in (given.items() if isinstance(given, dict) else enumerate(given))}
        mapping = {
            int(value): IGNORE_INDEX if str(index) == "ignore_label" else int(index)
            for value, index in (data.get("label_mapping") or {}).items()
        }
    except MISSHAPEN as error:
        raise DataError(f"{path} numbers its classes otherwise ({error})", "names: {0: road, 1: car}") from None
    base = root / str(data.get("path") or ".")
    masks = str(data.get("masks_dir") or ("masks" if (root / "masks").is_dir() else ""))
    entries = _entries(data)
    notes: tuple[str, ...] = ()
    if "val" in entries and entries["val"] == entries.get("train"):
        # Small examples name one folder twice; what is validated on is not to be trained on.
        del entries["val"]
        notes = (f"{path.name} names the same pictures for train and val: a part of them is split off for val",)
    return DataYaml(root, names, entries, base if is_there(base / ".") else root, masks, mapping, notes)


def _entries(data: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    entries: dict[str, tuple[str, ...]] = {}
    for split, names in SPLITS.items():
        given = next((data[name] for name in names if data.get(name)), None)
        if given:
            entries[split] = tuple(map(str, given if isinstance(given, list) else [given]))
    return entries


def without_data_yaml(root: Path, names: Mapping[int, str]) -> DataYaml:
    """Stand in for a data.yaml: the pictures of images/, or of images/train/ and train/images/ and so on."""
    entries: dict[str, tuple[str, ...]] = {}
    for split, called in SPLITS.items():
        folders = [f for name in called for f in (f"images/{name}", f"{name}/images") if (root / f).is_dir()]
        if folders:
            entries[split] = tuple(folders)
    return DataYaml(root, names, entries or {"": ("images",)}, root)
