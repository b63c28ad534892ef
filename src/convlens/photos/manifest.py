"""The columns of `data/manifest.parquet`: one row per photo, in the order of the source. The one place that says so."""

MANIFEST_COLUMNS = {
    "path": "where the photo is, relative to the repository or absolute as the source was named; forward slashes",
    "label": "name of its class folder",
    "bytes": "size of the file in bytes; 0 if it cannot be read",
    "sha256": "digest of the file, 64 hexadecimal digits; empty if it cannot be read",
    "split": "train, validation or test where the source has its own split, else empty",
    "regions": "named boxes of the source in pixels of the upright photo: list of name, left, top, right, bottom",
    "format": "Pillow's name of the format, whatever the suffix says; empty if it is no image",
    "mode": "Pillow's colour mode as stored (L, RGB, P, CMYK, …)",
    "frames": "pictures in the file, 0 if it is no image; only the first is used",
    "width": "pixels of the upright photo, 0 if unknown",
    "height": "pixels of the upright photo, 0 if unknown",
    "aspect": "width over height, 0 if unknown",
    "orientation": "EXIF orientation as stored, 1..8; 1 also if there is none",
    "suffix_agrees": "whether the file's suffix belongs to its format",
    "decodes": "whether the whole picture could be decoded",
    "error": "why not; empty if it could",
    "brightness": "mean luminance, 0 (black) to 1 (white); 0 if it does not decode, as the next two",
    "contrast": "standard deviation of luminance, 0..0.5",
    "sharpness": "variance of the Laplacian of luminance in 8-bit levels, at most 256 pixels a side; 0 is one colour, "
    "photos below about 50 are blurred",
    "perceptual_hash": "64-bit pHash and the grey thumbnail it was made of, hexadecimal; empty if it does not decode",
    "cause": "why it is left out, in one word of `quarantine.CAUSES`; empty for a usable photo",
    "reason": "the same in a sentence",
    "usable": "whether training may use it: `cause` is empty",
}
