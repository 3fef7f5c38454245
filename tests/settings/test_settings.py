"""Where a setting comes from, and which one is in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.errors import UsageError
from mirador_magic.settings import settings as settings_
from mirador_magic.settings.keys import KEYS, OF_A_STAGE, OWN
from mirador_magic.settings.settings import Settings, layer, of_environment, of_files, of_table
from mirador_magic.stages import DEFAULT_STAGES

DEEP = DEFAULT_STAGES[1]


def test_without_anything_set_the_stages_are_as_they_come() -> None:
    assert Settings().stages(DEFAULT_STAGES) == {stage.name: stage for stage in DEFAULT_STAGES}
    assert Settings()["engine"] == "auto"


def test_a_stronger_place_wins_whether_it_speaks_of_one_stage_or_of_all() -> None:
    weak = layer({"deep_analysis.temperature": 0.1, "temperature": 0.2}, "a file")
    strong = layer({"temperature": 0.9}, "the line")
    assert Settings(weak).stage(DEEP).options.temperature == 0.1
    assert Settings(weak).stage(DEFAULT_STAGES[0]).options.temperature == 0.2
    assert Settings(weak, strong).stage(DEEP).options.temperature == 0.9
    assert Settings(strong, weak).stage(DEEP).options.temperature == 0.1


def test_all_that_a_stage_has_can_be_set() -> None:
    values = {
        "model": "m",
        "system": "Be brief.",
        "timeout": "5",
        "keep_alive": "60",
        "confidence": 0.3,
        "think": "off",
        "temperature": 1,
        "top_p": "0.5",
        "num_predict": "7",
        "num_ctx": 512,
        "max_chars": "9000",
        "seed": -1,
    }
    assert set(values) == set(OF_A_STAGE)
    stage = Settings(layer(values, "here")).stage(DEEP)
    assert (stage.model, stage.system_prompt, stage.timeout) == ("m", "Be brief.", 5.0)
    assert (stage.confidence, stage.think, stage.keep_alive) == (0.3, False, 60.0)
    options = stage.options
    assert (options.temperature, options.top_p, options.seed) == (1.0, 0.5, -1)
    assert (options.num_predict, options.num_ctx, stage.max_chars) == (7, 512, 9000)


def test_a_stage_of_ones_own_needs_a_model_and_has_one_from_toml() -> None:
    table = {"stages": {"critic": {"model": "llama3.2", "system": "Find the flaw."}}}
    made = Settings(of_table(table, "a file")).stages(DEFAULT_STAGES)["critic"]
    assert (made.model, made.system_prompt) == ("llama3.2", "Find the flaw.")
    with pytest.raises(
        UsageError, match=r"no stage 'deep_analisis' → did you mean deep_analysis\?"
    ):
        lost = of_table({"stages": {"deep_analisis": {"temperature": 0.3}}}, "a file")
        Settings(lost).stages(DEFAULT_STAGES)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temprature": 1}, "there is no setting 'temprature' → did you mean temperature?"),
        ({"deep_analysis.engine": "auto"}, "there is no setting 'deep_analysis.engine'"),
        ({"engine": "olama"}, "did you mean ollama?"),
        ({"temperature": "hot"}, "temperature = 'hot' is not a number → such as temperature = 0.3"),
        ({"temperature": True}, "is not a number"),
        ({"temperature": "nan"}, "is not in 0..2"),
        ({"temperature": 9}, "is not in 0..2"),
        ({"num_predict": 0}, "is not a count, 1 or more"),
        ({"timeout": 0}, "is not above 0"),
        ({"pace": "fast"}, "is not a number"),
        ({"pace": -1}, "is not in 0..1e+06"),
        ({"streaming": "perhaps"}, "is neither on nor off"),
        ({"host": "localhost:1, localhost:2"}, "names 2 hosts, and a cell asks one"),
        ({"default_stages": 3}, "is not a list of stages"),
        ({"model": " "}, "is not a name"),
        ({"confidence": 1.5}, "is not in 0..1"),
    ],
)
def test_a_misspelt_name_or_value_is_one_line_with_its_cure(
    values: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        layer(values, "a file")
    assert said in str(raised.value)
    assert str(raised.value).startswith("a file: ")
    assert "\n" not in str(raised.value)


@given(st.sampled_from(sorted(KEYS)), st.text() | st.floats() | st.integers() | st.booleans())
def test_any_value_is_read_or_refused_in_one_line(key: str, value: object) -> None:
    try:
        layer({key: value}, "here")
    except UsageError as error:
        assert "\n" not in str(error)


def test_each_example_can_be_set() -> None:
    for name, key in KEYS.items():
        assert layer({name: key.example}, "here")[name].source == "here"


def test_the_environment_sets_what_it_names() -> None:
    environ = {
        "MIRADOR_STREAMING": "off",
        "MIRADOR_DEFAULT_STAGES": "quick_response, synthesis",
        "MIRADOR_TEMPERATURE": "0.5",
        "OLLAMA_HOST": "localhost:1234",
        "MIRADOR_PACE": "",
        "MIRADOR_REQUIRE_REAL": "1",
    }
    found = Settings(of_environment(environ))
    assert found["streaming"] is False
    assert found["default_stages"] == ("quick_response", "synthesis")
    assert found["host"] == "localhost:1234"
    assert found.stage(DEEP).options.temperature == 0.5
    assert found.given("streaming").source == "MIRADOR_STREAMING"
    assert found["pace"] == 0


def test_a_misspelt_variable_is_told() -> None:
    with pytest.raises(UsageError, match=r"MIRADOR_STREAMNG, .* did you mean MIRADOR_STREAMING\?"):
        of_environment({"MIRADOR_STREAMNG": "1"})


def test_files_are_read_the_nearest_project_first(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.mirador]\nengine = 'scripted'\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.ruff]\n")
    user = tmp_path / "config.toml"
    assert Settings(*of_files(inner, user))["engine"] == "scripted"
    user.write_text("engine = 'embedded'\n[stages.deep_analysis]\nnum_predict = 9\n")
    found = Settings(*of_files(inner, user))
    assert found["engine"] == "embedded"
    assert found.given("engine").source == str(user)
    assert found.stage(DEEP).options.num_predict == 9


def test_a_file_that_is_no_toml_is_one_line_and_one_that_is_not_ours_no_matter(
    tmp_path: Path,
) -> None:
    (tmp_path / "pyproject.toml").write_text("= no toml\n")
    assert Settings(*of_files(tmp_path, tmp_path / "none"))["engine"] == "auto"
    (tmp_path / "config.toml").write_text("engine = \n")
    with pytest.raises(UsageError, match=r"config.toml cannot be read: .* → mend it"):
        of_files(tmp_path, tmp_path / "config.toml")


def test_rows_tell_each_value_and_its_place() -> None:
    settings = Settings(layer({"num_predict": 5, "pre_warm": "off"}, "the notebook"))
    rows = {row.name: row for row in settings_.rows(settings)}
    assert set(OWN) <= set(rows)
    assert (rows["pre_warm"].value, rows["pre_warm"].source) == ("off", "the notebook")
    assert rows["default_stages"].value == "auto"
    assert (rows["synthesis.num_predict"].value, rows["synthesis.num_predict"].source) == (
        "5",
        "the notebook",
    )
    assert rows["synthesis.temperature"].source == "default"
    assert "deep_analysis.seed" not in rows
