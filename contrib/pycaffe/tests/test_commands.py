"""The command ``caffe`` and the tools, with the arguments that they had in Caffe."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caffe.commands.entry import MODULES
from caffe.commands.logs import read_tables

from cafx.kernel import CafxError
from cafx_lib_feed.database import open_database
from cafx_lib_feed.images import encode

PROGRAMS = Path(sys.executable).parent
NET = """
name: "tiny"
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 20 snapshot: 10 display: 5 snapshot_prefix: "tiny"
test_iter: 2 test_interval: 10 random_seed: 1
"""
GLOG = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.cpp:\d+\] .*")
USAGE = 2
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "img").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        (tmp_path / f"img/{number}.png").write_bytes(encode(image, ".png", "image"))
    (tmp_path / "list.txt").write_text("".join(f"{number}.png {number % 2}\n" for number in range(4)))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Run a shell command in that folder, with the programs on the path and no GPU."""

    def start(command: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in ("CAFX_ENGINE", "CAFX_STRICT_MODE")}
        env |= {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            **settings,
        }
        result = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=env, text=True, capture_output=True, timeout=120, check=False
        )
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return start


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for names in MODULES.values() for name in names]
)
def test_each_program_is_installed_and_has_help(name: str, run: Run) -> None:
    ending = ".py" if (PROGRAMS / f"{name}.py").exists() else ""
    assert run(f"{name}{ending} -help").stdout.startswith(f"Usage: {name}{ending}")


def test_the_log_of_training_is_caffe_s(run: Run, folder: Path) -> None:
    run("caffe train -solver solver.prototxt -gpu 0 2>&1 | tee my.log")
    lines = (folder / "my.log").read_text().splitlines()
    logged = [line for line in lines if GLOG.fullmatch(line)]
    assert any("Solving tiny" in line for line in logged)
    assert any("Iteration 10, Testing net (#0)" in line for line in logged)
    assert logged[-1].endswith("Optimization Done.")
    assert sum("-gpu 0: no GPU" in line and line.startswith("W") for line in logged) == 1
    assert (folder / "tiny_iter_20.solverstate").is_file()


@pytest.mark.slow
def test_parse_log_reads_it(run: Run, folder: Path) -> None:
    run("caffe train -solver solver.prototxt 2> my.log; parse_log.py my.log .")
    train = np.genfromtxt(folder / "my.log.train", delimiter=",", names=True)
    test = np.genfromtxt(folder / "my.log.test", delimiter=",", names=True)
    assert train.dtype.names == ("NumIters", "Seconds", "LearningRate", "loss")
    assert train["NumIters"].tolist() == [0, 5, 10, 15]
    assert set(train["LearningRate"]) == {np.float64(0.1)}
    assert test["NumIters"].tolist() == [0, 10, 20]
    assert train["loss"][-1] < train["loss"][0]
    assert (np.diff(test["Seconds"]) >= 0).all()


def test_a_log_goes_on_over_new_year() -> None:
    line = "I{} 1 solver.cpp:239] {}"
    tables = read_tables(
        [
            line.format("1231 23:59:59.500000", "Solving x"),
            line.format("1231 23:59:59.500000", "Iteration 0, loss = 2"),
            line.format("1231 23:59:59.500000", "    Train net output #0: loss = 2 (* 1 = 2 loss)"),
            "a person's words",
            line.format("0101 00:00:01.500000", "Iteration 5 (1 iter/s), loss = 1"),
            line.format("0101 00:00:01.500000", "    Train net output #0: loss = nan (* 1 = nan loss)"),
            line.format("0101 00:00:01.500000", "Iteration 5, lr = 0.5"),
        ],
        "x.log",
    )
    assert [(row["NumIters"], row["Seconds"], row["LearningRate"]) for row in tables.train] == [
        (0, 0, 0.5),
        (5, 2, 0.5),
    ]
    assert np.isnan(tables.train[1]["loss"])
    with pytest.raises(CafxError, match="no line of Caffe's log"):
        read_tables(["iteration 5"], "x.log")


@pytest.mark.slow
def test_glog_s_settings_are_honoured(run: Run, folder: Path) -> None:
    assert "I1" not in run("caffe train -solver solver.prototxt", GLOG_minloglevel="2").stderr
    assert run("caffe train -solver solver.prototxt --minloglevel=1 -logtostderr=1").stderr == ""
    (folder / "logs").mkdir()
    run("caffe train -solver solver.prototxt -log_dir=logs")
    assert "Solving tiny" in (folder / "logs/caffe.INFO").read_text()


@pytest.mark.slow
def test_training_resumes_from_a_snapshot(run: Run) -> None:
    run("caffe train --solver=solver.prototxt")
    log = run("caffe train --solver=solver.prototxt -snapshot tiny_iter_10.solverstate").stderr
    assert "Iteration 10 (" in log
    assert "Iteration 5 (" not in log


