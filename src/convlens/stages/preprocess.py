"""Stage `preprocess`: split the usable photos, copies together, and decode them once into memory-mapped arrays."""

from pathlib import Path

from convlens.data.decoding import assign_splits, write_prepared
from convlens.data.duplicates import is_large
from convlens.data.prepared import DUPLICATES_FILE
from convlens.data.sources import refuse_replaced
from convlens.data.split import SPLITS
from convlens.data.validation import load_manifest
from convlens.files import new_folder
from convlens.params import DataParams, PreprocessParams
from convlens.progress import say


def preprocess(*, manifest: Path, prepared: Path, data: DataParams, preprocess: PreprocessParams) -> None:
    """Write arrays, labels, the table of splits, and which photos are near-duplicates of each other.

    Args:
        manifest: folder with the manifest, from `validate`.
        prepared: folder to write, see `Prepared`.
        data: the group `data`; its source is noted in the card.
        preprocess: the group `preprocess`.

    Raises:
        ConvLensError: a class is left without photos in a split, or a photo is another or gone since `validate`.
    """
    photos, duplicates = assign_splits(load_manifest(manifest), preprocess)
    with new_folder(prepared) as folder:
        written = write_prepared(folder, photos, duplicates, data, preprocess)
        refuse_replaced(written.splits["path"], photos["sha256"], written.splits["sha256"], since="validate")

    grouped, groups, largest = (duplicates[name] for name in ("num_grouped_photos", "num_groups", "largest_group"))
    if groups:
        where = prepared / DUPLICATES_FILE
        say(f"preprocess: {grouped:,} photos are in {groups:,} groups of copies, each in one split; see {where}.")
    if left_out := len(duplicates["left_out"]):
        say(f"preprocess: {left_out:,} photos are left out: copies of photos that the source holds out.")
    if mixed := duplicates["groups_of_two_labels"]:
        say(f"preprocess: warning: {mixed:,} groups of copies have more than one label.")
    if is_large(largest, duplicates["num_photos"]):
        say(
            f"preprocess: warning: {largest:,} photos count as copies of one another. If they are not, "
            "lower preprocess.duplicate_distance, or set preprocess.near_duplicates to false."
        )
    counts = ", ".join(f"{sum(written.card['counts'][split].values()):,} {split}" for split in SPLITS)
    say(f"preprocess: {counts} photos at {preprocess.image_size}x{preprocess.image_size}.")
