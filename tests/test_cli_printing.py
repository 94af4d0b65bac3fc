"""The commands about films, against printers that listen."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.builders import grayscale
from workbench.cli import app
from workbench.entities import FilmImage
from workbench.errors import AssociationRejected, InputError, NetworkError
from workbench.network import Printer, PrinterModel, Server, print_images
from workbench.network.authority import test_authority as authority_in
from workbench.phantoms.ct import ct_series
from workbench.rendering import film_image, resolve


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


def test_annotations_and_shapes_of_a_presentation_lut(files):
    printer = Printer(PrinterModel(annotations={"FOOT": 2}))
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        to = ("print", f"PRINTER@127.0.0.1:{server.port}", *files, "--layout", "1x2", "--lut", "lin od")
        done = run(*to, "--annotation", "Film {film}", "--annotation", "Second", "--annotation-format", "FOOT")
    assert done.exit_code == 0, done.output
    assert [film.texts for film in printer.films] == [("Film 1", "Second"), ("Film 2", "Second")]
    assert {film.lut.shape for film in printer.films} == {"LIN OD"}


@pytest.mark.parametrize(("bits", "entries"), [(8, 256), (12, 4096)])
def test_a_presentation_lut_that_dcmtk_wrote(files, tmp_path, program, bits, entries):
    table = tmp_path / "lut.dcm"
    subprocess.run([program("dcmmklut"), "+Tp", "-e", str(entries), "-b", "12", "+Cg", "2.2", table], check=True, timeout=30)
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        to = ("print", f"PRINTER@127.0.0.1:{server.port}", files[0], "--lut-table", str(table))
        done = run(*to, "--bits", str(bits))
        other = run(*to, "--bits", str(20 - bits)).exception
    assert done.exit_code == 0, done.output
    (film,) = printer.films
    assert (film.lut.bits, len(film.lut.values)) == (12, entries)
    assert film.lut.values[:: entries // 4] == pytest.approx(  # the power function that was asked for, of 4095
        [round(4095 * (k * (entries // 4) / (entries - 1)) ** (1 / 2.2)) for k in range(4)], abs=1
    )
    assert isinstance(other, InputError)
    assert f"not {entries}" in str(other)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--annotation", "A"), "goes with --annotation-format"), (("--annotation-format", "A"), "--annotation goes with"),
        (("--lut", "INVERSE", "--lut-table", "{file}"), "a shape or a table"), (("--lut-table", "{file}"), "no Presentation LUT"),
    ],
)  # fmt: skip
def test_what_goes_together_or_not(files, arguments, said):
    error = run("print", "X@127.0.0.1:1", *files, *(a.format(file=files[0]) for a in arguments)).exception
    assert isinstance(error, InputError)
    assert said in str(error)


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


def test_the_printer_speaks_tls_with_its_users_only(files, tmp_path, free_port, monkeypatch):
    port, passcode = free_port(), "not to be seen"
    authority = authority_in(tmp_path / "certificates")
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    monkeypatch.setenv("PASSCODE", passcode)
    theirs, ours = authority.server, authority.client
    command = [sys.executable, "-m", "workbench.cli", "printer", "--port", str(port), "--folder", "f", "--user"]
    command += ["reader=env:PASSCODE", "--tls", theirs.certificate, theirs.key, authority.ca]
    process = subprocess.Popen(list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "prints into f" in process.stdout.readline()
        where, tls = ("PRINTER", "127.0.0.1", str(port)), ("--tls", *map(str, (ours.certificate, ours.key, authority.ca)))
        for name, more in (("mine", ("--user", "reader", "--passcode-in", "env:PASSCODE")), ("nobody", ())):
            assert run("peers", "add", name, *where, *tls, *more).exit_code == 0
        assert isinstance(run("print", f"PRINTER@127.0.0.1:{port}", files[0]).exception, NetworkError)
        assert isinstance(run("print", "nobody", files[0]).exception, AssociationRejected)
        done = run("print", "mine", files[0])
        assert done.exit_code == 0, done.output
        assert (tmp_path / "f" / "film0001.png").is_file()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert passcode not in process.stdout.read() + process.stderr.read()
    finally:
        process.kill()


def test_a_folder_is_printed_by_series_and_number_not_by_names_of_files(tmp_path):
    for number, dataset in enumerate([*ct_series(3, rows=16, columns=16)[::-1], *ct_series(1, rows=16, columns=24)]):
        if dataset.Columns == 24:
            dataset.SeriesInstanceUID, dataset.SeriesNumber = "2.25.77", 0
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = run("print", f"PRINTER@127.0.0.1:{server.port}", str(tmp_path), "--layout", "2x2")
    assert done.exit_code == 0, done.output
    assert [[image and image.columns for image in film.images] for film in printer.films] == [
        [24, None, None, None], [16, 16, 16, None],
    ]  # fmt: skip
    wanted = [film_image(resolve(dataset)).pixels for dataset in ct_series(3, rows=16, columns=16)]
    assert [image.pixels for image in printer.films[1].images[:3]] == wanted


def test_a_file_that_is_no_image_is_named_and_the_rest_printed(files, tmp_path):
    state = tmp_path / "0state.dcm"
    grayscale(ct_series(1, rows=32, columns=32), window=(100.0, 50.0)).save_as(state, enforce_file_format=True)
    (tmp_path / "0notes.txt").write_text("nothing")
    printer = Printer()
    with Server(None, ae_title="PRINTER", providers=[printer]) as server:
        done = run("print", f"PRINTER@127.0.0.1:{server.port}", str(tmp_path))
        alone = run("print", f"PRINTER@127.0.0.1:{server.port}", str(state))
    assert done.exit_code == 1, done.output
    assert len(printer.films) == 3
    assert f"error: {state}: " in done.stderr
    assert "0notes.txt" in done.stderr
    assert "2 files left out." in done.stderr
    assert isinstance(alone.exception, InputError)
    assert "Nothing was printed: 1 file can't be used." in str(alone.exception)