@pytest.mark.slow
def test_scores_and_times_are_logged(run: Run) -> None:
    run("caffe train -solver solver.prototxt")
    log = run("caffe test -model net.prototxt -weights tiny_iter_20.caffemodel -iterations=3 -gpu all").stderr
    assert re.search(r"caffe\.cpp:\d+\] Batch 2, loss = \S+\n", log)
    assert re.search(r"caffe\.cpp:\d+\] loss = \S+ \(\* 1 = \S+ loss\)\n", log)
    log = run("caffe -model net.prototxt time -iterations 2").stderr
    assert re.search(r"Average Forward-Backward: \S+ ms\.\n", log)
    assert re.search(r" ip\tbackward: \S+ ms\.\n", log)


@pytest.mark.parametrize(
    ("command", "message", "code"),
    [
        ("caffe train", "Need a solver definition to train", USAGE),
        slow("caffe test -model net.prototxt", "Need model weights to score", USAGE),
        slow("caffe time", "Need a model definition to time", USAGE),
        slow("caffe train -solver solver.prototxt -weights a -snapshot b", "but not both", USAGE),
        slow("caffe train -solver solver.prototxt -gpu first", "not the number of a GPU", 1),
        slow("CAFX_STRICT_MODE=1 caffe train -solver solver.prototxt -gpu 0", "no GPU here", 1),
        slow("caffe train -solver none.prototxt", "error: none.prototxt: cannot be read", 1),
        slow("caffe train -solvr s", "Did you mean --solver?", USAGE),
        slow("caffe device_query -gpu 0", "no GPU 0 here", 1),
        slow("convert_imageset img/ list.txt", "Missing argument", USAGE),
        slow("classify.py img/0.png out.npy", "deploy.prototxt", 1),
        slow("parse_log.py none.log .", "none.log: cannot be read", 1),
    ],
)
def test_mistakes_are_told(command: str, message: str, code: int, run: Run) -> None:
    assert message in run(command, code).stderr


@pytest.mark.slow
def test_images_are_converted_and_averaged(run: Run, folder: Path) -> None:
    run("GLOG_logtostderr=1 convert_imageset -resize_height=6 --resize_width=7 --gray=true --shuffle img/ list.txt db")
    run("convert_imageset -backend leveldb --noshuffle -encoded img list.txt level_db")
    run("compute_image_mean -backend=lmdb db mean.binaryproto; compute_image_mean level_db")
    with open_database(folder / "db") as database:
        assert len(database) == 4
    with open_database(folder / "level_db", "LEVELDB") as database:
        assert next(iter(database.keys())) == b"00000000_0.png"
    assert (folder / "mean.binaryproto").stat().st_size > 4 * 6 * 7


@pytest.mark.slow
def test_features_are_extracted(run: Run, folder: Path) -> None:
    run("caffe train -solver solver.prototxt")
    run("extract_features tiny_iter_20.caffemodel net.prototxt ip,x feats,xs 3 leveldb GPU 0")
    for name in ("feats", "xs"):
        with open_database(folder / name, "LEVELDB") as database:
            assert len(database) == 12


@pytest.mark.slow
def test_old_files_are_upgraded_and_drawn(run: Run, folder: Path) -> None:
    run("upgrade_net_proto_text net.prototxt new.prototxt && upgrade_solver_proto_text solver.prototxt s.prototxt")
    assert 'type: "InnerProduct"' in (folder / "new.prototxt").read_text()
    run("draw_net.py net.prototxt net.dot --rankdir=TB")
    assert "digraph" in (folder / "net.dot").read_text()


@pytest.fixture
def model(run: Run, folder: Path) -> str:
    """Options that name a classifier of five classes."""
    (folder / "deploy.prototxt").write_text("""
name: "deploy" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } } layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
""")
    run("python -c \"import caffe; caffe.Net('deploy.prototxt', caffe.TEST).save('w.caffemodel')\"")
    np.save(folder / "mean.npy", np.full((3, 10, 10), 100, np.float32))
    return "--model_def deploy.prototxt --pretrained_model=w.caffemodel --mean_file mean.npy"


@pytest.mark.slow
def test_images_are_classified_and_windows_detected(run: Run, folder: Path, model: str) -> None:
    run(f"classify.py img out.npy {model} --ext png --images_dim 9,9 --gpu")
    scores = np.load(folder / "out.npy")
    assert scores.shape == (4, 5)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    (folder / "windows.csv").write_text("filename,ymin,xmin,ymax,xmax\nimg/1.png,0,0,9,9\nimg/1.png,2,2,8,8\n")
    run(f"detect.py windows.csv out.csv {model} --crop_mode=list")
    rows = (folder / "out.csv").read_text().splitlines()
    assert rows[0] == "filename,ymin,xmin,ymax,xmax,class0,class1,class2,class3,class4"
    assert rows[2].startswith("img/1.png,2,2,8,8,")


