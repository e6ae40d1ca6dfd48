import json
import sys
import types

from svdaudio.pretraining.logs import CsvTable, JsonLines, TensorBoard


def test_steps_logged_after_the_checkpoint_are_logged_again(tmp_path):
    path = tmp_path / "a.log"
    log = JsonLines(path)
    log.begin(0)
    for step in (5, 10, 15):
        log.write({"step": step, "loss": 1.0})
    path.write_text(path.read_text() + '{"step": 2')
    log.begin(10)
    log.write({"step": 15, "loss": 2.0})
    assert [json.loads(line)["loss"] for line in path.read_text().splitlines()] == [1.0, 1.0, 2.0]


def test_a_table_has_a_header_and_is_appended_to(tmp_path):
    path = tmp_path / "a.csv"
    for begin in (0, 10):
        log = CsvTable(path, ("step", "loss", "rate"))
        log.begin(begin)
        for step in (begin + 5, begin + 10):
            log.write({"step": step, "loss": 0.5, "other": 1})
        log.close()
    assert path.read_text().splitlines() == ["step,loss,rate", "5,0.5,", "10,0.5,", "15,0.5,", "20,0.5,"]
    path.write_text(path.read_text() + "2")
    CsvTable(path, ("step", "loss", "rate")).begin(10)
    assert len(path.read_text().splitlines()) == 4


def test_tensorboard_gets_scalars_and_forgets_later_ones(tmp_path, monkeypatch):
    calls = []

    class Writer:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def add_scalar(self, *arguments):
            calls.append(arguments)

        def close(self):
            calls.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    log = TensorBoard(tmp_path)
    log.begin(10)
    log.write({"step": 15, "loss": 0.5})
    log.close()
    assert calls == [(str(tmp_path), 11), ("loss", 0.5, 15), "closed"]
