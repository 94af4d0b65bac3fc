"""The commands about films, against printers that listen."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.entities import FilmImage
from workbench.errors import InputError
from workbench.network import Printer, PrinterModel, Server, print_images
from workbench.phantoms.ct import ct_series


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for number, dataset in enumerate(ct_series(3, rows=32, columns=32)):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return [str(path) for path in paths]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_files_are_printed_in_a_layout(files):
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = run(
            "print", f"PRINTER@127.0.0.1:{server.port}", *files, "--layout", "1x2", "--copies", "2", "--bits", "12", "--json"
        )
    assert done.exit_code == 0, done.output
    steps = [row["step"] for row in json.loads(done.stdout)]
    assert steps.count("print film") == 2
    assert [(film.box.layout, film.session.copies) for film in printer.films] == [(r"STANDARD\1,2", 2)] * 2
    assert [image.bits if image else None for film in printer.films for image in film.images] == [12, 12, 12, None]


def test_a_printer_that_is_faulty_and_full_is_told_and_is_exit_code_1(files):
    printer = Printer(PrinterModel(queue=0))
    printer.fault("FILM JAM")
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = run("print", f"PRINTER@127.0.0.1:{server.port}", *files)
    assert done.exit_code == 1
    assert "FILM JAM" in done.output
    assert "0xC602" in done.output


def test_wrong_usage_is_said_before_anything_is_printed(files):
    assert isinstance(run("print", "X@127.0.0.1:1", *files, "--bits", "10").exception, InputError)
    assert isinstance(run("print", "X@127.0.0.1:1", *files, "--layout", "SLIDE").exception, InputError)


def test_the_printer_of_the_command_line_keeps_films_as_pictures(tmp_path, free_port):
    port = free_port()
    command = [sys.executable, "-m", "workbench.cli", "printer", "--port", str(port), "--folder", "f"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert "prints into f" in process.stdout.readline()
        image = FilmImage(bytes(range(64)), 8, 8)
        assert print_images(f"PRINTER@127.0.0.1:{port}", [image]).is_printed
        assert Path(process.stdout.readline().strip()).name == "film0001.png"
        assert (tmp_path / "f" / "film0001.png").read_bytes().startswith(b"\x89PNG")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