@pytest.mark.slow
def test_windows_are_read_as_caffe_reads_them(run: Run, folder: Path, model: str) -> None:
    (folder / "windows.csv").write_text(
        "xmin,ymin,ymax,xmax,filename,score\r\n1.0,0,9,8.0,img/2.png,0.5\r\n0,2,8,8,img/1.png,0\r\n"
    )
    run(f"detect.py windows.csv out.csv {model} --crop_mode=list")
    rows = [line.split(",") for line in (folder / "out.csv").read_text().splitlines()]
    assert [row[:5] for row in rows[1:]] == [["img/2.png", "0", "1", "9", "8"], ["img/1.png", "2", "0", "8", "8"]]


@pytest.mark.slow
def test_selective_search_takes_names_from_a_list_or_a_table(run: Run, folder: Path, model: str) -> None:
    (folder / "names.txt").write_text("img/1.png\n\n")
    (folder / "names.csv").write_text("filename,ymin\nimg/1.png,3\nimg/1.png,5\n")
    for source in ("names.txt", "names.csv"):
        run(f"detect.py {source} {source}.csv {model}")
    found = (folder / "names.txt.csv").read_text()
    assert found == (folder / "names.csv.csv").read_text()
    assert {line.partition(",")[0] for line in found.splitlines()[1:]} == {"img/1.png"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("filename,ymin,xmin,ymax\na.png,1,2,3\n", "is not a table of windows"),
        ("filename,ymin,xmin,ymax,xmax\na.png,1,2,3\n", "is not a table of windows"),
        ("filename,ymin,xmin,ymax,xmax\na.png,1,2,3,inf\n", "a window that is not four numbers"),
        ("filename,ymin,xmin,ymax,xmax\na.png,1,2,3,b\n", "a window that is not four numbers"),
        ("", "is not a table of windows"),
    ],
)
def test_what_is_no_table_of_windows_is_told(table: str, message: str, run: Run, folder: Path, model: str) -> None:
    (folder / "windows.csv").write_text(table)
    assert message in run(f"detect.py windows.csv out.csv {model} --crop_mode=list", 1).stderr
    assert not (folder / "out.csv").exists()


@pytest.mark.slow
def test_windows_are_written_as_pandas_reads_them(run: Run, folder: Path, model: str) -> None:
    (folder / "windows.csv").write_text("filename,ymin,xmin,ymax,xmax\nimg/1.png,0,0,9,9\nimg/1.png,2,2,8,8\n")
    command = f"detect.py windows.csv out.h5 {model} --crop_mode=list"
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    run(command)
    table = pd.read_hdf(folder / "out.h5", "df")
    assert table.index.tolist() == ["img/1.png", "img/1.png"]
    assert table.columns.tolist() == ["prediction", "ymin", "xmin", "ymax", "xmax"]
    assert table[["ymin", "xmin", "ymax", "xmax"]].to_numpy().tolist() == [[0, 0, 9, 9], [2, 2, 8, 8]]
    assert np.vstack(table["prediction"].to_numpy()).shape == (2, 5)


@pytest.mark.slow
def test_without_pandas_h5_is_refused_and_nothing_is_left(run: Run, folder: Path, model: str) -> None:
    (folder / "pandas.py").write_text("raise ImportError")
    (folder / "windows.csv").write_text("filename,ymin,xmin,ymax,xmax\nimg/1.png,0,0,9,9\n")
    command = f"detect.py windows.csv out.h5 {model} --crop_mode=list"
    assert "needs pandas and tables" in run(command, 1, PYTHONPATH=".").stderr
    assert not list(folder.glob("*out.h5*"))


@pytest.mark.slow
def test_sigterm_ends_training_with_143(run: Run, folder: Path) -> None:
    forever = SOLVER.replace("max_iter: 20 snapshot: 10", "max_iter: 1000000000").replace("display: 5", "display: 0")
    (folder / "solver.prototxt").write_text(forever.replace("test_interval: 10", "test_interval: 1000000"))
    log = run("timeout --preserve-status -s TERM 8 caffe train -solver solver.prototxt", 143).stderr
    assert "Optimization stopped early." in log
    assert list(folder.glob("tiny_iter_*.solverstate"))


@pytest.mark.slow
def test_a_log_that_nobody_reads_is_no_error(run: Run) -> None:
    run("caffe train -solver solver.prototxt 2>&1 | true; exit ${PIPESTATUS[0]}", 141)
    run("caffe time -model net.prototxt -iterations 2 2>&1 | true; exit ${PIPESTATUS[0]}", 141)
