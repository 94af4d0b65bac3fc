"""What is sent and fetched: CT slices of 512 x 512 x 16 bit, and one instance of a gigabyte."""

from pathlib import Path

from workbench import files, phantoms

SCRATCH = Path(__file__).parents[1] / "data" / "scratch"


def ct_folder(count: int) -> Path:
    """Return a folder with `count` files of one series, written once and kept (data/scratch is not under version control)."""
    folder = SCRATCH / f"ct-{count}"
    if not folder.is_dir() or len(list(folder.iterdir())) != count:
        folder.mkdir(parents=True, exist_ok=True)
        for number, dataset in enumerate(phantoms.ct_series(count)):
            files.save(dataset, folder / f"{number:04}.dcm", durable=False)
    return folder


def large_file(size_bytes: int) -> Path:
    """Return a file with one instance of about `size_bytes`: all its pixels are zero, so that it takes no room on the disk."""
    path = SCRATCH / f"large-{size_bytes}.dcm"
    if not path.exists():
        SCRATCH.mkdir(parents=True, exist_ok=True)
        dataset = phantoms.ct_series(1, rows=64, columns=64)[0]
        del dataset.PixelData
        dataset.Rows = dataset.Columns = 1024
        dataset.NumberOfFrames = size_bytes // (1024 * 1024 * 2)
        files.save(dataset, path, durable=False)
        pixel_bytes = int(dataset.NumberOfFrames) * 1024 * 1024 * 2
        with path.open("ab") as file:  # the last element, Pixel Data (7FE0,0010), OW
            file.write(b"\xe0\x7f\x10\x00OW\0\0" + pixel_bytes.to_bytes(4, "little"))
            file.truncate(file.tell() + pixel_bytes)
    return path
